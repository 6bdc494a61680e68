"""Folding `fixup!`, `squash!` and `amend!` commits in, as `git rebase --autosquash` does, without the work tree."""

import re

from tools import git as git_module
from tools import history
from tools import ui
from tools.git import GitError

_PREFIX = re.compile(r'(fixup|squash|amend)! ')


def is_fixup(subject):
    """Return true if a commit with this subject is to be folded into another one."""
    return bool(_PREFIX.match(subject))


def fold(repository, head):
    """Return a commit like head whose history has the fixups folded in.

    Only what the commits change in upstream's files is moved about.  The overlay's files are put on top, as they are in
    head: where each of them belongs is said by the trailers `Adds:`, so they can make no conflict.

    Raises:
        UserError: it cannot be done without a decision of the user; nothing was changed.
    """
    upstream = repository.upstream
    owned = repository.list_tree(upstream)
    with repository.scratch() as scratch:
        scratch.bytes('read-tree', upstream)
        parent = upstream
        for group in _groups(repository, head):
            for commit in group.commits:
                _apply_owned(repository, scratch, commit, owned)
            parent = _commit(repository, scratch.text('write-tree'), parent, group.commits[0], group.message)
        _read_overlay(repository, scratch, head, owned)
        tree = scratch.text('write-tree')
        if tree != repository.tree_of(head):
            raise ui.UserError('folding the fixups in changes the result; nothing was written.\n'
                               '  Do it by hand: git -C build/src rebase -i upstream')
        return _commit(repository, tree, parent, head, history.SUBJECT_LATE)


class _Group:
    """A commit and those that are folded into it."""

    def __init__(self, commit, message):
        self.commits = [commit]
        self.subject = message.partition('\n')[0]
        self.message = message

    def is_meant_by(self, target):
        """Return true if `fixup! target` is for this commit: target is its subject, or begins with its id."""
        return self.subject == target or len(target) >= 7 and self.commits[0].startswith(target.split(' ')[0])

    def take(self, commit, kind, text):
        """Fold a commit in, whose message has text below the subject."""
        self.commits.append(commit)
        if kind == 'amend' and text:
            self.message = text
        elif kind == 'squash' and text:
            self.message += '\n\n' + text


def _groups(repository, head):
    """Return the _Groups of the commits since upstream, in order."""
    groups = []
    for commit in repository.commits(head):
        message = repository.git.text('log', '-1', '--encoding=UTF-8', '--format=%B', commit)
        subject, _, text = message.partition('\n')
        match = _PREFIX.match(subject)
        if not match:
            groups.append(_Group(commit, message))
            continue
        target = subject
        while _PREFIX.match(target):
            target = target.split(' ', 1)[1]
        group = next((group for group in groups if group.is_meant_by(target)), None)
        if group is None:
            raise ui.UserError(f'commit {commit[:12]} ({subject}) is for a commit that is not there.\n'
                               '  Reword it: git -C build/src rebase -i upstream')
        group.take(commit, match[1], text.strip())
    return groups


def _apply_owned(repository, scratch, commit, owned):
    """Apply to the index of scratch what a commit changes in upstream's files."""
    paths = [path for path in repository.changed_paths(commit) if path in owned]
    if not paths:
        return
    diff = repository.git.bytes('diff-tree', '-p', *git_module.DIFF, f'{commit}^', commit, '--', *paths)
    try:
        scratch.bytes('apply', '--cached', '--3way', '--whitespace=nowarn', '-', stdin=diff)
    except GitError as error:
        subject = repository.git.text('log', '-1', '--format=%h %s', commit)
        raise ui.UserError(f'the fixups cannot be folded in by themselves: {subject} does not apply there:\n'
                           f'  {error}\n  Do it by hand: git -C build/src rebase -i upstream') from None


def _read_overlay(repository, scratch, head, owned):
    """Put the overlay's files of head into the index of scratch."""
    entries = {path: entry for path, entry in repository.list_tree(head).items() if path not in owned}
    lines = ''.join(f'{mode} {blob}\t{path}\0' for path, (mode, blob) in entries.items())
    scratch.bytes('update-index', '-z', '--add', '--index-info', stdin=lines.encode())


def _commit(repository, tree, parent, original, message):
    """Make a commit with the author and the date of original; return its id."""
    author, date = repository.git.bytes('log', '-1', '--format=%an <%ae>%x00%ad', '--date=raw',
                                        original).decode().strip().split('\0')
    stream = git_module.Import(repository.git)
    stream.commit('refs/asyncbis/squashed', author, date, message + '\n', parent=parent)
    stream.content(tree, {})
    commit, = stream.finish()
    return commit
