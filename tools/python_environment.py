"""Virtual environments of the machine's own Python, for tools that need more than the standard library."""

import hashlib
import importlib.util
import sys

from tools import packages
from tools import ui


def ensure(project, name, requirements, *, offline=False):
    """Return the interpreter of build/<name>, an environment that has what the file `requirements` lists."""
    folder = project.build / name
    path = project.root / requirements
    identity = hashlib.sha256(path.read_bytes() + sys.version.encode()).hexdigest()
    stamp = folder / 'asyncbis-installed'
    python = folder / 'bin' / 'python'
    if stamp.exists() and stamp.read_text(encoding='utf-8') == identity:
        return python
    if not importlib.util.find_spec('ensurepip'):
        packages.ensure(('python3-venv',), log=project.logs, offline=offline)
    log = project.logs / f'{name}.log'
    hint = f'The network is needed for what {requirements} lists.'
    ui.run_logged(f'making build/{name}', [sys.executable, '-m', 'venv', '--clear', str(folder)], log=log,
                  cwd=project.root, env=ui.clean_environment(), hint=hint)
    ui.run_logged(f'installing {requirements}', [str(python), '-m', 'pip', 'install', '--disable-pip-version-check',
                                                 '-r', str(path)],
                  log=log, cwd=project.root, env=ui.clean_environment(), hint=hint)
    stamp.write_text(identity, encoding='utf-8')
    return python
