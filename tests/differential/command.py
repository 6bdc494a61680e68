"""What the commands have in common that compare random programs: run.py and against_stock.py."""

import argparse
import json
import pathlib
import tempfile

CHUNK = 50      # programs that a process runs at a time


def make_parser(description, stop_after, what):
    """A parser with the options of both; *stop_after*: so many, by default, of *what*."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--programs', type=int, default=2000, metavar='N')
    parser.add_argument('--first', type=int, default=0, metavar='NUMBER', help='of the programs of the seed')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=float('inf'), help='stop after that time')
    parser.add_argument('--stop-after', type=int, default=stop_after, metavar='K', help=f'{what}, that is')
    parser.add_argument('--out', metavar='FILE', help='for the summary')
    parser.add_argument('--failures', default=pathlib.Path(tempfile.gettempdir(), 'differential'), metavar='FOLDER')
    parser.add_argument('--replay', nargs='+', metavar='FILE')
    parser.add_argument('--verbose', action='store_true', help='with --replay: show programs that are fine, too')
    parser.add_argument('--show', type=int, metavar='NUMBER')
    parser.add_argument('--mutations', action='store_true')
    return parser


def make_seed(seed, number):
    """The seed of a program."""
    return seed * 1_000_000_007 + number


def make_jobs(options):
    """What the processes of a pool are given: pairs of the options and the numbers of some programs."""
    end = options.first + options.programs
    return [(options, range(start, min(start + CHUNK, end))) for start in range(options.first, end, CHUNK)]


def write_json(path, what):
    """Write *what* to a file, if there is one to write to; return the text."""
    text = json.dumps(what, indent=1)
    if path:
        pathlib.Path(path).write_text(text + '\n', encoding='utf-8')
    return text


def run(options, *, compare, replay, show, mutations):
    """Do what the options ask for by one of these functions; return the exit status."""
    if options.replay:
        return 1 if sum([replay(path, options) for path in options.replay]) else 0
    if options.show is not None:
        print(show(options.show, options))
        return 0
    if options.mutations:
        found = mutations(options)
        write_json(options.out, found)
        return 1 if None in found.values() else 0
    return compare(options)
