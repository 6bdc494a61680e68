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
        """Run git with args; return its stdout as text, without white space around it."""
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
