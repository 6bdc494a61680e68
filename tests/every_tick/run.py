"""Interrupt every API of asyncio at every turn of the loop: see README.md.  Run it with the interpreter that is tested.

    run.py --jobs 2 --out FILE                      everything; exit status 1 if something is wrong that is not known
    run.py --only queue_get --loop uvloop --way scope --shield inner --turn 3 --pure --eager        one case
    run.py --list                                   the programs, and what each covers
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import zlib

FOLDER = pathlib.Path(__file__).resolve().parent
LOOPS = 'asyncio', 'uvloop'
SHIELDS = 'none', 'inner', 'outer'
_CHUNK = 12         # programs that one process runs
_LATE = 3           # turns after the end of a program in which it is interrupted as well
_EACH = 24          # Up to here each turn is taken; of the turns of what takes longer only some are:
_SOME = 12
_SHOWN = 60         # kinds of problem that are shown


# The process that runs the cases.

def work(options):
    """Run the cases of the programs in options.only, as JSON on standard output; begin after the case options.after."""
    # A child process that is left must not keep the pipe open.
    answers = os.dup(1)
    with open(os.devnull, 'wb') as nothing:
        os.dup2(nothing.fileno(), 1)
    if options.pure:
        sys.modules['_asyncio'] = None  # asyncio falls back on Python.
    sys.path.insert(0, str(FOLDER.parent))
    from every_tick import audit, cases, deliberate, programs, ways
    import asyncio
    import faulthandler
    import gc
    assert programs and deliberate and options.pure == (asyncio.Task is asyncio.tasks._PyTask)

    def loop_factory():
        loop = new_loop()
        if options.eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    if options.loop == ['uvloop']:
        from uvloop import new_event_loop as new_loop
    else:
        new_loop = asyncio.SelectorEventLoop
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    messages = audit.Messages()
    audit.PATIENCE = options.patience
    # What is made once (the loop's own descriptors, caches) is made now.
    cases.Case(cases.PROGRAMS['sleep'], ways.WAYS['none'], None, 'none').run(loop_factory)
    gc.collect()
    gc.freeze()
    messages.take()

    def run(name, way, shield, turn):
        """Run one case; return the number of turns that the program took."""
        say(begin=(name, way.name, shield, turn))
        faulthandler.dump_traceback_later(options.limit, exit=True)
        case = cases.Case(cases.PROGRAMS[name], way, turn, shield)
        problems = case.run(loop_factory)
        turns, function = case.turns_taken, case.function
        case = None
        gc.collect()
        faulthandler.cancel_dump_traceback_later()
        printed = messages.take()
        problems += [text for text in printed if not (way.name == 'root' and 'failed: Interruption' in text)]
        if problems:
            say(case=(name, way.name, shield, turn), problems=sorted({audit.general(text) for text in problems}))
        return turns or 0

    def say(**what):
        os.write(answers, json.dumps(what).encode() + b'\n')

    after = options.after and tuple(json.loads(options.after))
    for name, way, shield in _combinations(options, cases):
        first = 0
        if after:
            if (name, way.name, shield) != after[:3]:
                continue
            last, after = after[3], None
            if last is None:
                continue  # Nobody knows how many turns it takes.
            first = last + 1
        if options.turn is not None:
            run(name, way, shield, options.turn)
            continue
        turns = run(name, way, shield, None)
        if way.name in ('none', 'before'):
            continue
        for turn in _turns(turns):
            if turn >= first:
                run(name, way, shield, turn)
        say(turns=turns, of=(name, way.name, shield))
    say(end=True)


def _ways(options):
    import asyncio
    from every_tick import ways
    scopes = hasattr(asyncio, 'CancelScope') and not options.legacy
    return {name: way for name, way in ways.WAYS.items() if (way.stock or scopes) and name in (options.way or name)}


def _combinations(options, cases):
    import asyncio
    from every_tick import ways
    scopes = cases.SCOPES and not options.legacy
    for name in options.only:
        function = cases.PROGRAMS[name]
        if options.loop[0] not in function.loops or not all(hasattr(asyncio, needed) for needed in function.needs):
            continue
        for way in _ways(options).values():
            for shield in options.shield or SHIELDS:
                if shield == 'none' or (scopes and (way.outer or shield == 'inner') and not (
                        function.spawns and shield == 'inner' and way.name in ways.IN_MAIN)):
                    if zlib.crc32(repr((options.seed, name, way.name, shield)).encode()) % options.sample == 0:
                        yield name, way, shield


def _turns(count):
    """Return the turns in which a program that takes that many is interrupted."""
    last = count + _LATE
    if last <= _EACH + _SOME:
        return range(last)
    step = (last - _EACH) / _SOME
    return [*range(_EACH), *(_EACH + int(step * number) for number in range(_SOME)), last - 1]


# The process that starts those.

class Summary:
    """What all cases came to."""

    def __init__(self):
        self.cases = collections.Counter()     # by configuration
        self.per_way = collections.Counter()
        self.turns = collections.defaultdict(int)   # the most that each program took
        self.kinds = {}     # {(program, loop, problem): [failing cases]}

    def add(self, configuration, message):
        if 'begin' in message:
            self.cases[configuration] += 1
            self.per_way[message['begin'][1]] += 1
        elif 'turns' in message:
            name = message['of'][0]
            self.turns[name] = max(self.turns[name], message['turns'])
        else:
            for problem in message['problems']:
                name, *case = message['case']
                self.kinds.setdefault((name, configuration[0], problem), []).append((configuration, *case))

    def as_dict(self, seconds):
        return {
            'programs': len(self.turns), 'turns': sum(self.turns.values()), 'cases': self.cases.total(),
            'configurations': {' '.join(name): count for name, count in sorted(self.cases.items())},
            'ways': dict(self.per_way), 'seconds': round(seconds),
            'problems': [{'program': name, 'loop': loop, 'problem': problem, 'cases': len(found),
                          'ways': sorted({case[1] for case in found}), 'first': reproduce(name, *found[0])}
                         for (name, loop, problem), found in sorted(self.kinds.items())],
        }


def reproduce(name, configuration, way, shield, turn):
    loop, *flags = configuration
    words = ['--only', name, '--loop', loop, '--way', way, '--shield', shield]
    return ' '.join([*words, *(['--turn', str(turn)] if turn is not None else []), *(f'--{flag}' for flag in flags)])


def run_chunk(options, configuration, names, summary):
    """Run the cases of some programs in a process, and in a new one after each case that hangs or crashes."""
    after = None
    environment = {**os.environ, **({'PYTHONASYNCIOLEGACY': options.legacy} if options.legacy else {})}
    while True:
        begun, done = None, False
        with tempfile.TemporaryFile() as errors, subprocess.Popen(
                _command(options, configuration, names, after), stdout=subprocess.PIPE, stderr=errors,
                stdin=subprocess.DEVNULL, start_new_session=True, env=environment) as process:
            for line in process.stdout:
                message = json.loads(line)
                begun = message.get('begin', begun)
                done = done or 'end' in message
                if 'end' not in message:
                    summary.add(configuration, message)
            process.wait()
            if done and process.returncode == 0:
                return
            errors.seek(0)
            text = errors.read().decode(errors='replace')
            _kill_group(process)
        if begun is None:
            raise SystemExit(f'run.py: {names} do not start:\n{text}')
        what = 'hangs' if 'Timeout (' in text else f'crashes with status {process.returncode}'
        summary.add(configuration, {'case': begun, 'problems': [what]})
        print(f'\n{reproduce(begun[0], configuration, *begun[1:])}: {what}\n{text[-3000:]}', file=sys.stderr)
        if options.turn is not None:
            return
        after = json.dumps(begun)


def _kill_group(process):
    """Kill what a process that has ended has left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _command(options, configuration, names, after):
    loop, *flags = configuration
    command = [sys.executable, str(FOLDER / 'run.py'), '--work', '--loop', loop, '--only', *names,
               *(f'--{flag}' for flag in flags)]
    for option in 'sample', 'seed', 'limit', 'patience':
        command += [f'--{option}', str(getattr(options, option))]
    if options.legacy:
        command += ['--legacy', options.legacy]
    for option in 'way', 'shield':
        if getattr(options, option):
            command += [f'--{option}', *getattr(options, option)]
    if options.turn is not None:
        command += ['--turn', str(options.turn)]
    return command + (['--after', after] if after else [])


def configurations(options):
    """Return those that are run: (loop, flags...)."""
    return [(loop, *(['pure'] if pure else []), *(['eager'] if eager else [])) for loop in options.loop
            for pure in ([True] if options.pure else [False, True] if options.all else [False])
            for eager in ([True] if options.eager else [False, True] if options.all else [False])]


def load_known(path):
    return tomllib.loads(pathlib.Path(path).read_text(encoding='utf-8'))['known']


def explains(entry, problem):
    """Tell if an entry of the table of what upstream has as well explains a problem of the summary."""
    return (problem['program'] in entry['programs'] and problem['loop'] in entry['loops']
            and any(re.fullmatch(pattern, problem['problem']) for pattern in entry['problems'])
            and set(problem['ways']) <= set(entry.get('ways', problem['ways'])))


def name_known(found, known, stock):
    """Note at each problem which entry of the table explains it, if stock has that problem as well.

    Without the summary of a run on stock, the table is trusted.
    """
    for problem in found['problems']:
        entries = [entry for entry in known if explains(entry, problem)]
        if stock is not None:
            there = [{**each, 'ways': []} for each in stock['problems']     # (It may be in all of its ways.)
                     if (each['program'], each['loop']) == (problem['program'], problem['loop'])]
            entries = [entry for entry in entries if any(explains(entry, each) for each in there)]
        problem['known'] = entries[0]['name'] if entries else None


def main(arguments=None):
    options = parse(arguments)
    if options.work:
        work(options)
        return 0
    sys.path.insert(0, str(FOLDER.parent))
    from every_tick import api, cases, deliberate, programs
    assert programs and deliberate
    if options.deliberate:
        return run_deliberate(options, cases)
    if options.list:
        for name, function in cases.PROGRAMS.items():
            print(f'{name:32} {", ".join(function.covers)}')
        return 0
    names = options.only = options.only or [
        name for name, function in cases.PROGRAMS.items() if not function.deliberate]
    start = time.monotonic()
    chunks = [(configuration, names[first:first + _CHUNK]) for first in range(0, len(names), _CHUNK)
              for configuration in configurations(options)]
    summary = Summary()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, _ in enumerate(pool.map(lambda chunk: run_chunk(options, *chunk, summary), chunks)):
            print(f'{number + 1} of {len(chunks)} chunks, {summary.cases.total()} cases, {len(summary.kinds)} kinds of '
                  f'problem, {time.monotonic() - start:.0f} s', file=sys.stderr, flush=True)
    found = summary.as_dict(time.monotonic() - start)
    wanted, unknown = api.listed()
    covered = {name for function in cases.PROGRAMS.values() for name in function.covers}
    known = load_known(options.known) if options.known else []
    if options.legacy:  # Then it is as on stock, in all ways.
        for entry in known:
            entry.pop('ways', None)
    found['apis'] = len(wanted)
    found['apis_without_program'] = sorted(wanted - covered)
    found['apis_unknown'] = sorted(unknown)
    stock = json.loads(pathlib.Path(options.stock).read_text(encoding='utf-8')) if options.stock else None
    name_known(found, known, stock)
    used = {problem['known'] for problem in found['problems']}
    found['known_unused'] = [entry['name'] for entry in known if entry['name'] not in used]
    text = json.dumps(found, indent=1)
    if options.out:
        pathlib.Path(options.out).write_text(text + '\n', encoding='utf-8')
    return report(found) if not options.survey else 0


def run_deliberate(options, cases):
    """Run the programs that leave something; return the exit status."""
    names = [name for name, function in cases.PROGRAMS.items() if function.deliberate]
    summary, missed = Summary(), []
    options.way, options.shield = options.way or ['scope' if cases.SCOPES else 'task'], ['none']
    options.only, options.limit, options.patience = names, 5, 0.3
    run_chunk(options, configurations(options)[0], names, summary)
    for name in names:
        found = sorted(problem for program, _, problem in summary.kinds if program == name)
        wanted = cases.PROGRAMS[name].deliberate
        if not any(wanted in problem for problem in found):
            missed.append(name)
        print(f'{name}: {"NOT FOUND: " + wanted if name in missed else "found"}; {found}')
    print(f'{len(names) - len(missed)} of {len(names)} found')
    return 1 if missed else 0


def report(found):
    """Print what is wrong; return the exit status."""
    new = [problem for problem in found['problems'] if not problem['known']]
    for problem in new[:_SHOWN]:
        print(f'{problem["program"]}: {problem["problem"]}\n    {problem["cases"]} cases, '
              f'{", ".join(problem["ways"])}; '
              f'{problem["first"]}')
    for name in found['apis_without_program']:
        print(f'{name}: no program covers it')
    for name in found['apis_unknown']:
        print(f'{name}: is in no table of api.py')
    print(f'{found["programs"]} programs, {found["apis"]} APIs, {found["turns"]} turns, {found["cases"]} cases, '
          f'{found["seconds"]} s; problems: {len(new)} new, {len(found["problems"]) - len(new)} known')
    return 1 if new or found['apis_without_program'] or found['apis_unknown'] else 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', metavar='PROGRAM')
    parser.add_argument('--loop', nargs='+', choices=LOOPS, default=['asyncio'])
    parser.add_argument('--way', nargs='+')
    parser.add_argument('--shield', nargs='+', choices=SHIELDS)
    parser.add_argument('--turn', type=int, help='that turn only')
    parser.add_argument('--pure', action='store_true', help='tasks, futures and scopes in Python')
    parser.add_argument('--eager', action='store_true', help='eager tasks')
    parser.add_argument('--legacy', metavar='SWITCHES', help='with these switches, and only the ways that stock has')
    parser.add_argument('--all', action='store_true', help='C and Python, lazy and eager')
    parser.add_argument('--sample', type=int, default=1, metavar='N', help='only one in N of the ways of the programs')
    parser.add_argument('--seed', type=int, default=0, help='for --sample')
    parser.add_argument('--limit', type=float, default=15, metavar='SECONDS', help='what one case may take')
    parser.add_argument('--patience', type=float, default=2, metavar='SECONDS', help='what it may take to go')
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--known', metavar='FILE', help='the table of what upstream has as well')
    parser.add_argument('--stock', metavar='FILE', help='a summary of stock, which has to have what is known')
    parser.add_argument('--survey', action='store_true', help='exit with 0 whatever is found: for stock')
    parser.add_argument('--deliberate', action='store_true', help='programs that leave something: each must be found')
    parser.add_argument('--out', metavar='FILE', help='for the summary')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--work', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--after', help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == '__main__':
    sys.exit(main())
