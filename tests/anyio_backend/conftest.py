"""These run on the patched interpreter: see test_anyio.py in the folder above."""

import asyncio

import pytest


def make_eager_loop():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


ASYNCIO = [pytest.param(('asyncio', {}), id='asyncio'),
           pytest.param(('asyncio', {'loop_factory': make_eager_loop}), id='asyncio+eager')]


# What Trio does is right, so that each test is run there as well, unless it is about asyncio.
@pytest.fixture(params=[*ASYNCIO, pytest.param(('trio', {}), id='trio')])
def anyio_backend(request):
    return request.param
