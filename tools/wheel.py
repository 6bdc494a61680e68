"""The wheels of anyio_backend/ and stubs/, which the interpreter brings along, made with the standard library alone.

They are what `hatch build` makes, but for the name of the generator.  ensurepip installs them into each new virtual
environment from where put() has put them, and the image has them among its own packages.
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
# All that the interpreter brings along.
FOLDERS = FOLDER, 'stubs'
# Beside the modules of the standard library; see the patch of ensurepip.
BUNDLED = 'ensurepip-more'
_TIME = (2026, 1, 1, 0, 0, 0)


def make(root, folder=FOLDER):
    """Return (name, contents) of a wheel of the project whose folder is root."""
    folder = root / folder
    settings = (folder / 'pyproject.toml').read_text(encoding='utf-8')
    name = _value(settings, 'name').replace('-', '_')
    package = folder / re.search(r'^packages = \["([^"]+)"\]$', settings, re.MULTILINE)[1]
    version = re.search(r"^__version__ = '([^']+)'$", (package / '__init__.py').read_text(encoding='utf-8'),
                        re.MULTILINE)[1]
    info = f'{name}-{version}.dist-info'

    files = {f'{package.name}/{path.name}': path.read_bytes() for path in sorted(package.iterdir()) if path.is_file()}
    _, _, at_start = settings.partition('force-include]\n')
    files.update({target: (folder / source).read_bytes()
                  for source, target in re.findall(r'^"([^"]+)" = "([^"]+)"$', at_start, re.MULTILINE)})
    files[f'{info}/METADATA'] = _metadata(settings, version, folder).encode()
    files[f'{info}/WHEEL'] = (b'Wheel-Version: 1.0\nGenerator: asyncbis\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    record = [f'{path},sha256={_digest(data)},{len(data)}\n' for path, data in files.items()]
    files[f'{info}/RECORD'] = ''.join([*record, f'{info}/RECORD,,\n']).encode()

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, _TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return f'{name}-{version}-py3-none-any.whl', archive.getvalue()


def _value(settings, name):
    return re.search(rf'^{name} = "([^"]+)"$', settings, re.MULTILINE)[1]


def _metadata(settings, version, folder):
    lines = ['Metadata-Version: 2.4', f'Name: {_value(settings, "name")}', f'Version: {version}',
             f'Summary: {_value(settings, "description")}', f'Requires-Python: {_value(settings, "requires-python")}']
    for extra, requirement in re.findall(r'^(\w+) = \["([^"]+)"\]$', settings.partition('[project.optional')[2],
                                         re.MULTILINE):
        if extra == 'packages':
            continue
        lines += [f'Provides-Extra: {extra}', f"Requires-Dist: {requirement}; extra == '{extra}'"]
    readme = (folder / _value(settings, 'readme')).read_text(encoding='utf-8')
    return '\n'.join([*lines, 'Description-Content-Type: text/markdown', '', readme])


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()


def put(root, library):
    """Have ensurepip find the wheels: write them into a folder in library, the one of the standard library."""
    folder = library / BUNDLED
    wheels = dict(make(root, name) for name in FOLDERS if (root / name).exists())
    if folder.exists() and wheels == {path.name: path.read_bytes() for path in folder.iterdir()}:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in wheels.items():
        project_module.write_atomically(folder / name, data)


def install(root, library):
    """Put the wheels, and install them among the packages of that library."""
    put(root, library)
    for path in sorted((library / BUNDLED).iterdir()):
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(library / 'site-packages')


if __name__ == '__main__':
    # python3 -m tools.wheel LIBRARY, for the Dockerfile.
    install(pathlib.Path(__file__).parent.parent, pathlib.Path(sys.argv[1]))
