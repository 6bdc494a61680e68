"""The wheel of anyio_backend/, which the interpreter brings along, made with the standard library alone.

It is what `hatch build` makes of it, but for the name of the generator.  ensurepip installs it into each new virtual
environment from where put() has put it, and the image has it among its own packages.
"""

import base64
import hashlib
import io
import pathlib
import re
import shutil
import sys
import zipfile

from tools import project as project_module

FOLDER = 'anyio_backend'
# Beside the modules of the standard library; see the patch of ensurepip.
BUNDLED = 'ensurepip-more'
_NAME = 'anyio_asyncbis'
_PACKAGE = 'asyncbis_anyio'
_AT_START = f'{_NAME}.pth', f'{_NAME}.start'
_TIME = (2026, 1, 1, 0, 0, 0)


def make(root):
    """Return (name, contents) of the wheel of the project whose folder is root."""
    folder = root / FOLDER
    package = folder / 'src' / _PACKAGE
    settings = (folder / 'pyproject.toml').read_text(encoding='utf-8')
    version = re.search(r"^__version__ = '([^']+)'$", (package / '__init__.py').read_text(encoding='utf-8'),
                        re.MULTILINE)[1]
    info = f'{_NAME}-{version}.dist-info'

    files = {f'{_PACKAGE}/{path.name}': path.read_bytes() for path in sorted(package.iterdir()) if path.is_file()}
    files.update({name: (folder / name).read_bytes() for name in _AT_START})
    files[f'{info}/METADATA'] = _metadata(settings, version, folder).encode()
    files[f'{info}/WHEEL'] = (b'Wheel-Version: 1.0\nGenerator: asyncbis\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    record = [f'{name},sha256={_digest(data)},{len(data)}\n' for name, data in files.items()]
    files[f'{info}/RECORD'] = ''.join([*record, f'{info}/RECORD,,\n']).encode()

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return f'{_NAME}-{version}-py3-none-any.whl', archive.getvalue()


def _metadata(settings, version, folder):
    def value(name):
        return re.search(rf'^{name} = "([^"]+)"$', settings, re.MULTILINE)[1]

    lines = ['Metadata-Version: 2.4', f'Name: {value("name")}', f'Version: {version}',
             f'Summary: {value("description")}', f'Requires-Python: {value("requires-python")}']
    for extra, requirement in re.findall(r'^(\w+) = \["([^"]+)"\]$', settings.partition('[project.optional')[2],
                                         re.MULTILINE):
        if extra == 'packages':
            continue
        lines += [f'Provides-Extra: {extra}', f"Requires-Dist: {requirement}; extra == '{extra}'"]
    readme = (folder / value('readme')).read_text(encoding='utf-8')
    return '\n'.join([*lines, 'Description-Content-Type: text/markdown', '', readme])


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()


def put(root, library):
    """Have ensurepip find the wheel: write it into a folder in library, the one of the standard library."""
    name, data = make(root)
    folder = library / BUNDLED
    if (folder / name).exists() and (folder / name).read_bytes() == data:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    project_module.write_atomically(folder / name, data)


def install(root, library):
    """Put the wheel, and install it among the packages of that library."""
    put(root, library)
    _, data = make(root)
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        wheel.extractall(library / 'site-packages')


if __name__ == '__main__':
    # python3 -m tools.wheel LIBRARY, for the Dockerfile.
    install(pathlib.Path(__file__).parent.parent, pathlib.Path(sys.argv[1]))
