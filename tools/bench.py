"""bench: how fast the interpreter is.  The benchmarks themselves are the package benchmarks/."""

import dataclasses
import hashlib
import json
import pathlib
import subprocess
import sys

from tools import python_environment
from tools import tree
from tools import ui
from tools import variants
from tools import wheel

RESULTS = 'benchmarks/results'
# What the interpreters need for each suite.
_REQUIREMENTS = {'cases': 'benchmarks/requirements.txt', 'pyperformance': 'benchmarks/pyperformance-requirements.txt',
                 'server': 'benchmarks/servers/requirements.txt'}
_TOOLS = 'benchmarks/tools-requirements.txt'
# The variants that can be measured, and the build of stock with the same flags.
VARIANTS = {'release': 'stock', 'pgo': 'stock-pgo'}
_OLDEST = (3, 11)  # that the requirements of the tools can be installed for


class _OptimizedStock(variants.Builder):
    """Builds stock with the flags of the variant pgo."""

    def __init__(self, project):
        super().__init__(project, 'stock')
        self._variant = dataclasses.replace(variants.VARIANTS['pgo'], patched=False)
        self.name = 'stock-pgo'
        self.folder = project.build / self.name


class Bench:
    """One run of `bench`.

    Args:
        project: the Project.
        variant: what is measured, one of VARIANTS.
        as_built: whether the interpreters are taken as they are in build/, even if the sources have changed; only quick
            runs can be.
        again: whether what an interrupted run has measured is dropped.
    """

    def __init__(self, project, *, variant='release', as_built=False, again=False, source_file=None, offline=False):
        if variant not in VARIANTS:
            raise ui.UserError(f'{variant} cannot be measured. There are: {", ".join(VARIANTS)}')
        self._project = project
        self._variant = variant
        self._as_built = as_built
        self._again = again
        self._source = {'source_file': source_file, 'offline': offline}

    def list(self):
        """Print which cases there are."""
        print(subprocess.run([sys.executable, '-m', 'benchmarks', 'list'], cwd=self._project.root, check=True,
                             stdout=subprocess.PIPE, text=True).stdout, end='')

    def report(self):
        """Render docs/performance.md and its plots from the results."""
        self._call('rendering the report', self._tools_python(), 'report')

    def run(self, cases, *, suite='cases', quick=False):
        """Measure cases of a suite, all if there are none; write the results unless it is to be quick.

        suite: 'cases', 'pyperformance' or 'server'; the last two have benchmarks and servers for cases.

        Raises:
            UserError: something failed, or the sources have changed meanwhile.
        """
        if self._as_built and not quick:
            raise ui.UserError('--as-built is for --quick only: an edited Python file is in effect at once, so that it is '
                               'not known what is measured.')
        python = self._tools_python()
        builders = {'stock': self._stock_builder(), 'patched': variants.Builder(self._project, self._variant)}
        sources = self._build(builders)
        pythons = {name: str(python_environment.ensure(
            self._project, f'bench/{suite}-{builder.name}', _REQUIREMENTS[suite], offline=self._source['offline'],
            python=builder.python)) for name, builder in builders.items()}
        self._put_native(pythons['patched'])
        work = self._project.build / 'bench' / f'{suite}-{self._variant}{"-quick" if quick else ""}.jsonl'
        if self._again or quick:
            work.unlink(missing_ok=True)
        arguments = ['--suite', suite, '--pythons', json.dumps(pythons), '--sources', json.dumps(sources),
                     '--work', str(work), *(['--quick'] if quick else [])]
        self._call('measuring', python, 'measure', *arguments, *cases)
        if not quick and tree.Tree(self._project).fingerprint()[:12] != sources['patched']:
            work.unlink()
            raise ui.UserError('the sources have changed while they were measured, so nothing has been written down.\n'
                               '  Run it again when they are at rest.')
        folder = self._variant if suite == 'cases' else f'{self._variant}-{suite}'
        self._call('putting it together', python, 'store', *arguments, '--target',
                   str(self._project.root / RESULTS / folder), *cases)

    def _stock_builder(self):
        name = VARIANTS[self._variant]
        return variants.Builder(self._project, name) if name in variants.VARIANTS else _OptimizedStock(self._project)

    def _build(self, builders):
        """Bring the interpreters up to date; return {name: short id of the sources}."""
        sources = {}
        for name, builder in builders.items():
            if self._as_built:
                sources[name] = _built_from(builder)
            else:
                with self._project.lock():
                    builder.build(**self._source)
                sources[name] = builder.identity[:12]
        return sources

    def _put_native(self, python):
        """Install AnyIO's native backend as it is now into an environment, which has it as it was then."""
        name, data = wheel.make(self._project.root)
        identity = hashlib.sha256(data).hexdigest()
        folder = pathlib.Path(python).parent.parent
        stamp = folder / 'asyncbis-native'
        if stamp.exists() and stamp.read_text(encoding='utf-8') == identity:
            return
        path = folder / name
        path.write_bytes(data)
        ui.run_logged("installing AnyIO's native backend",
                      [python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-index', '--no-deps',
                       '--force-reinstall', str(path)], log=self._project.logs / 'bench-native.log',
                      cwd=self._project.root, env=ui.clean_environment(), hint='The log says what is wrong.')
        stamp.write_text(identity, encoding='utf-8')

    def _tools_python(self):
        """Return the interpreter that has what the benchmarks are run and drawn with."""
        python = None
        if sys.version_info < _OLDEST:
            builder = variants.Builder(self._project, 'stock')
            if not self._as_built:
                with self._project.lock():
                    builder.build(**self._source)
            python = builder.python
        return python_environment.ensure(self._project, 'bench/tools', _TOOLS, offline=self._source['offline'],
                                         python=python)

    def _call(self, what, python, command, *arguments):
        """Run a command of the package benchmarks."""
        ui.run_logged(what, [str(python), '-m', 'benchmarks', command, *arguments],
                      log=self._project.logs / f'bench-{command}.log', cwd=self._project.root,
                      env=ui.clean_environment(), echo=command != 'measure',
                      hint='The log says what is wrong. What has been measured is kept: the same command goes on there.')


def _built_from(builder):
    """Return the short id of the sources that a variant was last built from."""
    stamp = builder.folder / 'asyncbis-made'
    if not builder.python.exists() or not stamp.exists():
        raise ui.UserError(f'build/{builder.name} is missing, or its last build failed. Leave out --as-built, which takes '
                           'it as it is.')
    return stamp.read_text(encoding='utf-8').rpartition(' ')[2][:12]
