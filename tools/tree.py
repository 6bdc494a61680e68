"""build/src, the git tree that the patches are worked on in: what it was made from, and what is new in it.

prepare moves it to the history that the project's files describe (see history.py): the work tree is moved from the old
commit to the new one, so that only files that differ get a new time stamp and make rebuilds no more than it must.
refresh (see export.py) goes the other way.  Between the two nothing that is only in build/src is ever thrown away.
"""

import json
import tarfile

from tools import git as git_module
from tools import history
from tools import project as project_module
from tools import source
from tools import ui
from tools.git import GitError
from tools.repository import BRANCH, Repository


class Tree:
    """build/src of one project."""

    def __init__(self, project):
        self._project = project
        self.repository = Repository(project.src)
        self.git = self.repository.git

    # State: which commits hold nothing that is not in the project's files too, and what the last one was made from.

    def _state(self):
        try:
            return json.loads((self.repository.private / 'state.json').read_text(encoding='utf-8'))
        except FileNotFoundError:
            return {'exported': [], 'inputs': None}

    def _write_state(self, state):
        project_module.write_atomically(self.repository.private / 'state.json', json.dumps(state, indent=1).encode())

    @property
    def exists(self):
        """Whether prepare has been here."""
        return self._state()['inputs'] is not None

    @property
    def head(self):
        """The commit that is checked out, or None."""
        return self.repository.head

    def inputs_then(self):
        """Return {path: digest} of the files that the tree was made from."""
        return self._state()['inputs'] or {}

    def pending(self):
        """Return the names of the patches that `prepare --until` has left out."""
        return self._state().get('pending', [])

    def inputs_changed(self, inputs):
        """Return the names of the project's files that changed since the tree was made from them."""
        then, now = self.inputs_then(), self._digests(inputs)
        return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))

    def _digests(self, inputs):
        return {**inputs.digests(), 'upstream.conf': self._project.upstream.sha256}

    # Work that only build/src has.

    def uncommitted(self):
        """Return the lines of `git status` for what is not committed."""
        if self.head is None:
            return []
        return self.git.bytes('status', '--porcelain', '--untracked-files=all').decode(
            'utf-8', 'surrogateescape').splitlines()

    def unexported(self):
        """Return descriptions of the work in build/src that the project's files do not have."""
        lines = self.uncommitted()
        head = self.head
        exported = self._state()['exported']
        if head and head not in exported:
            known = [commit for commit in exported if self.git.resolve(commit)]
            log = self.git.text('log', '--format=%h %s', head, '--not', self.repository.upstream, *known)
            lines += [f'commit {line}' for line in log.splitlines()]
            if not log:
                lines.append(f'HEAD is at {head[:12]}, which prepare did not make')
        return lines

    def refuse_if_uncommitted(self):
        """Raise UserError if build/src has changes that are not committed."""
        work = self.uncommitted()
        if work:
            raise ui.UserError('build/src has changes that are not committed:\n'
                               + ''.join(f'    {line}\n' for line in _shorten(work)) +
                               '  Commit them there (git commit, or git commit --fixup COMMIT), or remove them.')

    def refuse_if_unexported(self):
        """Raise UserError if build/src holds work that no file of the project has."""
        work = self.unexported() if self.repository.upstream else []
        if work:
            state = self._state()
            back = state['exported'][-1] if state['exported'] else 'upstream'
            raise ui.UserError(
                'build/src holds work that no patch and no overlay file has yet:\n'
                + ''.join(f'    {line}\n' for line in _shorten(work)) +
                '  To save it: commit it in build/src, then ./build.sh refresh.\n'
                f'  To keep it aside: git -C build/src stash -u, or: git -C build/src branch my-work\n'
                f'  To give it up: git -C build/src reset --hard {back[:12]} && git -C build/src clean -fd')

    def fingerprint(self, *, without=()):
        """Return the id of the tree that the work tree, uncommitted changes included, amounts to.

        without: folders that are left out of it.
        """
        if not self.uncommitted() and not without:
            return self.repository.tree_of('HEAD')
        # With a copy of the index git reads only files whose time stamps changed.
        with self.repository.scratch(copy=True) as scratch:
            scratch.bytes('add', '--all', '.')
            if without:
                scratch.bytes('rm', '-r', '-f', '--cached', '--quiet', '--ignore-unmatch', '--', *without)
            return scratch.text('write-tree')

    # Upstream.

    def ensure_upstream(self, *, source_file=None, offline=False):
        """Make the repository and its commit `upstream` from the tarball, unless they are there."""
        pin = self._project.upstream
        message = f'CPython {pin.version}\n\nSHA-256 of the tarball: {pin.sha256}\n'
        present = self.repository.upstream
        if present and self.git.text('log', '-1', '--format=%B', present) == message.strip():
            return
        tarball = source.Finder(pin, source=source_file, offline=offline).find()
        self._project.src.mkdir(parents=True, exist_ok=True)
        self.git.bytes('init', '--quiet')
        # CPython's Makefile asks for the version with --git-dir alone, from another folder.
        self.git.bytes('config', 'core.worktree', '..')
        # So that a plain `git rebase -i` in build/src folds fixups in.
        self.git.bytes('config', 'rebase.autoSquash', 'true')
        exclude = self._project.src / '.git' / 'info' / 'exclude'
        project_module.write_atomically(exclude, b'__pycache__/\n*.py[co]\n*~\n*.sw[op]\n')
        with ui.timed(f'unpacking {tarball.name}'):
            stream = git_module.Import(self.git)
            stream.commit('refs/asyncbis/upstream', git_module.IDENTITY, git_module.DATE, message)
            _feed_tarball(stream, tarball)
            commit, = stream.finish()
        self.git.bytes('tag', '--force', 'upstream', commit)

    # Moving it.

    def prepare(self, inputs, *, until=None, source_file=None, offline=False):
        """Move build/src to what inputs describe.

        Args:
            inputs: the project's files.
            until: the name of a patch: it and those after it are left out, to be applied by hand.  What they add to the
                overlay is there all the same.
            source_file: see source.Finder, as is offline.

        Raises:
            UserError: build/src holds work that would be lost.
        """
        # Before anything else: ensure_upstream may move the tag that the work is counted from.
        self.refuse_if_unexported()
        self.ensure_upstream(source_file=source_file, offline=offline)
        pending = []
        if until is not None:
            names = list(inputs.patches)
            if until not in names:
                raise ui.UserError(f'patches/series lists no {until}. It lists: {", ".join(names) or "nothing"}')
            pending = names[names.index(until):]
        self.move(history.compute(self.repository, inputs.without(pending)).head, inputs, pending)

    def sync(self, *, source_file=None, offline=False):
        """Make build/src current before a build.

        If the project's files have changed it is prepared anew; if build/src itself has, it is built as it stands.

        Raises:
            UserError: both have changed.
        """
        inputs = self._project.read_inputs()
        if self.exists:
            changed = self.inputs_changed(inputs)
            if not changed:
                return
            work = self.unexported()
            if work:
                raise ui.UserError(
                    'both this project and build/src have changed since build/src was made, so it is not clear what to '
                    'build.\n'
                    f'  Here: {", ".join(changed[:8])}{" ..." if len(changed) > 8 else ""}\n'
                    f'  In build/src: {"; ".join(work[:4])}{" ..." if len(work) > 4 else ""}\n'
                    '  To bring the two together: commit the work in build/src, then ./build.sh refresh.')
        self.prepare(inputs, source_file=source_file, offline=offline)

    def move(self, new, inputs, pending=()):
        """Check out commit new, which was made from inputs; only files that differ are written."""
        state = self._state()
        # Noted before the move: if we are killed in the middle, new is still known to be no work of the user.
        state['exported'] = [commit for commit in state['exported'] if commit != new][-20:] + [new]
        self._write_state(state)
        # In an unborn branch there is no work yet, only files of an interrupted first checkout.
        force = ['--force'] if self.head is None else []
        try:
            self.git.bytes('checkout', '--quiet', *force, '-B', BRANCH, new)
        except GitError as error:
            raise ui.UserError(f'build/src could not be moved to the new series:\n  {error}\n'
                               '  Nothing was lost; move the files named above out of the way and run it again.'
                               ) from None
        state.update(inputs=self._digests(inputs), pending=list(pending))
        self._write_state(state)


def _feed_tarball(stream, tarball):
    """Write the tarball's files, without the folder around them, into the commit that stream is in."""
    try:
        archive = tarfile.open(tarball)
    except tarfile.CompressionError as error:
        raise ui.UserError(f'this python3 cannot unpack the tarball: {error}.\n'
                           '  Use a python3 with lzma: the one of Debian and Ubuntu has it.') from None
    with archive:
        for member in archive:
            path = member.name.partition('/')[2]
            if member.isfile():
                mode = '100755' if member.mode & 0o100 else '100644'
                stream.file(path, mode, archive.extractfile(member).read())
            elif member.issym():
                stream.file(path, '120000', member.linkname.encode())


def _shorten(lines, most=20):
    """Return lines, but not too many of them."""
    return lines if len(lines) <= most else [*lines[:most], f'... and {len(lines) - most} more']
