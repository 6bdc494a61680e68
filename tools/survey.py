"""survey: what the patched interpreter breaks in other projects.  The survey itself is the package survey/."""

import hashlib
import json
import os
import sys

from tools import project as project_module
from tools import python_environment
from tools import tree
from tools import ui
from tools import variants
from tools import wheel

_REQUIREMENTS = 'survey/requirements.txt'
# These only read what is there.
_NO_BUILD = {'--list', '--report', '--remember', '--help', '-h'}


def run(project, arguments, *, source_file=None, offline=False):
    """Replace this process by the survey; `arguments` are its own."""
    offline = offline or '--offline' in arguments
    python = python_environment.ensure(project, 'survey-venv', _REQUIREMENTS, offline=offline)
    identities, more = {}, []
    if not _NO_BUILD.intersection(arguments):
        with project.lock():
            for name, variant in ('stock', 'stock'), ('patched', variants.DEFAULT):
                builder = variants.Builder(project, variant)
                builder.build(source_file=source_file, offline=offline)
                identities[name] = builder.identity
            # CPython's tests, documentation and news are nothing that other projects could depend on: a survey
            # outlives changes of them.
            identities['patched'] = tree.Tree(project).fingerprint(without=project_module.LATE_OVERLAY)
        if (project.root / wheel.FOLDER).exists():
            more = ['--package', str(_put_package(project))]
    command = [str(python), '-m', 'survey', '--build', str(project.build), '--identities', json.dumps(identities),
               *more, *arguments]
    env = {**ui.clean_environment(), 'PYTHONPATH': str(project.root)}
    sys.stderr.flush()
    os.chdir(project.root)
    os.execve(command[0], command, env)


def _put_package(project):
    """Writes the wheel of AnyIO's native backend to where the survey finds it; returns its path.

    A survey takes hours, so that each has a file that is not replaced when the package changes.
    """
    name, data = wheel.make(project.root)
    path = project.build / 'survey' / 'packages' / hashlib.sha256(data).hexdigest()[:16] / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        project_module.write_atomically(path, data)
    return path
