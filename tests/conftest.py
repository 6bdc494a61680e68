"""Fixtures for the tests of the tools, and the time limits of all tests."""

import pathlib
import shutil
import subprocess

import pytest

pytest_plugins = ['time_limits']
# Run by test_anyio.py, on the patched interpreter.
collect_ignore = ['anyio_backend']

pytest.register_assert_rewrite('fake_project')

from fake_project import Project  # noqa: E402 (asserts in it are to be explained as those in tests are)


ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def make_venv(tmp_path_factory):
    """Make a virtual environment of the patched interpreter, with what pip is told to install: wheels only, nothing is
    compiled here.  Return its Python."""
    def make(*packages):
        folder = tmp_path_factory.mktemp('venv') / 'venv'
        subprocess.run(['./build.sh', 'venv', str(folder)], cwd=ROOT, check=True, timeout=1800)
        python = folder / 'bin' / 'python'
        subprocess.run([python, '-m', 'pip', 'install', '--only-binary=:all:', *packages], cwd=ROOT, check=True,
                       timeout=300)
        return python
    return make


@pytest.fixture
def project(tmp_path):
    """A Project with nothing in it yet."""
    return Project(tmp_path)


@pytest.fixture(scope='session')
def template(tmp_path_factory):
    """The folder of a Project with two patches and two overlay files."""
    return Project(tmp_path_factory.mktemp('template')).with_two_patches().folder


@pytest.fixture
def patched(template, tmp_path):
    """A Project with two patches and two overlay files."""
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Project(tmp_path)
