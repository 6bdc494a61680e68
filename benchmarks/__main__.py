"""What ./build.sh bench runs: `python -m benchmarks COMMAND`, in an environment with tools-requirements.txt."""

import argparse
import json
import pathlib
import sys

from benchmarks import cases
from benchmarks import report
from benchmarks import results
from benchmarks import rounds
from benchmarks import suites

ROOT = pathlib.Path(__file__).resolve().parent.parent
_ROUNDS = 7
_QUICK = 2


def main(arguments=None):
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='say which cases there are')
    commands.add_parser('report', help=f'render {report.DOCUMENT} and its plots')
    for name, about in (('measure', 'measure cases'), ('store', 'write what has been measured to the results')):
        command = commands.add_parser(name, help=about)
        command.add_argument('--pythons', type=json.loads, required=True,
                             help='JSON: {"stock": PATH, "patched": PATH}, environments with requirements.txt')
        command.add_argument('--sources', type=json.loads, required=True,
                             help='JSON: {"stock": ID, "patched": ID}, what they were built from')
        command.add_argument('--work', type=pathlib.Path, required=True, help='a file for what has been measured')
        command.add_argument('--suite', choices=suites.SUITES, default='cases', help='what is measured')
        command.add_argument('--quick', action='store_true', help=f'{_QUICK} rounds instead of {_ROUNDS}')
        command.add_argument('--rounds', type=int, help='how many rounds')
        command.add_argument('case', nargs='*', help='which cases; default: all')
        if name == 'store':
            command.add_argument('--target', type=pathlib.Path, required=True, help='the folder of the results')
    options = parser.parse_args(arguments)
    return globals()[f'_{options.command}'](options)


def _list(options):
    print(cases.overview())


def _report(options):
    for path in report.write(ROOT):
        print(path.relative_to(ROOT))


def _chosen(options):
    """Return (Items, Rounds) that the options mean."""
    try:
        items = suites.select(options.suite, options.case)
    except LookupError as error:
        sys.exit(error.args[0])
    return items, rounds.Rounds(options.work, {**options.sources, 'benchmarks': rounds.own_identity()})


def _measure(options):
    items, found = _chosen(options)
    count = options.rounds or (_QUICK if options.quick else _ROUNDS)
    problems = rounds.measure(found, items, options.pythons, count, lambda text: print(text, flush=True))
    if problems:
        sys.exit('\n'.join(['these have failed:', *(f'{what}: {text}' for what, text in problems.items())]))


def _store(options):
    """Print the tables of what has been measured, and write it to the results unless it was quick."""
    items, found = _chosen(options)
    keys = tuple(item.key for item in items)
    entries = [entry for entry in found.entries
               if entry['case'].startswith(tuple(f'{key}/' for key in keys)) or entry['case'] in keys]
    print('\n'.join(report.TABLES[options.suite](results.Figures.of_entries(entries), report.load_goals(ROOT))))
    if not options.quick:
        descriptions = {name: rounds.describe(python) for name, python in options.pythons.items()}
        results.store(entries, descriptions, options.sources, options.target)
    found.forget(entries)


if __name__ == '__main__':
    sys.exit(main())
