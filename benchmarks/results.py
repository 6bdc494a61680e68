"""The figures as files: RESULTS/VARIANT/PEER.json, in the format of pyperf.

Only writing needs pyperf.  In each file a benchmark is a case, and a run is the process of one round.
"""

import json
import pathlib
import statistics

FOLDER = 'benchmarks/results'
VARIANTS = 'release', 'pgo'


def folder(variant, suite):
    """Return the name of the folder in FOLDER that the figures of a suite are in."""
    return variant if suite == 'cases' else f'{variant}-{suite}'


def store(entries, descriptions, sources, target):
    """Write entries of Rounds into the folder target; cases that are not among them stay as they are."""
    import pyperf

    target.mkdir(parents=True, exist_ok=True)
    for peer in sorted({entry['peer'] for entry in entries}):
        path = target / f'{peer}.json'
        benchmarks = {}
        if path.exists():
            benchmarks = {benchmark.get_name(): benchmark for benchmark in pyperf.BenchmarkSuite.load(str(path))}
        of_peer = [entry for entry in entries if entry['peer'] == peer]
        for key in dict.fromkeys(entry['case'] for entry in of_peer):
            benchmarks[key] = pyperf.Benchmark([
                _run(pyperf, entry, descriptions, sources) for entry in of_peer if entry['case'] == key])
        suite = pyperf.BenchmarkSuite([benchmarks[key] for key in sorted(benchmarks)])
        suite.dump(str(path), replace=True)


def _run(pyperf, entry, descriptions, sources):
    from benchmarks import peers

    interpreter = 'patched' if peers.PEERS[entry['peer']].patched else 'stock'
    metadata = {'name': entry['case'], 'unit': entry['unit'], 'loops': entry['loops'], 'round': entry['round'],
                'measured': entry['date'], 'sources': sources[interpreter], **descriptions[interpreter]}
    if entry['version']:
        metadata['peer_version'] = entry['version']
    return pyperf.Run([float(f'{value:.4g}') for value in entry['values']],
                      metadata={name: value for name, value in metadata.items() if value != ''},
                      collect_metadata=False)


class Figures:
    """What the files of a variant hold.

    Attributes:
        values: {peer: {key of a case: {round: value}}}.  Of a process, the least value counts: what disturbs it only
            ever adds.
        metadata: {peer: metadata of its last run}.
    """

    def __init__(self, folder):
        self.values, self.metadata = {}, {}
        for path in sorted(pathlib.Path(folder).glob('*.json')):
            self._add(path.stem, json.loads(path.read_text(encoding='utf-8')))

    @classmethod
    def of_entries(cls, entries, folder='.'):
        """Return the Figures of entries of Rounds, without files."""
        figures = cls(pathlib.Path(folder) / 'none')
        for entry in entries:
            figures.values.setdefault(entry['peer'], {}).setdefault(entry['case'], {})[entry['round']] = min(
                entry['values'])
        return figures

    def _add(self, peer, suite):
        cases = self.values[peer] = {}
        for benchmark in suite['benchmarks']:
            for run in benchmark['runs']:
                metadata = {**suite.get('metadata', {}), **benchmark.get('metadata', {}), **run.get('metadata', {})}
                cases.setdefault(metadata['name'], {})[metadata['round']] = min(run['values'])
                self.metadata[peer] = metadata

    def value(self, peer, key):
        """Return the median over the rounds, None if there is none."""
        rounds = self.values.get(peer, {}).get(key)
        return statistics.median(rounds.values()) if rounds else None

    def ratio(self, one, other):
        """Return the Ratio of two pairs (peer, key), None if they have no round in common."""
        numerators, denominators = (self.values.get(peer, {}).get(key, {}) for peer, key in (one, other))
        ratios = [numerators[number] / denominators[number] for number in sorted(numerators)
                  if number in denominators]
        return Ratio(ratios) if ratios else None

    def rounds(self):
        """Return the largest number of rounds that a case has."""
        return max((len(rounds) for cases in self.values.values() for rounds in cases.values()), default=0)


class Ratio:
    """The ratio of two figures in each round: its median, and between which values half of the rounds are."""

    def __init__(self, ratios):
        self.median = statistics.median(ratios)
        if len(ratios) < 4:
            self.low, self.high = min(ratios), max(ratios)
        else:
            self.low, _, self.high = statistics.quantiles(ratios, n=4, method='inclusive')

    def __str__(self):
        return f'{number(self.median)} ({number(self.low)}–{number(self.high)})'


def number(value):
    """Return a ratio with two or three digits that count."""
    return f'{value:.2f}' if value >= 0.2 else f'{value:.3f}'
