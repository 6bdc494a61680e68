"""Finds the upstream tarball: whatever the place, its SHA-256 is checked before anything is unpacked."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from tools import ui

_CHUNK = 1 << 18
_TIMEOUT = 30  # seconds without a byte


def cache_folder():
    """Return the folder that keeps the tarball between checkouts."""
    base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(base) / 'asyncbis'


def sha256(path):
    """Return the SHA-256 of the file at path, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def debian_sites():
    """Return the Debian mirrors that this machine's apt uses ($ASYNCBIS_DEBIAN_SITES replaces them)."""
    sites = os.environ.get('ASYNCBIS_DEBIAN_SITES')
    if sites is None:
        if not shutil.which('apt-get'):
            return []
        sites = subprocess.run(['apt-get', 'indextargets', '--format', '$(SITE)'], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, check=False).stdout
    unique = dict.fromkeys(site.rstrip('/') for site in sites.split())
    return [site for site in unique if site.startswith(('http://', 'https://'))]


class _Rejected(Exception):
    """A place did not have the tarball that we want; the text says why."""


class Finder:
    """One search for the tarball."""

    def __init__(self, upstream, *, source=None, offline=False):
        """Args: upstream: the pin; source: --source, a tarball or a folder; offline: never use the network."""
        self._upstream = upstream
        self._source = source or os.environ.get('ASYNCBIS_SOURCE')
        self._offline = offline
        self._tried = []

    def find(self):
        """Return the Path of a tarball that has the pinned SHA-256.

        Raises:
            UserError: there is none; the message lists every place and what was wrong with it.
        """
        cached = cache_folder() / self._upstream.tarball
        if self._source:
            given = pathlib.Path(self._source)
            for path in self._given_files(given):
                if self._accept(path):
                    return self._keep(path, cached)
            if not given.is_dir():
                # Who names one file means that file: another in its place would hide the mistake.
                raise ui.UserError(f'the source that was given cannot be used:\n{self._report()}\n'
                                   f'  Give the path of {self._upstream.tarball}, or leave --source and '
                                   '$ASYNCBIS_SOURCE out.')
        if self._accept(cached):
            return cached
        if self._offline:
            self._tried.append(('the network', 'not asked, because of --offline'))
        else:
            for url in self._urls():
                try:
                    return self._download(url, cached)
                except _Rejected as error:
                    self._tried.append((url, str(error)))
        raise ui.UserError(f'no place has {self._upstream.tarball} as upstream.conf pins it:\n{self._report()}\n'
                           f'  Check the network, or get the file by other means and give it: --source FILE')

    def _report(self):
        return '\n'.join(f'  - {place}: {why}' for place, why in self._tried)

    def _given_files(self, given):
        if not given.is_dir():
            return [given]
        pool_name = pathlib.PurePosixPath(self._upstream.expand(self._upstream.debian_pool)).name
        return [given / self._upstream.tarball, given / pool_name]

    def _accept(self, path):
        """Return true if the file at path is the pinned one; note why, if it is not."""
        try:
            found = sha256(path)
        except OSError as error:
            self._tried.append((path, error.strerror.lower()))
            return False
        if found != self._upstream.sha256:
            self._tried.append((path, f'wrong SHA-256 {found}, expected {self._upstream.sha256}'))
            return False
        return True

    def _urls(self):
        yield self._upstream.expand(self._upstream.url)
        for site in debian_sites():
            yield f'{site}/{self._upstream.expand(self._upstream.debian_pool)}'

    def _keep(self, path, cached):
        """Copy the tarball at path to the cache, so that it is needed only once; return where it is to be read."""
        if path.resolve() == cached.resolve():
            return path
        try:
            with _temporary(cached) as file:
                with open(path, 'rb') as source:
                    shutil.copyfileobj(source, file)
                os.replace(file.name, cached)
        except OSError as error:
            ui.warn(f'cannot keep a copy in {cached.parent}: {error.strerror}')
            return path
        return cached

    def _download(self, url, cached):
        """Download url into the cache, which gets the file only if its SHA-256 is right."""
        try:
            output = _temporary(cached)
        except OSError as error:
            raise ui.UserError(f'cannot write to the cache {cached.parent}: {error.strerror}\n'
                               '  Set XDG_CACHE_HOME to a folder that can be written to.') from None
        live = ui.LiveLine()
        with output as file:
            ui.say(f'fetching {url} ...')
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
                    expected = int(response.headers.get('Content-Length') or 0)
                    size = 0
                    digest = hashlib.sha256()
                    while chunk := response.read(_CHUNK):
                        file.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
                        live.show(f'{size >> 10:,} KiB' + (f' of {expected >> 10:,} KiB' if expected else ''))
            except urllib.error.HTTPError as error:
                raise _Rejected(f'HTTP status {error.code} {error.reason}') from None
            except urllib.error.URLError as error:
                raise _Rejected(getattr(error.reason, 'strerror', None) or str(error.reason)) from None
            except (OSError, ValueError) as error:
                raise _Rejected(f'broke off: {error}') from None
            finally:
                live.clear()
            file.flush()
            if size < expected:
                raise _Rejected(f'truncated: {size} of {expected} bytes')
            if digest.hexdigest() != self._upstream.sha256:
                raise _Rejected(f'wrong SHA-256 {digest.hexdigest()}, expected {self._upstream.sha256}')
            os.replace(file.name, cached)
        return cached


class _temporary:
    """A file beside path that is renamed to it when complete, and does not outlive the `with` otherwise."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not deleted by the file object itself: after the rename its name is that of the finished tarball.
        self._file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f'.{path.name}.', delete=False)
        os.chmod(self._file.name, 0o644)

    def __enter__(self):
        return self._file

    def __exit__(self, *exc_info):
        self._file.close()
        pathlib.Path(self._file.name).unlink(missing_ok=True)
