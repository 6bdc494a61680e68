"""The series for a plain CPython, without this project: as commits in a checkout of it, or as one patch.

Both are made from the project's files, and hold the overlay as well: a commit has the files that its patch adds.  The
trailers, which are for the tools here, are left out of the messages.
"""

import tempfile

from tools import git as git_module
from tools import history
from tools import project as project_module
from tools import ui
from tools.git import Git, GitError

# For the log of the branch.
_IDENTITY = '-c', 'user.name=asyncbis', '-c', 'user.email=asyncbis@localhost'
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

    def commit_in(self, folder):
        """Commit the series on the branch that is checked out in folder; return how many commits that are.

        The commits are made aside; the branch and the files move at once, when all are there.

        Raises:
            UserError: that is not possible; nothing has changed there.
        """
        git = Git(folder)
        _refuse_unless_at_rest(git, folder, self._version)
        patches = {patch.subject: patch for patch in self._patches}
        commits = self._repository.commits(self._head)
        try:
            with tempfile.TemporaryDirectory(prefix='asyncbis-') as scratch:
                trees = self._apply(Git(folder, f'{scratch}/index'), commits, folder)
            stream = git_module.Import(git)
            for number, (commit, tree) in enumerate(zip(commits, trees)):
                subject = self._subject(commit)
                # (The tools' own commits are for what no patch adds.)
                author, text = git_module.IDENTITY, ''
                if subject in patches:
                    author, text = patches[subject].author, patches[subject].text
                date = self._repository.git.text('log', '-1', '--date=raw', '--format=%ad', commit)
                stream.commit('refs/asyncbis/export', author, date, f'{subject}\n' + (f'\n{text}\n' if text else ''),
                              parent=None if number else git.text('rev-parse', 'HEAD'))
                stream.content(tree, {})
            made = stream.finish()
            if made:
                # It refuses to overwrite what is not committed.
                git.bytes(*_IDENTITY, 'reset', '--quiet', '--keep', made[-1])
        except GitError as error:
            raise ui.UserError(f'the commits cannot be put into {folder}, which is as before; git said:\n  '
                               + '\n  '.join(str(error).splitlines())) from None
        try:
            git.bytes('symbolic-ref', '--quiet', 'HEAD')
        except GitError:
            ui.say(f'no branch is checked out there; to keep them: git -C {folder} switch -c NAME')
        return len(made)

    def _apply(self, scratch, commits, folder):
        """Return the trees of the commits on top of what is checked out in folder."""
        scratch.bytes('read-tree', 'HEAD')
        trees = []
        for number, commit in enumerate(commits, 1):
            try:
                scratch.bytes('apply', '--cached', '--whitespace=nowarn', '-', stdin=self._diff(f'{commit}^', commit))
            except GitError as error:
                raise ui.UserError(
                    f'the patch {self._subject(commit)!r}, {number} of {len(commits)}, does not apply to what is checked '
                    f'out in {folder}, which is as before.\n  The series is for CPython {self._version}: '
                    f'git -C {folder} checkout v{self._version}\n  ' + '\n  '.join(str(error).splitlines())) from None
            trees.append(scratch.text('write-tree'))
        return trees


def _refuse_unless_at_rest(git, folder, version):
    clone = f'git clone --branch v{version} {_URL}'
    try:
        if git.text('rev-parse', '--is-inside-work-tree') != 'true':
            raise GitError('it has no files that are checked out')
        if git.text('rev-parse', '--show-prefix'):
            raise ui.UserError(f'{folder} is a folder within a git checkout. Give the folder that the whole checkout is '
                               'in.')
        git.text('rev-parse', '--verify', 'HEAD')
    except (FileNotFoundError, NotADirectoryError):
        raise ui.UserError(f'there is no folder {folder}. Make a checkout of CPython, and give its folder: {clone}'
                           ) from None
    except GitError as error:
        raise ui.UserError(f'{folder} is no git checkout with a commit in it ({str(error).splitlines()[0]}). Make one of '
                           f'CPython, and give its folder: {clone}') from None
    for name in 'rebase-apply', 'rebase-merge', 'MERGE_HEAD', 'CHERRY_PICK_HEAD':
        if (folder / git.text('rev-parse', '--git-path', name)).exists():
            raise ui.UserError(f'git is in the middle of something in {folder} (git status tells of what). Finish that '
                               'first.')
    changed = git.text('status', '--porcelain', '--untracked-files=no').splitlines()
    if changed:
        raise ui.UserError(f'{folder} has changes that are not committed ({changed[0].split(maxsplit=1)[-1]}'
                           f'{", ..." if len(changed) > 1 else ""}). Commit them, or put them aside: git stash')


def write(path, data):
    """Write a patch to path, which may be a device or a pipe."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            project_module.write_atomically(path.resolve(), data)
    except OSError as error:
        raise ui.UserError(f'{path} cannot be written: {error.strerror}. Give another FILE.') from None
