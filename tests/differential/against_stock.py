"""Compare the patched interpreter with stock on random programs of stock asyncio's API (see README.md).

    against_stock.py --programs 10000 --seed 1 --jobs 2     compare; exit status 1 if there is a divergence
    against_stock.py --replay FILE ...                      run saved programs again, with both records side by side
    against_stock.py --show 17 --seed 1                     print the 17th program of that seed
    against_stock.py --mutations                            which deliberate bugs are found, and after how many programs
"""

import json
import multiprocessing
import pathlib
import random
import sys
import time
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from differential import command, shrink, stock_compare, stock_mutations, stock_programs  # noqa: E402 (the path)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
AGAIN = 3       # times that a divergence is looked at again before it is believed
WIDTH = 90      # of a column

_comparison = None      # of this process


def make(seed, number, options):
    rng = random.Random(command.make_seed(seed, number))
    return stock_programs.generate(rng, scopes=options.scopes, quiet=True if options.quiet else None)


def compare(options):
    """The Comparison of this process."""
    global _comparison
    if _comparison is None:
        _comparison = stock_compare.Comparison(options.stock, options.patched, switches=options.switches,
                                               implementations=options.implementations)
    return _comparison


def run_chunk(job):
    """Check some programs; return counts and what has failed."""
    options, numbers = job
    made = [make(options.seed, number, options) for number in numbers]
    counts, rules, ops, failures = Counter(), Counter(), Counter(), []
    for number, program, verdict in zip(numbers, made, compare(options).check(made)):
        for _ in range(AGAIN if verdict.failed else 0):
            again = compare(options).check([program])[0]
            if again.label != verdict.label:
                # In which order a set of tasks is cancelled depends on where they are in memory.
                verdict = again._replace(kind='unsteady', why=f'{verdict.label}, then {again.label}')
                break
        counts[verdict.label] += 1
        counts['quiet'] += verdict.quiet
        if verdict.kind == 'explained':
            rules.update(verdict.why.split())
        ops.update(s['op'] for s in stock_programs.walk(program['main']))
        if verdict.failed:
            failures.append((number, verdict.label))
    return counts, rules, ops, failures


def compare_many(options):
    start = time.monotonic()
    jobs = command.make_jobs(options)
    counts, rules, ops, failures, done, reported = Counter(), Counter(), Counter(), {}, 0, start
    with multiprocessing.Pool(options.jobs) as pool:
        for (_, numbers), (more_counts, more_rules, more_ops, more_failures) in zip(jobs, pool.imap(run_chunk, jobs)):
            done += len(numbers)
            counts += more_counts
            rules += more_rules
            ops += more_ops
            for number, label in more_failures:
                failures.setdefault(label, []).append(number)
            if time.monotonic() - reported > 5:
                reported = time.monotonic()
                print(f'\r{done} of {options.programs} programs, {sum(map(len, failures.values()))} failed, '
                      f'{done / (reported - start):.0f}/s  ', end='', file=sys.stderr, flush=True)
            if len(failures) >= options.stop_after or time.monotonic() - start > options.seconds:
                pool.terminate()
                break
    print(file=sys.stderr)
    seconds = time.monotonic() - start
    files = [str(save(options, numbers[0], label)) for label, numbers in
             sorted(failures.items(), key=lambda item: -len(item[1]))[:options.stop_after]]
    summary = {
        'seed': options.seed, 'programs': done, 'implementations': list(options.implementations),
        'switches': list(options.switches), 'scopes': options.scopes,
        'same': counts['same'], 'explained': counts['explained'], 'unsteady': counts['unsteady'],
        'quiet': counts['quiet'],
        'rules': dict(sorted(rules.items())),
        'divergences': {label: len(numbers) for label, numbers in failures.items()}, 'files': files,
        'ops': dict(ops.most_common()),
        'seconds': round(seconds, 1), 'programs_per_second': round(done / max(seconds, 1e-9)),
    }
    print(command.write_json(options.out, summary))
    return 1 if failures else 0


def make_small(program, verdict, comparison, seconds=60):
    """The smallest program with that verdict."""
    def fails(smaller):
        return comparison.check([smaller])[0].label == verdict.label

    if program.get('eager') and fails(lazy := {'main': program['main']}):
        program = lazy
    return shrink.shrink(program, fails, seconds, stock_programs)


def save(options, number, label):
    """Make a program that failed small, show it and write it to a file."""
    comparison = compare(options)
    program = make(options.seed, number, options)
    [verdict] = comparison.check([program])
    program = make_small(program, verdict, comparison)
    folder = pathlib.Path(options.failures)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'stock-{options.seed}-{number}.json'
    command.write_json(path, {'description': f'program {number} of seed {options.seed}: {label}', 'program': program})
    print(f'{label}; saved as {path}\n', file=sys.stderr)
    show_failure(program, comparison.check([program])[0], file=sys.stderr)
    return path


def replay(path, options):
    """Run a saved program; return whether it fails."""
    saved = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    comparison = compare(options)
    [verdict] = comparison.check([saved['program']])
    print(f'{path}: {saved["description"]}\n{verdict.label} {verdict.why}')
    if verdict.failed:
        show_failure(saved['program'], verdict)
    elif options.verbose:
        lines = [comparison.worker(*side).run([saved['program']])[0] for side in (('stock',), ('patched',))]
        show_failure(saved['program'], verdict._replace(
            left=json.loads(lines[0]), right=json.loads(lines[1]), names=('stock', 'patched')))
    return verdict.failed


def show_failure(program, verdict, file=None):
    print(stock_programs.show(program) + '\n', file=file)
    if not verdict.names:
        print('It does not diverge each time.', file=file)
        return
    print(f'   {verdict.names[0]:{WIDTH}} {verdict.names[1]}', file=file)
    for line in range(max(len(verdict.left), len(verdict.right))):
        one, other = (record[line] if line < len(record) else None for record in (verdict.left, verdict.right))
        mark, right = ('  ', '') if one == other else ('! ', _format(other))
        print(f'{mark} {_format(one):{WIDTH}} {right}'.rstrip(), file=file)


def _format(event):
    return '' if event is None else ' '.join(map(str, event))


def parse(arguments):
    parser = command.make_parser(__doc__, 10, 'kinds of divergence')
    parser.add_argument('--stock', default=ROOT / 'build/stock/python', metavar='PYTHON')
    parser.add_argument('--patched', default=ROOT / 'build/release/python', metavar='PYTHON')
    parser.add_argument('--implementations', nargs='+', choices=('C', 'Python'), default=('C', 'Python'))
    parser.add_argument('--no-scopes', dest='scopes', action='store_false', help='no timeouts and no groups')
    parser.add_argument('--quiet', action='store_true', help='only programs in which nothing is cancelled')
    options = parser.parse_args(arguments)
    options.switches = stock_compare.known_switches(options.patched)
    return options


def main(arguments=None):
    options = parse(arguments)
    return command.run(options, compare=compare_many, replay=replay, mutations=stock_mutations.table,
                       show=lambda number, options: stock_programs.show(make(options.seed, number, options)))


if __name__ == '__main__':
    sys.exit(main())
