"""The language of the project's texts: words that it does not use, British spellings, and misspellings.

SCOPE says which files are checked.  The lists are in tools/language/: the words, where a word is allowed, and the files
that are not covered yet.  `python3 -m tools.wording` prints what is wrong in these; --prune takes clean ones off the
list.
"""

import collections
import dataclasses
import fnmatch
import pathlib
import re
import subprocess
import sys
import tempfile

from tools import project as project_module
from tools import ui

_ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = 'tools/language'
WORDS = f'{FOLDER}/words.txt'
ALLOWED = f'{FOLDER}/allowed.txt'
UNCOVERED = f'{FOLDER}/uncovered.txt'
# Patterns of fnmatch, in which * stands for slashes as well.
SCOPE = ('README.md', 'Dockerfile', 'build.sh', 'upstream.conf', 'docs/*', 'tools/*.py', 'tests/*.py',
         'tests/kinds.toml', 'survey/*.py', 'survey/README.md', 'survey/triage.toml', 'survey/templates/*',
         'survey/ports/*', 'anyio_backend/*', 'benchmarks/*.py', 'examples/*', 'Lib/*', 'Modules/*', 'Misc/*', 'Doc/*',
         'patches/*')
# The programs in the subfolders of these are not checked.
_FLAT = 'tests', 'survey'
_DICTIONARIES = 'clear,en-GB_to_en-US'  # of codespell


@dataclasses.dataclass(frozen=True)
class Finding:
    """A word that should not be there."""
    path: str
    line: int
    word: str
    instead: str

    def __str__(self):
        return f'{self.path}:{self.line}: {self.word!r}; write {self.instead} (or allow it, in {ALLOWED})'


def in_scope(path):
    """Return true if the check looks at the file at path, relative to the root."""
    parts = path.split('/')
    if parts[0] in _FLAT and len(parts) > 2 and path.endswith('.py'):
        return False
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in SCOPE)


def own_text(path, text):
    """Return text with empty lines in place of what is not the project's own: what a patch quotes of upstream."""
    if not path.endswith('.patch'):
        return text
    lines, in_message = [], True
    for line in text.split('\n'):
        if line == '---':
            in_message = False
        own = in_message or line.startswith('+') and not line.startswith('+++ ')
        lines.append(line if own else '')
    return '\n'.join(lines)


def read_words(text):
    """Return {word or phrase, in lower case: what to write instead}."""
    words = {}
    for number, line in _lines(text):
        left, arrow, instead = line.partition('->')
        if not arrow or not instead.strip():
            raise ui.UserError(f'{WORDS}:{number}: expected `word, word -> what to write`, got: {line}')
        words.update((word.strip().lower(), instead.strip()) for word in left.split(','))
    return words


def read_allowed(text):
    """Return [(line number, pattern of paths, words)]."""
    allowed = []
    for number, line in _lines(text):
        pattern, _, rest = line.partition(':')
        words, _, reason = rest.partition(':')
        if not reason.strip():
            raise ui.UserError(f'{ALLOWED}:{number}: expected `path: word, word: reason`, got: {line}')
        allowed.append((number, pattern.strip(), {word.strip().lower() for word in words.split(',')}))
    return allowed


def read_uncovered(text):
    """Return {path: line number}."""
    return {line: number for number, line in _lines(text)}


def _lines(text):
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.startswith('#')]


def find_words(path, text, words):
    """Return the Findings of words, {word: what to write instead}, in text."""
    # Between the words of a phrase a line may end, in a comment as well.
    pattern = '|'.join(re.escape(word).replace(r'\ ', r'[\s#*]+') for word in sorted(words, key=len, reverse=True))
    found = []
    for match in re.finditer(rf'(?<![\w-])(?:{pattern})(?![\w-])', text, re.IGNORECASE):
        word = ' '.join(re.sub(r'[\s#*]+', ' ', match[0]).split())
        found.append(Finding(path, text.count('\n', 0, match.start()) + 1, word, words[word.lower()]))
    return found


def find_misspellings(texts, python):
    """Return the Findings of codespell, which `python` has installed, in texts, {path: text}."""
    with tempfile.TemporaryDirectory(prefix='asyncbis-') as name:
        folder = pathlib.Path(name)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding='utf-8')
        # The folder has no settings of codespell that it could find, and no file is skipped.
        result = subprocess.run([str(python), '-m', 'codespell_lib', '--builtin', _DICTIONARIES, '--check-hidden', '.'],
                                cwd=folder, env=ui.clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False)
    if result.returncode not in (0, 65):  # nothing found, something found
        raise ui.UserError(f'codespell failed: {" ".join(result.stderr.split())[-400:]}\n'
                           '  Make its environment anew: rm -r build/tools-venv, then ./build.sh check')
    found = []
    for line in result.stdout.splitlines():
        if match := re.fullmatch(r'(?:\./)?(.+?):(\d+): (.+?) ==> (.+)', line):
            found.append(Finding(match[1], int(match[2]), match[3], match[4]))
    return found


@dataclasses.dataclass
class Report:
    """What the check has found."""
    findings: list  # in the files that are covered, but for what is allowed
    uncovered: dict  # {path: the Findings in it}, of the files that are not covered
    idle: list  # the numbers of the lines of ALLOWED that allow nothing
    clean: list  # the paths in UNCOVERED whose files are clean or not there


def inspect(root, paths, python):
    """Return the Report on the files at paths, relative to root; python has codespell."""
    texts = {path: own_text(path, text) for path in paths if in_scope(path) and not path.startswith(f'{FOLDER}/')
             if (text := _read(root / path)) is not None}
    words = read_words((root / WORDS).read_text(encoding='utf-8'))
    allowed = read_allowed((root / ALLOWED).read_text(encoding='utf-8'))
    uncovered = read_uncovered((root / UNCOVERED).read_text(encoding='utf-8'))
    found = [finding for path, text in texts.items() for finding in find_words(path, text, words)]
    found += find_misspellings(texts, python)
    used, remaining = set(), collections.defaultdict(list)
    for finding in sorted(found, key=lambda finding: (finding.path, finding.line)):
        lines = [number for number, pattern, words in allowed
                 if finding.word.lower() in words and fnmatch.fnmatchcase(finding.path, pattern)]
        used.update(lines)
        if not lines:
            remaining[finding.path].append(finding)
    return Report([finding for path, some in remaining.items() if path not in uncovered for finding in some],
                  {path: some for path, some in remaining.items() if path in uncovered},
                  [number for number, _, _ in allowed if number not in used],
                  [path for path in uncovered if path not in remaining])


def _read(path):
    """Return the text of a file, or None if it is no text."""
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        return None


def problems(root, paths, python):
    """Return what is wrong with the language of the project, a line each."""
    report = inspect(root, paths, python)
    return [*map(str, report.findings),
            *(f'{ALLOWED}:{number}: allows what is nowhere; take the line out' for number in report.idle),
            *(f'{UNCOVERED}: lists {path}, which is clean, or not there; take it off (python3 -m tools.wording --prune)'
              for path in report.clean)]


def main(arguments):
    """Print what is wrong in files that are not covered, or take clean ones off their list; return an error or None."""
    project = project_module.Project(_ROOT)
    python = project.build / 'tools-venv' / 'bin' / 'python'
    if not python.exists():
        return 'there is no build/tools-venv; ./build.sh check makes it'
    report = inspect(_ROOT, [path.relative_to(_ROOT).as_posix() for path in project.files()], python)
    if arguments == ['--prune']:
        lines = (_ROOT / UNCOVERED).read_text(encoding='utf-8').splitlines(keepends=True)
        project_module.write_atomically(_ROOT / UNCOVERED, ''.join(
            line for line in lines if line.strip() not in report.clean).encode())
        return None
    for finding in (finding for some in report.uncovered.values() for finding in some):
        print(finding)
    return None


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
