"""The Debian packages that a build needs: installed as root, named otherwise."""

import os
import shutil
import subprocess

from tools import ui

# What a build with every optional module needs; ccache is left to the user's choice.
BUILD = ('build-essential', 'ca-certificates', 'git', 'libbz2-dev', 'libffi-dev', 'libgdbm-dev', 'liblzma-dev',
         'libncurses-dev', 'libreadline-dev', 'libsqlite3-dev', 'libssl-dev', 'libzstd-dev', 'pkg-config', 'uuid-dev',
         'xz-utils', 'zlib1g-dev')


def missing(packages):
    """Return those of packages that dpkg does not know as installed."""
    # One line for each installed package that has or provides one of the names.
    output = subprocess.run(['dpkg-query', '--show', '--showformat', '${db:Status-Status} ${Package} ${Provides}\\n'],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    installed = set()
    for line in output.splitlines():
        status, _, names = line.partition(' ')
        if status == 'installed':
            installed.update(name.split()[0] for name in names.replace(' ', ',').split(',') if name)
    return [package for package in packages if package not in installed]


def ensure(packages, *, log, offline=False):
    """See to it that packages are there.

    Raises:
        UserError: they are not, and only the user can install them.
    """
    if not shutil.which('dpkg-query'):
        # No Debian: configure finds out the rest, but without these it cannot even begin.
        for tool in ('cc', 'make'):
            if not shutil.which(tool):
                raise ui.UserError(f'there is no `{tool}` on PATH, and this is no Debian or Ubuntu where it could be '
                                   "installed for you.\n  Install a C compiler, make, and the headers of CPython's "
                                   'optional modules (openssl, zlib, bzip2, xz, zstd, libffi, sqlite, readline, '
                                   'ncurses, gdbm, uuid).')
        return
    absent = missing(packages)
    if not absent:
        return
    command = ['apt-get', 'install', '--yes', '--no-install-recommends', *absent]
    by_hand = f'apt-get update && apt-get install {" ".join(absent)}'
    if offline:
        raise ui.UserError(f'these packages are missing: {" ".join(absent)}\n'
                           f'  --offline forbids to fetch them. Install them, as root: {by_hand}')
    if os.geteuid() != 0:
        raise ui.UserError(f'these packages are missing: {" ".join(absent)}\n'
                           f"  Install them with: sudo sh -c '{by_hand}'")
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    hint = f'Install the packages by hand: {by_hand}'
    ui.run_logged('apt-get update', ['apt-get', 'update'], log=log / 'apt-update.log', cwd='/', env=env, hint=hint)
    ui.run_logged(f'installing {" ".join(absent)}', command, log=log / 'apt-install.log', cwd='/', env=env, hint=hint)
