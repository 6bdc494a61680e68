"""Compare asyncbis with Trio on random programs; run it with a patched interpreter that has trio (see README.md).

    run.py --programs 10000 --seed 1 --jobs 2       compare; exit status 1 if there is a divergence
    run.py --replay FILE ...                        run saved programs again, with both traces side by side
    run.py --root --programs 10000                  with tasks in the background, and what run() raises
    run.py --asyncio-only --programs 10000          only C and Python, with what Trio has not: uncancel(), gather() ...
    run.py --anyio --programs 10000                 through AnyIO's API: on its native asyncio backend, and on Trio
    run.py --show 17 --seed 1                       print the 17th program of that seed
    run.py --mutations                              which deliberate bugs are found, and after how many programs
"""

import json
import multiprocessing
import pathlib
import random
import sys
import time
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from differential import command, compare, mutations, programs, shrink  # noqa: E402 (what is beside this file)

WIDTH = 58      # of a column
FINE = 'same', 'matched', 'discarded'


def make(seed, number, options):
    return programs.generate(random.Random(command.make_seed(seed, number)), options.root, options.asyncio_only)


def checker(options):
    """The module that compares."""
    if not options.anyio:
        return compare
    from differential import anyio_side     # AnyIO is not needed for anything else.
    return anyio_side


def run_chunk(job):
    """Check some programs; return counts, statistics of the compared ones, and what has failed."""
    options, numbers = job
    seed = options.seed
    counts, stats, failures = Counter(), Counter(), []
    for number in numbers:
        program = make(seed, number, options)
        verdict = checker(options).check_safely(program, command.make_seed(seed, number), options.only)
        counts[verdict.label] += 1
        if verdict.kind == 'same':
            stats += verdict.stats
        if verdict.failed:
            failures.append(number)
    return counts, stats, failures


def compare_many(options):
    start = time.monotonic()
    jobs = command.make_jobs(options)
    counts, stats, files, reported, written = Counter(), Counter(), [], start, start

    def write_summary():
        summary = summarize(options, counts, stats, time.monotonic() - start, files)
        return command.write_json(options.out, summary)

    with multiprocessing.Pool(options.jobs) as pool:
        for more_counts, more_stats, more_failures in pool.imap(run_chunk, jobs):
            counts += more_counts
            stats += more_stats
            for number in more_failures[:options.stop_after - len(files)]:
                files.append(str(save(options, number)))
            if time.monotonic() - reported > 2:
                reported = time.monotonic()
                report_progress(counts, options.programs, reported - start)
            if time.monotonic() - written > 60:
                written = time.monotonic()
                write_summary()
            if len(files) >= options.stop_after or time.monotonic() - start > options.seconds:
                pool.terminate()
                break
    print(file=sys.stderr)
    print(write_summary())
    return 1 if files else 0


def report_progress(counts, programs_in_all, seconds):
    done = counts.total()
    print(f'\r{done} of {programs_in_all} programs, {counts["same"]} compared, {counts["matched"]} matched, '
          f'{failed(counts)} failed, {done / seconds:.0f}/s  ', end='', file=sys.stderr, flush=True)


def failed(counts):
    return sum(count for label, count in counts.items() if not label.startswith(FINE))


def summarize(options, counts, stats, seconds, files):
    done, same = counts.total(), counts['same']
    discarded = {label.partition(': ')[2]: count for label, count in counts.most_common()
                 if label.startswith('discarded')}
    wrong = {label: count for label, count in counts.items() if not label.startswith(FINE)}
    only = ('native AnyIO',) if options.anyio else options.only
    per_configuration = dict.fromkeys(only, same + counts['matched'])
    parity = {f'{one} and {other}': done for one, other in compare.PARITY if {one, other} <= set(only)}
    return {
        'seed': options.seed, 'root': options.root, 'asyncio_only': options.asyncio_only,
        'programs': done, 'compared': same, 'matched': counts['matched'],
        'discarded': sum(discarded.values()), 'discarded_because': discarded,
        'not_compared_rate': round(1 - same / max(done, 1), 3),
        'compared_with_trio': per_configuration, 'compared_with_each_other': parity,
        'divergences': wrong, 'files': files,
        'ops': {name: count for name, count in stats.most_common() if name[0] != '!'},
        'events': {name[2:]: count for name, count in stats.most_common() if name[0] == '!'},
        'seconds': round(seconds, 1), 'programs_per_second': round(done / max(seconds, 1e-9)),
    }


def save(options, number):
    """Shrink a program that failed and write it to a file."""
    seed = command.make_seed(options.seed, number)
    program = make(options.seed, number, options)
    verdict = checker(options).check_safely(program, seed, options.only)

    def fails(smaller):
        return checker(options).check_safely(smaller, seed, options.only).label == verdict.label

    program = shrink.shrink(program, fails)
    folder = pathlib.Path(options.failures)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'program-{options.seed}-{number}.json'
    command.write_json(path, {'description': f'program {number} of seed {options.seed}: {verdict.label}',
                              'seed': seed, 'program': program})
    print(f'{verdict.label}; saved as {path}\n', file=sys.stderr)
    show_failure(program, checker(options).check_safely(program, seed, options.only), file=sys.stderr)
    return path


# Replay.

def replay(path, options):
    """Run a saved program; return whether it fails."""
    saved = json.loads(pathlib.Path(path).read_text())
    verdict = checker(options).check_safely(saved['program'], saved['seed'], options.only)
    print(f'{path}: {saved["description"]}\n{verdict.label}')
    if verdict.failed or options.verbose:
        if not verdict.failed:
            expected, why, _ = compare.run_trio(saved['program'], compare.schedules(saved['seed']))
            verdict.expected, verdict.found = expected or {}, expected or {'none': [why]}
        show_failure(saved['program'], verdict)
    return verdict.failed


def show_failure(program, verdict, file=None):
    print(programs.show(program) + '\n', file=file)
    if verdict.kind == 'crash':
        print(verdict.why, file=file)
    elif verdict.kind == 'parity':
        show_columns('C', verdict.expected, 'Python', verdict.found, file)
    else:
        for name in sorted({*verdict.expected, *verdict.found}):
            print(f'-- {name}', file=file)
            show_columns('Trio', verdict.expected.get(name, []), verdict.why or 'asyncbis', verdict.found.get(name, []),
                         file)


def show_columns(left_name, left, right_name, right, file):
    print(f'   {left_name:{WIDTH}} {right_name}', file=file)
    for line in range(max(len(left), len(right))):
        one, other = (trace[line] if line < len(trace) else None for trace in (left, right))
        print(f'{"  " if one == other else "! "} {format_event(one):{WIDTH}} {format_event(other)}', file=file)


def format_event(event):
    if event is None:
        return ''
    if isinstance(event[1], float):     # of a record
        task, time, what = event
        return f'{time:8.3f} {task}: ' + ' '.join(map(str, what))
    return f'{event[0]:8.3f} ' + ' '.join(map(str, event[1:]))


def parse(arguments):
    parser = command.make_parser(__doc__, 1, 'divergences')
    parser.add_argument('--only', action='append', choices=compare.CONFIGURATIONS,
                        help='a configuration; may be repeated')
    parser.add_argument('--root', action='store_true', help='programs with tasks in the background')
    parser.add_argument('--asyncio-only', action='store_true',
                        help='programs that do what Trio has not, too: only C and Python are compared')
    parser.add_argument('--anyio', action='store_true',
                        help='programs in terms of AnyIO, on its native asyncio backend and on Trio')
    options = parser.parse_args(arguments)
    options.only = tuple(options.only or compare.CONFIGURATIONS)
    return options


def main(arguments=None):
    options = parse(arguments)
    return command.run(options, compare=compare_many, replay=replay,
                       mutations=lambda options: mutations.table(options.seed),
                       show=lambda number, options: programs.show(make(options.seed, number, options)))


if __name__ == '__main__':
    sys.exit(main())
