"""Patches as files: the mailbox format, its message's trailers, and the names of the files.

A patch's file is named after its subject: `asyncio: Give every task a scope` is in give-every-task-a-scope.patch.
There is no other rule and nothing to remember; who changes a subject gets the file renamed by `refresh`.
"""

import dataclasses
import re
import tempfile

_ZERO = '0' * 40
_SLUG_LENGTH = 60


class FormatError(Exception):
    """A patch file, or a commit message that is to become one, cannot be understood."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """One patch: who, when, why and what."""
    author: str  # Name <address>
    date: str  # as in a mail's header
    message: str  # subject, empty line, body with trailers; ends with a newline
    diff: bytes  # of upstream's files; empty if the patch only adds files

    @property
    def subject(self):
        """The first line of the message."""
        return self.message.split('\n', 1)[0]

    @property
    def body(self):
        """The message without its subject."""
        return self.message.partition('\n\n')[2]

    @property
    def _trailer_lines(self):
        """The `Key: value` lines that end the message, as pairs."""
        last = self.body.strip().rpartition('\n\n')[2]
        pairs = [re.fullmatch(r'([A-Z][A-Za-z-]*): (\S.*)', line) for line in last.splitlines()]
        return [(pair[1], pair[2]) for pair in pairs] if pairs and all(pairs) else []

    @property
    def trailers(self):
        """The `Key: value` lines that end the message, as a dict; of a repeated one the last."""
        return dict(self._trailer_lines)

    @property
    def adds(self):
        """The paths that the trailers `Adds:` name: overlay files, or folders of them, that come with this patch."""
        return [path for key, value in self._trailer_lines if key == 'Adds' for path in value.split()]

    @property
    def rules(self):
        """The numbers of the rules that the trailers `Rule:` name: those of semantics.md that the patch brings about."""
        return [number for key, value in self._trailer_lines if key == 'Rule' for number in value.split(', ')]

    @property
    def test_rules(self):
        """The rules that make changes of upstream's tests necessary: those of `Test-Rule:`, else all of `Rule:`."""
        named = self.trailers.get('Test-Rule')
        return named.split(', ') if named else self.rules

    @property
    def text(self):
        """The body without the trailers."""
        body = self.body.strip()
        return body.rpartition('\n\n')[0] if self.trailers else body

    @property
    def name(self):
        """The name of the patch's file."""
        slug = re.sub(r'[^a-z0-9]+', '-', re.sub(r'^asyncio: *', '', self.subject).lower()).strip('-')
        if len(slug) > _SLUG_LENGTH:
            slug = slug[:_SLUG_LENGTH + 1].rpartition('-')[0]
        return f'{slug or "patch"}.patch'

    @property
    def paths(self):
        """The files that the diff touches."""
        pairs = re.findall(rb'^diff --git a/(.*) b/(.*)$', self.diff, re.MULTILINE)
        return sorted({path.decode() for pair in pairs for path in pair})

    def format(self):
        """Return the file's content.

        Raises:
            FormatError: the message has a line that would be read as the end of the message.
        """
        for line in self.message.splitlines():
            if line.startswith(('---', 'diff -', 'Index: ')):
                raise FormatError(f'a line of the message would be read as the beginning of the diff: {line!r}')
        head = (f'From {_ZERO} Mon Sep 17 00:00:00 2001\nFrom: {self.author}\nDate: {self.date}\n'
                f'Subject: {self.subject}\n\n{self.body}')
        # (Without a diff, `git am --empty=keep` wants a mail that ends with the message.)
        return head.encode() + (b'---\n\n' + self.diff if self.diff else b'')


def parse(git, data):
    """Return the Patch that is in data, the content of a file.

    Args:
        git: any repository: git itself reads the mail.
        data: the content.

    Raises:
        FormatError: it is no patch in mailbox format.
    """
    with tempfile.TemporaryDirectory(prefix='asyncbis-') as folder:
        info = git.bytes('mailinfo', '-b', '--encoding=UTF-8', '--no-scissors', f'{folder}/message', f'{folder}/diff',
                         stdin=data).decode('utf-8', 'replace')
        with open(f'{folder}/message', encoding='utf-8') as file:
            body = file.read().strip()
        with open(f'{folder}/diff', 'rb') as file:
            diff = file.read()
    fields = dict(line.split(': ', 1) for line in info.splitlines() if ': ' in line)
    for field in ('Author', 'Email', 'Subject', 'Date'):
        if not fields.get(field):
            raise FormatError(f'no {"From" if field in ("Author", "Email") else field} in its header')
    message = fields['Subject'] + '\n' + (f'\n{body}\n' if body else '')
    patch = Patch(f'{fields["Author"]} <{fields["Email"]}>', fields['Date'], message, b'')
    start = re.search(rb'^diff --git ', diff, re.MULTILINE)
    if not start:
        if patch.adds:
            return patch  # of overlay files alone
        raise FormatError('no diff in it (a line `diff --git a/... b/...`), nor a trailer `Adds:`')
    # `git format-patch` ends a mail with its version, below a line that is no part of the diff.
    return dataclasses.replace(patch, diff=re.sub(rb'^-- \n.*\n*\Z', b'', diff[start.start():], flags=re.MULTILINE))
