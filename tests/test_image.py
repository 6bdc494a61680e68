"""The image: what it runs, as whom, and what it does not carry."""
import json
import pathlib
import re
import subprocess
import sys
import textwrap
import time

import pytest

pytest_plugins = ["docker_engine"]
# The first test here builds the image.
pytestmark = pytest.mark.timeout(3600)

ROOT = pathlib.Path(__file__).resolve().parent.parent

LIMIT = 120_000_000  # bytes on top of the base image


@pytest.fixture(scope="session")
def run(docker, image):
    """Run a container and return what it wrote to stdout."""
    return lambda *arguments, options=(): docker("run", "--rm", *options, image, *arguments).stdout


def test_runs_the_users_own_app(run, tmp_path):
    (tmp_path / "app.py").write_text(
        "import asyncio, sys\nprint(open('data').read(), sys.argv[1:], asyncio.CancelScope.__name__)\n")
    (tmp_path / "data").write_text("mine")
    tmp_path.chmod(0o755)  # the container's user is not ours
    assert run("app.py", "-x", options=["--volume", f"{tmp_path}:/app"]) == "mine ['-x'] CancelScope\n"


def test_missing_app_is_an_error_that_names_it(docker, image):
    done = docker("run", "--rm", image, "no_such_app.py", check=False)
    assert done.returncode == 2
    assert "/app/no_such_app.py" in done.stderr


def test_runs_as_a_user_who_may_change_nothing_but_his_own(run):
    out = run("-c", "import os, sys; print(os.getuid(), os.access(sys.prefix, os.W_OK), os.access('.', os.W_OK))")
    assert out == "1000 False True\n"


def test_pip_installs_over_tls(run, tmp_path):
    """pip and ssl against an index of our own, so that no network is needed: the certificates are those of test_asyncio."""
    (tmp_path / "app.py").write_text(textwrap.dedent("""\
        import functools, http.server, pathlib, ssl, subprocess, sys, tempfile, test, threading, zipfile

        root = pathlib.Path(tempfile.mkdtemp())
        (root / "simple/greeting").mkdir(parents=True)
        with zipfile.ZipFile(root / "simple/greeting/greeting-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("greeting.py", "def main(): print('hello from a wheel')\\n")
            info = "greeting-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
            wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\\ngreet = greeting:main\\n")
            wheel.writestr(f"{info}/RECORD", "")

        certificates = pathlib.Path(test.__file__).parent / "certdata"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "keycert3.pem")
        server = http.server.ThreadingHTTPServer(
            ("localhost", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=root))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--index-url", f"https://localhost:{server.server_port}/simple",
             "--cert", certificates / "pycacert.pem", "greeting"], check=True, stdout=sys.stderr)
        subprocess.run(["greet"], check=True)
        """))
    tmp_path.chmod(0o755)
    assert run("app.py", options=["--network", "none", "--volume", f"{tmp_path}:/app"]) == "hello from a wheel\n"


@pytest.fixture
def start(docker, image):
    """Start an example, or another program, as process 1, and return the container and its output."""
    containers, readers = [], []

    def start(*arguments, options=()):
        containers.append(docker("run", "--detach", "--volume", f"{ROOT}/examples:/app:ro", *options, image,
                                 *arguments).stdout.strip())
        logs = ["docker", "logs", "--follow", containers[-1]]
        readers.append(subprocess.Popen(logs, stdout=subprocess.PIPE, text=True))
        return containers[-1], readers[-1]

    yield start
    for container in containers:
        docker("rm", "--force", container)
    for logs in readers:
        logs.kill()
        logs.communicate(timeout=60)


@pytest.fixture
def shutting_down(start):
    """Start the example that shuts down in order."""

    def start_it(*arguments):
        container, logs = start("shutdown.py", *arguments)
        assert logs.stdout.readline() == "running\n"
        return container, logs

    return start_it


def exit_status(docker, container):
    return int(docker("wait", container).stdout)


def test_docker_stop_shuts_down_in_order(docker, shutting_down):
    """Trap 33: SIGTERM to process 1.  (Docker kills after ten seconds what does not react.)"""
    container, logs = shutting_down()
    start = time.monotonic()
    docker("stop", container)
    assert time.monotonic() - start < 5
    assert exit_status(docker, container) == 143
    assert logs.communicate(timeout=60)[0].splitlines()[-1] == "pool: has said goodbye"


def test_second_sigterm_ends_process_1(docker, shutting_down):
    """Rule 8.3: the kernel does not let process 1 kill itself by a signal."""
    container, logs = shutting_down("slow")
    docker("kill", "--signal", "TERM", container)
    assert logs.stdout.readline() == "session, request 1: says goodbye\n"
    docker("kill", "--signal", "TERM", container)
    assert exit_status(docker, container) == 143
    assert "has said goodbye" not in logs.communicate(timeout=60)[0]


@pytest.fixture(scope="module")
def packages(run, tmp_path_factory):
    """The options for a container that has the packages of the examples, which need no network in it."""
    folder = tmp_path_factory.mktemp("packages")
    version = run("-c", "import platform; print(platform.python_version())").strip()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--target", folder, "--python-version", version, "--only-binary=:all:",
         "--no-deps", "--requirement", "examples/requirements.txt"], cwd=ROOT, check=True, timeout=300)
    folder.chmod(0o755)  # the container's user is not ours
    return ["--volume", f"{folder}:/packages:ro", "--env", "PYTHONPATH=/packages"]


def test_anyio_is_on_native_scopes(run, packages):
    assert run("-c", textwrap.dedent("""\
        import anyio, asyncio

        async def main():
            print(isinstance(anyio.CancelScope(), asyncio.CancelScope))

        anyio.run(main)
        """), options=packages) == "True\n"


def test_api(docker, start, packages):
    """What test_examples.py does with it, as process 1."""
    server, logs = start("api.py", options=packages)
    port = logs.stdout.readline().split()[1]
    client, seen = start("/tests/api_client.py", port, "60",
                         options=["--network", f"container:{server}", "--volume", f"{ROOT}/tests:/tests:ro"])
    outcomes, busy = seen.stdout.readline(), seen.stdout.readline()
    docker("kill", "--signal", "TERM", server)
    status = exit_status(docker, server)
    assert (exit_status(docker, client), busy, seen.stdout.read()) == (0, "busy\n", "20 answers to the end\n"), outcomes
    done = docker("logs", server)
    assert (status, done.stdout, done.stderr) == (143, f"port {port}\npool closed, 0 seats held\n", "")


def test_asyncio_passes_in_it(run):
    # What the system and process 1 have a part in.  The rest of test_asyncio has been run on the same sources outside.
    names = ["test_sock_lowlevel", "test_ssl", "test_subprocess", "test_unix_events", "test_runners",
             "test_run_signals_process", "test_cancelscopes"]
    out = run("-m", "test", *(f"test_asyncio.{name}" for name in names))
    assert "Result: SUCCESS" in out
    assert int(re.search(r"Total tests: run=([\d,]+)", out)[1].replace(",", "")) > 600


def test_carries_no_other_tests_static_libraries_or_caches(run):
    found = json.loads(run("-c", textwrap.dedent("""\
        import json, os, pathlib, sys, test
        prefix = pathlib.Path(sys.prefix)
        print(json.dumps({
            "tests": sorted(os.listdir(pathlib.Path(test.__file__).parent)),
            "litter": [str(p) for pattern in ("*.a", "__pycache__", "*.pyc") for p in prefix.rglob(pattern)],
            "lists": os.listdir("/var/lib/apt/lists"),
            "debs": [str(p) for p in pathlib.Path("/var/cache/apt").rglob("*.deb")],
            "home": sorted(os.listdir(os.path.expanduser("~"))),
        }))""")))
    assert found["tests"] == [
        "__init__.py", "__main__.py", "certdata", "libregrtest", "regrtest.py", "support", "test_asyncio"]
    assert found["litter"] == found["lists"] == found["debs"] == []
    assert not {".cache", ".local"} & set(found["home"])


def test_size_on_top_of_the_base(docker, image, base):
    sizes = [int(docker("image", "inspect", "--format", "{{.Size}}", name).stdout) for name in (image, base)]
    assert 0 < sizes[0] - sizes[1] < LIMIT
