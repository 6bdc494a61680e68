"""The command line: see _HELP, which is all the documentation there is to the verbs."""

import os
import pathlib
import shutil
import signal
import sys

from tools import figures
from tools import git
from tools import image
from tools import lint
from tools import packages
from tools import project as project_module
from tools import survey
from tools import testing
from tools import tree as tree_module
from tools import ui
from tools import variants
from tools import verify

_HELP = f"""\
usage: ./build.sh VERB ...

  run FILE [ARGS]     run FILE on the patched interpreter; what is missing is built first
                      (`run -m MODULE` and `run -c CODE` work as with python)
  test [PATTERN]      run the tests, the cheapest first (PATTERN: see below)
  build               build the interpreter
  python              print the interpreter's path, and nothing else
  venv DIR            make a virtual environment with pip on the patched interpreter
  shell               open $SHELL with the interpreter first on PATH
  image               build the container image asyncbis-python [--base IMAGE] [--profile VARIANT]
  check               lint the patch series and all that goes with it; needs no built interpreter
  survey [PROJECT...] run other projects' own tests on stock and on the patched interpreter (`survey --help`)
  anyio               run AnyIO's own tests with its backend and with the native one (the same as `verify anyio`)
  verify [WHAT ...]   run the long checks and write down their figures; without WHAT: what there is (see below)
  prepare             make build/src, the tree with the patches applied [--until PATCH]
  refresh             export build/src into patches/ and the overlay [--autosquash]
  clean               remove build/, or with --variant only what that variant built
  help                this text

  --variant NAME      one of {', '.join(variants.VARIANTS)}; default: {variants.DEFAULT}
  --source FILE       take CPython's tarball from FILE, or from a folder (also: $ASYNCBIS_SOURCE)
  --offline           never use the network

Options stand before the FILE of run.

The edit loop.  A file that upstream has is changed by a patch: edit it in build/src, `./build.sh build`, try it,
`git commit` there (or `git commit --fixup`), then `./build.sh refresh --autosquash`.  The patch's file is named after
the commit's subject, without `asyncio: `.  A file that upstream does not have lies in this project, at the same path:
edit it here or in build/src, as you like; refresh brings it back.  Commits that touch both kinds are split.

PATTERN of test.  tests/FILE[::TEST] is for pytest; test_NAME is a module of test_asyncio; anything else selects the
tests of test_asyncio whose name contains it.  With --variant only that variant is tested, with PATTERN only release.

verify.  WHAT is a check, such as leaks, or a part of one, such as variants:asan.  The figures go to tests/results/ and
into docs/testing.md; `verify --report` only renders that file anew.  A run that was interrupted goes on where it was,
as long as the sources are the same; --again begins anew.

$ASYNCBIS_DEBIAN_SITES replaces the Debian mirrors that apt is set up with, as places to look for the tarball.
"""


class _Arguments:
    """The command line, taken apart."""

    _VALUES = {'--variant', '--source', '--base', '--profile', '--until'}
    _FLAGS = {'--offline', '--autosquash', '--report', '--again'}
    # What each verb takes: how many words at most, and options besides those that all verbs take.
    _VERBS = {
        'run': (None, {'--variant'}),
        'test': (1, {'--variant'}),
        'build': (0, {'--variant'}),
        'python': (0, {'--variant'}),
        'venv': (1, {'--variant'}),
        'shell': (0, {'--variant'}),
        'image': (0, {'--base', '--profile'}),
        'check': (0, set()),
        'anyio': (0, {'--again'}),
        'verify': (None, {'--report', '--again'}),
        'survey': (None, set()),
        'prepare': (0, {'--until'}),
        'refresh': (0, {'--autosquash'}),
        'clean': (0, {'--variant'}),
        'help': (None, set()),
    }
    _ALWAYS = {'--source', '--offline'}

    def __init__(self, argv):
        self.options = {}
        self.words = []
        self.verb = None
        argv = list(argv)
        while argv:
            word = argv.pop(0)
            if self.verb is None and word in ('-h', '--help'):
                word = 'help'
            if self.verb == 'survey':
                # It has options of its own.
                self.words = [word, *argv]
                break
            name, sign, value = word.partition('=')
            if name in self._VALUES:
                if not sign and not argv:
                    raise ui.UserError(f'{name} needs a value. See ./build.sh help')
                self.options[name] = value if sign else argv.pop(0)
            elif word in self._FLAGS:
                self.options[word] = True
            elif self.verb is None:
                self.verb = word
            elif self.verb == 'run':
                # From here on everything belongs to the program.
                self.words = [word, *argv]
                break
            elif word.startswith('-'):
                raise ui.UserError(f'there is no option {word}. See ./build.sh help')
            else:
                self.words.append(word)
        self._check()

    def _check(self):
        if self.verb is None:
            raise ui.UserError('a verb is missing. See ./build.sh help')
        if self.verb not in self._VERBS:
            raise ui.UserError(f'there is no verb {self.verb}. There are: {", ".join(self._VERBS)}. '
                               'See ./build.sh help')
        most, options = self._VERBS[self.verb]
        for name in self.options:
            if name not in options | self._ALWAYS:
                raise ui.UserError(f'{self.verb} does not take {name}. See ./build.sh help')
        if most is not None and len(self.words) > most:
            raise ui.UserError(f'{self.verb} does not take so many arguments: {" ".join(self.words)}. '
                               'See ./build.sh help')
        # Where the user is, unlike where we are.
        if '--source' in self.options:
            self.options['--source'] = str(caller_folder() / self.options['--source'])


def caller_folder():
    """Return the folder that the user called build.sh from."""
    return pathlib.Path(os.environ.get('ASYNCBIS_CWD') or os.getcwd())


def _unless_set(environment):
    """Return what of {name: value} the user has no setting of his own for."""
    return {name: value for name, value in environment.items() if name not in os.environ}


class _Verbs:
    """The verbs, one method each."""

    def __init__(self, project, arguments):
        self._project = project
        self._tree = tree_module.Tree(project)
        self._arguments = arguments
        self._source = {'source_file': arguments.options.get('--source'),
                        'offline': '--offline' in arguments.options}

    def _builder(self):
        return variants.Builder(self._project, self._arguments.options.get('--variant', variants.DEFAULT))

    def _built(self):
        builder = self._builder()
        with self._project.lock():
            builder.build(**self._source)
        return builder

    def help(self):
        print(_HELP, end='')

    def build(self):
        ui.say(f'{self._built().python} is up to date')

    def python(self):
        print(self._built().python)

    def run(self):
        if not self._arguments.words:
            raise ui.UserError('run needs a file: ./build.sh run FILE [ARGS]')
        file = self._arguments.words[0]
        if not file.startswith('-') and not (caller_folder() / file).exists():
            raise ui.UserError(f'there is no file {file} in {caller_folder()}. Give the path of the program to run.')
        builder = self._built()
        self._leave(caller_folder(), [builder.python, *self._arguments.words], **_unless_set(builder.environment))

    def shell(self):
        builder = self._built()
        python = builder.python
        shell = os.environ.get('SHELL') or '/bin/sh'
        ui.say(f'python is {python}; leave with exit')
        self._leave(caller_folder(), [shell], PATH=f'{python.parent}:{os.environ["PATH"]}',
                    **_unless_set(builder.environment))

    def _leave(self, folder, command, **changes):
        """Replace this process by command."""
        env = {name: value for name, value in os.environ.items() if name != 'ASYNCBIS_CWD'}
        env.update(changes)
        os.chdir(folder)
        sys.stderr.flush()
        os.execve(command[0], [str(word) for word in command], env)

    def venv(self):
        if not self._arguments.words:
            raise ui.UserError('venv needs a folder: ./build.sh venv DIR')
        folder = caller_folder() / self._arguments.words[0]
        python = self._built().python
        ui.run_logged(f'making {folder}', [str(python), '-m', 'venv', str(folder)], log=self._project.logs / 'venv.log',
                      cwd=caller_folder(), env=ui.clean_environment(),
                      hint='Give a folder that can be written to and is not in use.')
        ui.say(f'activate it with: . {folder}/bin/activate')

    def prepare(self):
        until = self._arguments.options.get('--until')
        if until is not None:
            until = pathlib.Path(until).name
            until += '' if until.endswith('.patch') else '.patch'
        with self._project.lock():
            packages.ensure(('git',), log=self._project.logs, offline=self._source['offline'])
            self._tree.prepare(self._project.read_inputs(), until=until, **self._source)
        ui.say(f'build/src is at {self._tree.head[:12]}')

    def refresh(self):
        with self._project.lock():
            if not self._tree.exists:
                raise ui.UserError('there is no build/src to refresh from. Make it: ./build.sh prepare')
            _, written = self._tree.refresh(self._project.read_inputs(),
                                            autosquash='--autosquash' in self._arguments.options)
        for path in written:
            ui.say(f'  {path}')
        ui.say('exported' if written else 'nothing has changed')

    def test(self):
        words = self._arguments.words
        variant = self._arguments.options.get('--variant')
        if variant is not None:
            self._builder()  # complains if there is no such variant
        testing.Runner(self._project, pattern=words[0] if words else None, variant=variant, **self._source).run()

    def verify(self):
        if '--report' in self._arguments.options:
            figures.update(self._project)
            ui.say(f'{figures.DOCUMENT} is up to date')
        elif self._arguments.words:
            selected = verify.names(self._arguments.words)
            verify.Verification(self._project, again='--again' in self._arguments.options,
                                **self._source).run(selected)
        else:
            print(verify.overview(self._project))

    def anyio(self):
        verify.Verification(self._project, again='--again' in self._arguments.options, **self._source).run(['anyio'])

    def survey(self):
        survey.run(self._project, self._arguments.words, **self._source)

    def image(self):
        options = self._arguments.options
        with self._project.lock():
            image.build(self._project, base=options.get('--base'), profile=options.get('--profile'), **self._source)

    def check(self):
        with self._project.lock():
            packages.ensure(('git',), log=self._project.logs, offline=self._source['offline'])
            lint.check(self._project, self._tree, **self._source)

    def clean(self):
        with self._project.lock():
            if '--variant' in self._arguments.options:
                shutil.rmtree(self._builder().folder, ignore_errors=True)
                return
            if self._tree.exists:
                self._tree.refuse_if_unexported()
            for path in self._project.build.iterdir():
                if path.name == 'lock':
                    continue  # we hold it
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def main(argv):
    """Run the verb in argv; return the exit status."""
    try:
        arguments = _Arguments(argv)
        # (The variable is for the tests, which work on a small project of their own.)
        project = project_module.Project(os.environ.get('ASYNCBIS_ROOT') or pathlib.Path(__file__).parent.parent)
        getattr(_Verbs(project, arguments), arguments.verb)()
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
