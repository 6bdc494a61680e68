"""Time AnyIO's cancel scopes and task groups: its own backend on stock against the native one on the patched interpreter.

    python3 benchmarks/anyio_backend.py

needs build/stock and build/release (`./build.sh build --variant stock`, `./build.sh build`).  It makes an environment of
each and runs each case in them by turns, in a process of its own each time.  What is compared is the processor time that
a process uses, of each case the least, so that other work on the machine matters little.  The figures go to
benchmarks/results/anyio_backend.json; `goal` is what the ratio is to stay below.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
FOLDER = ROOT / 'build' / 'benchmarks'
VERSION = '4.16.0'
GOALS = {'scope': 0.35, 'task': 0.6, 'cancel': 0.3, 'straggler': 0.02}


# The cases. Each returns the seconds of processor time of one operation; they run in the interpreter that is measured.

async def scope(anyio, count=50_000):
    """Enter and exit a cancel scope."""
    begin = time.process_time()
    for _ in range(count):
        with anyio.CancelScope():
            pass
    return (time.process_time() - begin) / count


async def task(anyio, count=100, groups=200):
    """Spawn a task into a group of a hundred that ends at once, and join it."""
    async def noop():
        pass

    begin = time.process_time()
    for _ in range(groups):
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(noop)
    return (time.process_time() - begin) / count / groups


async def cancel(anyio, count=10_000):
    """Cancel a group of blocked tasks and join it: the cost of each of them."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        begin = time.process_time()
        group.cancel_scope.cancel()
    return (time.process_time() - begin) / count


async def straggler(anyio, count=10_000):
    """Have tasks under a cancelled scope, all shielded, wait for one of them that takes a second."""
    done = anyio.Event()
    used = None

    async def wait():
        with anyio.CancelScope(shield=True):
            await done.wait()

    async def take_a_second():
        nonlocal used
        with anyio.CancelScope(shield=True):
            await cancelled.wait()
            begin = time.process_time()
            await anyio.sleep(1)
            used = time.process_time() - begin
            done.set()

    cancelled = anyio.Event()
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(wait)
        group.start_soon(take_a_second)
        await anyio.wait_all_tasks_blocked()
        cancelled.set()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancel_called and used is not None
    return used


CASES = {function.__name__: function for function in (scope, task, cancel, straggler)}


def measure(case):
    """Run a case and print what it takes; this is what the interpreters are asked to do."""
    import anyio
    import asyncio

    async def run():
        assert isinstance(anyio.CancelScope(), getattr(asyncio, 'CancelScope', object)), 'the native backend is off'
        return await CASES[case](anyio)

    print(anyio.run(run))


def prepare(variant):
    """Return the interpreter of an environment that has AnyIO."""
    python = ROOT / 'build' / variant / 'python'
    if not python.exists():
        sys.exit(f'build/{variant} is missing: run ./build.sh build --variant {variant}')
    folder = FOLDER / variant
    shutil.rmtree(folder, ignore_errors=True)
    # The verb brings the native backend.
    subprocess.run([ROOT / 'build.sh', 'venv', folder] if variant == 'release' else [python, '-m', 'venv', folder],
                   check=True)
    subprocess.run([folder / 'bin' / 'python', '-m', 'pip', '--quiet', '--disable-pip-version-check', 'install',
                    f'anyio=={VERSION}'], check=True)
    return folder / 'bin' / 'python'


def compare(case, pythons, rounds):
    """Return the figures of a case."""
    times = {name: [] for name in pythons}
    for _ in range(rounds):
        for name, python in pythons.items():
            done = subprocess.run([python, __file__, '--measure', case], check=True, capture_output=True, text=True,
                                  timeout=600)
            times[name].append(float(done.stdout))
    ratios = [native / stock for stock, native in zip(*times.values())]
    return {'ratio': round(min(times['release']) / min(times['stock']), 4), 'goal': GOALS[case],
            'spread': [round(min(ratios), 4), round(statistics.median(ratios), 4), round(max(ratios), 4)],
            **{f'{name}_ns': round(min(seconds) * 1e9) for name, seconds in times.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('case', nargs='*', help=f'{", ".join(GOALS)}; all unless given')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--measure', metavar='CASE', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    if unknown := set(options.case) - GOALS.keys():
        parser.error(f'there is no case {", ".join(sorted(unknown))}; there are {", ".join(GOALS)}')
    pythons = {variant: prepare(variant) for variant in ('stock', 'release')}
    target = HERE / 'results' / 'anyio_backend.json'
    results = json.loads(target.read_text(encoding='utf-8')) if options.case and target.exists() else {}
    print(f'{"":12}{"stock, ns":>14}{"native, ns":>14}{"ratio":>9}{"goal":>7}')
    for case in options.case or GOALS:
        row = results[case] = compare(case, pythons, options.rounds)
        print(f'{case:12}{row["stock_ns"]:14,}{row["release_ns"]:14,}{row["ratio"]:9.4f}{row["goal"]:7}', flush=True)
    target.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
