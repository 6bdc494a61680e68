"""The command line of the survey; called by ./build.sh survey, which builds the interpreters first."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import sys

from survey import agreement
from survey import attribution
from survey import conduct
from survey import native
from survey import ports
from survey import progress
from survey import projects as projects_module
from survey import runs
from survey import services
from survey.environments import Environments


def main(argv):
    parser = argparse.ArgumentParser(prog='./build.sh survey', description=(
        "Run other projects' own tests on stock CPython and on the patched one, and find out what breaks and why."))
    parser.add_argument('projects', nargs='*', metavar='PROJECT', help='which ones; default: all')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='projects at a time; default: 1, for tests '
                        'that measure time fail on a busy machine')
    parser.add_argument('--fresh', action='store_true', help='repeat runs that have not become outdated')
    parser.add_argument('--repeat', action='store_true', help='make the whole survey once more, apart from the first, '
                        'and write to survey/agreement.json whether the two agree')
    parser.add_argument('--ported', action='store_true', help='apply the edits in survey/ports/ and run the tests of '
                        'the ported projects on both interpreters; what comes of it is written to survey/ports.json. '
                        'Exit status 1: a test that is fine on stock fails on one of them')
    parser.add_argument('--quick', action='store_true', help='with --ported: only the tests that regress in the '
                        'results, once, and write nothing')
    parser.add_argument('--offline', action='store_true', help='use only what an earlier survey has fetched')
    parser.add_argument('--report', action='store_true', help='write docs/survey.md, docs/findings.md and '
                        'survey/index.html from the results, and run nothing')
    parser.add_argument('--remember', action='store_true', help='write to survey/previous.json what the results say, '
                        'for the report to compare later results with; run nothing')
    parser.add_argument('--list', action='store_true', help='list the projects, and run nothing')
    parser.add_argument('--from', type=pathlib.Path, default=projects_module.LIST, metavar='FILE', dest='list_file',
                        help='another list of projects than survey/projects.toml')
    # For build.sh.
    parser.add_argument('--build', type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument('--package', type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument('--identities', type=json.loads, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    # In the background job of a script SIGINT is ignored, and would be in tests that send it to themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(arguments)
    except projects_module.SurveyError as error:
        print(f'survey: error: {error}', file=sys.stderr)
        return 1


def run(arguments):
    projects, excluded = projects_module.load(arguments.list_file)
    if arguments.list:
        for project in projects.values():
            print(f'{project.name:<24} {project.version:<12} {project.category}')
        for entry in excluded:
            print(f'{entry.name:<24} {entry.version:<12} excluded: {entry.reason}')
        return 0
    if arguments.report:
        from survey import report
        report.write()
        return 0
    if arguments.remember:
        from survey import report
        report.remember()
        return 0
    unknown = [name for name in arguments.projects if name not in projects]
    if unknown:
        raise projects_module.SurveyError(f'there is no project {", ".join(unknown)}. See ./build.sh survey --list')
    if arguments.quick and not arguments.ported:
        raise projects_module.SurveyError('--quick goes with --ported only')
    if arguments.ported and (arguments.repeat or arguments.fresh):
        raise projects_module.SurveyError('--ported goes with neither --repeat nor --fresh; it makes all its runs anew')
    known_ports = ports.load() if arguments.ported else {}
    ported = [name for name in projects if name in known_ports and not known_ports[name].left_out]
    if arguments.ported and (without := [name for name in arguments.projects if name not in ported]):
        raise projects_module.SurveyError(f'there are no edits for {", ".join(without)} in {ports.PORTS}')
    chosen = [projects[name] for name in arguments.projects or (ported if arguments.ported else projects)]
    build = arguments.build.resolve()
    # The longest first, so that none is left alone at the end.
    chosen.sort(key=lambda project: -project.seconds)
    package = arguments.package and native.Package(arguments.package.resolve())
    environments = Environments(build / 'survey', {
        'stock': build / 'stock' / 'live' / 'bin' / 'python3',
        'patched': build / 'release' / 'live' / 'bin' / 'python3'}, offline=arguments.offline, package=package)
    folder = build / 'survey'
    runs_folder, results = folder / 'runs', conduct.RESULTS
    if arguments.repeat:
        runs_folder, results = folder / 'repeated-runs', folder / 'repeated-results'
    if not arguments.ported:
        environments.check_switches(attribution.SWITCHES)
    outcomes = []
    with progress.Progress(len(chosen)) as listener:
        if arguments.ported:
            survey = ports.Trial(folder, environments, arguments.identities, listener, known_ports,
                                 quick=arguments.quick)
        else:
            survey = conduct.Survey(folder, environments, arguments.identities, listener, runs=runs_folder,
                                    results=results, fresh=arguments.fresh, package=package)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            try:
                for future in [pool.submit(survey.conduct, project) for project in chosen]:
                    outcomes.append(future.result())
            except KeyboardInterrupt:
                # What is under way is worth little; what is over is kept.
                pool.shutdown(wait=False, cancel_futures=True)
                runs.stop_all()
                services.stop_all()
                os._exit(130)
    if arguments.repeat:
        compared = agreement.write(conduct.RESULTS, results)['projects']
        for name, entry in compared.items():
            if not agreement.agrees(entry):
                print(f'survey: the two surveys of {name} do not agree, see {agreement.FILE}', file=sys.stderr)
    for name in listener.failures:
        print(f'survey: {name} could not be surveyed, see above', file=sys.stderr)
    broken = arguments.ported and any(entry and entry[variant]['failing'] for entry in outcomes
                                      for variant in ports.VARIANTS)
    return 1 if listener.failures or broken else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
