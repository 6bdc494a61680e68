"""From build/src to the project's files: refresh.

A commit's place in the history decides nothing on the way back.  What is read is:

- the overlay: the files of HEAD that upstream does not have, wherever they were committed;
- the patches: what each commit since upstream changes in files that upstream has.  A commit that touches both kinds is
  thereby split.  One that touches only the overlay makes no patch, unless it has a trailer `Adds:` (see history.py).
"""

import difflib

from tools import autosquash as autosquash_module
from tools import changed_tests
from tools import git as git_module
from tools import history
from tools import mail
from tools import project as project_module
from tools import ui
from tools.project import File, Inputs


def export(repository, head):
    """Return the patches and the overlay of a history, as (list of Patch, {path: File}).

    Raises:
        UserError: the history is not a series of plain commits on top of upstream.
    """
    owned = repository.list_tree(repository.upstream)
    patches = [patch for commit in repository.commits(head) if (patch := _patch_of(repository, commit, owned))]
    names = [patch.name for patch in patches]
    for name in names:
        if names.count(name) > 1:
            raise ui.UserError(f'two commits would both become patches/{name}: a patch is named after its '
                               'subject.\n  Reword one of them: git -C build/src rebase -i upstream')
    return patches, _overlay_of(repository, head, owned)


def _patch_of(repository, commit, owned):
    """Return the Patch that commit makes, or None if it makes none."""
    author, date, subject, body = repository.git.bytes(
        'log', '-1', '--encoding=UTF-8', '--format=%an <%ae>%x00%aD%x00%s%x00%b', commit).decode().split('\0')
    body = '\n'.join(line.rstrip() for line in body.strip().splitlines())
    paths = [path for path in repository.changed_paths(commit) if path in owned]
    diff = b''
    if paths:  # Without one, git would give all that the commit changes.
        diff = repository.git.bytes('diff-tree', '-p', *git_module.DIFF, f'{commit}^', commit, '--', *paths)
    patch = mail.Patch(author, date, subject + '\n' + (f'\n{body}\n' if body else ''), diff)
    if not paths and not patch.adds:
        return None
    try:
        again = mail.parse(repository.git, patch.format())
        if again != patch:
            raise mail.FormatError('its message would not be read back as it is; is there a line like a mail '
                                   'header at its beginning?')
    except mail.FormatError as error:
        raise ui.UserError(f'commit {commit[:12]} ({subject}) cannot become a patch: {error}\n'
                           '  Reword it: git -C build/src rebase -i upstream') from None
    return patch


def _overlay_of(repository, head, owned):
    overlay = {}
    entries = {path: entry for path, entry in repository.list_tree(head).items() if path not in owned}
    for path, (mode, blob) in entries.items():
        if path.split('/')[0] not in project_module.OVERLAY:
            raise ui.UserError(f'{path} in build/src is new, but it is in none of the folders that the overlay '
                               f'has: {", ".join(project_module.OVERLAY)}.\n  Move it into one of them.')
        if mode not in ('100644', '100755'):
            raise ui.UserError(f'{path} in build/src is no plain file, which the overlay cannot hold.\n'
                               '  Put a file in its place.')
        overlay[path] = (mode, blob)
    contents = repository.blobs([blob for _, blob in overlay.values()])
    return {path: File(contents[blob], mode == '100755') for path, (mode, blob) in overlay.items()}


def refresh(project, tree, *, autosquash=False):
    """Export build/src into the project's files; return the names of the files that changed.

    Args:
        project: the Project.
        tree: its Tree.
        autosquash: whether `fixup!`, `squash!` and `amend!` commits are folded in first.

    Raises:
        UserError: something would be lost, or cannot be told apart; nothing was written.
    """
    repository = tree.repository
    _refuse_if_busy(repository)
    tree.refuse_if_uncommitted()
    head = repository.head
    if autosquash:
        head = autosquash_module.fold(repository, head)
    for line in repository.git.text('log', '--format=%h %s', f'upstream..{head}').splitlines():
        if autosquash_module.is_fixup(line.split(' ', 1)[1]):
            raise ui.UserError(f'commit {line} in build/src waits to be folded in.\n'
                               '  Do it with ./build.sh refresh --autosquash, or: git -C build/src rebase -i '
                               'upstream')
    patches, overlay = export(repository, head)
    inputs = project.read_inputs()
    new, pending = _merge(tree, inputs, patches, overlay)
    # The proof that nothing is lost comes before the first file is written.
    applied = new.without(pending)
    computed = history.compute(repository, applied)
    if not tree.inputs_changed(inputs) and repository.tree_of(computed.head) != repository.tree_of(head):
        raise ui.UserError('the exported patches do not give the tree that is in build/src; nothing was written.\n'
                           f'  Compare: git -C build/src diff {head[:12]} {computed.head[:12]}')
    written = _write(project, inputs, new)
    written += _write_document(project, repository, applied, computed)
    tree.move(computed.head, new, pending)
    return written


def _refuse_if_busy(repository):
    for name, what in (('rebase-merge', 'rebase'), ('rebase-apply', 'rebase or am'), ('MERGE_HEAD', 'merge'),
                       ('CHERRY_PICK_HEAD', 'cherry-pick'), ('REVERT_HEAD', 'revert')):
        if (repository.folder / '.git' / name).exists():
            raise ui.UserError(f'a git {what} is under way in build/src.\n'
                               f'  Finish it there (git status tells how), then run ./build.sh refresh again.')


def _merge(tree, inputs, patches, overlay):
    """Return the Inputs that hold both build/src's changes and the project's, and which patches are pending.

    Usually only build/src has changed.  But the overlay may be edited in both places, as long as no file is.
    """
    then = tree.inputs_then()
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
    pending = [name for name in tree.pending() if name in inputs.patches and name not in exported]
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


def _write(project, old, new):
    """Write what differs between two Inputs; return the names of the files."""
    before, after = old.files(), new.files()
    written = []
    for path, file in after.items():
        if before.get(path) != file:
            project_module.write_atomically(project.root / path, file.data, file.executable)
            written.append(path)
    for path in before.keys() - after.keys():
        (project.root / path).unlink()
        written.append(f'{path} (removed)')
    return sorted(written)


def _write_document(project, repository, inputs, computed):
    """Bring docs/changed-tests.md up to date; return its name in a list if it has changed."""
    path = project.root / changed_tests.PATH
    patches = list(history.parse_patches(repository.git, inputs).values())
    data = changed_tests.document(repository.git, patches, computed.commits).encode()
    if path.exists() and path.read_bytes() == data:
        return []
    project_module.write_atomically(path, data)
    return [changed_tests.PATH]


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
