"""AnyIO on native scopes: its wheel, what is made of the outcome of AnyIO's own tests, and our tests of the backend."""

import io
import os
import pathlib
import re
import subprocess
import zipfile

import pytest

from tools import anyio_suite
from tools import figures
from tools import wheel

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'tests' / 'anyio_backend'
PACKAGE = ROOT / 'anyio_backend'

# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)

REPORT = '''\
<testsuites><testsuite name="pytest">
<testcase classname="tests.test_a.TestA" name="test_a[asyncio]" />
<testcase classname="tests.test_a.TestA" name="test_a[asyncio+eager]"><failure message="no">no</failure></testcase>
<testcase classname="tests.streams.test_b" name="test_b[asyncio+uvloop-x]"><skipped message="no">no</skipped></testcase>
<testcase classname="tests.test_c" name="test_c" />
<testcase classname="tests.test_c" name="test_c"><error message="no">at tear-down</error></testcase>
</testsuite></testsuites>
'''


def test_report():
    run = anyio_suite.parse(REPORT)
    assert run.outcomes == {
        'test_a::TestA::test_a[asyncio]': 'passed',
        'test_a::TestA::test_a[asyncio+eager]': 'failed',
        'streams::test_b::test_b[asyncio+uvloop-x]': 'skipped',
        'test_c::test_c': 'failed',
    }
    assert run.count('asyncio') == {'passed': 1, 'failed': 0, 'skipped': 0}
    assert run.count('none') == {'passed': 0, 'failed': 1, 'skipped': 0}


@pytest.mark.parametrize('name, backend', [
    ('a::b[asyncio]', 'asyncio'), ('a::b[x-asyncio+uvloop-y]', 'asyncio+uvloop'), ('a::b[asyncio+eager-1]', 'asyncio+eager'),
    ('a::b', 'none'), ('a::b[asyncio_x]', 'none'),
])
def test_backend_of(name, backend):
    assert anyio_suite.backend_of(name) == backend


def summarize(stock, native):
    patched = {}
    return anyio_suite.summarize({way: anyio_suite.Run(outcomes) for way, outcomes in zip(
        anyio_suite.WAYS, (stock, patched, native))})


def test_what_fails_on_stock_as_well_is_no_regression():
    found, problem = summarize({'a::b': 'failed', 'a::c': 'skipped'}, {'a::b': 'failed', 'a::c': 'failed'})
    assert problem is None
    assert found['new_failures'] == [] and found['failed'][anyio_suite.NATIVE] == ['a::b', 'a::c']


def test_regression():
    found, problem = summarize({'a::b': 'passed'}, {'a::b': 'failed'})
    assert found['new_failures'] == ['a::b'] and 'a::b' in problem


def test_expected_failures_are_listed_with_their_reasons():
    base, reason = next(iter(anyio_suite.EXPECTED.items()))
    found, problem = summarize({f'{base}[asyncio]': 'passed'}, {f'{base}[asyncio]': 'failed'})
    assert problem is None
    assert found['expected'] == {base: reason}


def test_committed_result():
    """It is of the version that the backend says it was tested with, and nothing new failed."""
    result = figures.load(ROOT / figures.RESULTS / 'anyio.json')
    assert result['passed'] and result['new_failures'] == []
    assert f"TESTED_VERSIONS = ('{result['version']}',)" in (
        PACKAGE / 'src' / 'asyncbis_anyio' / '__init__.py').read_text()
    assert result['version'] == anyio_suite.VERSION
    for backend in anyio_suite.BACKENDS:
        assert result['ways'][anyio_suite.NATIVE][backend]['passed'] > 90


def test_lock_has_that_version():
    assert f'\nanyio=={anyio_suite.VERSION}\n' in (ROOT / anyio_suite._LOCK).read_text()


def test_wheel():
    name, data = wheel.make(ROOT)
    assert (name, data) == wheel.make(ROOT)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        info = f'{name.removesuffix("-py3-none-any.whl")}.dist-info'
        record = archive.read(f'{info}/RECORD').decode().splitlines()
        assert [line.partition(',')[0] for line in record] == names
        metadata = archive.read(f'{info}/METADATA').decode()
    assert {'anyio_asyncbis.pth', 'anyio_asyncbis.start', 'asyncbis_anyio/_backend.py', 'asyncbis_anyio/py.typed'} <= set(
        names)
    assert re.search(r'^Name: anyio-asyncbis$', metadata, re.MULTILINE)
    assert "Requires-Dist: anyio==4.16.0; extra == 'anyio'" in metadata


@pytest.fixture(scope='module')
def python(make_venv):
    """A patched interpreter that has AnyIO; ASYNCBIS_ANYIO_PYTHON names one that exists already."""
    if found := os.environ.get('ASYNCBIS_ANYIO_PYTHON'):
        return found
    # (Not all that AnyIO's own tests need is there as a wheel.)
    return make_venv('-c', ROOT / anyio_suite._LOCK, 'anyio', 'pytest', 'pytest-timeout', 'trio')


def test_backend(python):
    done = subprocess.run([python, '-m', 'pytest', '-q'], cwd=FOLDER, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def test_environment_has_the_backend(python):
    # As venv has made it: the package has not been installed by hand.
    done = subprocess.run([python, '-c', 'import anyio._backends._asyncio as a; print(a.TaskGroup._wait_for_tasks)'],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith('<function TaskGroup._wait_for_tasks'), done.stderr
