"""What triage.toml says of the results: causes, findings that give them to regressions, topics, tests of chance."""

import dataclasses
import fnmatch
import tomllib

from survey.projects import HERE, SurveyError

TRIAGE = HERE / 'triage.toml'
# Of a regression that no finding covers.
UNTRIAGED = 'untriaged'


@dataclasses.dataclass
class Cause:
    """A reason why tests break."""
    id: str
    title: str
    text: str
    reproduction: str = ''  # a file in reproductions/
    rules: str = ''  # of docs/semantics.md
    # It is AnyIO's own backend that makes it, so that a regression that remains with the native one has another cause.
    of_anyio: bool = False
    findings: list = dataclasses.field(default_factory=list)
    left: list = dataclasses.field(default_factory=list)  # the rest with AnyIO's native backend, [Left, ...]

    @property
    def regressions(self):
        return sum(len(finding.regressions) for finding in self.findings)

    @property
    def projects(self):
        return sorted({finding.project for finding in self.findings if finding.regressions})


@dataclasses.dataclass
class Finding:
    """Regressions of one project that have one cause."""
    project: str
    tests: list  # patterns as those of the shell
    cause: str
    text: str
    fix: str = ''
    log: str = ''  # what their logs have in common
    switches: list = dataclasses.field(default_factory=list)  # what they are attributed to
    native: bool = False  # they are those that fail with AnyIO's native backend, whether or not without it
    regressions: list = dataclasses.field(default_factory=list)  # [(test, what the result says)]

    def covers(self, project, test, regression):
        return (self.project == project and self.log in regression['log']
                and (not self.switches or self.switches == regression['switches'])
                and any(matches(test, pattern) for pattern in self.tests))


@dataclasses.dataclass(frozen=True)
class Left:
    """A test that fails with AnyIO's native backend."""
    project: str
    test: str
    entry: dict  # what the result says
    finding: Finding | None  # that gives it its cause


@dataclasses.dataclass(frozen=True)
class Chance:
    """Tests of one project that are flaky, although five runs in a row have not shown it."""
    project: str
    tests: list  # patterns as those of the shell
    text: str  # what it depends on
    of_anyio: bool = False  # AnyIO's own backend makes it so: with the native one the tests count

    def covers(self, project, test):
        return self.project == project and any(matches(test, pattern) for pattern in self.tests)


@dataclasses.dataclass(frozen=True)
class Topic:
    """A kind of regressions that cuts across the causes, and that a change of the rules was made for."""
    id: str
    title: str
    rules: str
    text: str
    log: str = ''  # what the logs of its regressions have in common
    causes: list = dataclasses.field(default_factory=list)  # empty: any

    def regressions(self, causes):
        """Return its regressions among those of the causes, as (project, test)."""
        return [(finding.project, test) for cause in causes if not self.causes or cause.id in self.causes
                for finding in cause.findings for test, regression in finding.regressions
                if self.log in regression['log']]


class Triage:
    """All of it.

    Attributes:
        causes: {id: Cause}.
        topics: [Topic, ...].
        findings: the first that covers a regression counts.
        chance: [Chance, ...].
    """

    def __init__(self, causes=(), findings=(), chance=(), topics=()):
        self.causes = {cause.id: cause for cause in causes}
        self.topics = list(topics)
        self.findings = list(findings)
        self.chance = list(chance)
        for finding in self.findings:
            if finding.native and finding.switches:
                raise SurveyError(f'{TRIAGE}: {finding.project}: a native finding has no switches, for there are no '
                                  f'runs under switches with the native backend. Take them out.')
            if finding.cause not in self.causes:
                raise SurveyError(f'{TRIAGE}: {finding.project}: there is no cause {finding.cause}.')
            self.causes[finding.cause].findings.append(finding)
        for topic in self.topics:
            if unknown := [id for id in topic.causes if id not in self.causes]:
                raise SurveyError(f'{TRIAGE}: topic {topic.id}: there is no cause {unknown[0]}.')

    def set_aside(self, result):
        """Makes flaky tests of the regressions in a project's result that depend on chance; returns their names."""
        aside = [test for test in result['regressions']
                 if any(chance.covers(result['name'], test) for chance in self.chance)]
        for test in aside:
            regression = result['regressions'].pop(test)
            result['flaky'][test] = [regression['stock'], regression['patched']]
            result['summary']['regressions'] -= 1
            result['summary']['flaky'] += 1
        if 'left' in (entry := result.get('native_anyio', {})):
            native = {test for test in (*entry['left'], *entry['repaired'])
                      if any(chance.covers(result['name'], test) and not chance.of_anyio for chance in self.chance)}
            entry['left'] = {test: left for test, left in entry['left'].items() if test not in native}
            entry['repaired'] = [test for test in entry['repaired'] if test not in native and test not in aside]
            entry['flaky'] += sorted(native)
            aside += sorted(native.difference(aside))
        return aside

    def give_causes(self, results):
        """Returns the causes, those with most regressions first, with findings that have their regressions.

        What no finding covers has a cause of its own.
        """
        untriaged = Cause(UNTRIAGED, 'Not looked into yet', 'Not explained so far.')
        open_findings = {}
        for name, result in results.items():
            for test, regression in result['regressions'].items():
                matching = [finding for finding in self.findings
                            if not finding.native and finding.covers(name, test, regression)]
                if matching:
                    matching[0].regressions.append((test, regression))
                else:
                    if name not in open_findings:
                        open_findings[name] = Finding(name, [], UNTRIAGED, '')
                        untriaged.findings.append(open_findings[name])
                    open_findings[name].regressions.append((test, regression))
            for test, entry in result.get('native_anyio', {}).get('left', {}).items():
                finding = self._explain(name, test, entry, result['regressions'].get(test))
                cause = self.causes[finding.cause] if finding else untriaged
                cause.left.append(Left(name, test, entry, finding))
        found = sorted(self.causes.values(), key=lambda cause: -cause.regressions)
        return [*found, untriaged] if untriaged.findings or untriaged.left else found

    def _explain(self, name, test, entry, regression):
        """Return the finding for a test that is left with AnyIO's native backend, None if there is none.

        One of those that are about this backend or, where the test regresses without it as well, the one that is given
        there; but not if its log is another one now, nor if its cause is one that the native backend takes away.
        """
        for finding in self.findings:
            if finding.native and finding.covers(name, test, {'log': entry['log'], 'switches': []}):
                return finding
        if regression is None:
            return None
        for finding in self.findings:
            if not finding.native and finding.covers(name, test, regression):
                usable = finding.log in entry['log'] and not self.causes[finding.cause].of_anyio
                return finding if usable else None
        return None


def load(path=TRIAGE):
    """Returns the Triage of a file.

    Raises:
        SurveyError: it contradicts itself.
    """
    data = tomllib.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    return Triage([Cause(**entry) for entry in data.get('cause', [])],
                  [Finding(**each) for entry in data.get('finding', []) for each in _for_each_project(entry)],
                  [Chance(**each) for entry in data.get('chance', []) for each in _for_each_project(entry)],
                  [Topic(**entry) for entry in data.get('topic', [])])


def _for_each_project(entry):
    names = entry['project']
    return [{**entry, 'project': name} for name in ([names] if isinstance(names, str) else names)]


def matches(test, pattern):
    """(Brackets are common in names of tests, so they stand for themselves.)"""
    return fnmatch.fnmatchcase(test, pattern.replace('[', '[[]'))
