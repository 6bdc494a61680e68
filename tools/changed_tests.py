"""docs/changed-tests.md: which of upstream's tests the series changes, and by which rule of the semantics."""

import re

from tools import git as git_module

PATH = 'docs/changed-tests.md'
RULE = re.compile(r'\d+(\.\d+[a-z]?)?')
_HEAD = """\
# Upstream tests that the series changes

Generated from the series by `./build.sh refresh`; do not edit. A patch that changes a test of upstream says in a
trailer `Rule:`, or `Test-Rule:` if there are more, which rule of the [semantics](semantics.md) makes the change necessary.

"""


def touches_tests(patch):
    """Return true if patch changes upstream's tests."""
    return any(path.startswith('Lib/test/') for path in patch.paths)


def document(git, patches, commits):
    """Return the content of the document.

    Args:
        git: the repository that they are in.
        patches: the Patches, in order.
        commits: their commits.
    """
    rows = []
    for patch, commit in zip(patches, commits):
        if touches_tests(patch):
            tests = [test for path in patch.paths if path.startswith('Lib/test/')
                     for test in _changed(git, commit, path)]
            reason = find_reason(patch.text) or patch.subject
            rows.append((f'`{patch.name[:-len(".patch")]}`', '<br>'.join(f'`{test}`' for test in tests),
                         ', '.join(patch.test_rules) or '?', reason.replace('|', r'\|')))
    if not rows:
        return _HEAD + 'None.\n'
    table = [('Patch', 'Tests', 'Rule', 'Reason'), ('---',) * 4, *rows]
    return _HEAD + ''.join(f'| {" | ".join(row)} |\n' for row in table)


def find_reason(text):
    """Return the paragraph of a message that speaks of upstream's tests, else the first one."""
    paragraphs = [' '.join(paragraph.split()) for paragraph in text.split('\n\n')]
    of_tests = re.compile(r'\btests? of upstream\b', re.IGNORECASE)
    return next(filter(of_tests.search, paragraphs), paragraphs[0])


def _changed(git, commit, path):
    """Return the ids of the tests in the file path that commit changes, in the order of the file."""
    diff = git.bytes('diff-tree', '-p', *git_module.DIFF, '--unified=0', f'{commit}^', commit, '--',
                     path).decode('utf-8', 'replace')
    tests = {}
    for side, revision in (('-', f'{commit}^'), ('+', commit)):
        owners = _owners(_show(git, revision, path))
        for start, count in re.findall(rf'^@@ .*?\{side}(\d+)(?:,(\d+))? .*?@@', diff, re.MULTILINE):
            for line in range(int(start), int(start) + int(count or 1)):
                tests[owners.get(line, '')] = line
    module = re.sub(r'^Lib/test/|\.py$', '', path).replace('/', '.')
    # What lies outside of any class (an import, a helper) is reported as the module, if it is all there is.
    named = [name for name in tests if name]
    return [f'{module}.{name}' for name in named] or [module]


def _show(git, revision, path):
    try:
        return git.bytes('show', f'{revision}:{path}').decode('utf-8', 'replace')
    except git_module.GitError:
        return ''  # a commit may remove a file


def _owners(text):
    """Return {line number: the test, or class, that the line is in}.

    The indentation is read, not the syntax: that of the tests may be newer than the Python that we run on.
    """
    owners = {}
    stack = []  # (indentation, name)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            indentation = len(line) - len(line.lstrip())
            if line.strip() not in (')', ']', '}', '):'):
                while stack and stack[-1][0] >= indentation:
                    stack.pop()
            match = re.match(r'\s*(?:async )?(class|def) (\w+)', line)
            # A helper that is nested in a test is a part of the test.
            if match and not any(name.startswith('test') for _, name in stack):
                stack.append((indentation, match[2]))
        owners[number] = '.'.join(name for _, name in stack)
    return owners
