"""Run the examples of a page of the documentation as Sphinx's `doctest` builder does, without Sphinx.

    python tests/doc_examples.py FILE.rst ...

The directives testsetup, testcode, testoutput and doctest count.  All blocks of a page, or of a group of blocks that
they name, share one namespace.  Standard output must be what the testoutput says; warnings are errors, as in CPython's
Doc/conf.py.
"""

import dataclasses
import doctest
import pathlib
import re
import sys
import textwrap
import warnings

_DIRECTIVE = re.compile(r'( *)\.\. (testsetup|testcode|testoutput|doctest)::(.*)')
_OPTION = re.compile(r' *:(\w+):(.*)')
# Those of sphinx.ext.doctest.
_FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.DONT_ACCEPT_TRUE_FOR_1


@dataclasses.dataclass
class Block:
    """One directive: its kind, the group that it belongs to, its text, and the number of the text's first line."""
    kind: str
    group: str
    text: str
    line: int


def find_blocks(text):
    """Return the Blocks of a page, in order."""
    lines = text.splitlines()
    blocks = []
    number = 0
    while number < len(lines):
        found = _DIRECTIVE.fullmatch(lines[number])
        number += 1
        if not found:
            continue
        indent = len(found[1])
        while number < len(lines) and _OPTION.fullmatch(lines[number]):
            number += 1
        first = number
        while number < len(lines) and (not lines[number].strip() or _indent(lines[number]) > indent):
            number += 1
        body = textwrap.dedent('\n'.join(lines[first:number])).strip('\n') + '\n'
        while first < number and not lines[first].strip():
            first += 1
        blocks.append(Block(found[2], found[3].strip() or 'default', body, first + 1))
    return blocks


def _indent(line):
    return len(line) - len(line.lstrip())


def find_examples(blocks):
    """Return [(kind of compilation, doctest.Example)] of blocks of one group."""
    examples = []
    for block in blocks:
        if block.kind == 'doctest':
            for example in doctest.DocTestParser().get_examples(block.text):
                example.lineno += block.line - 1
                examples.append(('single', example))
        elif block.kind == 'testoutput':
            if not examples or examples[-1][0] != 'exec':
                raise ValueError(f'line {block.line}: there is no testcode that this testoutput belongs to')
            _, code = examples[-1]
            failure = doctest.DocTestParser._EXCEPTION_RE.match(block.text)
            message = failure['msg'] if failure else None
            examples[-1] = 'exec', doctest.Example(code.source, block.text, message, code.lineno)
        else:
            examples.append(('exec', doctest.Example(block.text, '', lineno=block.line - 1)))
    return examples


def run(path):
    """Run all examples of the page at `path`; return (failures, examples)."""
    groups = {}
    for block in find_blocks(path.read_text(encoding='utf-8')):
        groups.setdefault(block.group, []).append(block)
    failed = attempted = 0
    for blocks in groups.values():
        examples = find_examples([*(block for block in blocks if block.kind == 'testsetup'),
                                  *(block for block in blocks if block.kind != 'testsetup')])
        kinds = iter([kind for kind, _ in examples])
        # (The runner always compiles for the interactive mode; Sphinx replaces the same function.)
        doctest.compile = lambda source, file, mode, *more: compile(source, file, next(kinds), *more)
        test = doctest.DocTest([example for _, example in examples], {'__name__': '__main__'}, path.name, str(path), 0,
                               None)
        results = doctest.DocTestRunner(optionflags=_FLAGS).run(test)
        failed += results.failed
        attempted += results.attempted
    return failed, attempted


def main(names):
    """Run the pages; return the exit status."""
    warnings.simplefilter('error')
    failures = 0
    for name in names:
        failed, attempted = run(pathlib.Path(name))
        print(f'{name}: {attempted} examples, {failed} failed')
        failures += failed
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
