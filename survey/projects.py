"""What is surveyed: projects.toml, read and checked."""

import dataclasses
import pathlib
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
LIST = HERE / 'projects.toml'
SUPPORT = HERE / 'support'

CATEGORIES = ('http', 'framework', 'database', 'task queue', 'messaging', 'protocol', 'utility', 'pytest plugin',
              'anyio', 'event loop', 'sdk', 'other')


class SurveyError(Exception):
    """An error that the user can fix; the text says how."""


@dataclasses.dataclass(frozen=True)
class Project:
    """One entry: a project on PyPI, and how its own tests are run."""
    name: str
    version: str
    category: str
    requirements: tuple = ()  # besides the project itself
    extras: tuple = ()  # of the project itself
    arguments: tuple = ()  # of pytest
    folder: str = ''  # in which pytest runs, below the unpacked sdist
    environment: dict = dataclasses.field(default_factory=dict)
    services: tuple = ()
    prepare: tuple = ()  # shell lines, run in the unpacked sdist
    deselect: dict = dataclasses.field(default_factory=dict)  # tests that are never run: {test: reason}
    timeout: int = 60  # seconds that one test may take
    notes: str = ''
    expect: dict = dataclasses.field(default_factory=dict)  # what its author saw on stock
    seconds: float = 0  # how long that took

    @property
    def wanted(self):
        """The requirements that its environment is made from."""
        extras = f'[{",".join(self.extras)}]' if self.extras else ''
        return [f'{self.name}{extras}=={self.version}', 'pytest', 'pytest-timeout', *self.requirements]


@dataclasses.dataclass(frozen=True)
class Excluded:
    """A project that cannot be surveyed, and why."""
    name: str
    reason: str
    version: str = ''
    category: str = ''


def load(path=LIST):
    """Returns ({name: Project}, [Excluded]).

    Raises:
        SurveyError: the file has a mistake.
    """
    try:
        data = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SurveyError(f'{path}: {error}') from None
    projects = {}
    for entry in data.pop('project', []):
        project = _make(Project, entry, path)
        if project.name in projects:
            raise SurveyError(f'{path}: {project.name} is there twice. Take one out.')
        if project.category not in CATEGORIES:
            raise SurveyError(f'{path}: {project.name}: there is no category {project.category}. '
                              f'There are: {", ".join(CATEGORIES)}')
        projects[project.name] = project
    excluded = [_make(Excluded, entry, path) for entry in data.pop('excluded', [])]
    if data:
        raise SurveyError(f'{path}: unknown tables: {", ".join(data)}. There are: project, excluded')
    return projects, excluded


def _make(cls, entry, path):
    name = entry.get('name', '?')
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = entry.keys() - fields.keys()
    absent = {key for key, field in fields.items() if field.default is dataclasses.MISSING
              and field.default_factory is dataclasses.MISSING} - entry.keys()
    if unknown or absent:
        raise SurveyError(f'{path}: {name}: ' + '; '.join(filter(None, [
            unknown and f'unknown keys: {", ".join(sorted(unknown))}',
            absent and f'these are missing: {", ".join(sorted(absent))}'])))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    for key, reason in values.get('deselect', {}).items():
        if not reason:
            raise SurveyError(f'{path}: {name}: {key} is deselected without a reason. Write one.')
    return cls(**values)
