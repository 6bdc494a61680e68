"""Virtual environments for tools that need more than the standard library."""

import hashlib
import importlib.util
import sys

from tools import packages
from tools import ui


def ensure(project, name, requirements, *, offline=False, python=None):
    """Return the interpreter of build/<name>, an environment that has what the file `requirements` lists.

    python: the Path of the interpreter that the environment is for; the one that runs this if None.
    """
    folder = project.build / name
    path = project.root / requirements
    base = sys.executable if python is None else str(python)
    version = sys.version if python is None else base
    identity = hashlib.sha256(path.read_bytes() + version.encode()).hexdigest()
    stamp = folder / 'asyncbis-installed'
    python = folder / 'bin' / 'python'
    if stamp.exists() and stamp.read_text(encoding='utf-8') == identity:
        return python
    if base == sys.executable and not importlib.util.find_spec('ensurepip'):
        packages.ensure(('python3-venv',), log=project.logs, offline=offline)
    log = project.logs / f'{name}.log'
    hint = f'The network is needed for what {requirements} lists.'
    ui.run_logged(f'making build/{name}', [base, '-m', 'venv', '--clear', str(folder)], log=log,
                  cwd=project.root, env=ui.clean_environment(), hint=hint)
    ui.run_logged(f'installing {requirements}', [str(python), '-m', 'pip', 'install', '--disable-pip-version-check',
                                                 '-r', str(path)],
                  log=log, cwd=project.root, env=ui.clean_environment(), hint=hint)
    stamp.write_text(identity, encoding='utf-8')
    return python
