"""Environments: a project's sdist, the versions of all that it needs, and a virtual environment per interpreter.

What is fetched stays in build/survey, so that a second run needs no network.  The versions are pinned by a file in
locks/, which is made when it is missing or the recipe has changed: both interpreters get the very same packages.
"""

import hashlib
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

from packaging import utils

from survey import native
from survey.projects import HERE, SurveyError

LOCKS = HERE / 'locks'
_JSON = 'application/vnd.pypi.simple.v1+json'


class Environments:
    """Makes them, below a folder."""

    def __init__(self, folder, interpreters, *, offline=False, package=None):
        self._folder = folder
        self._interpreters = interpreters  # {name: path}
        self._package = package  # a native.Package
        self._offline = offline
        self._uv_env = {**os.environ, 'UV_CACHE_DIR': str(folder / 'uv-cache'), 'UV_NO_CONFIG': '1',
                        'UV_PYTHON_DOWNLOADS': 'never', 'UV_NATIVE_TLS': '1',
                        'UV_LINK_MODE': 'hardlink',
                        'UV_INDEX_URL': index_url()}

    def lock(self, project):
        """Returns the path of the project's lock file, which is made if need be."""
        path = LOCKS / f'{project.name}.txt'
        wanted = project.wanted
        header = f'# {json.dumps(wanted)}\n'
        if path.exists() and path.read_text(encoding='utf-8').startswith(header):
            return path
        LOCKS.mkdir(exist_ok=True)
        done = self._uv('pip', 'compile', '--python', self._interpreters['stock'], '--no-header', '--no-annotate',
                        '--quiet', '-', stdin='\n'.join(wanted), what=f'{project.name}: choosing versions')
        path.write_text(header + done, encoding='utf-8')
        return path

    def check_switches(self, switches):
        """Raises SurveyError if the patched interpreter does not know all of these legacy switches."""
        done = subprocess.run([self._interpreters['patched'], '-X', f'asyncio_legacy={",".join(switches)}', '-c', ''],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise SurveyError(f'the patched interpreter does not know a switch that the survey tries:\n'
                              f'{done.stderr.strip()}\nBuild it: ./build.sh build')

    def venv(self, project, variant, *, edits=None):
        """Returns the interpreter of an environment of the project; variant is 'stock', 'patched' or native.VARIANT.

        The last is the patched interpreter with AnyIO's native backend installed as well.  (It comes with each
        environment that `python -m venv` makes, by ensurepip; uv asks for nothing of the kind, so that the others do not
        have it.)  With edits (of ports.py), it is an environment of its own, in which they have been made.
        """
        lock = self.lock(project)
        folder = self._folder / 'venvs' / f'{project.name}-{variant}{"" if edits is None else "-ported"}'
        package = self._package if variant == native.VARIANT else None
        interpreter = self._interpreters['patched' if package else variant]
        identity = f'{interpreter}\n{lock.read_text(encoding="utf-8")}' + (repr(edits) if edits else '')
        if package:
            identity += package.identity
        identity = hashlib.sha256(identity.encode()).hexdigest()
        stamp = folder / 'asyncbis-installed'
        python = folder / 'bin' / 'python'
        if stamp.exists() and stamp.read_text(encoding='utf-8') == identity:
            return python
        shutil.rmtree(folder, ignore_errors=True)
        self._uv('venv', '--python', interpreter, '--quiet', folder, what=f'{project.name}: making an environment')
        self._uv('pip', 'install', '--python', python, '--quiet', '--no-deps', '-r', lock,
                 what=f'{project.name}: installing on {variant}')
        if package:
            # Not by way of the cache, which could have another one of the same version.
            self._uv('pip', 'install', '--python', python, '--quiet', '--no-deps', '--no-cache', package.path,
                     what=f"{project.name}: installing AnyIO's native backend")
        if edits:
            packages, = folder.glob('lib/python*/site-packages')
            for edit in edits:
                edit.apply(packages)
        stamp.write_text(identity, encoding='utf-8')
        return python

    def unpack(self, project, folder):
        """Unpacks the project's sdist; returns its top folder."""
        archive = self._sdist(project)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter='tar')
        top, = (path for path in folder.iterdir() if path.is_dir())
        return top

    def _sdist(self, project):
        folder = self._folder / 'sdists'
        folder.mkdir(parents=True, exist_ok=True)
        stem = f'{utils.canonicalize_name(project.name).replace("-", "_")}-{project.version}'
        path = folder / f'{stem}.tar.gz'
        if path.exists():
            return path
        if self._offline:
            raise SurveyError(f'{project.name}: its sdist is not in {folder}, and --offline forbids to fetch it.')
        url, digest = self._find_sdist(project)
        try:
            with urllib.request.urlopen(url, timeout=120) as response:
                data = response.read()
        except OSError as error:
            raise SurveyError(f'{project.name}: its sdist cannot be fetched: {error}') from None
        if digest and hashlib.sha256(data).hexdigest() != digest:
            raise SurveyError(f'{project.name}: its sdist is not what the index says; try again.')
        temporary = path.with_suffix('.tmp')
        temporary.write_bytes(data)
        temporary.rename(path)
        return path

    def _find_sdist(self, project):
        """Returns (URL, SHA-256 or None) of the sdist, according to the package index."""
        page = f'{index_url().rstrip("/")}/{utils.canonicalize_name(project.name)}/'
        request = urllib.request.Request(page, headers={'Accept': f'{_JSON}, text/html;q=0.1'})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
                if response.headers.get_content_type() == _JSON:
                    files = [(entry['filename'], entry['url'], entry.get('hashes', {}).get('sha256'))
                             for entry in json.loads(text)['files']]
                else:
                    files = [(urllib.parse.unquote(pathlib.PurePosixPath(urllib.parse.urlparse(url).path).name), url,
                              (re.search(r'sha256=([0-9a-f]+)', url) or [None, None])[1])
                             for url in re.findall(r'href="([^"]+)"', text)]
        except OSError as error:
            raise SurveyError(f'{project.name}: the package index cannot be asked: {error}') from None
        for name, url, digest in files:
            try:
                found, version = utils.parse_sdist_filename(name)
            except utils.InvalidSdistFilename:
                continue
            if found == utils.canonicalize_name(project.name) and str(version) == project.version and (
                    name.endswith('.tar.gz')):
                return urllib.parse.urljoin(page, url).partition('#')[0], digest
        raise SurveyError(f'{project.name}: the index has no sdist of version {project.version}.')

    def _uv(self, *arguments, what, stdin=None):
        command = [sys.executable, '-m', 'uv', *map(str, arguments)]
        if self._offline:
            command.append('--offline')
        done = subprocess.run(command, env=self._uv_env, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SurveyError(f'{what} failed:\n{done.stderr.strip()[-3000:]}')
        return done.stdout


def index_url():
    """Returns the package index that pip is set up with."""
    for name in 'UV_INDEX_URL', 'PIP_INDEX_URL':
        if os.environ.get(name):
            return os.environ[name]
    done = subprocess.run([sys.executable, '-m', 'pip', 'config', 'get', 'global.index-url'], capture_output=True,
                          text=True, check=False)
    # (The default has no other name than this one.)
    return done.stdout.strip() or importlib.import_module('pip._internal.models.index').PyPI.simple_url
