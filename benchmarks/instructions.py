"""Count instructions of the patched interpreter against stock, where a timing would drown in noise.

    python3 benchmarks/instructions.py [--check] [WORKLOAD ...]

needs valgrind and build/stock and build/release (`./build.sh build --variant stock`, `./build.sh build`).  valgrind
counts what a process executes between two marks (see workloads.py), so start-up does not matter.  The figures go to
benchmarks/results/instructions.json.

--check writes nothing.  It fails if a workload has become slower: if its ratio to stock is more than TOLERANCE above the
one in that file.  It is the ratio that is compared: another compiler changes the counts of both interpreters, and much
less so their ratio.  TOLERANCE is 1 %: the same builds give the same ratio to four digits, whatever else the machine
does, so the bound is room for other compilers and libraries of C.  What is worth looking at is more than that: one call of
a Python function takes some hundred instructions, and most of these operations a few thousand.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import workloads

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent / 'build'
RESULTS = HERE / 'results' / 'instructions.json'
TOLERANCE = 0.01
DEEP = 'bare_yield_deep'
# Those that must not become slower: what programs use that know nothing of scopes, and the scopes themselves.
GUARDED = ('bare_yield', 'future', 'create_task', 'eager_task', 'timeout', 'small_group', 'group_task', 'scope',
           'move_on_after')
_LIMIT = 300  # seconds for one process


def instructions(variant, workload):
    """Return how many instructions an operation of a workload takes on a variant."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, 'out')
        command = ['valgrind', '--tool=callgrind', f'--dump-before={workloads.MARK}', f'--callgrind-out-file={out}',
                   BUILD / variant / 'python', HERE / 'workloads.py', workload]
        env = {**os.environ, 'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1'}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_LIMIT)
        # What was executed up to the first mark, and up to the second one.
        dumps = [pathlib.Path(f'{out}.{number}') for number in (1, 2)]
        if done.returncode or not all(dump.exists() for dump in dumps) or pathlib.Path(f'{out}.3').exists():
            sys.exit(f'{" ".join(map(str, command))} failed:\n{done.stderr}')
        total = re.search(r'^totals: (\d+)$', dumps[1].read_text(encoding='utf-8', errors='replace'), re.MULTILINE)
    return int(total[1]) / workloads.COUNTS[workload]


def count(names):
    """Return {workload: its figures}."""
    wanted = {('release', name) for name in names}
    wanted |= {('release', 'bare_yield') if name == DEEP else ('stock', name) for name in names}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        counts = dict(zip(wanted, pool.map(lambda pair: instructions(*pair), wanted)))
    results = {}
    for name in names:
        patched = counts['release', name]
        if name == DEEP:
            flat = counts['release', 'bare_yield']
            results[name] = {'flat': round(flat), 'deep': round(patched), 'depth': workloads.DEPTH,
                             'ratio': round(patched / flat, 4)}
        else:
            stock = counts['stock', name]
            results[name] = {'stock': round(stock), 'patched': round(patched), 'ratio': round(patched / stock, 4)}
    return results


def slower(found, committed):
    """Return lines about the workloads of found whose ratio is above that of committed."""
    lines = []
    for name, row in found.items():
        before = committed.get(name)
        if before is None:
            lines.append(f'{name}: {RESULTS.name} has no figure of it; run benchmarks/instructions.py')
        elif row['ratio'] > before['ratio'] * (1 + TOLERANCE):
            lines.append(f'{name}: {row["ratio"]} of stock, {100 * (row["ratio"] / before["ratio"] - 1):.1f} % above the '
                         f'{before["ratio"]} of {RESULTS.name}')
    return lines


def compiler():
    """Return what the interpreters were built with.

    Raises:
        SystemExit: they were not built by the same compiler, so that they cannot be compared.
    """
    names = {subprocess.run([BUILD / variant / 'python', '-c', 'import platform; print(platform.python_compiler())'],
                            capture_output=True, text=True, check=True).stdout.strip() for variant in ('stock', 'release')}
    if len(names) > 1:
        sys.exit(f'build/stock and build/release were built by different compilers: {", ".join(sorted(names))}')
    return names.pop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('workload', nargs='*', help=f'{", ".join(workloads.COUNTS)}; default: all, with --check those '
                        'that must not become slower')
    parser.add_argument('--check', action='store_true', help='fail if a workload is slower than the committed figures')
    options = parser.parse_args()
    if unknown := [name for name in options.workload if name not in workloads.COUNTS]:
        parser.error(f'there is no workload {", ".join(unknown)}; there are {", ".join(workloads.COUNTS)}')
    for variant in 'stock', 'release':
        if not (BUILD / variant / 'python').exists():
            sys.exit(f'build/{variant} is missing: run ./build.sh build --variant {variant}')
    if not shutil.which('valgrind'):
        sys.exit('valgrind is missing: install the package of that name')
    built_by = compiler()
    committed = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    found = count(options.workload or (GUARDED if options.check else list(workloads.COUNTS)))
    print(f'{"instructions of one":22}{"stock":>10}{"patched":>10}{"ratio":>8}{"before":>8}')
    for name, row in found.items():
        first, second = (row[key] for key in (('flat', 'deep') if name == DEEP else ('stock', 'patched')))
        print(f'{name:22}{first:10}{second:10}{row["ratio"]:8.4f}{committed.get(name, {}).get("ratio", 0):8.4f}')
    if options.check:
        if lines := slower(found, committed):
            sys.exit('\n'.join(lines))
        return
    results = {**committed, **found, 'compiler': built_by}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
