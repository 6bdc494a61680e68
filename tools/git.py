"""Git, kept free of the user's settings: no hooks, no signing, no line-ending magic, a fixed identity."""

import os
import subprocess

# An identity and a date for the commits that the tools make themselves, so that equal content gives equal ids.
IDENTITY = 'asyncbis <asyncbis@localhost>'
DATE = '1767225600 +0000'

_SETTINGS = {
    'commit.gpgSign': 'false',
    'core.attributesFile': os.devnull,
    'core.autocrlf': 'false',
    'core.fsmonitor': 'false',
    'core.hooksPath': os.devnull,
    'core.quotePath': 'false',
    'core.safecrlf': 'false',
    'gc.auto': '0',
}
# Every setting that shapes a diff is given, so that a patch is the same on every machine.
DIFF = ('--full-index', '--binary', '--no-renames', '--diff-algorithm=histogram', '--indent-heuristic', '--unified=3',
        '--inter-hunk-context=0', '--src-prefix=a/', '--dst-prefix=b/', '--no-color', '--no-ext-diff', '--no-textconv',
        '--no-relative', f'-O{os.devnull}')


class GitError(Exception):
    """A git command failed; the text is what it wrote to stderr."""


class Git:
    """One repository."""

    def __init__(self, directory, index=None):
        """Args: directory: the work tree; index: the index file to use instead of the repository's own."""
        self.directory = directory
        self._command = ['git']
        for name, value in _SETTINGS.items():
            self._command += ['-c', f'{name}={value}']
        # A caller's GIT_DIR (build.sh may be called from a hook) must not redirect us.
        self._env = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
        self._env.update(GIT_CONFIG_NOSYSTEM='1', GIT_CONFIG_GLOBAL=os.devnull, GIT_LITERAL_PATHSPECS='1',
                         GIT_TERMINAL_PROMPT='0', LC_ALL='C', TZ='UTC')
        if index:
            self._env['GIT_INDEX_FILE'] = str(index)

    def bytes(self, *args, stdin=None):
        """Run git with args; return its stdout."""
        process = subprocess.run([*self._command, *map(str, args)], cwd=self.directory, env=self._env, input=stdin,
                                 stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, check=False)
        if process.returncode:
            raise GitError(process.stderr.decode('utf-8', 'replace').strip() or f'git {args[0]} failed')
        return process.stdout

    def text(self, *args, stdin=None):
        """Run git with args; return its stdout as text, without whitespace around it."""
        return self.bytes(*args, stdin=stdin).decode('utf-8', 'surrogateescape').strip()

    def resolve(self, name):
        """Return the id of the commit called name, or None."""
        try:
            return self.text('rev-parse', '--quiet', '--verify', f'{name}^{{commit}}')
        except GitError:
            return None

    def popen(self, *args, **options):
        """Start git with args."""
        return subprocess.Popen([*self._command, *map(str, args)], cwd=self.directory, env=self._env, **options)


class Import:
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
