"""The README keeps its promises: its commands and its program are run, its links lead somewhere."""
import pathlib
import re
import subprocess

import pytest

pytest_plugins = ["docker_engine", "interpreters"]
# The first test here builds the image, another one an interpreter.
pytestmark = pytest.mark.timeout(3600)

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands():
    """The lines of the shell blocks, without their comments."""
    return [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]


def shell(command, timeout=1800):
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def test_docker_command(image):
    get_it, run_it = commands()[0].split(" && ")
    assert get_it == "./build.sh image"  # which is how the fixture made the image
    done = shell(run_it)
    assert done.returncode == 0, done.stderr
    assert "a cancelled scope:" in done.stdout


def test_run_command():
    command = commands()[1]
    assert command == "./build.sh run examples/hello.py"
    done = shell(command)
    assert done.returncode == 0, done.stderr
    assert "a cancelled scope:" in done.stdout


def test_test_command():
    assert "./build.sh test" in commands()
    assert (ROOT / ".ci" / "run").read_text().endswith("exec ./build.sh test\n")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(blocks("python")[0])
    return path


def test_program_hangs_on_stock(program, stock):
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([stock, program], timeout=2)


def test_program_ends_with_a_timeout_error(program):
    done = shell(f"./build.sh run {program}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "TimeoutError"


def test_verbs_exist():
    """Every ./build.sh VERB of the README is one that its help lists."""
    verbs = set(re.findall(r"\./build\.sh (\w+)", README))
    known = shell("./build.sh help").stdout
    assert verbs and [verb for verb in sorted(verbs) if not re.search(rf"\b{verb}\b", known)] == []


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_link(target):
    assert not re.match(r"\w+:", target), "only links within the project can be checked"
    assert (ROOT / target).exists()


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("docs/*.md")), ROOT / "survey" / "README.md"], ids=lambda path: path.name)
def test_links_of_a_document(path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert [target for target in targets if not re.match(r"https?:", target) and not (path.parent / target).exists()] == []
