"""The git repository in build/src: what it holds, whatever made it and whatever is made of it."""

import contextlib
import shutil

from tools import ui
from tools.git import Git, GitError

BRANCH = 'asyncbis'
_UPSTREAM = 'refs/tags/upstream'


class Repository:
    """The repository in a folder, whose first commit has the tag `upstream`."""

    def __init__(self, folder):
        self.folder = folder
        self.git = Git(folder)
        # For what the tools keep between two runs; `git clean` leaves it alone.
        self.private = folder / '.git' / 'asyncbis'

    @property
    def upstream(self):
        """The id of the commit `upstream`, or None if there is none, nor perhaps a repository."""
        return self.git.resolve(_UPSTREAM) if (self.folder / '.git' / 'HEAD').exists() else None

    @property
    def head(self):
        """The commit that is checked out, or None."""
        return self.git.resolve('HEAD')

    def upstream_paths(self):
        """Return the set of all files of upstream."""
        return set(self.list_tree(_UPSTREAM))

    def list_tree(self, commit):
        """Return {path: (mode, blob)} of a commit."""
        result = {}
        for line in self.git.bytes('ls-tree', '-r', '-z', commit).decode().split('\0')[:-1]:
            entry, path = line.split('\t', 1)
            mode, _, blob = entry.split()
            result[path] = (mode, blob)
        return result

    def tree_of(self, commit):
        """Return the id of a commit's tree."""
        return self.git.text('rev-parse', f'{commit}^{{tree}}')

    def has(self, name):
        """Return true if there is an object of this id."""
        try:
            self.git.bytes('cat-file', '-e', name)
        except GitError:
            return False
        return True

    def blobs(self, blobs):
        """Return {blob id: content}."""
        output = self.git.bytes('cat-file', '--batch', stdin=''.join(f'{blob}\n' for blob in blobs).encode())
        result, at = {}, 0
        for blob in blobs:
            end = output.index(b'\n', at)
            size = int(output[at:end].split()[2])
            result[blob] = output[end + 1:end + 1 + size]
            at = end + size + 2
        return result

    def commits(self, head):
        """Return the ids of the commits since upstream, the oldest first.

        Raises:
            UserError: they are not a line of plain commits on top of upstream.
        """
        upstream = self.upstream
        try:
            self.git.bytes('merge-base', '--is-ancestor', upstream, head)
        except GitError:
            raise ui.UserError('the branch in build/src does not begin at the commit `upstream`.\n'
                               f'  Put the work on the prepared branch: git -C build/src rebase --onto {BRANCH} '
                               '...') from None
        commits = []
        lines = self.git.text('rev-list', '--reverse', '--topo-order', '--parents', f'{upstream}..{head}').splitlines()
        for line in lines:
            commit, *parents = line.split()
            if len(parents) != 1:
                raise ui.UserError(f'commit {commit[:12]} in build/src is a merge, which cannot become a patch.\n'
                                   '  Make the history a line: git -C build/src rebase upstream')
            commits.append(commit)
        return commits

    def changed_paths(self, commit):
        """Return the paths of the files that a commit changes."""
        return self.git.bytes('diff-tree', '-r', '-z', '--name-only', '--no-renames', '--no-commit-id',
                              commit).decode().split('\0')[:-1]

    @contextlib.contextmanager
    def scratch(self, *, copy=False):
        """Give a Git with an index of its own, which is empty, or a copy of the repository's."""
        self.private.mkdir(exist_ok=True)
        index = self.private / 'index'
        if copy:
            shutil.copyfile(self.git.text('rev-parse', '--absolute-git-dir') + '/index', index)
        try:
            yield Git(self.folder, index)
        finally:
            index.unlink(missing_ok=True)
