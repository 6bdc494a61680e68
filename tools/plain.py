"""The series for a plain CPython, without this project: as commits in a checkout of it, or as one patch.

Both are made from the project's files, and hold the overlay as well: a commit has the files that its patch adds.  The
trailers, which are for the tools here, are left out of the messages.
"""

import contextlib
import email.utils

from tools import git as git_module
from tools import history
from tools import mail
from tools import project as project_module
from tools import ui
from tools.git import Git, GitError

_URL = 'https://github.com/python/cpython'


class Series:
    """The series as a line of commits on upstream, in the repository of build/src.

    Raises:
        UserError: build/src has work that the project's files do not have yet.
    """

    def __init__(self, project, tree, *, upstreamable=False, source_file=None, offline=False):
        """Args: upstreamable: leave out what is for this interpreter only; the others are those of tree.Tree."""
        self._version = project.upstream.version
        tree.refuse_if_unexported()
        tree.ensure_upstream(source_file=source_file, offline=offline)
        self._repository = tree.repository
        inputs = project.read_inputs()
        self._patches = list(history.parse_patches(tree.git, inputs).values())
        self._head = history.compute(self._repository, inputs).head
        if upstreamable:
            self._leave_out_fork_only()

    def _leave_out_fork_only(self):
        kept = [patch for patch in self._patches if patch.trailers.get('Category') == 'upstreamable']
        if self._patches[:len(kept)] != kept:
            raise ui.UserError('a patch that is fork-only stands before one that is upstreamable, so it cannot be left '
                               'out.\n  Move it to the end: git -C build/src rebase -i upstream')
        subjects = [patch.subject for patch in kept]
        commits = [commit for commit in self._repository.commits(self._head) if self._subject(commit) in subjects]
        self._patches = kept
        self._head = commits[-1] if commits else self._repository.upstream

    def _subject(self, commit):
        return self._repository.git.text('log', '-1', '--encoding=UTF-8', '--format=%s', commit)

    def _diff(self, before, after):
        return self._repository.git.bytes('diff-tree', '-p', *git_module.DIFF, before, after)

    def combined(self):
        """Return one patch that does the same as the whole series; for `patch -p1`."""
        what = f'asyncbis: level cancellation and cancel scopes for asyncio, for CPython {self._version}.\n'
        how = 'In the folder of its sources: patch -p1 < THIS_FILE\n\n'
        return (what + how).encode() + self._diff(self._repository.upstream, self._head)

    def mails(self):
        """Return the commits as mails, for `git am`."""
        patches = {patch.subject: patch for patch in self._patches}
        mails = []
        for commit in self._repository.commits(self._head):
            subject = self._subject(commit)
            diff = self._diff(f'{commit}^', commit)
            if subject in patches:
                patch = patches[subject]
                message = f'{subject}\n\n{patch.text}\n' if patch.text else f'{subject}\n'
                mails.append(mail.Patch(patch.author, patch.date, message, diff))
            else:
                # The tools' own, for what no patch adds.
                date = email.utils.formatdate(int(git_module.DATE.split()[0]))
                mails.append(mail.Patch(git_module.IDENTITY, date, f'{subject}\n', diff))
        return mails

    def commit_in(self, folder):
        """Commit the series on the branch that is checked out in folder; return how many commits that are.

        Raises:
            UserError: that is not possible; nothing has changed there.
        """
        git = Git(folder)
        _refuse_unless_at_rest(git, folder, self._version)
        mails = self.mails()
        before = git.text('rev-parse', 'HEAD')
        for number, each in enumerate(mails, 1):
            name, _, address = each.author.rpartition(' <')
            identity = ['-c', f'user.name={name}', '-c', f'user.email={address.rstrip(">")}']
            try:
                git.bytes(*identity, 'am', '--quiet', '--keep-non-patch', '--no-gpg-sign',
                          '--committer-date-is-author-date', stdin=each.format())
            except GitError as error:
                with contextlib.suppress(GitError):  # It may have failed before there was anything to abort.
                    git.bytes(*identity, 'am', '--abort')
                git.bytes(*identity, 'reset', '--quiet', '--keep', before)
                raise ui.UserError(
                    f'the patch {each.subject!r}, {number} of {len(mails)}, does not apply to what is checked out in '
                    f'{folder}, which is as before.\n  The series is for CPython {self._version}: '
                    f'git -C {folder} checkout v{self._version}\n  {_reasons(error)}') from None
        return len(mails)


def _refuse_unless_at_rest(git, folder, version):
    clone = f'git clone --branch v{version} {_URL}'
    try:
        if git.text('rev-parse', '--show-prefix'):
            raise ui.UserError(f'{folder} is a folder within a git checkout. Give the folder that the whole checkout is '
                               'in.')
        git.text('rev-parse', '--verify', 'HEAD')
    except (FileNotFoundError, NotADirectoryError, GitError):
        raise ui.UserError(f'{folder} is no git checkout with a commit in it. Make one of CPython, and give its folder: '
                           f'{clone}') from None
    for name in 'rebase-apply', 'rebase-merge', 'MERGE_HEAD', 'CHERRY_PICK_HEAD':
        if (folder / git.text('rev-parse', '--git-path', name)).exists():
            raise ui.UserError(f'git is in the middle of something in {folder} (git status tells of what). Finish that '
                               'first.')
    changed = git.text('status', '--porcelain', '--untracked-files=no').splitlines()
    if changed:
        raise ui.UserError(f'{folder} has changes that are not committed ({changed[0].split(maxsplit=1)[-1]}'
                           f'{", ..." if len(changed) > 1 else ""}). Commit them, or put them aside: git stash')


def _reasons(error):
    """Return what git says of what is wrong, without its hints."""
    lines = str(error).splitlines()
    return '\n  '.join([line for line in lines if line.startswith('error: ')] or lines[:1])


def write(path, data):
    """Write a patch to path."""
    try:
        project_module.write_atomically(path, data)
    except OSError as error:
        raise ui.UserError(f'{path} cannot be written: {error.strerror}. Give another FILE.') from None
