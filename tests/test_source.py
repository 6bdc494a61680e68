"""Where the tarball comes from, and what becomes of one that is not the right one."""

import http.server
import threading

import pytest


class Server(http.server.ThreadingHTTPServer):
    """A mirror: below /good the tarball, below /truncated its first half, below /tampered another one."""

    def __init__(self, data):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.data = data
        self.asked = []

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'


class _Handler(http.server.BaseHTTPRequestHandler):

    def do_GET(self):
        self.server.asked.append(self.path)
        data = self.server.data
        kind = self.path.split('/')[1]
        if kind not in ('good', 'truncated', 'tampered'):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        if kind == 'truncated':
            data = data[:len(data) // 2]
        elif kind == 'tampered':
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(project):
    with Server(project.tarball.read_bytes()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def network(server, *sites):
    """The environment in which only the network has the tarball."""
    return {'ASYNCBIS_SOURCE': None, 'ASYNCBIS_DEBIAN_SITES': ' '.join(f'{server.url}/{site}' for site in sites)}


def at(server, kind):
    return f'{server.url}/{kind}/{{release}}/Python-{{version}}.tar.xz'


def cached(project):
    return sorted(path.name for path in project.cache.iterdir()) if project.cache.exists() else []


def test_download_is_kept_and_asked_for_only_once(project, server):
    project.pin(project.sha256, at(server, 'good'))
    project.run('prepare', env=network(server))
    assert server.asked == ['/good/9.9.1/Python-9.9.1.tar.xz']
    assert cached(project) == ['Python-9.9.1.tar.xz']
    project.run('clean')
    project.run('prepare', '--offline', env=network(server))
    assert len(server.asked) == 1
    assert (project.src / 'Lib/asyncio/tasks.py').exists()


@pytest.mark.parametrize('bad', ['truncated', 'tampered', 'absent'])
def test_bad_download_is_followed_by_the_next_place(project, server, bad):
    project.pin(project.sha256, at(server, bad))
    project.run('prepare', env=network(server, 'tampered', 'truncated', 'good', 'good'))
    assert server.asked == [f'/{bad}/9.9.1/Python-9.9.1.tar.xz', '/tampered/pool/python9.9_9.9.1.orig.tar.xz',
                            '/truncated/pool/python9.9_9.9.1.orig.tar.xz', '/good/pool/python9.9_9.9.1.orig.tar.xz']
    assert cached(project) == ['Python-9.9.1.tar.xz']
    assert (project.cache / 'Python-9.9.1.tar.xz').read_bytes() == project.tarball.read_bytes()


def test_no_good_place_lists_what_was_tried(project, server):
    project.pin(project.sha256, at(server, 'truncated'))
    message = project.fail('build', env=network(server, 'tampered', 'absent'))
    size = len(server.data)
    assert f'/truncated/9.9.1/Python-9.9.1.tar.xz: truncated: {size // 2} of {size} bytes' in message
    assert '/tampered/pool/python9.9_9.9.1.orig.tar.xz: wrong SHA-256 ' in message
    assert '/absent/pool/python9.9_9.9.1.orig.tar.xz: HTTP status 404' in message
    assert 'cache/asyncbis/Python-9.9.1.tar.xz: no such file or directory' in message
    assert '--source FILE' in message
    assert cached(project) == []
    assert not project.src.exists()


def test_no_network(project):
    """Nothing listens at the address: what a machine without network sees."""
    message = project.fail('build', env={'ASYNCBIS_SOURCE': None})
    assert 'http://127.0.0.1:9/9.9.1/Python-9.9.1.tar.xz: Connection refused' in message
    assert 'Check the network' in message
    assert cached(project) == []


def test_offline_asks_nobody(project, server):
    project.pin(project.sha256, at(server, 'good'))
    message = project.fail('prepare', '--offline', env=network(server, 'good'))
    assert 'the network: not asked, because of --offline' in message
    assert server.asked == []


def test_spoilt_cache_is_replaced(project, server):
    project.pin(project.sha256, at(server, 'good'))
    project.cache.mkdir(parents=True)
    (project.cache / 'Python-9.9.1.tar.xz').write_bytes(b'spoilt')
    project.run('prepare', env=network(server))
    assert (project.cache / 'Python-9.9.1.tar.xz').read_bytes() == project.tarball.read_bytes()


@pytest.mark.parametrize('way', ['option', 'variable'])
def test_wrong_checksum_of_a_given_file(project, way):
    bad = project.folder / 'bad.tar.xz'
    bad.write_bytes(b'not what upstream released')
    if way == 'option':
        # Relative to where the user is.
        message = project.fail('prepare', '--source', 'bad.tar.xz')
    else:
        message = project.fail('prepare', env={'ASYNCBIS_SOURCE': str(bad)})
    assert 'bad.tar.xz: wrong SHA-256 ' in message
    assert f'expected {project.sha256}' in message
    assert not project.src.exists()
    assert bad.read_bytes() == b'not what upstream released'
    assert cached(project) == []


def test_missing_given_file(project):
    assert 'nowhere.tar.xz: no such file or directory' in project.fail('prepare', '--source', 'nowhere.tar.xz')


@pytest.mark.parametrize('name', ['Python-9.9.1.tar.xz', 'python9.9_9.9.1.orig.tar.xz'])
def test_given_folder(project, name):
    folder = project.folder / 'tarballs'
    folder.mkdir()
    (folder / name).write_bytes(project.tarball.read_bytes())
    project.run('prepare', '--source', str(folder), '--offline', env={'ASYNCBIS_SOURCE': None})
    assert cached(project) == ['Python-9.9.1.tar.xz']


def test_given_folder_without_it_is_followed_by_the_network(project, server):
    project.pin(project.sha256, at(server, 'good'))
    project.run('prepare', '--source', str(project.stubs), env=network(server))
    assert len(server.asked) == 1


def test_mirrors_are_those_of_apt(project, server):
    project.stub('apt-get', f'import sys\nassert sys.argv[1:] == ["indextargets", "--format", "$(SITE)"]\n'
                            f'print("file:/media\\n{server.url}/good/\\n{server.url}/good")')
    project.run('prepare', env={**network(server), 'ASYNCBIS_DEBIAN_SITES': None})
    assert server.asked == ['/good/pool/python9.9_9.9.1.orig.tar.xz']


@pytest.mark.parametrize('text, complaint', [
    ('version = 1\n', 'debian-pool, sha256, url'),
    ('nonsense\n', 'upstream.conf:1: expected'),
])
def test_broken_pin(project, text, complaint):
    project.write('upstream.conf', text)
    assert complaint in project.fail('prepare')
