"""Count instructions of the patched interpreter against stock, where a timing would drown in noise.

    python3 benchmarks/instructions.py

needs valgrind and build/stock and build/release (`./build.sh build --variant stock`, `./build.sh build`).  Each
workload is run with two counts, and the difference is what one operation costs, so that start-up does not matter.
The figures go to benchmarks/results/instructions.json.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent / 'build'
FEW, MANY = 1_000, 6_000
DEPTH = 10_000  # nested scopes around the operation, on the patched interpreter only


def instructions(variant, *arguments):
    """Return how many instructions workloads.py executes with these arguments."""
    command = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null',
               BUILD / variant / 'python', HERE / 'workloads.py', *map(str, arguments)]
    env = {**os.environ, 'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1'}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    collected = re.search(r'Collected : (\d+)', done.stderr)
    if done.returncode or not collected:
        sys.exit(f'{" ".join(map(str, command))} failed:\n{done.stderr}')
    return int(collected[1])


def cost(variant, workload, depth=0):
    """Return the instructions of one operation of a workload."""
    return (instructions(variant, workload, MANY, depth) - instructions(variant, workload, FEW, depth)) / (MANY - FEW)


def main():
    results = {}
    print(f'{"instructions of one":22}{"stock":>10}{"patched":>10}{"ratio":>8}')
    for workload in 'bare_yield', 'future', 'create_task', 'group_task', 'small_group', 'shield', 'timeout':
        stock, patched = (cost(variant, workload) for variant in ('stock', 'release'))
        results[workload] = {'stock': round(stock), 'patched': round(patched), 'ratio': round(patched / stock, 4)}
        print(f'{workload:22}{stock:10.0f}{patched:10.0f}{patched / stock:8.4f}', flush=True)
    flat, deep = (cost('release', 'bare_yield', depth) for depth in (0, DEPTH))
    results['bare_yield_deep'] = {'flat': round(flat), 'deep': round(deep), 'depth': DEPTH, 'ratio': round(deep / flat, 4)}
    print(f'a bare yield below {DEPTH} nested scopes against one below none: {deep / flat:.4f}')
    target = HERE / 'results' / 'instructions.json'
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    for variant in 'stock', 'release':
        if not (BUILD / variant / 'python').exists():
            sys.exit(f'build/{variant} is missing: run ./build.sh build --variant {variant}')
    main()
