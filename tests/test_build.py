"""The verbs around the build: what is made when, and what is said if it cannot be."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from fake_project import FILES, MAKEFILE, ROOT, write_tarball
from tools import __main__ as commands
from tools import packages
from tools import processes
from tools import survey
from tools import ui
from tools import variants


def made(project, variant='release'):
    """How many times make ran."""
    path = project.root / 'build' / variant / 'made'
    return len(path.read_text().splitlines()) if path.exists() else 0


# build


def test_second_build_does_nothing(patched):
    patched.run('build')
    stderr = patched.run('build').stderr
    assert made(patched) == 1
    assert len(stderr.splitlines()) == 1


def test_changed_overlay_file_takes_effect(patched):
    patched.run('build')
    patched.write('Lib/asyncio/mine.py', 'MINE = 2\n')
    patched.run('build')
    assert made(patched) == 2
    library = patched.root / 'build/release/live/lib/python9.9'
    assert (library / 'asyncio/mine.py').read_text() == 'MINE = 2\n'
    assert (library / 'site-packages').is_dir() and not (library / 'site-packages').is_symlink()


def test_work_in_build_src_is_built_as_it_stands(patched):
    patched.run('build')
    patched.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    patched.run('build')
    assert made(patched) == 2
    patched.run('build')
    assert made(patched) == 2
    (patched.src / 'Lib/asyncio/new.py').write_text('NEW = 1\n')
    patched.run('build')
    assert made(patched) == 3
    patched.commit('asyncio: Make f3 return more')
    # The same files, only committed.
    patched.run('build')
    assert made(patched) == 3
    patched.run('refresh')
    patched.run('build')
    assert made(patched) == 3


def test_new_patch_in_the_project_is_built(patched):
    """As after a pull of a series that was refreshed elsewhere."""
    patched.run('build')
    patched.write('patches/series', patched.read('patches/series').replace('make-f19-return-a-word.patch\n', ''))
    patched.run('build')
    assert made(patched) == 2
    assert 'return 19' in (patched.src / 'Lib/asyncio/tasks.py').read_text()


def test_variants_lie_side_by_side(patched):
    for name in variants.VARIANTS:
        patched.run('build', '--variant', name)
    log = patched.read('build/log/debug-configure.log')
    assert 'configured with: --with-pydebug\n' in log
    assert 'configured with: \n' in patched.read('build/log/stock-configure.log')
    for name in variants.VARIANTS:
        assert made(patched, name) == 1
        patched.run('build', '--variant', name)
        assert made(patched, name) == 1


def test_stock_has_no_patch(patched):
    for variant, patch_is_in in (('release', True), ('stock', False)):
        patched.run('build', '--variant', variant)
        library = patched.root / 'build' / variant / 'live' / 'lib' / 'python9.9'
        assert (library / 'asyncio/mine.py').exists() == patch_is_in
        assert ('return "zero"' in (library / 'asyncio/tasks.py').read_text()) == patch_is_in


def test_stock_does_not_care_for_patches(patched):
    patched.run('build', '--variant', 'stock')
    patched.write('Lib/asyncio/mine.py', 'MINE = 2\n')
    patched.run('build', '--variant', 'stock')
    assert made(patched, 'stock') == 1


def test_profile_is_never_that_of_other_sources(patched):
    patched.run('build', '--variant', 'pgo')
    patched.write('Lib/asyncio/mine.py', 'MINE = 2\n')
    patched.run('build', '--variant', 'pgo')
    assert made(patched, 'pgo') == 1, 'the folder was not emptied'


def test_other_flags_configure_anew(patched):
    patched.run('build')
    patched.run('build', env={'CFLAGS': '-Og'})
    assert made(patched) == 1, 'the folder was not emptied'


def broken(project, path, text):
    """Give the project an upstream with one file changed."""
    tarball = project.folder / 'broken.tar.xz'
    project.pin(write_tarball(tarball, {**FILES, path: text}))
    return {'ASYNCBIS_SOURCE': str(tarball)}


def test_configure_fails(project):
    env = broken(project, 'configure', '#!/bin/sh\necho no acceptable C compiler found\nexit 1\n')
    message = project.fail('build', env=env)
    assert 'configuring release failed (exit status 1)' in message
    assert '  | no acceptable C compiler found\n' in message
    assert f'Log: {project.root}/build/log/release-configure.log' in message
    assert 'config.log' in message
    # Nothing that is half done is taken for done.
    assert 'configuring release failed' in project.fail('build', env=env)


def test_make_fails(project):
    env = broken(project, 'Makefile.pre.in', 'all:\n\techo mistake; exit 3\n')
    message = project.fail('build', env=env)
    assert 'building release failed' in message and '  | mistake\n' in message
    assert f'Log: {project.root}/build/log/release-make.log' in message
    project.run('prepare')  # what is there can still be worked with
    (project.src / 'Makefile.pre.in').write_text(MAKEFILE)
    project.run('clean', '--variant', 'release')
    project.run('build', env=env)


def test_module_that_was_not_built(project):
    env = broken(project, 'Programs/python.sh', '#!/bin/sh\necho _zstd\n')
    message = project.fail('build', env=env)
    assert 'these modules were not built: _zstd' in message and './build.sh clean --variant release' in message
    project.fail('build', env=env)


def test_interpreter_that_does_not_start(project):
    env = broken(project, 'Programs/python.sh', '#!/bin/sh\necho Fatal >&2; exit 1\n')
    assert 'does not start:\nFatal' in project.fail('build', env=env)


def test_changes_of_the_user_steer_nothing(project):
    """A PYTHONPATH or a MAKEFLAGS that is meant for something else."""
    makefile = MAKEFILE + '\ttest -z "$$PYTHONHOME$$PYTHONPATH$$DESTDIR"\n'
    env = broken(project, 'Makefile.pre.in', makefile)
    project.run('build', env={**env, 'PYTHONHOME': '/nowhere', 'PYTHONPATH': '/nowhere', 'DESTDIR': '/nowhere',
                              'MAKEFLAGS': '--dry-run'})
    assert made(project) == 1


def test_interrupt(project):
    """Ctrl-C in the middle of make: one line, and the next build goes on."""
    fifo = project.folder / 'started'
    os.mkfifo(fifo)
    # One command, which make runs without a shell: between two commands the shell would take the signal for itself.
    env = broken(project, 'Makefile.pre.in', f'all:\n\tcat {fifo}\n')
    with project.start('build', env=env, start_new_session=True, preexec_fn=processes.accept_sigint) as process:
        with open(fifo, 'w', encoding='utf-8'):  # when it has been opened by cat
            os.killpg(process.pid, signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == 'build.sh: interrupted'
    assert 'Traceback' not in stderr
    (project.src / 'Makefile.pre.in').write_text(MAKEFILE)
    (project.root / 'build/release/Makefile').write_text(
        MAKEFILE.replace('@source@', str(project.src)))
    project.run('build', env=env)
    assert made(project) == 1


def test_two_at_once(patched):
    with open(patched.root / 'build' / 'lock', 'a', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = patched.start('build')
        assert 'waiting for another build.sh' in process.stderr.readline()
        assert process.poll() is None
    with process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert made(patched) == 1


# Missing packages


def test_missing_compiler_for_root_where_apt_fails(project):
    project.stub('dpkg-query', 'print("installed git")')
    project.stub('apt-get', 'import sys; print("no network"); sys.exit(100)')
    message = project.fail('build')
    if os.geteuid() == 0:
        assert 'apt-get update failed (exit status 100)' in message and '  | no network\n' in message
    else:
        assert 'these packages are missing: build-essential' in message
    assert 'build-essential' in message
    assert not project.src.exists()


def test_missing_compiler_offline(project):
    project.stub('dpkg-query', 'print("installed git")')
    message = project.fail('build', '--offline')
    assert 'these packages are missing: build-essential' in message and 'apt-get install build-essential' in message


def stub_packages(project, monkeypatch, installed):
    project.stub('dpkg-query', f'print({installed!r})')
    monkeypatch.setenv('PATH', f'{project.stubs}:{os.environ["PATH"]}')


def test_missing_compiler_for_a_user(project, monkeypatch):
    stub_packages(project, monkeypatch, 'installed git\ndeinstalled make')
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with pytest.raises(ui.UserError) as info:
        packages.ensure(('git', 'build-essential', 'make'), log=project.folder)
    assert str(info.value) == ("these packages are missing: build-essential make\n  Install them with: "
                               "sudo sh -c 'apt-get update && apt-get install build-essential make'")


def test_missing_package_is_installed_by_root(project, monkeypatch):
    stub_packages(project, monkeypatch, 'installed git')
    project.stub('apt-get', f'import sys; print(sys.argv[1:], file=open({str(project.folder / "apt")!r}, "a"))')
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    packages.ensure(('git', 'build-essential'), log=project.folder)
    assert (project.folder / 'apt').read_text().splitlines() == [
        "['update']", "['install', '--yes', '--no-install-recommends', 'build-essential']"]


def test_package_that_another_one_provides(project, monkeypatch):
    stub_packages(project, monkeypatch, 'installed pkgconf pkg-config (= 1.8), other')
    assert packages.missing(('pkgconf', 'pkg-config', 'other', 'more')) == ['more']


def test_missing_compiler_where_there_is_no_dpkg(project, monkeypatch):
    (project.stubs / 'dpkg-query').unlink()
    monkeypatch.setenv('PATH', str(project.stubs))
    with pytest.raises(ui.UserError, match='there is no `cc` on PATH'):
        packages.ensure(packages.BUILD, log=project.folder)


# The command line


def test_python_prints_the_path_only(patched):
    result = patched.run('python')
    assert result.stdout == f'{patched.root}/build/release/live/bin/python3\n'
    assert patched.run('python', '--variant=debug').stdout == f'{patched.root}/build/debug/live/bin/python3\n'


def test_run(patched):
    (patched.folder / 'app.py').write_text('import os, sys\nprint(os.getcwd(), sys.argv)\nsys.exit(7)\n')
    result = patched.run('run', 'app.py', '--variant', 'x', '-h', env={'ASYNCBIS_CWD': '/nowhere'}, status=7)
    assert result.stdout == f"{patched.folder} ['app.py', '--variant', 'x', '-h']\n"


def test_run_a_module(patched):
    assert patched.run('run', '-c', 'import sys; print(sys.argv)', 'x').stdout == "['-c', 'x']\n"


def test_program_gets_the_users_environment(patched):
    (patched.folder / 'library').mkdir()
    (patched.folder / 'library' / 'mine_alone.py').write_text('print("imported")\n')
    env = {'PYTHONPATH': str(patched.folder / 'library')}
    assert patched.run('run', '-c', 'import mine_alone, os; print("ASYNCBIS_CWD" in os.environ)',
                       env=env).stdout == 'imported\nFalse\n'


def test_missing_app_file(patched):
    message = patched.fail('run', 'missing.py')
    assert f'there is no file missing.py in {patched.folder}' in message
    assert made(patched) == 0, 'it is known before the build'


@pytest.mark.parametrize('args, complaint', [
    (['frobnicate'], 'there is no verb frobnicate. There are: run, test, build'),
    ([], 'a verb is missing'),
    (['run'], 'run needs a file'),
    (['venv'], 'venv needs a folder'),
    (['build', '--frobnicate'], 'there is no option --frobnicate'),
    (['build', 'it'], 'build does not take so many arguments: it'),
    (['build', '--variant'], '--variant needs a value'),
    (['build', '--variant', 'other'], 'there is no variant other. There are: release, stock, debug'),
    (['test', '--variant', 'other'], 'there is no variant other'),
    (['check', '--variant', 'debug'], 'check does not take --variant'),
    (['image', '--variant', 'stock'], 'there is no image of a variant stock. There are: release, debug, free-threaded, '
                                      'pgo'),
    (['--variant', 'debug', 'build'], 'the verb comes before its options: ./build.sh VERB --variant'),
    (['help', 'frobnicate'], 'there is no verb frobnicate'),
    (['prepare', '--autosquash'], 'prepare does not take --autosquash'),
])
def test_misuse(project, args, complaint):
    message = project.fail(*args)
    assert message.startswith(complaint)
    assert not (project.root / 'build' / 'src').exists()


@pytest.mark.parametrize('args', [['help'], ['--help']])
def test_help_names_every_verb_and_variant(project, args):
    text = project.run(*args).stdout
    for word in ('run FILE', 'test [PATTERN ...]', 'build', 'prepare', 'refresh', 'check', 'image', 'python',
                 'venv DIR', 'shell', 'docs', 'clean', 'help [VERB]', *variants.VARIANTS, '--variant', '--source', '--offline'):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize('args', [['help', 'test'], ['test', '--help'], ['test', '--variant', 'debug', '-h']])
def test_help_of_a_verb(project, args):
    text = project.run(*args).stdout
    assert text.startswith('usage: ./build.sh test [OPTIONS] [PATTERN ...]\n')
    for word in ('PATTERN', '--variant NAME', '--source FILE', '--offline', 'tests/FILE::TEST'):
        assert word in text
    assert '--until' not in text
    assert max(map(len, text.splitlines())) <= 120


def test_survey_has_options_of_its_own(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setenv('ASYNCBIS_ROOT', str(tmp_path))
    monkeypatch.setattr(survey, 'run', lambda project, words, **source: seen.append(words))
    assert commands.main(['survey', '--list', 'aiohttp', '--offline']) == 0
    assert seen == [['--list', 'aiohttp', '--offline']]


def test_shell(patched):
    patched.stub('mysh', 'import shutil; print(shutil.which("python3"))')
    result = patched.run('shell', env={'SHELL': str(patched.stubs / 'mysh')})
    assert result.stdout == f'{patched.root}/build/release/live/bin/python3\n'


def test_clean(patched):
    patched.run('build')
    patched.run('build', '--variant', 'debug')
    patched.run('clean', '--variant', 'debug')
    assert made(patched, 'debug') == 0 and made(patched) == 1
    patched.run('clean')
    assert [path.name for path in (patched.root / 'build').iterdir()] == ['lock']
    assert patched.status() == ''


def test_front_without_python(tmp_path):
    """The front itself has to say that there is no python3 which it could use."""
    for name in ('bash', 'dirname', 'id'):
        (tmp_path / name).symlink_to(subprocess.run(['which', name], capture_output=True, text=True,
                                                    check=True).stdout.strip())
    old = tmp_path / 'python3'
    old.write_text('#!/bin/sh\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run([ROOT / 'build.sh', 'help'], env={'PATH': str(tmp_path)}, capture_output=True,
                            text=True, check=False)
    assert result.returncode == 1
    assert 'a python3 of version 3.9 or later is needed' in result.stderr


# image


def test_image_without_docker(project):
    tools = project.folder / 'tools'
    tools.mkdir()
    for name in ('bash', 'dirname', 'id', 'git'):
        (tools / name).symlink_to(subprocess.run(['which', name], capture_output=True, text=True,
                                                 check=True).stdout.strip())
    (tools / 'python3').write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / 'python3').chmod(0o755)
    message = project.fail('image', env={'PATH': str(tools)})
    assert message.startswith('there is no `docker` on PATH.') and 'apt-get install docker.io' in message


def test_image_without_engine(project):
    project.stub('docker', 'import sys; sys.exit("Cannot connect to the Docker daemon")')
    message = project.fail('image')
    assert 'the Docker engine does not answer: Cannot connect to the Docker daemon' in message
    assert 'systemctl start docker' in message


def test_image(project):
    log = project.folder / 'docker.log'
    project.stub('docker', 'import os, sys\n'
                 f'print(sys.argv[1:], os.getcwd(), os.listdir("build/image") if sys.argv[1] == "build" else "", '
                 f'file=open({str(log)!r}, "a"))')
    project.run('image')
    project.run('image', '--base', 'ubuntu:24.04', '--variant', 'release')
    builds = [line for line in log.read_text().splitlines() if line.startswith("['build'")]
    rest = f"'.'] {project.root} ['Python-9.9.1.tar.xz']"
    assert builds == [
        f"['build', '--tag', 'asyncbis-python', {rest}",
        f"['build', '--tag', 'asyncbis-python', '--build-arg', 'BASE=ubuntu:24.04', '--build-arg', 'VARIANT=release', "
        f'{rest}',
    ]
