"""Write a copy of a type checker's typeshed in which asyncio is that of asyncbis."""

import argparse
import importlib.metadata
import importlib.util
import pathlib
import shutil
import sys

from asyncbis_stubs import _edits

# Where the packages of the checkers keep their typeshed, and the line of configuration that names another one.
_CHECKERS = {
    'mypy': ('typeshed', '[tool.mypy]', 'custom_typeshed_dir'),
    'pyright': ('dist/dist/typeshed-fallback', '[tool.pyright]', 'typeshedPath'),
}
# Beside pyproject.toml.  Checkers look for no programs in a folder with such a name.
_OUTPUT = '.asyncbis-typeshed'
_MARK = 'asyncbis-stubs.txt'
_TESTED = 'mypy 2.4.1 and pyright 1.1.414'


class _UserError(Exception):
    """A message with the way out."""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog='python -m asyncbis_stubs', description=f'{__doc__} Then print the line of configuration that makes the '
        'checker use it.  To be run again when the checker has been upgraded.')
    parser.add_argument('checker', choices=_CHECKERS, help='what reads the stubs')
    parser.add_argument('--output', metavar='DIR', type=pathlib.Path, help=f'default: {_OUTPUT}/CHECKER')
    parser.add_argument('--typeshed', metavar='DIR', type=pathlib.Path,
                        help='what to copy; default: what comes with the checker that is installed for this Python')
    options = parser.parse_args(arguments)
    output = options.output or pathlib.Path(_OUTPUT, options.checker)
    try:
        if options.typeshed:
            origin, typeshed = str(options.typeshed), options.typeshed
        else:
            origin, typeshed = _find(options.checker)
        _write(origin, typeshed, output)
    except (_UserError, OSError) as error:
        sys.exit(f'asyncbis_stubs: {error}')
    _, section, option = _CHECKERS[options.checker]
    print(f'{output} is the typeshed of {origin}, with the asyncio of asyncbis.  Use it by these lines in '
          f'pyproject.toml:\n\n{section}\n{option} = "{output.as_posix()}"')


def _find(checker):
    """Return (the name and version of the checker, the folder of its typeshed)."""
    folder, _, _ = _CHECKERS[checker]
    spec = importlib.util.find_spec(checker)
    places = [pathlib.Path(place, folder) for place in spec.submodule_search_locations] if spec else []
    if checker == 'pyright' and (script := shutil.which('pyright')):
        # From npm: a link to node_modules/pyright/index.js.
        places.append(pathlib.Path(script).resolve().parent / 'dist' / 'typeshed-fallback')
    for place in places:
        if (place / 'stdlib' / 'asyncio').is_dir():
            try:
                return f'{checker} {importlib.metadata.version(checker)}', place
            except importlib.metadata.PackageNotFoundError:
                return checker, place
    raise _UserError(
        f'found no typeshed of {checker}.  Run this in the environment of {checker} ({sys.executable} -m pip install '
        f'{checker}), or name the folder that has its stdlib/asyncio with --typeshed DIR.')


def _write(origin, typeshed, output):
    if not (typeshed / 'stdlib' / 'asyncio').is_dir():
        raise _UserError(f'{typeshed} is no typeshed: it has no stdlib/asyncio.  Name the folder that has.')
    if (typeshed / _MARK).exists():
        raise _UserError(f'{typeshed} was written by this command.  Name the original, or leave out --typeshed.')
    if output.exists() and not (output / _MARK).exists():
        raise _UserError(f'{output} exists and was not written by this command.  Remove it, or name another folder '
                         'with --output DIR.')
    # Until it is complete, the copy has another name, so that a failure leaves what was there.
    new = output.with_name(f'{output.name}.new')
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(typeshed, new, ignore=shutil.ignore_patterns('__pycache__'))
        try:
            _edits.apply(new / 'stdlib')
        except _edits.AnchorError as error:
            raise _UserError(
                f'the asyncio stubs of {origin} are not what this command can change: {error}.  It is tested with '
                f'{_TESTED}; install such a version, or name its typeshed with --typeshed DIR.') from None
        (new / _MARK).write_text(f'Written by `python -m asyncbis_stubs` from {origin}; changes are lost.\n',
                                 encoding='utf-8')
        (new / '.gitignore').write_text('*\n', encoding='utf-8')
        shutil.rmtree(output, ignore_errors=True)
        new.rename(output)
    finally:
        shutil.rmtree(new, ignore_errors=True)


if __name__ == '__main__':
    main()
