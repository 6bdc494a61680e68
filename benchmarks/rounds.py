"""Measuring: the interpreters by turns, in several rounds, each case in a process of its own."""

import datetime
import hashlib
import json
import pathlib
import subprocess

from benchmarks import peers


class Rounds:
    """The figures of a run so far, in a file, so that an interrupted run goes on where it was.

    Args:
        path: the file.
        identities: what is measured, {name: id of its sources}; figures of others are dropped.
    """

    def __init__(self, path, identities):
        self._path = path
        self._identity = json.dumps(identities, sort_keys=True)
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except FileNotFoundError:
            lines = []
        self.entries = [entry for entry in map(_parse, lines) if entry and entry['identity'] == self._identity]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def _write(self):
        self._path.write_text(''.join(json.dumps(entry) + '\n' for entry in self.entries), encoding='utf-8')

    def forget(self, entries):
        """Drop entries: they are at their place, and the next run is to measure anew."""
        self.entries = [entry for entry in self.entries if entry not in entries]
        self._write()

    def has(self, number, key, peer):
        """Return true if the peer has been measured in the round."""
        return any((entry['round'], entry['case'], entry['peer']) == (number, key, peer) for entry in self.entries)

    def add(self, number, key, peer, result):
        """Add what worker.py has printed.  Each figure in 'extra' becomes an entry of its own, KEY/NAME."""
        result = dict(result)
        extra = result.pop('extra', {})
        entry = {'identity': self._identity, 'round': number, 'case': key, 'peer': peer,
                 'date': datetime.date.today().isoformat(), **result}
        # That of the key comes last: without it, the others are measured again.
        entries = [*({**entry, 'case': f'{key}/{name}', 'values': [value]} for name, value in extra.items()), entry]
        self.entries += entries
        with open(self._path, 'a', encoding='utf-8') as file:
            file.write(''.join(json.dumps(entry) + '\n' for entry in entries))


def _parse(line):
    """Return the entry in a line, or None: the last one may have been cut off."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def measure(rounds, items, pythons, count, say):
    """Measure what is missing of `count` rounds; return what went wrong, {what was measured: text}.

    items: the Items of a suite.  pythons: {'stock': path, 'patched': path}.
    """
    problems = {}
    for number in range(count):
        for position, item in enumerate(items, 1):
            # Back and forth, so that a machine that becomes slower or faster favors neither.
            for name in item.peers if number % 2 == 0 else reversed(item.peers):
                what = f'{item.key} on {name}'
                if rounds.has(number, item.key, name) or what in problems:
                    continue
                say(f'round {number + 1} of {count}, {position} of {len(items)}: {what}')
                try:
                    result = item.work(pythons['patched' if peers.PEERS[name].patched else 'stock'], name)
                except RuntimeError as error:
                    problems[what] = str(error)
                else:
                    rounds.add(number, item.key, name, result)
    return problems


def own_identity():
    """Return the id of the benchmarks themselves."""
    folder = pathlib.Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def describe(python):
    """Return what the figures of an interpreter depend on, {name: text}."""
    program = ('import json, platform, sysconfig\n'
               'print(json.dumps({"python_version": platform.python_version(), "compiler": platform.python_compiler(),'
               ' "configure": sysconfig.get_config_var("CONFIG_ARGS") or "", "platform": platform.machine()}))')
    done = subprocess.run([python, '-I', '-c', program], capture_output=True, text=True, timeout=60, check=True)
    return {**json.loads(done.stdout), 'cpu_model_name': _cpu()}


def _cpu():
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return ''
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), '')
