"""Fixtures: a Docker engine, a base image and the project's image for the tests that need them.

An engine that answers is used as it is.  Where none does, root on Debian or Ubuntu gets Debian's, which is
started for the session and stopped after it; its data stay in build/docker, so that the next session finds its
layers.  Where neither is possible the tests are skipped, or in CI fail.
"""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "build" / "docker"
IMAGE = "asyncbis-python"
BASE = "debian:bookworm-slim"
START_LIMIT = 120  # seconds
LIMIT = 1800  # seconds that anything else may take


def run_docker(*arguments, check=True, **options):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=LIMIT, **options)
    if check and done.returncode != 0:
        command = f"docker {' '.join(arguments)}"
        pytest.fail(f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done


def answers():
    return shutil.which("docker") is not None and run_docker("version", check=False).returncode == 0


def install(program, *packages):
    """Install packages with apt unless program is there."""
    if shutil.which(program) is None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"]
        subprocess.run([*apt, "update"], check=True, env=environment, timeout=LIMIT)
        subprocess.run([*apt, "install", "--no-install-recommends", *packages], check=True, env=environment, timeout=LIMIT)


class EngineDidNotStart(Exception):
    pass


def wait_until_ready(notifications, daemon, log):
    """Wait for the READY=1 that dockerd sends to its service manager, which here is this process."""
    notifications.settimeout(1)
    deadline = time.monotonic() + START_LIMIT
    while daemon.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notifications.recv(4096):
                return
    tail = "\n".join(log.read_text().splitlines()[-20:])
    raise EngineDidNotStart(f"dockerd did not get ready (exit status {daemon.poll()}); {log} ends with\n{tail}")


@contextlib.contextmanager
def started_engine():
    DATA.mkdir(parents=True, exist_ok=True)
    log = DATA / "dockerd.log"
    # The sockets are in a folder with a short name: a socket's path has room for 107 characters.
    with tempfile.TemporaryDirectory(prefix="asyncbis-") as run, contextlib.ExitStack() as stack:
        notifications = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notifications.bind(f"{run}/notify")
        # setpriv: the engine must not outlive a pytest that was killed.
        daemon = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "dockerd", f"--data-root={DATA / 'data'}", f"--exec-root={run}/exec",
             f"--pidfile={run}/pid", f"--host=unix://{run}/docker.sock"],
            env={**os.environ, "NOTIFY_SOCKET": f"{run}/notify"},
            stdin=subprocess.DEVNULL, stdout=stack.enter_context(log.open("w")), stderr=subprocess.STDOUT)
        try:
            wait_until_ready(notifications, daemon, log)
            yield f"unix://{run}/docker.sock"
        finally:
            daemon.terminate()
            daemon.wait(START_LIMIT)


def unavailable(reason):
    if os.environ.get("CI"):
        pytest.fail(f"no Docker engine: {reason}")
    pytest.skip(f"no Docker engine: {reason}")


@pytest.fixture(scope="session")
def docker():
    """The docker command as a function, with an engine behind it."""
    with contextlib.ExitStack() as stack:
        if not answers():
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                unavailable("none answers, and to install one takes root on Debian or Ubuntu")
            install("dockerd", "docker.io")
        if not answers():  # an init system would have started it by now
            try:
                host = stack.enter_context(started_engine())
            except EngineDidNotStart as error:  # as in a container without privileges
                unavailable(error)
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("DOCKER_HOST", host)
        yield run_docker


def make_base_image():
    """Do with debootstrap what the registry's Debian image is: a minimal system, and the machine's own mirror."""
    install("debootstrap", "debootstrap", "debian-archive-keyring")
    suite = BASE.partition(":")[2].removesuffix("-slim")
    mirrors = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", f"Codename: {suite}", "Label: Debian"],
        check=True, capture_output=True, text=True, timeout=60).stdout.split()
    with tempfile.TemporaryDirectory(prefix="asyncbis-") as system:
        subprocess.run(["debootstrap", "--variant=minbase", suite, system, *mirrors[:1]], check=True,
                       timeout=LIMIT)
        archive = subprocess.Popen(
            ["tar", "--create", f"--directory={system}",
             "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "."],
            stdout=subprocess.PIPE)
        run_docker("import", "-", BASE, stdin=archive.stdout)
        archive.stdout.close()
        assert archive.wait(60) == 0


@pytest.fixture(scope="session")
def base(docker):
    if docker("image", "inspect", BASE, check=False).returncode != 0:
        pulled = docker("pull", BASE, check=False)
        if pulled.returncode != 0:
            print(f"{pulled.stderr.strip()}: making {BASE} with debootstrap")
            make_base_image()
    return BASE


@pytest.fixture(scope="session")
def image(docker, base):
    """The image as ./build.sh image makes it, but without the hour that PGO takes."""
    before = docker("image", "inspect", "--format", "{{.Id}}", IMAGE, check=False)
    subprocess.run(["./build.sh", "image", "--variant", "release"], cwd=ROOT, check=True, timeout=3000)
    yield IMAGE
    if before.returncode == 0:  # an engine of the machine, with an image that may be a better build than ours
        docker("tag", before.stdout.strip(), IMAGE)
