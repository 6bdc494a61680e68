"""The project: where things are, what is pinned, and what prepare reads."""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import re

from tools import git
from tools import ui

# The folders that hold the overlay, named as in CPython.
OVERLAY = ('Lib', 'Modules', 'Doc', 'Misc')
# The overlay's files that go in last: they exercise or describe what the patches switch on.
LATE_OVERLAY = ('Lib/test/', 'Doc/', 'Misc/')
# What editors and interpreters leave behind is no part of the overlay.
_LITTER = re.compile(r'(~|\.(pyc|orig|rej|swp|swo|tmp)|^\.#.*|^#.*#)$')


@dataclasses.dataclass(frozen=True)
class Upstream:
    """The contents of upstream.conf."""
    version: str
    sha256: str
    url: str
    debian_pool: str

    def expand(self, template):
        """Return template with the version filled in."""
        return template.format(version=self.version, release=re.match(r'[\d.]+', self.version)[0].rstrip('.'),
                               series='.'.join(self.version.split('.')[:2]))

    @property
    def tarball(self):
        """The name of the tarball, as upstream calls it."""
        return f'Python-{self.version}.tar.xz'


@dataclasses.dataclass(frozen=True)
class File:
    """One file's content, and whether it is executable."""
    data: bytes
    executable: bool = False

    @property
    def mode(self):
        """The mode as git writes it."""
        return '100755' if self.executable else '100644'

    @property
    def digest(self):
        """A string that is equal for equal files."""
        return f'{self.mode}:{hashlib.sha256(self.data).hexdigest()}'


@dataclasses.dataclass
class Inputs:
    """What the tree in build/src is made from, besides upstream: the overlay, the patches, their order."""
    overlay: dict  # path -> File
    patches: dict  # file name -> bytes, in the order of the series
    series: str  # the text of patches/series

    def files(self):
        """Return {path: File} of every file."""
        return {**self.overlay, **{f'patches/{name}': File(data) for name, data in self.patches.items()},
                'patches/series': File(self.series.encode())}

    def digests(self):
        """Return {path: digest} of every file, to compare with another time's."""
        return {path: file.digest for path, file in self.files().items()}

    def without(self, names):
        """Return the same without the patches that are called names."""
        return Inputs(self.overlay, {name: data for name, data in self.patches.items() if name not in names},
                      self.series)


def series_names(text):
    """Return the names that the text of a series file lists, in order."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]


class Project:
    """Paths and settings of one checkout."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.build = self.root / 'build'
        self.src = self.build / 'src'
        self.logs = self.build / 'log'
        self.patches = self.root / 'patches'

    @property
    def upstream(self):
        """The pin, read from upstream.conf."""
        path = self.root / 'upstream.conf'
        values = {}
        try:
            text = path.read_text(encoding='utf-8')
        except OSError as error:
            raise ui.UserError(f'{path}: {error.strerror}. Restore it: git checkout upstream.conf') from None
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith('#'):
                key, sign, value = line.partition('=')
                if not sign:
                    raise ui.UserError(f'{path}:{number}: expected `name = value`, got: {line}')
                values[key.strip().replace('-', '_')] = value.strip()
        names = {field.name for field in dataclasses.fields(Upstream)}
        if values.keys() != names:
            wrong = ', '.join(sorted(name.replace('_', '-') for name in values.keys() ^ names))
            raise ui.UserError(f'{path}: each of {len(names)} settings must be there, and no other; look at: {wrong}')
        return Upstream(**values)

    def files(self):
        """Return the Paths of the project's files: those that git has or would add, or all where there is no git."""
        if (self.root / '.git').exists():
            output = git.Git(self.root).bytes('ls-files', '-z', '--cached', '--others', '--exclude-standard')
            paths = [self.root / name for name in output.decode().split('\0')[:-1]]
        else:
            paths = [path for path in self.root.rglob('*')
                     if self.build not in path.parents and '__pycache__' not in path.parts]
        return [path for path in sorted(set(paths)) if path.is_file()]

    def read_inputs(self):
        """Return the Inputs as they are on disk."""
        overlay = {}
        for top in OVERLAY:
            for folder, folders, files in os.walk(self.root / top):
                folders[:] = sorted(name for name in folders if name != '__pycache__')
                for name in sorted(files):
                    if _LITTER.search(name):
                        continue
                    path = pathlib.Path(folder, name)
                    relative = path.relative_to(self.root).as_posix()
                    if path.is_symlink():
                        raise ui.UserError(f'{relative}: an overlay file cannot be a symbolic link. Put a file there.')
                    overlay[relative] = File(path.read_bytes(), os.access(path, os.X_OK))
        try:
            series = (self.patches / 'series').read_text(encoding='utf-8')
        except FileNotFoundError:
            raise ui.UserError('patches/series is missing. Restore it: git checkout patches/series') from None
        patches = {}
        for name in series_names(series):
            try:
                patches[name] = (self.patches / name).read_bytes()
            except FileNotFoundError:
                raise ui.UserError(f'patches/series lists {name}, but there is no patches/{name}. '
                                   'Restore the file or take out the line.') from None
        return Inputs(overlay, patches, series)

    @contextlib.contextmanager
    def lock(self):
        """Keep a second build.sh from working on build/ at the same time."""
        self.build.mkdir(exist_ok=True)
        with open(self.build / 'lock', 'a', encoding='utf-8') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                ui.say('waiting for another build.sh that is at work in build/ ...')
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_atomically(path, data, executable=False):
    """Write data to path so that a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_bytes(data)
        if executable:
            temporary.chmod(temporary.stat().st_mode | 0o111)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
