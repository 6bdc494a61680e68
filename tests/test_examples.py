"""The examples, run as their docstrings say, and extension modules from PyPI under the patched interpreter."""
import contextlib
import pathlib
import signal
import subprocess
import textwrap

import pytest

from tools import processes

pytest_plugins = ["interpreters"]
# The first test here builds an interpreter, others make an environment.
pytestmark = pytest.mark.timeout(2400)

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_example(*arguments):
    """Like subprocess.run, under a limit far above what an example takes and far below one that hangs."""
    return subprocess.run(["./build.sh", "run", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=1800)


def test_hello():
    done = run_example("examples/hello.py")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [
        "a cancelled scope:",
        "  await 1 inside: CancelledError(enough)",
        "  await 2 inside: CancelledError(enough)",
        "  await 3 inside: CancelledError(enough)",
        "  first await outside: fine again",
        "a deadline:",
        "  shielded cleanup: took its time",
        "  plain cleanup: interrupted",
        "  moved on: True",
    ]), done.stderr


def test_hangs_on_stock_ends_here():
    done = run_example("examples/hangs_on_stock.py", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].startswith("ends: TimeoutError after")


def test_hangs_on_stock_hangs_on_stock(stock):
    done = subprocess.run([stock, "examples/hangs_on_stock.py", "2"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1] == "hangs: still running after 2 s, the timeout was 0.1 s"


def test_background():
    done = run_example("examples/background.py")
    assert (done.returncode, done.stdout.splitlines()) == (0, [
        "a task without a reference: done all the same",
        "logged: the disk is full",
        "main goes on",
        "main is cancelled, and cleans up",
        "run() raised: unhandled errors in background tasks: the disk is full",
    ]), done.stderr


def test_first_wins():
    done = run_example("examples/first_wins.py")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "near: hung up" and set(lines[:3]) == {"near: hung up", "far: hung up", "down: hung up"}
    assert lines[3:] == ["the answer of near", "requests to cancel that are left: 0"]


@pytest.fixture(scope="module")
def venv(make_venv):
    """A venv of the patched interpreter with what PyPI has for this version."""
    return make_venv("-r", "examples/requirements.txt")


def run_in(python, *arguments):
    return subprocess.run([python, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("loop", [[], ["--uvloop"]], ids=["asyncio", "uvloop"])
def test_web(venv, loop):
    done = run_in(venv, "examples/web.py", *loop)
    steps = "query cancelled, retry cancelled, second retry cancelled, rolled back"
    assert (done.returncode, done.stdout.splitlines()) == (0, [
        f"/hang-up: {steps}; answer: no client to get one",
        f"/stay: {steps}; answer: 504",
    ]), done.stderr


def test_extension_modules_of_the_stock_abi_are_the_ones_that_run(venv):
    """Not the pure-Python fallbacks that most of these packages carry."""
    done = run_in(venv, "-c", textwrap.dedent("""\
        import importlib, asyncio
        asyncio.CancelScope
        for name in ("aiohttp._http_parser", "aiohttp._http_writer", "aiohttp._websocket.reader_c", "frozenlist._frozenlist",
                     "multidict._multidict", "propcache._helpers_c", "uvloop.loop", "yarl._quoting_c"):
            file = importlib.import_module(name).__file__
            assert ".cpython-314-" in file, file
        """))
    assert done.returncode == 0, done.stderr


def test_5_8_scopes_on_uvloop(venv):
    done = run_in(venv, "-c", textwrap.dedent("""\
        import asyncio, uvloop

        async def main():
            loop = asyncio.get_running_loop()
            assert isinstance(loop, uvloop.Loop)
            caught = 0
            with asyncio.move_on_after(0.01) as scope:
                for _ in range(3):
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        caught += 1
                with asyncio.CancelScope(shield=True):
                    assert await asyncio.sleep(0.01, "shielded") == "shielded"
                await asyncio.sleep(3600)
            assert caught == 3 and scope.cancelled_caught, (caught, scope)
            try:
                async with asyncio.timeout(0.01):
                    try:
                        await asyncio.sleep(3600)
                    finally:
                        await asyncio.sleep(3600)
            except TimeoutError:
                pass
            else:
                raise AssertionError("no TimeoutError")
            task = asyncio.create_task(asyncio.sleep(3600))
            loop.call_soon(task.cancel)
            await asyncio.wait([task])
            assert task.cancelled()
            assert asyncio.current_task().cancelling() == 0

        uvloop.run(main())
        """))
    assert done.returncode == 0, done.stderr


def test_7_1_root_group_on_uvloop(venv):
    """Rules 7.1, 7.2, 8.1 and errors=: membership does not depend on the loop."""
    done = run_in(venv, "-c", textwrap.dedent("""\
        import asyncio, gc, uvloop

        async def fails(message):
            raise OSError(message)

        async def forgotten(done):
            # No object refers to this task nor to what it waits for.
            await asyncio.get_running_loop().create_future()

        logged, steps = [], []

        async def main():
            loop = asyncio.get_running_loop()
            assert isinstance(loop, uvloop.Loop)
            loop.set_exception_handler(lambda loop, context: logged.append(context))
            loop.create_task(forgotten(steps))
            await asyncio.sleep(0)
            gc.collect()
            assert len(asyncio.all_tasks()) == 2
            asyncio.create_task(fails("logged"), errors="log")
            assert [type(exc) for exc in await asyncio.gather(fails("passed to the caller"), return_exceptions=True)] == [OSError]
            await asyncio.sleep(0.01)
            assert [str(context["exception"]) for context in logged] == ["logged"], logged
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(3600))
                await asyncio.sleep(0)
                group.cancel()
            asyncio.create_task(fails("raised"))
            try:
                await asyncio.sleep(3600)
            finally:
                steps.append(await asyncio.shield(asyncio.sleep(0.01, "clean")))

        try:
            asyncio.run(main(), loop_factory=uvloop.new_event_loop)
        except* OSError as group:
            assert [str(exc) for exc in group.exceptions] == ["raised"]
            steps.append("raised")
        assert steps == ["clean", "raised"], steps
        """))
    assert done.returncode == 0, done.stderr


# Signals, on the standard loop and on uvloop's.

UVLOOP = "import asyncio, runpy, sys, uvloop; asyncio.events.new_event_loop = uvloop.new_event_loop; " \
         "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
LOOPS = pytest.mark.parametrize("loop", [[], ["-c", UVLOOP]], ids=["asyncio", "uvloop"])


@contextlib.contextmanager
def started(*command):
    """A process whose output can be read while it runs; it does not outlive the test."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=processes.accept_sigint)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


SHUTDOWN = [
    "session, request 1: says goodbye", "session, request 2: says goodbye",
    "session, request 1: has said goodbye", "session, request 2: has said goodbye",
    "session: says goodbye", "session: has said goodbye",
    "pool: says goodbye", "pool: has said goodbye",
]


@LOOPS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_shutdown(venv, loop, number):
    """Rule 8.2: the process ends by the signal."""
    with started(venv, *loop, "examples/shutdown.py") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()) == (-number, SHUTDOWN), err
    assert err.endswith("KeyboardInterrupt\n") if number == signal.SIGINT else err == ""


@LOOPS
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_shutdown_hard(venv, loop, first, second):
    with started(venv, *loop, "examples/shutdown.py", "slow") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(first)
        assert [process.stdout.readline().strip() for _ in range(2)] == SHUTDOWN[:2]
        process.send_signal(second)
        out, err = process.communicate(timeout=60)
    assert process.returncode == -second, err
    # After a second SIGINT the levels above come to their cleanup, but not to wait in it.
    expected = ["session: says goodbye", "pool: says goodbye"] if second == signal.SIGINT else []
    assert out.splitlines() == expected, err


SIGNALS_PRELUDE = """\
import asyncio, os, signal, threading, time, uvloop

def say(*words):
    print(*words, flush=True)

async def forever():
    await asyncio.Event().wait()

def run(main):
    try:
        return asyncio.run(main, loop_factory=uvloop.new_event_loop)
    except BaseException as exc:
        names = []
        while exc is not None:
            names.append(type(exc).__name__)
            exc = exc.__cause__ or exc.__context__
        say(*names)
    finally:
        release.set()

release = threading.Event()
"""

SIGNALS_ON_UVLOOP = {
    # A signal that main never sees, and one that it swallows (8.2).
    "unseen": ("""
        async def main():
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)

        run(main())
        """, "Terminated"),
    "swallowed": ("""
        async def main():
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
            try:
                await forever()
            except asyncio.CancelledError:
                return "result"

        say(run(main()))
        """, "result"),
    # The phases of the shutdown (8.2, trap 52).
    "generator": ("""
        async def generate():
            try:
                yield
            finally:
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
                try:
                    await forever()
                finally:
                    await asyncio.shield(asyncio.sleep(0.01))
                    say("cleaned up")

        async def main():
            global generator
            generator = generate()
            await anext(generator)

        run(main())
        """, "cleaned up KeyboardInterrupt"),
    "thread": ("""
        class Loop(uvloop.Loop):
            async def shutdown_default_executor(self, timeout=None):
                self.call_soon(signal.raise_signal, signal.SIGINT)
                await super().shutdown_default_executor(timeout)

        uvloop.new_event_loop = Loop

        async def main():
            asyncio.get_running_loop().run_in_executor(None, release.wait)

        run(main())
        """, "KeyboardInterrupt"),
    "twice": ("""
        async def background():
            try:
                await forever()
            finally:
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
                asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGINT)
                await asyncio.shield(forever())

        async def main():
            global task
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            await asyncio.to_thread(time.sleep, 0)

        run(main())
        """, "KeyboardInterrupt"),
    # Children (8.4).
    "fork": ("""
        async def main():
            pid = os.fork()
            if not pid:
                found = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
                os._exit(found != (signal.default_int_handler, signal.SIG_DFL, -1))
            return os.waitpid(pid, 0)[1]

        say(run(main()))
        """, "0"),
    "flood": ("""
        async def main():
            await asyncio.sleep(0)
            signal.signal(signal.SIGUSR1, lambda *args: None)
            for _ in range(5000):
                signal.raise_signal(signal.SIGUSR1)
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
            await forever()

        run(main())
        """, "Terminated"),
}


@pytest.mark.parametrize("name", SIGNALS_ON_UVLOOP)
def test_signals_on_uvloop(venv, name):
    """Rules 8.2 and 8.4: what test_asyncio.test_run_signals checks on the loops of the standard library."""
    program, expected = SIGNALS_ON_UVLOOP[name]
    done = run_in(venv, "-c", SIGNALS_PRELUDE + textwrap.dedent(program))
    assert (done.returncode, " ".join(done.stdout.split())) == (0, expected), done.stderr
    if name != "thread":  # There a thread of uvloop's complains that the loop is closed, as it does on stock.
        assert done.stderr == ""


@LOOPS
def test_server_answers_under_load(venv, stock, loop):
    """Rule 8.2: what was accepted before SIGTERM is answered, whatever the number of connections."""
    with started(venv, *loop, "examples/server.py") as server:
        port = server.stdout.readline().split()[1]
        with started(stock, "tests/server_client.py", port, "300") as client:
            assert client.stdout.readline() == "busy\n"
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
            seen, problems = client.communicate(timeout=60)
    assert (server.returncode, err, problems) == (-signal.SIGTERM, "", "")
    served = [int(word) for word in out.replace(",", "").split() if word.isdigit()]
    asked = [int(word) for word in seen.replace(",", "").split() if word.isdigit()]
    assert served[0] == served[1] >= 300
    assert asked[0] == asked[1] >= 300


@pytest.mark.parametrize("loop", [[], ["--uvloop"]], ids=["asyncio", "uvloop"])
def test_api(venv, stock, loop):
    """Clients that go away, time out and fail leave nothing behind, and SIGTERM ends the server when all is answered."""
    with started(venv, "examples/api.py", *loop) as server:
        port = server.stdout.readline().split()[1]
        with started(stock, "tests/api_client.py", port, "60") as client:
            outcomes, busy = client.stdout.readline(), client.stdout.readline()
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
            seen, problems = client.communicate(timeout=60)
    assert (client.returncode, busy, seen, problems) == (0, "busy\n", "20 answers to the end\n", ""), outcomes + err
    assert (server.returncode, out, err) == (-signal.SIGTERM, "pool closed, 0 seats held\n", "")
