"""`python -m asyncio ps` and `pstree` of the patched interpreter, on processes of it and of a stock one."""
import pathlib
import subprocess

import pytest

from tools import project as project_module
from tools import variants

pytest_plugins = ["interpreters"]
# The first test here builds an interpreter.
pytestmark = pytest.mark.timeout(2400)

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = """\
import asyncio, sys

async def wait_for_ever():
    async with asyncio.timeout(3600):
        await asyncio.Event().wait()

async def main():
    task = asyncio.create_task(wait_for_ever(), name="patient")
    await asyncio.sleep(0)
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def patched():
    builder = variants.Builder(project_module.Project(ROOT), variants.DEFAULT)
    builder.build()
    return builder.python


def inspect(verb, python, inspected):
    """Return what `python -m asyncio VERB` prints of the program, run by the interpreter `inspected`."""
    with subprocess.Popen([inspected, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            done = subprocess.run([python, "-m", "asyncio", verb, str(process.pid)],
                                  capture_output=True, text=True, timeout=60)
        finally:
            process.kill()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("verb", ["ps", "pstree"])
def test_own_process(patched, verb):
    shown = inspect(verb, patched, patched)
    assert "patient" in shown and "wait_for_ever" in shown
    assert "deadline" in shown


@pytest.mark.parametrize("verb", ["ps", "pstree"])
def test_process_of_a_stock_interpreter(patched, stock, verb):
    version = "import sys; print(*sys.version_info[:3])"
    if len({subprocess.check_output([python, "-c", version], timeout=60) for python in (patched, stock)}) == 2:
        pytest.skip("no stock Python of this version here: ./build.sh build --variant stock makes one")
    shown = inspect(verb, patched, stock)
    assert "patient" in shown and "wait_for_ever" in shown
    assert "deadline" not in shown
