"""pytest plugin: aiohttp's tests call gc.collect() after each test; freezing
what lives before a test keeps that collection cheap."""
import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    gc.freeze()
