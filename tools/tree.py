"""build/src, the git tree that the patches are worked on in: made by prepare, exported by refresh.

Its history is upstream (tag `upstream`), the overlay's sources, one commit a patch, the overlay's tests and docs.  The
same input gives the same commit ids everywhere.  All of it is computed in git's object database; the work tree is
then moved from the old commit to the new one, so that only files that differ get a new time stamp and make rebuilds
no more than it must.

A commit's place in that history decides nothing on the way back.  What refresh reads is:

- the overlay: the files of HEAD that upstream does not have, wherever they were committed;
- the patches: what each commit since upstream changes in files that upstream has.  A commit that touches both kinds is
  thereby split, one that touches only the overlay makes no patch.
"""

import contextlib
import dataclasses
import difflib
import email.utils
import hashlib
import json
import re
import shutil
import tarfile

from tools import changed_tests
from tools import git as git_module
from tools import mail
from tools import project as project_module
from tools import source
from tools import ui
from tools.git import Git, GitError
from tools.project import File, Inputs

BRANCH = 'asyncbis'
_SUBJECT_SOURCES = "asyncbis: the overlay's sources"
_SUBJECT_LATE = "asyncbis: the overlay's tests and docs"
_AUTOSQUASH = re.compile(r'(fixup|squash|amend)! ')


@dataclasses.dataclass(frozen=True)
class History:
    """A history that was computed."""
    head: str
    commits: tuple  # one a patch, in order


class Tree:
    """build/src of one project."""

    def __init__(self, project):
        self._project = project
        self.git = Git(project.src)
        self._private = project.src / '.git' / 'asyncbis'

    # State: which commits hold nothing that is not in the project's files too, and what the last one was made from.

    def _state(self):
        try:
            return json.loads((self._private / 'state.json').read_text(encoding='utf-8'))
        except FileNotFoundError:
            return {'exported': [], 'inputs': None}

    def _write_state(self, state):
        project_module.write_atomically(self._private / 'state.json', json.dumps(state, indent=1).encode())

    @property
    def exists(self):
        """Whether prepare has been here."""
        return self._state()['inputs'] is not None

    @property
    def head(self):
        """The commit that is checked out, or None."""
        return self.git.resolve('HEAD')

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
            log = self.git.text('log', '--format=%h %s', head, '--not', self._upstream_id(), *known)
            lines += [f'commit {line}' for line in log.splitlines()]
            if not log:
                lines.append(f'HEAD is at {head[:12]}, which prepare did not make')
        return lines

    def inputs_changed(self, inputs):
        """Return the names of the project's files that changed since the tree was made from them."""
        then = self._state()['inputs'] or {}
        now = inputs.digests()
        now['upstream.conf'] = self._project.upstream.sha256
        return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))

    def fingerprint(self, *, without=None):
        """Return the id of the tree that the work tree, uncommitted changes included, amounts to.

        without: a folder that is left out of it.
        """
        if not self.uncommitted() and without is None:
            return self.git.text('rev-parse', 'HEAD^{tree}')
        with self._scratch_index() as index:
            # A copy of the index: git then reads only files whose time stamps changed.
            shutil.copyfile(self.git.text('rev-parse', '--absolute-git-dir') + '/index', index)
            scratch = Git(self._project.src, index)
            scratch.bytes('add', '--all', '.')
            if without is not None:
                scratch.bytes('rm', '-r', '-f', '--cached', '--quiet', '--ignore-unmatch', without)
            return scratch.text('write-tree')

    def _upstream_id(self):
        return self.git.resolve('refs/tags/upstream')

    @contextlib.contextmanager
    def _scratch_index(self):
        self._private.mkdir(exist_ok=True)
        path = self._private / 'index'
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    # Upstream.

    def ensure_upstream(self, *, source_file=None, offline=False):
        """Make the repository and its commit `upstream` from the tarball; return the commit's id."""
        pin = self._project.upstream
        message = f'CPython {pin.version}\n\nSHA-256 of the tarball: {pin.sha256}\n'
        present = (self._project.src / '.git' / 'HEAD').exists() and self._upstream_id()
        if present and self.git.text('log', '-1', '--format=%B', present) == message.strip():
            return present
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
            stream = _Import(self.git)
            stream.commit('refs/asyncbis/upstream', git_module.IDENTITY, git_module.DATE, message)
            _feed_tarball(stream, tarball)
            commit, = stream.finish()
        self.git.bytes('tag', '--force', 'upstream', commit)
        return commit

    def upstream_paths(self):
        """Return the set of all files in the tarball."""
        return set(self._list_tree('refs/tags/upstream'))

    def _list_tree(self, commit):
        """Return {path: (mode, blob)} of a commit."""
        result = {}
        for line in self.git.bytes('ls-tree', '-r', '-z', commit).decode().split('\0')[:-1]:
            entry, path = line.split('\t', 1)
            mode, _, blob = entry.split()
            result[path] = (mode, blob)
        return result

    # From the project's files to a history.

    def parse_patches(self, inputs):
        """Return {file name: Patch}, in order."""
        patches = {}
        for name, data in inputs.patches.items():
            try:
                patches[name] = mail.parse(self.git, data)
            except (mail.FormatError, GitError) as error:
                raise ui.UserError(f'patches/{name} is no patch in mailbox format: {error}.\n'
                                   '  Write it with `git commit` in build/src and ./build.sh refresh.') from None
        return patches

    def compute(self, inputs):
        """Compute the History that inputs describe, without touching the work tree.

        Raises:
            UserError: the ownership rule is broken, or a patch does not apply.
        """
        upstream = self._upstream_id()
        owned = self.upstream_paths()
        for path in inputs.overlay:
            if path in owned:
                raise ui.UserError(f'{path} is a file of upstream: it can be changed only by a patch.\n'
                                   f'  Take it out here, make the change in build/src/{path}, commit it there, and '
                                   'run ./build.sh refresh.')
        patches = self.parse_patches(inputs)
        for name, patch in patches.items():
            foreign = [path for path in patch.paths if path not in owned]
            if foreign:
                raise ui.UserError(f'patches/{name} touches {foreign[0]}, which upstream does not have: such a file '
                                   'belongs to the overlay, whole.\n'
                                   f'  Put it at {foreign[0]} of this project and take it out of the patch.')
        trees = self._patched_trees(upstream, inputs, patches)
        return self._commit_all(upstream, inputs, patches, trees)

    def _patched_trees(self, upstream, inputs, patches):
        """Return the ids of the upstream tree with the first, the first two, ... patches applied.

        The overlay is not in these trees, so they are the same after a change of it: they are kept.
        """
        cache_file = self._private / 'trees.json'
        try:
            cache = json.loads(cache_file.read_text(encoding='utf-8'))
        except FileNotFoundError:
            cache = {}
        key = upstream
        tree = self.git.text('rev-parse', f'{upstream}^{{tree}}')
        trees, used = [], {}
        with self._scratch_index() as index:
            scratch = Git(self._project.src, index)
            loaded = None
            for name, patch in patches.items():
                key = hashlib.sha256(f'{key}\0'.encode() + inputs.patches[name]).hexdigest()
                # (A cached tree may have been pruned by somebody's `git gc`.)
                if key not in cache or not self._has(cache[key]):
                    if loaded != tree:
                        scratch.bytes('read-tree', tree)
                    try:
                        scratch.bytes('apply', '--cached', '--whitespace=nowarn', '-', stdin=patch.diff)
                    except GitError as error:
                        raise ui.UserError(
                            f'patches/{name} does not apply:\n  {error}\n'
                            f'  To carry it over by hand: ./build.sh prepare --until {name[:-6]}, then in build/src '
                            f'`git am -3` it and those after it, and ./build.sh refresh.') from None
                    cache[key] = loaded = scratch.text('write-tree')
                tree = used[key] = cache[key]
                trees.append(tree)
        project_module.write_atomically(cache_file, json.dumps(used).encode())
        return trees

    def _has(self, name):
        try:
            self.git.bytes('cat-file', '-e', name)
        except GitError:
            return False
        return True

    def _commit_all(self, upstream, inputs, patches, trees):
        stream = _Import(self.git)
        overlay = {path: (file.mode, stream.blob(file.data)) for path, file in inputs.overlay.items()}
        early = {path: entry for path, entry in overlay.items()
                 if not path.startswith(project_module.LATE_OVERLAY)}
        ref = 'refs/asyncbis/computed'
        base = self.git.text('rev-parse', f'{upstream}^{{tree}}')
        stream.commit(ref, git_module.IDENTITY, git_module.DATE, _SUBJECT_SOURCES + '\n', parent=upstream)
        stream.content(base, early)
        for patch, tree in zip(patches.values(), trees):
            try:
                moment = email.utils.parsedate_to_datetime(patch.date)
            except (TypeError, ValueError):
                raise ui.UserError(f'patches/{patch.name}: its Date cannot be read: {patch.date}\n'
                                   '  Write it as `date --rfc-email` does.') from None
            date = f'{int(moment.timestamp())} {moment.strftime("%z") or "+0000"}'
            stream.commit(ref, patch.author, date, patch.message)
            stream.content(tree, early)
        stream.commit(ref, git_module.IDENTITY, git_module.DATE, _SUBJECT_LATE + '\n')
        stream.content(trees[-1] if trees else base, overlay)
        commits = stream.finish()
        return History(commits[-1], tuple(commits[1:-1]))

    def prepare(self, inputs, *, until=None, source_file=None, offline=False):
        """Move build/src to what inputs describe.

        Args:
            inputs: the project's files.
            until: the name of a patch: it and those after it are left out, to be applied by hand.
            source_file: see ensure_upstream, as is offline.

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
        self._move(self.compute(_without(inputs, pending)).head, inputs, pending)

    def refuse_if_unexported(self):
        """Raise UserError if build/src holds work that no file of the project has."""
        work = self.unexported() if self._upstream_id_if_any() else []
        if work:
            state = self._state()
            back = state['exported'][-1] if state['exported'] else 'upstream'
            raise ui.UserError(
                'build/src holds work that no patch and no overlay file has yet:\n'
                + ''.join(f'    {line}\n' for line in _shorten(work)) +
                '  To save it: commit it in build/src, then ./build.sh refresh.\n'
                f'  To keep it aside: git -C build/src stash -u, or: git -C build/src branch my-work\n'
                f'  To give it up: git -C build/src reset --hard {back[:12]} && git -C build/src clean -fd')

    def _upstream_id_if_any(self):
        return (self._project.src / '.git' / 'HEAD').exists() and self._upstream_id()

    def _move(self, new, inputs, pending=()):
        """Check out commit new; only files that differ are written."""
        state = self._state()
        # Noted before the move: if we are killed in the middle, new is still known to be no one's work.
        state['exported'] = [commit for commit in state['exported'] if commit != new][-20:] + [new]
        self._write_state(state)
        # In an unborn branch there is no work yet, only what an interrupted first checkout has left.
        force = ['--force'] if self.head is None else []
        try:
            self.git.bytes('checkout', '--quiet', *force, '-B', BRANCH, new)
        except GitError as error:
            raise ui.UserError(f'build/src could not be moved to the new series:\n  {error}\n'
                               '  Nothing was lost; move the files named above out of the way and run it again.'
                               ) from None
        digests = inputs.digests()
        digests['upstream.conf'] = self._project.upstream.sha256
        state.update(inputs=digests, pending=list(pending))
        self._write_state(state)

    # From a history to the project's files.

    def export(self, head):
        """Return the patches and the overlay of a history, as (list of Patch, {path: File}).

        Raises:
            UserError: the history is not a series of plain commits on top of upstream.
        """
        upstream = self._upstream_id()
        owned = self._list_tree(upstream)
        patches = []
        for commit in self._commits(upstream, head):
            patch = self._patch_of(commit, owned)
            if patch:
                patches.append(patch)
        names = [patch.name for patch in patches]
        for name in names:
            if names.count(name) > 1:
                raise ui.UserError(f'two commits would both become patches/{name}: a patch is named after its '
                                   'subject.\n  Reword one of them: git -C build/src rebase -i upstream')
        return patches, self._overlay_of(head, owned)

    def _commits(self, upstream, head):
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

    def _patch_of(self, commit, owned):
        """Return the Patch that commit makes, or None if it touches the overlay only."""
        changed = self.git.bytes('diff-tree', '-r', '-z', '--name-only', '--no-renames', '--no-commit-id',
                                 commit).decode().split('\0')[:-1]
        paths = [path for path in changed if path in owned]
        if not paths:
            return None
        diff = self.git.bytes('diff-tree', '-p', *git_module.DIFF, f'{commit}^', commit, '--', *paths)
        author, date, subject, body = self.git.bytes(
            'log', '-1', '--encoding=UTF-8', '--format=%an <%ae>%x00%aD%x00%s%x00%b', commit).decode().split('\0')
        body = '\n'.join(line.rstrip() for line in body.strip().splitlines())
        patch = mail.Patch(author, date, subject + '\n' + (f'\n{body}\n' if body else ''), diff)
        try:
            again = mail.parse(self.git, patch.format())
            if again != patch:
                raise mail.FormatError('its message would not be read back as it is; is there a line like a mail '
                                       'header at its beginning?')
        except mail.FormatError as error:
            raise ui.UserError(f'commit {commit[:12]} ({subject}) cannot become a patch: {error}\n'
                               '  Reword it: git -C build/src rebase -i upstream') from None
        return patch

    def _overlay_of(self, head, owned):
        overlay = {}
        entries = {path: entry for path, entry in self._list_tree(head).items() if path not in owned}
        for path, (mode, blob) in entries.items():
            if path.split('/')[0] not in project_module.OVERLAY:
                raise ui.UserError(f'{path} in build/src is new, but it is in none of the folders that the overlay '
                                   f'has: {", ".join(project_module.OVERLAY)}.\n  Move it into one of them.')
            if mode not in ('100644', '100755'):
                raise ui.UserError(f'{path} in build/src is no plain file, which the overlay cannot hold.\n'
                                   '  Put a file in its place.')
            overlay[path] = (mode, blob)
        contents = self._blobs([blob for _, blob in overlay.values()])
        return {path: File(contents[blob], mode == '100755') for path, (mode, blob) in overlay.items()}

    def _blobs(self, blobs):
        """Return {blob id: content}."""
        output = self.git.bytes('cat-file', '--batch', stdin=''.join(f'{blob}\n' for blob in blobs).encode())
        result, at = {}, 0
        for blob in blobs:
            end = output.index(b'\n', at)
            size = int(output[at:end].split()[2])
            result[blob] = output[end + 1:end + 1 + size]
            at = end + size + 2
        return result

    def refresh(self, inputs, *, autosquash=False):
        """Export build/src into the project's files.

        Args:
            inputs: the project's files as they are.
            autosquash: whether `fixup!`, `squash!` and `amend!` commits are folded in first.

        Returns:
            the Inputs that were written, and the names of the files that changed.

        Raises:
            UserError: something would be lost, or cannot be told apart; nothing was written.
        """
        self._refuse_if_busy()
        work = self.uncommitted()
        if work:
            raise ui.UserError('build/src has changes that are not committed:\n'
                               + ''.join(f'    {line}\n' for line in _shorten(work)) +
                               '  Commit them there (git commit, or git commit --fixup COMMIT), or remove them.')
        head = self.head
        if autosquash:
            head = self._autosquashed(head)
        for line in self.git.text('log', '--format=%h %s', f'upstream..{head}').splitlines():
            if _AUTOSQUASH.match(line.split(' ', 1)[1]):
                raise ui.UserError(f'commit {line} in build/src waits to be folded in.\n'
                                   '  Do it with ./build.sh refresh --autosquash, or: git -C build/src rebase -i '
                                   'upstream')
        patches, overlay = self.export(head)
        new, pending = self._merge(inputs, patches, overlay)
        # The proof that nothing is lost comes before the first file is written.
        applied = _without(new, pending)
        history = self.compute(applied)
        computed = history.head
        if not self.inputs_changed(inputs) and self._tree_of(computed) != self._tree_of(head):
            raise ui.UserError('the exported patches do not give the tree that is in build/src; nothing was written.\n'
                               f'  Compare: git -C build/src diff {head[:12]} {computed[:12]}')
        written = self._write(inputs, new)
        written += self._write_document(list(self.parse_patches(applied).values()), history)
        self._move(computed, new, pending)
        return new, written

    def _tree_of(self, commit):
        return self.git.text('rev-parse', f'{commit}^{{tree}}')

    def _refuse_if_busy(self):
        for name, what in (('rebase-merge', 'rebase'), ('rebase-apply', 'rebase or am'), ('MERGE_HEAD', 'merge'),
                           ('CHERRY_PICK_HEAD', 'cherry-pick'), ('REVERT_HEAD', 'revert')):
            if (self._project.src / '.git' / name).exists():
                raise ui.UserError(f'a git {what} is under way in build/src.\n'
                                   f'  Finish it there (git status tells how), then run ./build.sh refresh again.')

    def _merge(self, inputs, patches, overlay):
        """Return the Inputs that hold both build/src's changes and the project's, and which patches are pending.

        Usually only build/src has changed.  But the overlay may be edited in both places, as long as no file is.
        """
        then = self._state()['inputs'] or {}
        conflicts = []
        merged = {}
        for path in inputs.overlay.keys() | overlay.keys():
            here, there = inputs.overlay.get(path), overlay.get(path)
            before = then.get(path)
            if (here.digest if here else None) == before:
                chosen = there
            else:
                chosen = here
                if there != here and (there.digest if there else None) != before:
                    conflicts.append(path)
            if chosen:
                merged[path] = chosen
        exported = {patch.name: patch.format() for patch in patches}
        pending = [name for name in self._state().get('pending', [])
                   if name in inputs.patches and name not in exported]
        exported.update((name, inputs.patches[name]) for name in pending)
        patches_then = {name: digest for name, digest in then.items() if name.startswith('patches/')}
        patches_now = {name: digest for name, digest in inputs.digests().items() if name.startswith('patches/')}
        patches_there = {f'patches/{name}': File(data).digest for name, data in exported.items()}
        if patches_now == patches_then:
            new = Inputs(merged, exported, merge_series(inputs.series, list(exported)))
        elif patches_there == {name: digest for name, digest in patches_then.items() if name != 'patches/series'}:
            new = Inputs(merged, inputs.patches, inputs.series)
        else:
            conflicts.append('patches/')
            new = None
        if conflicts:
            raise ui.UserError(
                'changed both in this project and in build/src since they were last equal:\n'
                + ''.join(f'    {path}\n' for path in sorted(conflicts)) +
                '  Nothing was written. To keep the version of build/src, take the change here back (git stash, or git '
                'checkout) and run ./build.sh refresh again.')
        return new, pending

    def _write(self, old, new):
        """Write what differs between two Inputs; return the names of the files."""
        root = self._project.root
        before = {**old.overlay, **{f'patches/{name}': File(data) for name, data in old.patches.items()},
                  'patches/series': File(old.series.encode())}
        after = {**new.overlay, **{f'patches/{name}': File(data) for name, data in new.patches.items()},
                 'patches/series': File(new.series.encode())}
        written = []
        for path, file in after.items():
            if before.get(path) != file:
                project_module.write_atomically(root / path, file.data, file.executable)
                written.append(path)
        for path in before.keys() - after.keys():
            (root / path).unlink()
            written.append(f'{path} (removed)')
        return sorted(written)

    def _write_document(self, patches, history):
        """Bring docs/changed-tests.md up to date; return its name in a list if it has changed."""
        path = self._project.root / changed_tests.PATH
        data = changed_tests.document(self, patches, history.commits).encode()
        if path.exists() and path.read_bytes() == data:
            return []
        project_module.write_atomically(path, data)
        return [changed_tests.PATH]

    # Folding fixups in.

    def _autosquashed(self, head):
        """Return a commit like head whose history has the fixups folded in, as `git rebase --autosquash` does.

        Only what the commits change in upstream's files is moved about: the overlay's files have no history that
        would have to be kept, so they can make no conflict.  The work tree is not touched.
        """
        upstream = self._upstream_id()
        owned = self._list_tree(upstream)
        groups = []  # [subject, original commit, message, [commits]]
        for commit in self._commits(upstream, head):
            message = self.git.text('log', '-1', '--encoding=UTF-8', '--format=%B', commit)
            subject, _, rest = message.partition('\n')
            match = _AUTOSQUASH.match(subject)
            if not match:
                groups.append([subject, commit, message, [commit]])
                continue
            target = subject
            while _AUTOSQUASH.match(target):
                target = target.split(' ', 1)[1]
            group = next((group for group in groups if group[0] == target or
                          group[1].startswith(target.split(' ')[0]) and len(target) >= 7), None)
            if group is None:
                raise ui.UserError(f'commit {commit[:12]} ({subject}) is for a commit that is not there.\n'
                                   '  Reword it: git -C build/src rebase -i upstream')
            group[3].append(commit)
            if match[1] == 'amend' and rest.strip():
                group[2] = rest.strip()
            elif match[1] == 'squash' and rest.strip():
                group[2] += '\n\n' + rest.strip()
        with self._scratch_index() as index:
            scratch = Git(self._project.src, index)
            scratch.bytes('read-tree', upstream)
            parent = upstream
            for _, original, message, commits in groups:
                for commit in commits:
                    self._apply_owned(scratch, commit, owned)
                parent = self._commit_tree(scratch.text('write-tree'), parent, original, message)
            # What is left are the overlay's files, which go on top.
            self._read_overlay(scratch, head, owned)
            tree = scratch.text('write-tree')
            if tree != self._tree_of(head):
                raise ui.UserError('folding the fixups in changes the result; nothing was written.\n'
                                   '  Do it by hand: git -C build/src rebase -i upstream')
            return self._commit_tree(tree, parent, head, _SUBJECT_LATE)

    def _apply_owned(self, scratch, commit, owned):
        changed = self.git.bytes('diff-tree', '-r', '-z', '--name-only', '--no-renames', '--no-commit-id',
                                 commit).decode().split('\0')[:-1]
        paths = [path for path in changed if path in owned]
        if not paths:
            return
        diff = self.git.bytes('diff-tree', '-p', *git_module.DIFF, f'{commit}^', commit, '--', *paths)
        try:
            scratch.bytes('apply', '--cached', '--3way', '--whitespace=nowarn', '-', stdin=diff)
        except GitError as error:
            subject = self.git.text('log', '-1', '--format=%h %s', commit)
            raise ui.UserError(f'the fixups cannot be folded in by themselves: {subject} does not apply there:\n'
                               f'  {error}\n  Do it by hand: git -C build/src rebase -i upstream') from None

    def _read_overlay(self, scratch, head, owned):
        entries = {path: entry for path, entry in self._list_tree(head).items() if path not in owned}
        lines = ''.join(f'{mode} {blob}\t{path}\0' for path, (mode, blob) in entries.items())
        scratch.bytes('update-index', '-z', '--add', '--index-info', stdin=lines.encode())

    def _commit_tree(self, tree, parent, original, message):
        author, date = self.git.bytes('log', '-1', '--format=%an <%ae>%x00%ad', '--date=raw',
                                      original).decode().strip().split('\0')
        stream = _Import(self.git)
        stream.commit('refs/asyncbis/squashed', author, date, message + '\n', parent=parent)
        stream.content(tree, {})
        commit, = stream.finish()
        return commit


class _Import:
    """A `git fast-import` that runs."""

    def __init__(self, git):
        self._process = git.popen('fast-import', '--quiet', '--force', '--done', stdin=-1, stdout=-1, stderr=-1)
        self._marks = 0
        self._commits = []
        self._refs = set()

    def _write(self, data):
        self._process.stdin.write(data)

    def _data(self, data):
        self._write(b'data %d\n' % len(data))
        self._write(data)
        self._write(b'\n')

    def blob(self, data):
        """Store data; return its mark."""
        self._marks += 1
        self._write(f'blob\nmark :{self._marks}\n'.encode())
        self._data(data)
        return f':{self._marks}'

    def commit(self, ref, identity, date, message, parent=None):
        """Begin a commit on ref, after the one before on that ref, or after parent."""
        self._refs.add(ref)
        self._marks += 1
        self._write(f'commit {ref}\nmark :{self._marks}\nauthor {identity} {date}\n'
                    f'committer {identity} {date}\n'.encode())
        self._data(message.encode())
        if parent:
            self._write(f'from {parent}\n'.encode())
        self._commits.append(self._marks)

    def content(self, tree, files):
        """Give the commit the content of tree, plus files: {path: (mode, mark)}."""
        self._write(f'M 040000 {tree} ""\n'.encode())
        for path, (mode, mark) in sorted(files.items()):
            self._write(f'M {mode} {mark} {_quote(path)}\n'.encode())

    def file(self, path, mode, data):
        """Give the commit one file."""
        self._write(f'M {mode} inline {_quote(path)}\n'.encode())
        self._data(data)

    def finish(self):
        """End the import; return the ids of the commits, in order."""
        for mark in self._commits:
            self._write(f'get-mark :{mark}\n'.encode())
        # The refs were names for the import's sake; `git describe` should not find them.
        self._write(''.join(f'reset {ref}\nfrom {"0" * 40}\n\n' for ref in sorted(self._refs)).encode())
        output, errors = self._process.communicate(b'done\n')
        if self._process.returncode:
            raise GitError(errors.decode('utf-8', 'replace').strip())
        return output.decode().split()


def _quote(path):
    """Return path as fast-import wants it."""
    return '"' + path.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n') + '"'


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


def _without(inputs, names):
    """Return inputs without the patches that are called names."""
    return Inputs(inputs.overlay, {name: data for name, data in inputs.patches.items() if name not in names},
                  inputs.series)


def _shorten(lines, most=20):
    """Return lines, but not too many of them."""
    return lines if len(lines) <= most else [*lines[:most], f'... and {len(lines) - most} more']


def merge_series(text, names):
    """Return the text of a series file that lists names and keeps the comments of text.

    The lines above the first empty one head the file.  Any other comment belongs to the patch below it; if that one is
    gone, the comment stays where it was in the order.
    """
    lines = text.splitlines()
    head = []
    while lines and lines[0].startswith('#'):
        head.append(lines.pop(0))
    if lines and lines[0].strip():
        # No empty line below them: these comments belong to the first patch.
        head, lines = [], head + lines
    old = project_module.series_names(text)
    blocks = [[]]  # the lines above the first, the second, ... patch, and those at the end
    for line in lines:
        if line.strip() and not line.lstrip().startswith('#'):
            blocks.append([])
        else:
            blocks[-1].append(line)
    above = [[] for _ in range(len(names) + 1)]
    for kind, old_start, old_end, new_start, new_end in difflib.SequenceMatcher(
            None, old, names, autojunk=False).get_opcodes():
        for index in range(old_start, old_end):
            place = new_start if kind == 'delete' else min(new_start + index - old_start, new_end)
            above[place] += blocks[index]
    above[-1] += blocks[-1]
    body = []
    for index, name in enumerate(names):
        body += [*above[index], name]
    body = '\n'.join([*body, *above[-1]]).strip('\n')
    return ''.join(f'{line}\n' for line in [*head, *([''] if head and body else []), *body.splitlines()])
