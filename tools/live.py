"""An installation that is made of links: build/<variant>/live.

The interpreter in a build folder runs programs well enough, but what is built on it goes wrong: a virtual environment
of it names /usr/local/include as the folder of the headers, pip would write to /usr/local/lib, and packages that lie
there would be imported.  `make install` would fix that, at the price of a minute after each edited file.  So there is
a prefix with the layout of an installation whose files are links to the sources and to the build: it is current at
once, and everything that asks sysconfig gets true answers.
"""

import os
import pathlib
import runpy

from tools import project as project_module


def update(source, build):
    """Make build/live fit the sources and the build.

    Args:
        source: the folder that configure was run from.
        build: the folder that make was run in.
    """
    libraries = build / (build / 'pybuilddir.txt').read_text(encoding='utf-8')
    sysconfigdata, = libraries.glob('_sysconfigdata_*.py')
    names = runpy.run_path(str(sysconfigdata))['build_time_vars']
    prefix = names['prefix']
    live = build / 'live'

    def place(name):
        return live / pathlib.PurePath(names[name]).relative_to(prefix)

    _link_all(place('LIBDEST'), {path.name: path for path in (source / 'Lib').iterdir()
                                 if path.name != '__pycache__'})
    (place('LIBDEST') / 'site-packages').mkdir(exist_ok=True)
    _link_all(place('DESTSHARED'), {path.name: path for path in libraries.glob('*.so')})
    _link_all(place('INCLUDEPY'), {**{path.name: path for path in (source / 'Include').iterdir()},
                                   'pyconfig.h': build / 'pyconfig.h'})
    _link_all(place('LIBPL'), {path.name: path for path in [build / 'Makefile', *build.glob('libpython*.a')]})
    for path in (sysconfigdata, *libraries.glob('*.json')):
        # These name the prefix that was given to configure, where nothing is.
        text = path.read_text(encoding='utf-8').replace(prefix, str(live))
        _write_if_changed(place('LIBDEST') / path.name, text.encode())
    _install_program(build / 'python', place('BINDIR') / f'python{names["VERSION"]}')
    _link_all(place('BINDIR'), {name: pathlib.Path(f'python{names["VERSION"]}') for name in ('python', 'python3')})


def _link_all(folder, targets):
    """Make folder hold links to targets, {name: path}, and no other links; leave what is no link alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_symlink() and targets.get(path.name) != pathlib.Path(os.readlink(path)):
            path.unlink()
    for name, target in targets.items():
        path = folder / name
        if name != 'site-packages' and not path.is_symlink():
            path.symlink_to(target)


def _write_if_changed(path, data):
    if not path.exists() or path.read_bytes() != data:
        project_module.write_atomically(path, data)


def _install_program(program, path):
    """Give program a second name: a link of the hard kind, for the interpreter looks around where it lies."""
    if path.exists() and path.samefile(program):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.new')
    temporary.unlink(missing_ok=True)
    os.link(program, temporary)
    os.replace(temporary, path)
