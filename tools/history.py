"""From the project's files to a history: upstream, the overlay, one commit a patch.

The same files give the same commit ids everywhere.  All of it is computed in git's object database; no work tree is
touched.

An overlay file comes with the patch that names it in a trailer `Adds:`, alone or by a folder that it is in:

    Adds: Lib/asyncio/interrupts.py Lib/test/test_asyncio/test_run_signals.py

The trailer may be repeated.  A patch that adds files need not change any file of upstream.  A file that no patch names
is in a commit of the tools' own: the sources in one before the patches, the tests and the documentation in one after
them.  A file has one content, that of the project: it is the same in each commit from the one that adds it on.
"""

import dataclasses
import email.utils
import hashlib
import json

from tools import git as git_module
from tools import mail
from tools import project as project_module
from tools import ui
from tools.git import GitError

SUBJECT_EARLY = "asyncbis: the overlay's sources"
SUBJECT_LATE = "asyncbis: the overlay's tests and docs"


@dataclasses.dataclass(frozen=True)
class History:
    """A history that was computed."""
    head: str
    commits: tuple  # one a patch, in order


def parse_patches(git, inputs):
    """Return {file name: Patch}, in order."""
    patches = {}
    for name, data in inputs.patches.items():
        try:
            patches[name] = mail.parse(git, data)
        except (mail.FormatError, GitError) as error:
            raise ui.UserError(f'patches/{name} is no patch in mailbox format: {error}.\n'
                               '  Write it with `git commit` in build/src and ./build.sh refresh.') from None
    return patches


def place(overlay, patches):
    """Return {file name of a patch: the paths of the overlay files that it adds}.

    Args:
        overlay: the paths of all overlay files.
        patches: {file name: Patch}.

    Raises:
        UserError: a trailer names what is not there, or a file is named twice.
    """
    owners = {}
    for name, patch in patches.items():
        for named in patch.adds:
            folder = named.rstrip('/') + '/'
            paths = [path for path in overlay if path == named or path.startswith(folder)]
            if not paths:
                raise ui.UserError(f'patches/{name}: its trailer Adds: names {named}, but the overlay has no such file '
                                   'or folder;\n  put it there, or reword the commit: git -C build/src rebase -i '
                                   'upstream')
            for path in paths:
                if path in owners:
                    both = f'patches/{owners[path]} and patches/{name}' if owners[path] != name else f'patches/{name}'
                    raise ui.UserError(f'{path} is named more than once by the trailers Adds: of {both};\n  reword the '
                                       'commit that should not add it: git -C build/src rebase -i upstream')
                owners[path] = name
    return {name: sorted(path for path, owner in owners.items() if owner == name) for name in patches}


def compute(repository, inputs):
    """Compute the History that inputs describe.

    Raises:
        UserError: the ownership rule is broken, a patch does not apply, or a trailer `Adds:` is wrong.
    """
    owned = repository.upstream_paths()
    for path in inputs.overlay:
        if path in owned:
            raise ui.UserError(f'{path} is a file of upstream: it can be changed only by a patch.\n'
                               f'  Take it out here, make the change in build/src/{path}, commit it there, and '
                               'run ./build.sh refresh.')
    patches = parse_patches(repository.git, inputs)
    for name, patch in patches.items():
        new = [path for path in patch.paths if path not in owned]
        if new:
            raise ui.UserError(f'patches/{name} touches {new[0]}, which upstream does not have: such a file '
                               'belongs to the overlay, whole.\n'
                               f'  Put it at {new[0]} of this project and take it out of the patch.')
    added = place(inputs.overlay, patches)
    return _commit_all(repository, inputs, patches, added, _patched_trees(repository, inputs, patches))


def _patched_trees(repository, inputs, patches):
    """Return the ids of the upstream tree with the first, the first two, ... patches applied.

    The overlay is not in these trees, so they are the same after a change of it: they are kept.
    """
    cache_file = repository.private / 'trees.json'
    try:
        cache = json.loads(cache_file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        cache = {}
    key = repository.upstream
    tree = repository.tree_of(key)
    trees, used = [], {}
    with repository.scratch() as scratch:
        loaded = None
        for name, patch in patches.items():
            key = hashlib.sha256(f'{key}\0'.encode() + inputs.patches[name]).hexdigest()
            # (`git gc` may have pruned a tree that is in the cache.)
            if key not in cache or not repository.has(cache[key]):
                if loaded != tree:
                    scratch.bytes('read-tree', tree)
                try:
                    if patch.diff:
                        scratch.bytes('apply', '--cached', '--whitespace=nowarn', '-', stdin=patch.diff)
                except GitError as error:
                    raise ui.UserError(
                        f'patches/{name} does not apply:\n  {error}\n'
                        f'  To carry it over by hand: ./build.sh prepare --until {name[:-6]}, then in build/src '
                        f'`git am -3 --empty=keep` it and those after it, and ./build.sh refresh.') from None
                cache[key] = loaded = scratch.text('write-tree')
            tree = used[key] = cache[key]
            trees.append(tree)
    project_module.write_atomically(cache_file, json.dumps(used).encode())
    return trees


def _commit_all(repository, inputs, patches, added, trees):
    stream = git_module.Import(repository.git)
    ref = 'refs/asyncbis/computed'
    blobs = {path: (file.mode, stream.blob(file.data)) for path, file in inputs.overlay.items()}
    unnamed = blobs.keys() - {path for paths in added.values() for path in paths}
    early = {path for path in unnamed if not path.startswith(project_module.LATE_OVERLAY)}
    base = repository.tree_of(repository.upstream)
    present = {}  # the overlay's files so far
    own = []  # whether a commit is a patch's, for each

    def commit(author, date, message, tree, paths, *, is_patch):
        present.update((path, blobs[path]) for path in paths)
        stream.commit(ref, author, date, message, parent=None if own else repository.upstream)
        stream.content(tree, present)
        own.append(is_patch)

    if early:
        commit(git_module.IDENTITY, git_module.DATE, SUBJECT_EARLY + '\n', base, early, is_patch=False)
    for (name, patch), tree in zip(patches.items(), trees):
        commit(patch.author, _date(patch), patch.message, tree, added[name], is_patch=True)
    if unnamed - early:
        commit(git_module.IDENTITY, git_module.DATE, SUBJECT_LATE + '\n', trees[-1] if trees else base, unnamed - early,
               is_patch=False)
    commits = stream.finish()
    return History(commits[-1] if commits else repository.upstream,
                   tuple(commit for commit, is_patch in zip(commits, own) if is_patch))


def _date(patch):
    """Return the date of a patch as git stores it."""
    try:
        moment = email.utils.parsedate_to_datetime(patch.date)
    except (TypeError, ValueError):
        raise ui.UserError(f'patches/{patch.name}: its Date cannot be read: {patch.date}\n'
                           '  Write it as `date --rfc-email` does.') from None
    return f'{int(moment.timestamp())} {moment.strftime("%z") or "+0000"}'
