"""Fixtures: the interpreters that a test compares."""
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
IS_STOCK = "import asyncio, sys; sys.exit(not hasattr(asyncio, 'timeout') or hasattr(asyncio, 'CancelScope'))"


@pytest.fixture(scope="session")
def stock():
    """A Python with stock asyncio: our own build of it if there is one, else what the machine has."""
    for path in (ROOT / "build" / "stock" / "python", sys.executable, shutil.which("python3")):
        if path and pathlib.Path(path).exists() and subprocess.run([path, "-c", IS_STOCK], timeout=60).returncode == 0:
            return path
    pytest.skip("no stock Python with asyncio.timeout() here: ./build.sh build --variant stock makes one")
