"""docs/sizes.md: how large the core is, now and before it was rebuilt.

    python3 -m tools.sizes

counts in the working tree, in the revision that was reviewed and in the one before the core was rebuilt, and measures on build/release (`./build.sh build`) how many Python
frames are between CancelScope.cancel() and the cancel() of what a task waits for.
"""

import io
import pathlib
import re
import subprocess
import sys
import tokenize

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = 'docs/sizes.md'
REVIEWED, BEFORE = 'abd1b0c', '5465863'
_SCOPES = 'Lib/asyncio/cancelscopes.py'
# What is counted together, as patterns of paths.  Files that a tool generates are not counted.
_GROUPS = {
    'the scopes, in Python: cancelscopes.py': [_SCOPES],
    'its modules: _cancel_\\*.py, _spawning.py': ['Lib/asyncio/_cancel_*.py', 'Lib/asyncio/_spawning.py'],
    'groups and the Runner: groups.py, rootgroup.py, _background_errors.py, _other_loops.py':
        ['Lib/asyncio/groups.py', 'Lib/asyncio/rootgroup.py', 'Lib/asyncio/_background_errors.py',
         'Lib/asyncio/_other_loops.py'],
    'signals: interrupts.py': ['Lib/asyncio/interrupts.py'],
    'what ends last: asyncgens.py, farewells.py': ['Lib/asyncio/asyncgens.py', 'Lib/asyncio/farewells.py'],
    'C: Modules/_asyncio': ['Modules/_asyncio/*.c', 'Modules/_asyncio/*.h'],
    'the legacy switches, which are not for upstream':
        ['Lib/_asyncio_legacy.py', 'Lib/asyncio/legacy_groups.py', 'Lib/asyncio/edge_scopes.py'],
}
_GLOSSARY = re.compile(r'^    [a-z][a-z ,]{2,17} {1,}\S', re.MULTILINE)
_FRAMES = '''\
import sys
sys.modules['_asyncio'] = None
import asyncio

class Waiter(asyncio.Future):
    def cancel(self, msg=None):
        frame, count = sys._getframe(), 0
        while frame.f_code is not asyncio.CancelScope.cancel.__code__:
            frame, count = frame.f_back, count + 1
        counts.append(count)
        return super().cancel(msg)

async def wait():
    await Waiter()

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        await asyncio.sleep(0)
        group.cancel()

counts = []
asyncio.run(main())
print(counts[0])
'''


class Revision:
    """The files of a revision, or of the working tree if it is None."""

    def __init__(self, name=None):
        self._name = name
        listing = ['ls-tree', '-r', '--name-only', name] if name else ['ls-files', '--cached', '--others', '--exclude-standard']
        self.paths = sorted(set(_git(*listing, '--', 'Lib', 'Modules', 'patches')))

    def read(self, path):
        if self._name is None:
            return (ROOT / path).read_text(encoding='utf-8')
        return subprocess.run(['git', 'show', f'{self._name}:{path}'], cwd=ROOT, check=True, capture_output=True,
                              encoding='utf-8').stdout

    def match(self, patterns):
        return [path for path in self.paths if any(pathlib.PurePath(path).match(pattern) for pattern in patterns)
                and '/clinic/' not in path]


def _git(*arguments):
    return subprocess.run(['git', *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def python_lines(text):
    """Return the number of lines of code: neither blank, nor comments, nor docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    starts = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}
    lines, before = set(), tokenize.NEWLINE
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]]):
        is_docstring = (token.type == tokenize.STRING and before in starts and after.type == tokenize.NEWLINE)
        if token.type not in skipped and not is_docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        before = token.type
    return len(lines)


def c_lines(text):
    """Return the number of lines that are neither blank nor comments."""
    text = re.sub(r'/\*.*?\*/', lambda comment: '\n' * comment[0].count('\n'), text, flags=re.DOTALL)
    return sum(1 for line in text.splitlines() if line.strip())


def count(text, path):
    return python_lines(text) if path.endswith('.py') else c_lines(text)


def patch_lines(text):
    """Return how many lines of a patch a human wrote, but for tests: added and removed ones."""
    number = 0
    for part in re.split(r'^(?=diff --git )', text, flags=re.MULTILINE)[1:]:
        path = re.match(r'diff --git a/(\S+)', part)[1]
        body = part.partition('\n@@')[2]
        generated = '/clinic/' in path or re.search(r'pycore_(global_|unicodeobject_generated|runtime_init_gen)', path)
        if not generated and not path.startswith(('Lib/test/', 'Doc/')):
            number += len(re.findall(r'^[+-]', body, re.MULTILINE))
    return number


def measure(revision):
    """Return {what: number} of a Revision."""
    sizes = {what: sum(count(revision.read(path), path) for path in revision.match(patterns))
             for what, patterns in _GROUPS.items()}
    names = [line for line in revision.read('patches/series').splitlines() if line and not line.startswith('#')]
    sizes['patches'] = len(names)
    sizes['lines of the longest patch, files of our own, tests and documentation aside'] = max(
        patch_lines(revision.read(f'patches/{name}')) for name in names)
    sizes['terms in the glossary of cancelscopes.py'] = len(_GLOSSARY.findall(
        revision.read(_SCOPES).partition('Glossary:')[2].partition('"""')[0]))
    return sizes


def frames():
    """Return the number of Python frames from CancelScope.cancel() to the waiter's cancel(), without the accelerator."""
    python = ROOT / 'build' / 'release' / 'python'
    if not python.exists():
        sys.exit('build/release is missing: run ./build.sh build')
    return int(subprocess.run([python, '-c', _FRAMES], check=True, capture_output=True, text=True).stdout)


def document(reviewed, before, after, number_of_frames):
    """Return the content of the document."""
    rows = [f'| {what} | {" | ".join(f"{sizes[what]:,}" if sizes[what] else "–" for sizes in (reviewed, before, after))} |'
            for what in after]
    return f'''\
# Sizes of the core

Generated by `python3 -m tools.sizes`; do not edit. Lines of code are those that are neither blank nor comments nor
docstrings.

| | {REVIEWED}, which was reviewed | {BEFORE}, before the core was rebuilt | now |
| --- | --- | --- | --- |
{chr(10).join(rows)}

Without the accelerator, `CancelScope.cancel()` reaches the `cancel()` of what a task waits for in {number_of_frames} Python
frames.
'''


def main():
    text = document(measure(Revision(REVIEWED)), measure(Revision(BEFORE)), measure(Revision()), frames())
    (ROOT / DOCUMENT).write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
