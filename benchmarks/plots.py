"""The plots of the report, as SVG: small, the same each time, and with a background, so that they suit a dark page."""

import io
import re

import matplotlib

matplotlib.use('svg')

from matplotlib import pyplot  # noqa: E402 (after the choice of how to draw)
from matplotlib import ticker  # noqa: E402

from benchmarks import cases  # noqa: E402
from benchmarks import peers  # noqa: E402

_STYLE = {
    'svg.fonttype': 'none',  # text stays text
    'svg.hashsalt': 'asyncbis',
    'font.family': 'sans-serif',
    'font.size': 9,
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'path.simplify': True,
}
_COLORS = {'stock': '#666666', 'patched': '#0060c0', 'uvloop': '#c07000', 'rloop': '#a0a000', 'anyio': '#c02040',
           'native': '#30a0e0', 'trio': '#208040', 'quattro': '#9040b0'}
# The case, what its size is, and whose costs are drawn.
_SCALING = {
    'yield_below_scopes': 'scopes around a yield',
    'cancel_by_scope': 'tasks that are cancelled',
    'nearest_deadline': 'other deadlines',
}


def draw(name, figures, goals, path):
    """Draw a plot of a variant into the file at path."""
    with matplotlib.rc_context(_STYLE):
        figure = _DRAWERS[name](figures, goals)
        text = io.StringIO()
        figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None},
                       bbox_inches='tight')
        pyplot.close(figure)
    path.write_text(_squeeze(text.getvalue()), encoding='utf-8')


def _squeeze(text):
    """Return the text of an SVG without comments, indentation and digits that no eye can tell."""
    text = re.sub(r'<!--.*?-->\n?', '', text, flags=re.DOTALL)
    text = re.sub(r'(\d+\.\d{2})\d+', r'\1', text)
    lines = [line.strip() for line in text.splitlines()]
    return ''.join(f'{line}\n' for line in lines if line)


def _ratios(figures, goals):
    rows = []
    for case in cases.CASES.values():
        for size in case.sizes:
            key = case.key(size)
            ratio = figures.ratio(('patched', key), ('stock', key))
            if ratio is not None:
                rows.append((key, ratio, goals['goals'].get(key, {}).get('stock')))
    figure, axes = pyplot.subplots(figsize=(7.5, 1 + 0.19 * len(rows)))
    for position, (_, ratio, goal) in enumerate(rows):
        met = goal is None or ratio.median <= goal
        color = _COLORS['patched'] if met else _COLORS['anyio']
        axes.plot([ratio.low, ratio.high], [position, position], color=color, linewidth=3, solid_capstyle='butt',
                  alpha=0.45)
        axes.plot([ratio.median], [position], 'o', color=color, markersize=4)
        if goal is not None:
            axes.plot([goal], [position], '|', color='black', markersize=8)
    axes.axvline(1, color=_COLORS['stock'], linewidth=0.8, zorder=0)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [key for key, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis='x', color='#e0e0e0', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel('patched / stock (less is better); |: goal, red: not met')
    return figure


def _scaling(figures, goals):
    figure, panels = pyplot.subplots(1, len(_SCALING), figsize=(9.5, 3.2), sharey=False)
    for axes, (name, label) in zip(panels, _SCALING.items()):
        case = cases.CASES[name]
        for peer in peers.PEERS:
            points = [(size, value * 1e6) for size in case.sizes
                      if (value := figures.value(peer, case.key(size))) is not None]
            if points and peer in case.peers:
                axes.plot(*zip(*points), 'o-', color=_COLORS[peer], markersize=3, linewidth=1.2,
                          label=peers.PEERS[peer].title)
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
        axes.grid(color='#e0e0e0', linewidth=0.6)
        axes.set_xlabel(label)
    panels[0].set_ylabel('microseconds for each')
    # The panel with all peers.
    handles, labels = panels[list(_SCALING).index('cancel_by_scope')].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc='lower center', ncols=len(labels), frameon=False, bbox_to_anchor=(0.5, -0.08))
    figure.tight_layout()
    return figure


_DRAWERS = {'ratios': _ratios, 'scaling': _scaling}
