"""The verdict on a program that is run on stock and on the patched interpreter: see README.md.

Each interpreter runs as a worker (stock_machine); the records are compared as text, so that only what differs is read.
"""

import itertools
import json
import os
import pathlib
import selectors
import subprocess
import time
from typing import NamedTuple

from . import stock_rules

MACHINE = pathlib.Path(__file__).with_name('stock_machine.py')
ALL = 'all'
# The switches that restore what stock does, in the order in which they are tried.
SWITCHES = 'edge-scopes', 'edge-cancel', 'shield', 'background-errors'
SECONDS = 30    # that a worker may take for a program; what is stuck in Python it ends by itself, and sooner


class Worker:
    """An interpreter that runs programs."""

    def __init__(self, command, environment=None, seconds=SECONDS):
        self.command = command
        self.seconds = seconds
        self.environment = environment
        self.process = None
        self.programs = []

    def send(self, programs):
        self.programs = programs
        if programs:
            if self.process is None:
                self.start()
            self._write(programs)

    def start(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env={**environment, **(self.environment or {})})
        self.buffer = b''
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def _write(self, programs):
        try:
            self.process.stdin.write(json.dumps(programs).encode() + b'\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass    # It is seen as its answers are missing.

    def receive(self):
        """The records of what was sent, a line each; one that ends the interpreter has a record that says so."""
        lines = []
        while len(lines) < len(self.programs):
            line = self._read_line()
            if line is None:
                status = self.stop()
                lines.append(json.dumps([['machine', 0, 'ends the interpreter', status]]))
                if rest := self.programs[len(lines):]:
                    self.start()
                    self._write(rest)
            else:
                lines.append(line)
        return lines

    def _read_line(self):
        end = time.monotonic() + self.seconds
        while b'\n' not in self.buffer:
            if not self.selector.select(max(0, end - time.monotonic())):
                return None
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b'\n')
        return line.decode()

    def run(self, programs):
        self.send(programs)
        return self.receive()

    def stop(self):
        """End the interpreter; return its status."""
        process, self.process = self.process, None
        if process is None:
            return None
        self.selector.close()
        process.stdin.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        return process.wait()


class Verdict(NamedTuple):
    """What has come of a program."""
    kind: str           # same, explained, unsteady, legacy, parity, B or unexplained
    why: str = ''       # the rules; or where it differs
    quiet: bool = False     # whether nothing was cancelled, timed out or failed in the background
    left: list = ()     # the records that differ, of whom
    right: list = ()
    names: tuple = ()

    @property
    def failed(self):
        return self.kind not in ('same', 'explained', 'unsteady')

    @property
    def label(self):
        return f'{self.kind}: {self.why}' if self.failed else self.kind


class Comparison:
    """Stock and the patched interpreter, as workers that are started when they are needed."""

    def __init__(self, stock, patched, *, switches=SWITCHES, implementations=('C', 'Python'), modes=('', ALL),
                 environment=None, seconds=SECONDS):
        self.interpreters = {'stock': [str(stock)], 'patched': [str(patched)]}
        self.switches = switches
        self.implementations = implementations
        self.modes = modes      # by default, and with all switches in force
        self.environment = environment      # of the patched one
        self.seconds = seconds
        self.workers = {}

    def close(self):
        for worker in self.workers.values():
            worker.stop()

    def worker(self, which, implementation='C', switches=()):
        key = which, implementation, switches
        if key not in self.workers:
            options = ['-X', f'asyncio_legacy={",".join(switches)}'] if switches else []
            self.workers[key] = Worker(
                [*self.interpreters[which], *options, str(MACHINE), *(['--pure'] if implementation != 'C' else [])],
                self.environment if which == 'patched' else None, self.seconds)
        return self.workers[key]

    def check(self, programs):
        """The verdicts on some programs."""
        sides = {('stock', 'C', ()): 'stock'}
        for implementation in self.implementations:
            for mode in self.modes:
                switches = (mode,) if mode else ()
                sides['patched', implementation, switches] = ', '.join([implementation, *switches])
        workers = [self.worker(*side) for side in sides]
        for worker in workers:
            worker.send(programs)
        records = dict(zip(sides.values(), [worker.receive() for worker in workers]))
        return [self.judge(program, dict(zip(records, each)))
                for program, *each in zip(programs, *records.values())]

    def judge(self, program, records):
        """The verdict on one program; *records*: {side: line}."""
        stock = json.loads(records['stock'])
        quiet = stock_rules.is_quiet(stock)
        expected = {implementation: records['stock'] for implementation in self.implementations}
        if 'Python' in expected and any(records[name] != records['stock'] for name in records if 'Python' in name):
            # When objects go away can differ between C and Python, on stock as well.
            [expected['Python']] = self.worker('stock', 'Python').run([program])

        def failed(kind, names, left, right):
            left, right = json.loads(left), json.loads(right)
            return Verdict(kind, stock_rules.shape(left, right), quiet, left, right, names)

        for name in self.implementations:
            if (ALL in self.modes and records[f'{name}, {ALL}'] != expected[name]
                    # When an abandoned generator is found depends on who refers to it for how long.
                    and not stock_rules.is_of_generator(json.loads(expected[name]),
                                                        json.loads(records[f'{name}, {ALL}']))):
                return failed('legacy', (f'stock, {name}', f'{name}, {ALL}'), expected[name], records[f'{name}, {ALL}'])
        if '' not in self.modes:
            return Verdict('same', '', quiet)
        one, *others = self.implementations
        for other in others:
            if (records[one] != records[other] and expected[one] == expected[other]
                    and not stock_rules.is_of_generator(json.loads(records[one]), json.loads(records[other]))):
                return failed('parity', (one, other), records[one], records[other])
        found = []
        for name in self.implementations:
            if records[name] == expected[name] or (name != one and expected[name] == expected[one]):
                continue
            stock = json.loads(expected[name])
            rules, difference = self.explain(program, name, stock, json.loads(records[name]), quiet)
            if difference is not None:
                return Verdict('B' if quiet else 'unexplained', difference.why, quiet, stock, difference.found,
                               (f'stock, {name}', ', '.join([name, *difference.switches])))
            found += rules
        return Verdict('explained' if found else 'same', ' '.join(found), quiet)

    def explain(self, program, implementation, stock, found, quiet):
        """The rules by which a program differs, and the first difference that none explains, or None.

        The first difference has to be explained by the change that, taken back by its switch, makes the records agree
        for longer, and by a rule of that change whose condition holds in what went before.  With that switch on, the
        next difference is looked at, until there is none.
        """
        rules, switches = [], ()
        while found != stock:
            place = stock_rules.first_difference(stock, found)
            moved = {}
            for number in (1, 2, 3):
                for more in itertools.combinations([each for each in self.switches if each not in switches], number):
                    tried = tuple(each for each in self.switches if each in switches or each in more)
                    [line] = self.worker('patched', implementation, tried).run([program])
                    record = json.loads(line)
                    if record == stock or stock_rules.first_difference(stock, record) > place:
                        moved[more] = tried, record
                if moved:
                    break   # (Of two changes that do it together, neither does it alone.)
            why = 'no switch restores what stock does'
            for more, (tried, record) in moved.items():
                rule = stock_rules.find_rule(more, program, stock, found, place, switches)
                if rule is not None:
                    rules.append(rule)
                    switches, found = tried, record
                    break
                why = f'no rule for {"+".join(more)}'
            else:
                [line] = self.worker('patched', implementation, (ALL,)).run([program])
                if all(stock_rules.is_of_generator(stock, record) for record in (found, json.loads(line))):
                    return [*rules, '7.8'], None    # When it is found, no switch restores.
                return rules, Difference(f'{why}: {stock_rules.shape(stock, found)}', switches, found)
        return rules, None


class Difference(NamedTuple):
    why: str
    switches: tuple
    found: list


def known_switches(patched):
    """Those of SWITCHES that an interpreter knows."""
    def knows(switch):
        return subprocess.run([patched, '-X', f'asyncio_legacy={switch}', '-c', ''], capture_output=True,
                              check=False).returncode == 0
    return tuple(switch for switch in SWITCHES if knows(switch))
