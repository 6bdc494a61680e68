"""Ports: what a project would have to change to work on both interpreters, as edits that are applied and tested.

ports/NAME.toml holds the edits of one project.  An edit replaces a text in one file, of what is installed or of the
project's tests, and must match exactly as often as it says.  A port is good if no test that is fine on stock fails on
either interpreter.  What came of it is written to ports.json; what the edits cost is counted when the report is made.
"""

import dataclasses
import difflib
import fcntl
import hashlib
import json
import os
import shutil
import time
import tomllib

from survey import attribution
from survey import runs as runs_module
from survey import services
from survey import triage
from survey.conduct import RESULTS, write
from survey.projects import HERE, SurveyError

PORTS = HERE / 'ports'
FILE = HERE / 'ports.json'
VARIANTS = 'stock', 'patched'
# What `in` of an edit can be.
INSTALLED, TESTS = 'installed', 'tests'


@dataclasses.dataclass(frozen=True)
class Edit:
    """One text that replaces another one in a file."""
    file: str  # below site-packages, or below the project's sdist
    where: str  # INSTALLED or TESTS
    cause: str  # of triage.toml
    old: str
    new: str
    tried: tuple  # the interpreters that the project's tests were run on with it
    times: int = 1  # how often old is in the file
    why: str = ''

    @property
    def lines(self):
        """(added, removed): what a diff of the edit shows, at all its places together."""
        difference = [line[0] for line in difflib.ndiff(self.old.splitlines(), self.new.splitlines())]
        return difference.count('+') * self.times, difference.count('-') * self.times

    def apply(self, root):
        """Change the file below a folder.

        Raises:
            SurveyError: the file is not there, or does not have the text as often as it should.
        """
        path = root / self.file
        try:
            text = path.read_text(encoding='utf-8')
        except OSError as error:
            raise SurveyError(f'{self.file}: cannot be edited: {error}') from None
        if (found := text.count(self.old)) != self.times:
            raise SurveyError(f'{self.file}: an edit matches {found} times, not {self.times}: {self.old!r}. '
                              f'Make `old` longer or shorter, or state `times`.')
        # A new file, since uv links what it installs to its cache.
        temporary = path.with_name(f'{path.name}.ported')
        temporary.write_text(text.replace(self.old, self.new), encoding='utf-8')
        shutil.copymode(path, temporary)
        temporary.rename(path)


@dataclasses.dataclass(frozen=True)
class Port:
    """The edits of one project, or the reason why there are none."""
    project: str
    edits: tuple = ()
    uses: tuple = ()  # other projects, whose installed edits are applied as well (and are theirs)
    awaits_anyio: tuple = ()  # patterns of tests that fail on the patched interpreter until AnyIO has a native backend
    left_out: str = ''  # why there are no edits: one of CATEGORIES
    note: str = ''

    @property
    def digest(self):
        """Changes with what the edits do, and not with what is said of them."""
        what = [(edit.file, edit.where, edit.old, edit.new, edit.times) for edit in self.edits]
        return hashlib.sha256(repr(what).encode()).hexdigest()[:16]

    def price(self):
        """Return {cause: {'places', 'added', 'removed'}} of its edits."""
        price = {}
        for edit in self.edits:
            entry = price.setdefault(edit.cause, {'places': 0, 'added': 0, 'removed': 0})
            added, removed = edit.lines
            entry['places'] += edit.times
            entry['added'] += added
            entry['removed'] += removed
        return price


# Why a project is left out: {category: what the report says}.
CATEGORIES = {
    'anyio': "They regress for what AnyIO's asyncio backend does, and need no change of their own when it stands on "
             "asyncio.CancelScope.",
    'untried': 'Nothing has been tried yet.',
}


def load(folder=PORTS, *, causes=None):
    """Return {name: Port}.

    Raises:
        SurveyError: a file has a mistake.
    """
    known = triage.load().causes if causes is None else causes
    ports = {}
    for path in sorted(folder.glob('*.toml'), key=lambda path: path.stem.lower()):
        try:
            data = tomllib.loads(path.read_text(encoding='utf-8'))
        except tomllib.TOMLDecodeError as error:
            raise SurveyError(f'{path}: {error}') from None
        edits = tuple(_make_edit(entry, path, known) for entry in data.pop('edit', []))
        port = Port(path.stem, edits, tuple(data.pop('uses', ())), tuple(data.pop('awaits_anyio', ())),
                    data.pop('left_out', ''), data.pop('note', ''))
        if data:
            raise SurveyError(f'{path}: unknown keys: {", ".join(sorted(data))}. '
                              f'There are: edit, uses, awaits_anyio, left_out, note')
        if port.left_out and port.left_out not in CATEGORIES:
            raise SurveyError(f'{path}: there is no category {port.left_out}. There are: {", ".join(CATEGORIES)}')
        if bool(port.left_out) == bool(port.edits or port.uses):
            raise SurveyError(f'{path}: give it edits, or say with left_out why there are none.')
        ports[port.project] = port
    for port in ports.values():
        for name in port.uses:
            if name not in ports:
                raise SurveyError(f'{folder / port.project}.toml: uses {name}, which has no port.')
    return ports


def _make_edit(entry, path, causes):
    entry = dict(entry)
    fields = {field.name: field for field in dataclasses.fields(Edit)}
    entry['where'] = entry.pop('in', None)
    unknown = entry.keys() - fields.keys()
    absent = [name for name, field in fields.items()
              if field.default is dataclasses.MISSING and entry.get(name) is None]
    if unknown or absent:
        names = ', '.join('in' if name == 'where' else name for name in unknown or absent)
        raise SurveyError(f'{path}: an edit of {entry.get("file", "?")}: '
                          f'{"unknown keys" if unknown else "these are missing"}: {names}')
    edit = Edit(**{**entry, 'tried': tuple(entry['tried'])})
    complaint = (
        f'`in` is {INSTALLED} or {TESTS}' if edit.where not in (INSTALLED, TESTS) else
        f'there is no cause {edit.cause} in {triage.TRIAGE.name}' if edit.cause not in causes else
        f'`tried` names {", ".join(VARIANTS)}' if set(edit.tried) - set(VARIANTS) else
        'old and new are the same' if edit.old == edit.new else
        'old is empty' if not edit.old else '')
    if complaint:
        raise SurveyError(f'{path}: an edit of {edit.file}: {complaint}.')
    return edit


def installed_edits(port, ports):
    """Return the edits of what is installed, those of the ports that it uses among them."""
    return [edit for each in (port, *(ports[name] for name in port.uses))
            for edit in each.edits if edit.where == INSTALLED]


def fine_on_stock(result):
    """Return the tests that the survey found fine on stock, those that depend on chance left out."""
    return result['tests'].keys() - result['flaky'].keys() - result['failing_on_stock'].keys()


class Trial:
    """Tries ports: runs the tests of ported projects on both interpreters.

    Args:
        folder: build/survey.
        environments: an Environments.
        identities: see conduct.Survey.
        listener: see progress.py.
        ports: {name: Port}.
        results: the folder with the results of the survey.
        file: the file that gets what comes of it.
        quick: run only the tests that regress in the results, and write nothing.
    """

    def __init__(self, folder, environments, identities, listener, ports, *, results=RESULTS, file=FILE, quick=False):
        self._folder = folder
        self._environments = environments
        self._identities = identities
        self._listener = listener
        self._ports = ports
        self._results = results
        self._file = file
        self._quick = quick

    def conduct(self, project):
        """Try the port of one project; return what is written of it, or None if it could not be tried."""
        try:
            return self._conduct(project)
        except SurveyError as error:
            self._listener.failed(project, f'{project.name}: {error}')
        except OSError as error:
            self._listener.failed(project, f'{project.name}: {error!r}')
        return None

    def _conduct(self, project):
        port = self._ports[project.name]
        path = self._results / f'{project.name}.json'
        if not path.exists():
            raise SurveyError(f'there is no result of {project.name} to compare with. '
                              f'Make it: ./build.sh survey {project.name}')
        result = json.loads(path.read_text(encoding='utf-8'))
        if result['version'] != project.version:
            raise SurveyError(f'the result is of version {result["version"]}, not {project.version}. '
                              f'Make it anew: ./build.sh survey {project.name}')
        triage.load().set_aside(result)
        fine = fine_on_stock(result)
        only = set(result['regressions']) if self._quick else None
        with services.running(project.services, self._folder / 'services'):
            outcomes = {variant: self._try(project, port, variant, fine if only is None else only, only)
                        for variant in VARIANTS}
        waiting = [test for test in outcomes['patched']['failing']
                   if any(triage.matches(test, pattern) for pattern in port.awaits_anyio)]
        for test in waiting:
            del outcomes['patched']['failing'][test]
        entry = {
            'version': project.version,
            'date': time.strftime('%Y-%m-%d'),
            'interpreters': self._identities,
            'edits': {name: self._ports[name].digest for name in (project.name, *port.uses)},
            'tests': len(fine),
            'regressions': len(result['regressions']),
            **outcomes,
            'awaiting_anyio': waiting,
        }
        if not self._quick:
            keep(self._file, project.name, entry)
        left = {variant: len(outcomes[variant]['failing']) for variant in VARIANTS}
        self._listener.finished(project, {'summary': {
            'regressions before': entry['regressions'], **{f'failing on {name}': left[name] for name in VARIANTS},
            'awaiting AnyIO': len(waiting)}})
        for variant in VARIANTS:
            for test, log in outcomes[variant]['failing'].items():
                self._listener.note(f'    ! {variant}: {test}: {log.strip().splitlines()[-1] if log.strip() else ""}')
        return entry

    def _try(self, project, port, variant, fine, only):
        """Run the tests once, and a second time if one fails: what is not fine twice counts, as in the survey."""
        edits = installed_edits(port, self._ports)
        python = self._environments.venv(project, variant, edits=edits)
        seconds, failing = 0, None
        for number in 1, 2:
            plan = attribution.Plan(variant, 'ported', number=number)
            work = self._folder / 'work' / project.name / f'{plan.name}'
            source = self._environments.unpack(project, work / 'source')
            for edit in port.edits:
                if edit.where == TESTS:
                    edit.apply(source)
            for edit in edits:
                # Where pytest runs, a package in the sdist is often found before the one that is installed.
                for folder in source, source / 'src':
                    if (folder / edit.file).exists():
                        edit.apply(folder)
            runs_module.prepare(project, source, python)
            self._listener.started(project, plan)
            run = runs_module.Runner(project, python, source, work, variant=variant, only=only,
                                     tick=lambda done: self._listener.moved(project, done)).run()
            shutil.rmtree(work, ignore_errors=True)
            self._listener.ran(project, plan, run)
            seconds += run.seconds
            bad = {test: run.outcomes[test].log if test in run.outcomes else 'it was not run' for test in fine
                   if test not in run.outcomes or not run.outcomes[test].fine}
            failing = bad if failing is None else {test: log for test, log in failing.items() if test in bad}
            if not failing or self._quick:
                break
        return {'seconds': round(seconds, 1), 'failing': {
            test: log.replace(f'{HERE.parent}/', '')[-2000:] for test, log in sorted(failing.items())}}


def keep(path, name, entry):
    """Put what came of one port into a file, beside the others', which may be written at the same time."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        data = read(path)
        data[name] = entry
        write(path, dict(sorted(data.items(), key=lambda item: item[0].lower())))
    finally:
        os.close(descriptor)


def read(path=FILE):
    """Return {project: what came of its port}."""
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}


def missing(results, ports):
    """Return the projects with regressions that have no port and no reason for it."""
    return sorted((name for name, result in results.items() if result['regressions'] and name not in ports),
                  key=str.lower)


def summarize(results, ports, tried):
    """Return what the report shows of the ports.

    Args:
        results: {name: result of the survey}, what depends on chance set aside.
        ports: {name: Port}.
        tried: what is in ports.json.
    """
    rows = []
    for name, port in ports.items():
        if not port.edits and not port.uses:
            continue
        entry = tried.get(name)
        current = {other: ports[other].digest for other in (name, *port.uses)}
        state = 'not tried' if entry is None else 'outdated' if entry['edits'] != current else 'tried'
        price = port.price()
        rows.append({
            'name': name, 'state': state, 'price': price, 'uses': port.uses, 'note': port.note,
            'places': sum(cause['places'] for cause in price.values()),
            'added': sum(cause['added'] for cause in price.values()),
            'removed': sum(cause['removed'] for cause in price.values()),
            'in_tests': sum(edit.times for edit in port.edits if edit.where == TESTS),
            'regressions': len(results[name]['regressions']) if name in results else 0,
            'before': entry['regressions'] if entry else None,
            'failing': {variant: sorted(entry[variant]['failing']) for variant in VARIANTS} if entry else None,
            'awaiting_anyio': len(entry['awaiting_anyio']) if entry else None,
            'edits': port.edits,
        })
    causes = {}
    for row in rows:
        for cause, price in row['price'].items():
            total = causes.setdefault(cause, {'projects': 0, 'places': 0, 'added': 0, 'removed': 0})
            total['projects'] += 1
            for key, value in price.items():
                total[key] += value
    left_out = {}
    for name, port in ports.items():
        if port.left_out:
            number = len(results[name]['regressions']) if name in results else 0
            left_out.setdefault(port.left_out, []).append({'name': name, 'note': port.note, 'regressions': number})
    good = [row for row in rows if row['state'] == 'tried']
    return {
        'rows': rows,
        'ported': [row['name'] for row in rows if row['edits']],
        'causes': dict(sorted(causes.items(), key=lambda item: -item[1]['added'])),
        'left_out': [{'category': category, 'text': CATEGORIES[category], 'projects': left_out[category]}
                     for category in CATEGORIES if category in left_out],
        'missing': missing(results, ports),
        'regressions_without_port': sum(len(results[name]['regressions']) for name in missing(results, ports)),
        'untried': [row['name'] for row in rows if row['state'] != 'tried'],
        # Those that were tried on other interpreters than the survey's results are of.
        'elsewhere': [row['name'] for row in good if row['name'] in results
                      and tried[row['name']]['interpreters'] != results[row['name']].get('interpreters')],
        'totals': {
            'projects': len(rows),
            'places': sum(row['places'] for row in rows),
            'added': sum(row['added'] for row in rows),
            'removed': sum(row['removed'] for row in rows),
            'before': sum(row['before'] for row in good),
            'left': sum(len(row['failing']['patched']) for row in good),
            'awaiting_anyio': sum(row['awaiting_anyio'] for row in good),
            'broken_on_stock': sum(len(row['failing']['stock']) for row in good),
            # Regressions of the projects whose edits have not been tried as they are, and of those without any.
            'untried': sum(row['regressions'] for row in rows if row['state'] != 'tried'),
            'left_out': sum(entry['regressions'] for entries in left_out.values() for entry in entries),
        },
    }
