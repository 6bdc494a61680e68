"""What the user sees of a survey that is under way."""

import threading
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table


class Progress:
    """Lines for what is over and, on a terminal, a table of what is under way."""

    def __init__(self, total):
        self._console = Console(stderr=True, highlight=False)
        self._total = total
        self._lock = threading.Lock()
        self._current = {}  # {project: [what, since, tests]}
        self._over = 0
        self._start = time.monotonic()
        self.failures = {}
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True)

    def __enter__(self):
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc):
        self._live.stop()

    def _table(self):
        table = Table.grid(padding=(0, 2))
        with self._lock:
            table.add_row(f'{self._over}/{self._total}', f'{time.monotonic() - self._start:.0f} s', '')
            for name, (what, since, tests) in self._current.items():
                table.add_row(name, what, f'{tests} tests, {time.monotonic() - since:.0f} s')
        return table

    def _say(self, text):
        self._console.print(text, markup=False, soft_wrap=True)

    def started(self, project, plan):
        with self._lock:
            self._current[project.name] = [plan.name, time.monotonic(), 0]

    def moved(self, project, tests):
        with self._lock:
            if project.name in self._current:
                self._current[project.name][2] = tests

    def ran(self, project, plan, run):
        with self._lock:
            self._current.pop(project.name, None)
        counts = ', '.join(f'{number} {outcome}' for outcome, number in sorted(run.counts().items()))
        self._say(f'  {project.name:<24} {plan.name:<40} {run.seconds:7.1f} s  {counts}')
        for problem in run.problems:
            self._say(f'    ! {problem.strip().splitlines()[0]}')

    def finished(self, project, result):
        with self._lock:
            self._over += 1
        self._say(f'{project.name}: ' + ', '.join(f'{value} {name.replace("_", " ")}'
                                                  for name, value in result['summary'].items()))

    def note(self, text):
        """Prints a line that belongs to what was printed before."""
        self._say(text)

    def failed(self, project, reason):
        with self._lock:
            self._over += 1
            self._current.pop(project.name, None)
            self.failures[project.name] = reason
        self._say(f'{project.name}: could not be surveyed: {reason}')
