"""The command line.  Each verb is described once: by the decorator of the function that carries it out."""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import sys
import textwrap

from tools import bench as bench_module
from tools import documentation
from tools import export
from tools import figures
from tools import git
from tools import image as image_module
from tools import lint
from tools import packages
from tools import pep
from tools import plain
from tools import project as project_module
from tools import survey as survey_module
from tools import testing
from tools import tree as tree_module
from tools import ui
from tools import variants
from tools import verify as verify_module

_WIDTH = 120
_NOTES = """\
The edit loop.  A file that upstream has is changed by a patch: edit it in build/src, `./build.sh build`, try it,
`git commit` there (or `git commit --fixup`), then `./build.sh refresh --autosquash`.  The patch's file is named after
the commit's subject, without `asyncio: `.  A file that upstream does not have lies in this project, at the same path:
edit it here or in build/src, as you like; refresh brings it back.  Commits that touch both kinds are split.  A trailer
`Adds: PATH` in a commit's message names the overlay files, or folders of them, that come with that patch.

$ASYNCBIS_DEBIAN_SITES replaces the Debian mirrors that apt is set up with, as places to look for the tarball.
"""


class _Argument:
    """An argument of a verb, as argparse takes it."""

    def __init__(self, *names, noun=None, shown=None, rest=False, verbatim=False, **settings):
        self.names = names
        self.noun = noun  # what is missing without it, if it must be there
        self.shown = shown  # how the overview of the verbs shows it, unless as argparse does
        self.rest = rest or verbatim  # whether it is all that follows the options
        self.verbatim = verbatim  # whether it is all that follows the verb, options too
        self.settings = {'nargs': '*', **settings} if self.rest else settings

    @property
    def is_option(self):
        """Whether it is an option, unlike a word."""
        return self.names[0].startswith('-')

    @property
    def takes_value(self):
        """Whether it is an option with a value."""
        return self.is_option and 'action' not in self.settings

    @property
    def signature(self):
        """The argument in the overview of the verbs."""
        name = self.settings['metavar']
        return self.shown or {'?': f'[{name}]', '*': f'[{name} ...]'}.get(self.settings.get('nargs'), name)


_VARIANT = _Argument('--variant', metavar='NAME', default=variants.DEFAULT,
                     help=f'one of {", ".join(variants.VARIANTS)}; default: %(default)s')
_ONE_VARIANT = _Argument('--variant', metavar='NAME', help=f'only this one of {", ".join(variants.VARIANTS)}')
_AGAIN = _Argument('--again', action='store_true', help='begin anew, instead of where an interrupted run was')
# What all verbs take.
_COMMON = (
    _Argument('--source', metavar='FILE', help="take CPython's tarball from FILE, or from a folder (also: "
              '$ASYNCBIS_SOURCE)'),
    _Argument('--offline', action='store_true', help='never use the network'),
)


@dataclasses.dataclass(frozen=True)
class _Verb:
    """One verb."""
    name: str
    about: str
    notes: str  # more about it, for its own help
    arguments: tuple
    function: object  # called with a _Context and the arguments

    @property
    def signature(self):
        """The verb with its words, as the overview of the verbs shows it."""
        return ' '.join([self.name, *(argument.signature for argument in self.arguments if not argument.is_option)])

    def parser(self):
        """Return what parses the words behind the verb."""
        parser = _Parser(self)
        for argument in (*self.arguments, *_COMMON):
            parser.add_argument(*argument.names, **argument.settings)
        return parser

    def options(self):
        """Return {name: whether it has a value} of its options."""
        return {name: argument.takes_value for argument in (*self.arguments, *_COMMON) if argument.is_option
                for name in argument.names}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors."""

    def __init__(self, verb):
        name, _, words = verb.signature.partition(' ')
        about = f'{verb.about[0].upper()}{verb.about[1:]}.'
        super().__init__(usage=f'./build.sh {name} [OPTIONS] {words}'.rstrip(), description=about, epilog=verb.notes,
                         allow_abbrev=False,
                         formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=_WIDTH))
        self._verb = verb

    def error(self, message):
        if missing := re.match(r'argument (\S+): expected one argument', message):
            message = f'{missing[1]} needs a value. See ./build.sh help {self._verb.name}'
        elif message.startswith('the following arguments are required'):
            noun = next(argument.noun for argument in self._verb.arguments if argument.noun)
            message = f'{self._verb.name} needs {noun}: ./build.sh {self._verb.signature}'
        else:
            message = f'{self._verb.name}: {message}. See ./build.sh help {self._verb.name}'
        raise ui.UserError(message)


_VERBS = {}  # {name: _Verb}, in the order of the help


def _verb(about, *arguments, notes=''):
    """Register a function as the verb of its name."""
    def register(function):
        name = function.__name__.strip('_')
        _VERBS[name] = _Verb(name, about, notes, arguments, function)
        return function
    return register


def _parse(words):
    """Return (the _Verb, its arguments) that the words of the command line mean."""
    if not words:
        raise ui.UserError('a verb is missing. See ./build.sh help')
    name, *words = words
    if name in ('-h', '--help'):
        name = 'help'
    if name.startswith('-'):
        raise ui.UserError(f'the verb comes before its options: ./build.sh VERB {name} .... See ./build.sh help')
    verb = _find(name)
    rest = next((argument for argument in verb.arguments if argument.rest), None)
    at = len(words) if rest is None else 0 if rest.verbatim else _end_of_options(words, verb.options())
    arguments, unknown = verb.parser().parse_known_args(words[:at])
    if rest is not None:
        setattr(arguments, rest.names[0], words[at:])
    for word in unknown:
        option = word.partition('=')[0]
        if not word.startswith('-'):
            message = f'{name} does not take so many arguments: {" ".join(unknown)}'
        elif any(option in other.options() for other in _VERBS.values()):
            message = f'{name} does not take {option}'
        else:
            message = f'there is no option {word}'
        raise ui.UserError(f'{message}. See ./build.sh help {name}')
    if arguments.source is not None:
        # Where the user is, unlike where we are.
        arguments.source = str(_caller_folder() / arguments.source)
    return verb, arguments


def _find(name):
    """Return the _Verb that is called name."""
    try:
        return _VERBS[name]
    except KeyError:
        raise ui.UserError(f'there is no verb {name}. There are: {", ".join(_VERBS)}. See ./build.sh help') from None


def _end_of_options(words, options):
    """Return the index of the first word that is neither an option of the verb nor the value of one."""
    at = 0
    while at < len(words) and (words[at] in ('-h', '--help') or words[at].partition('=')[0] in options):
        at += 2 if options.get(words[at]) else 1
    return at


def _caller_folder():
    """Return the folder that the user called build.sh from."""
    return pathlib.Path(os.environ.get('ASYNCBIS_CWD') or os.getcwd())


def _unless_set(environment):
    """Return those of {name: value} that the user's environment does not set."""
    return {name: value for name, value in environment.items() if name not in os.environ}


def _leave(folder, command, **changes):
    """Replace this process by command."""
    env = {name: value for name, value in os.environ.items() if name != 'ASYNCBIS_CWD'}
    env.update(changes)
    os.chdir(folder)
    sys.stderr.flush()
    os.execve(command[0], [str(word) for word in command], env)


class _Context:
    """What the verbs work on."""

    def __init__(self, project, arguments):
        self.project = project
        self.tree = tree_module.Tree(project)
        self.source = {'source_file': arguments.source, 'offline': arguments.offline}

    def built(self, variant):
        """Build a variant; return its Builder."""
        builder = variants.Builder(self.project, variant)
        with self.project.lock():
            builder.build(**self.source)
        return builder

    def need_git(self):
        """Install git, if that is possible and it is not there."""
        packages.ensure(('git',), log=self.project.logs, offline=self.source['offline'])


@_verb('run a program on the patched interpreter; what is missing is built first',
       _Argument('program', metavar='FILE', shown='FILE [ARGS ...]', rest=True,
                 help='the program and its arguments; `-m MODULE` and `-c CODE` work as with python'),
       _VARIANT, notes='Options of build.sh stand before the FILE.')
def run(context, arguments):
    if not arguments.program:
        raise ui.UserError('run needs a file: ./build.sh run FILE [ARGS ...]')
    file = arguments.program[0]
    if not file.startswith('-') and not (_caller_folder() / file).exists():
        raise ui.UserError(f'there is no file {file} in {_caller_folder()}. Give the path of the program to run.')
    builder = context.built(arguments.variant)
    _leave(_caller_folder(), [builder.python, *arguments.program], **_unless_set(builder.environment))


@_verb('run the tests, the cheapest first; PATTERN selects some',
       _Argument('patterns', metavar='PATTERN', nargs='*', help='which tests; default: all'),
       _ONE_VARIANT, notes="""\
A PATTERN that is tests/FILE or tests/FILE::TEST is for pytest.  test_NAME, or the path of a file in Lib/test, is a
module of test_asyncio.  Anything else selects the tests of test_asyncio whose names contain it.  With --variant only
that variant is tested; with PATTERN and without --variant, only release.
""")
def test(context, arguments):
    if arguments.variant is not None:
        variants.Builder(context.project, arguments.variant)  # complains if there is no such variant
    testing.Runner(context.project, patterns=arguments.patterns, variant=arguments.variant, **context.source).run()


@_verb('build the interpreter', _VARIANT)
def build(context, arguments):
    ui.say(f'{context.built(arguments.variant).python} is up to date')


@_verb("print the interpreter's path, and nothing else", _VARIANT)
def python(context, arguments):
    print(context.built(arguments.variant).python)


@_verb('make a virtual environment with pip on the patched interpreter',
       _Argument('folder', metavar='DIR', noun='a folder', help='where to make it'), _VARIANT)
def venv(context, arguments):
    folder = _caller_folder() / arguments.folder
    interpreter = context.built(arguments.variant).python
    ui.run_logged(f'making {folder}', [str(interpreter), '-m', 'venv', str(folder)],
                  log=context.project.logs / 'venv.log', cwd=_caller_folder(), env=ui.clean_environment(),
                  hint='Give a folder that can be written to and is not in use.')
    ui.say(f'activate it with: . {folder}/bin/activate')


@_verb('open $SHELL with the interpreter first on PATH', _VARIANT)
def shell(context, arguments):
    builder = context.built(arguments.variant)
    program = os.environ.get('SHELL') or '/bin/sh'
    ui.say(f'python is {builder.python}; leave with exit')
    _leave(_caller_folder(), [program], PATH=f'{builder.python.parent}:{os.environ["PATH"]}',
           **_unless_set(builder.environment))


@_verb(f'build the container image {image_module.TAG}',
       _Argument('--base', metavar='IMAGE', help="the image to start from; default: the Dockerfile's"),
       _Argument('--variant', metavar='NAME', help=f'one of {", ".join(image_module.VARIANTS)}; default: pgo'))
def image(context, arguments):
    with context.project.lock():
        image_module.build(context.project, base=arguments.base, variant=arguments.variant, **context.source)


@_verb('build the pages of the documentation that the series changes, and the PEP, as HTML')
def docs(context, arguments):
    with context.project.lock():
        documentation.build(context.project, **context.source)
        ui.say(f'  {pep.render(context.project, offline=context.source["offline"])}')


@_verb('lint the patch series, the language and all that goes with them; needs no built interpreter')
def check(context, arguments):
    with context.project.lock():
        context.need_git()
        lint.check(context.project, context.tree, **context.source)


@_verb("run other projects' own tests on stock and on the patched interpreter (`survey --help`)",
       _Argument('words', metavar='PROJECT', verbatim=True))
def survey(context, arguments):
    survey_module.run(context.project, arguments.words, **context.source)


@_verb("run AnyIO's own tests with its backend and with the native one (the same as `verify anyio`)", _AGAIN)
def anyio(context, arguments):
    verify_module.Verification(context.project, again=arguments.again, **context.source).run(['anyio'])


@_verb('run the long checks and write down their figures; without CHECK: say which there are',
       _Argument('checks', metavar='CHECK', nargs='*', help='a check, such as leaks, or a part of one, such as '
                 'variants:asan'),
       _Argument('--report', action='store_true', help='only render docs/testing.md anew'), _AGAIN, notes="""\
The figures go to tests/results/ and into docs/testing.md.  A run that was interrupted goes on where it was, as long as
the sources are the same.
""")
def verify(context, arguments):
    if arguments.report:
        figures.update(context.project)
        ui.say(f'{figures.DOCUMENT} is up to date')
    elif arguments.checks:
        selected = verify_module.names(arguments.checks)
        verify_module.Verification(context.project, again=arguments.again, **context.source).run(selected)
    else:
        print(verify_module.overview(context.project))


@_verb('measure how fast the interpreter is, against stock and other libraries; CASE selects some',
       _Argument('cases', metavar='CASE', nargs='*', help='a case, such as cancel_by_scope, or one size of it, such as '
                 'cancel_by_scope/1000; default: all'),
       _Argument('--variant', metavar='NAME', default=variants.DEFAULT, help=f'one of '
                 f'{", ".join(bench_module.VARIANTS)}; default: %(default)s. Stock is built with the same flags'),
       _Argument('--list', action='store_true', help='only say which cases there are'),
       _Argument('--quick', action='store_true', help='few rounds, and only print the figures'),
       _Argument('--report', action='store_true', help='only render docs/performance.md anew'),
       _Argument('--pyperformance', action='store_true', help='benchmarks of pyperformance instead; CASE is the name of '
                 'one'),
       _Argument('--server', action='store_true', help='servers instead; CASE is echo, aiohttp or starlette'),
       _Argument('--as-built', action='store_true', help='with --quick: take the interpreters as they are, without building them'),
       _AGAIN, notes="""\
The figures go to benchmarks/results/.  A run that was interrupted goes on where it was, as long as the sources are the
same.  benchmarks/README.md says how it is done.
""")
def bench(context, arguments):
    run = bench_module.Bench(context.project, variant=arguments.variant, as_built=arguments.as_built,
                             again=arguments.again, **context.source)
    if arguments.list:
        run.list()
    elif arguments.report:
        run.report()
    else:
        suite = 'pyperformance' if arguments.pyperformance else 'server' if arguments.server else 'cases'
        run.run(arguments.cases, suite=suite, quick=arguments.quick)


@_verb('make build/src, the tree with the patches applied',
       _Argument('--until', metavar='PATCH', help='leave out this patch and those after it, to apply them by hand'))
def prepare(context, arguments):
    until = arguments.until
    if until is not None:
        until = pathlib.Path(until).name
        until += '' if until.endswith('.patch') else '.patch'
    with context.project.lock():
        context.need_git()
        context.tree.prepare(context.project.read_inputs(), until=until, **context.source)
    ui.say(f'build/src is at {context.tree.head[:12]}')


@_verb('export build/src into patches/ and the overlay',
       _Argument('--autosquash', action='store_true', help='fold `fixup!`, `squash!` and `amend!` commits in first'))
def refresh(context, arguments):
    with context.project.lock():
        if not context.tree.exists:
            raise ui.UserError('there is no build/src to refresh from. Make it: ./build.sh prepare')
        written = export.refresh(context.project, context.tree, autosquash=arguments.autosquash)
    for path in written:
        ui.say(f'  {path}')
    ui.say('exported' if written else 'nothing has changed')


@_verb('give the series to a plain CPython: commit it in DIR, a git checkout, or write it as one patch',
       _Argument('folder', metavar='DIR', nargs='?', help='the checkout; the commits go onto its branch'),
       _Argument('--patch', metavar='FILE', help='write one patch that does all of it, for `patch -p1` or `pyenv install '
                 '--patch`; - is standard output'),
       _Argument('--upstreamable', action='store_true', help='without what is for this interpreter only'), notes="""\
Both hold all that it takes: the overlay, generated files, tests and documentation.  What is in build/src and has not been
exported by refresh is not in them, so it is refused.
""")
def export_(context, arguments):
    if arguments.folder is None and arguments.patch is None:
        raise ui.UserError('export needs a git checkout of CPython, or a file for the patch: ./build.sh export DIR, or '
                           './build.sh export --patch FILE')
    with context.project.lock():
        context.need_git()
        series = plain.Series(context.project, context.tree, upstreamable=arguments.upstreamable, **context.source)
        if arguments.folder is not None:
            folder = (_caller_folder() / arguments.folder).resolve()
            ui.say(f'{series.commit_in(folder)} commits made in {folder}')
        if arguments.patch == '-':
            sys.stdout.buffer.write(series.combined())
        elif arguments.patch is not None:
            path = _caller_folder() / arguments.patch
            plain.write(path, series.combined())
            ui.say(f'written: {path}')


@_verb('remove build/, or with --variant only what that variant built', _ONE_VARIANT)
def clean(context, arguments):
    with context.project.lock():
        if arguments.variant is not None:
            shutil.rmtree(variants.Builder(context.project, arguments.variant).folder, ignore_errors=True)
            return
        if context.tree.exists:
            context.tree.refuse_if_unexported()
        for path in context.project.build.iterdir():
            if path.name == 'lock':
                continue  # we hold it
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@_verb('say all this, or what VERB takes', _Argument('verb', metavar='VERB', nargs='?', help='the verb'))
def help_(context, arguments):
    if arguments.verb is not None:
        verb = _find(arguments.verb)
        if any(argument.verbatim for argument in verb.arguments):
            # It has a command line of its own.
            verb.function(context, *_parse([verb.name, '--help'])[1:])
        else:
            print(verb.parser().format_help(), end='')
        return
    print('usage: ./build.sh VERB ...\n')
    _print_table((verb.signature, verb.about) for verb in _VERBS.values())
    print('\nOptions of each VERB: ./build.sh help VERB.  All but survey take:\n')
    _print_table((' '.join([*argument.names, argument.settings.get('metavar', '')]), argument.settings['help'])
                 for argument in _COMMON)
    print(f'\nMost take --variant NAME: {", ".join(variants.VARIANTS)}; default: {variants.DEFAULT}.\n')
    print(_NOTES, end='')


def _print_table(rows):
    for left, right in rows:
        first, *more = textwrap.wrap(right, _WIDTH - 26)
        print(f'  {left:<24}{first}')
        for line in more:
            print(' ' * 26 + line)


def main(argv):
    """Run the verb in argv; return the exit status."""
    try:
        verb, arguments = _parse(argv)
        # (The variable is for the tests, which work on a small project of their own.)
        project = project_module.Project(os.environ.get('ASYNCBIS_ROOT') or pathlib.Path(__file__).parent.parent)
        verb.function(_Context(project, arguments), arguments)
    except ui.UserError as error:
        print(f'build.sh: error: {error}', file=sys.stderr)
        return 1
    except git.GitError as error:
        print(f'build.sh: error: git failed in build/src: {error}\n'
              '  See what is wrong with: git -C build/src status', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('build.sh: interrupted', file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
