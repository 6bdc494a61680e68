"""Random programs on asyncbis and on Trio: see differential/README.md."""
import json
import os
import pathlib
import random
import subprocess

import pytest

from differential import programs, shrink

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "differential"
# The first test here may have to build an interpreter; the others run thousands of programs.
pytestmark = pytest.mark.timeout(2400)
CORPUS = sorted((FOLDER / "corpus").glob("*.json"))


@pytest.fixture(scope="module")
def python(make_venv):
    """A patched interpreter that has trio; ASYNCBIS_DIFFERENTIAL_PYTHON names one that exists already."""
    if found := os.environ.get("ASYNCBIS_DIFFERENTIAL_PYTHON"):
        return found
    return make_venv("-r", FOLDER / "requirements.txt")


def run(python, *arguments):
    command = [python, FOLDER / "run.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)


def compare(python, folder, *arguments):
    """Return the summary."""
    out = folder / "summary.json"
    done = run(python, *arguments, "--out", out, "--failures", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(out.read_text())
    assert summary["divergences"] == {}
    return summary


def test_no_divergence(python, tmp_path):
    summary = compare(python, tmp_path, "--programs", "5000", "--seed", "7")
    assert summary["programs"] == 5000
    assert summary["compared"] > 3500 and summary["compared"] + summary["matched"] > 4500
    # The programs are not empty: in those that were compared everything did happen.
    missing = set(programs.OPS) - set(programs.ASYNCIO_ONLY) - set(summary["ops"])
    assert missing == set() and min(summary["ops"].values()) > 100, summary["ops"]
    rare = {"shield removed under a cancelled scope": 30, "spawn into a cancelled group": 100, "outer scope won": 100,
            "cancellation caught again": 100, "deadline of another task": 100, "cancel before entry": 100,
            "host of a group cancelled": 25, "request from inside a shield": 50}
    assert {event for event, least in rare.items() if summary["events"].get(event, 0) < least} == set()


def test_no_divergence_with_background_tasks(python, tmp_path):
    summary = compare(python, tmp_path, "--root", "--programs", "1500", "--seed", "8")
    assert summary["compared"] > 1000


def test_c_and_python_are_the_same_where_trio_has_no_counterpart(python, tmp_path):
    summary = compare(python, tmp_path, "--asyncio-only", "--programs", "2000", "--seed", "9")
    assert set(summary["compared_with_each_other"].values()) == {2000}


def test_every_mutation_is_found(python):
    done = run(python, "--mutations")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT FOUND" not in done.stdout


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_diverged_does_no_more(python, path):
    done = run(python, "--replay", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_same_seed_same_program():
    made = [[programs.generate(random.Random(seed)) for seed in range(20)] for _ in range(2)]
    assert made[0] == made[1]
    assert json.loads(json.dumps(made[0])) == made[0]
    assert all(programs.show(program).startswith("main:\n    ") for program in made[0])


def find(program, op):
    return [statement for statement in programs.walk(program["main"]) if statement["op"] == op]


@pytest.mark.parametrize("seed", range(10))
def test_shrinking(seed):
    """What fails here: a shielded scope in a task, and some cancel anywhere."""
    def fails(program):
        tried.append(program)
        return bool(find(program, "cancel")) and any(
            statement.get("shield") for task in find(program, "spawn") for statement in programs.walk(task["body"])
            if statement["op"] == "scope")

    tried, seeds = [], random.Random(seed)
    program = next(program for program in iter(lambda: programs.generate(random.Random(seeds.random())), None)
                   if fails(program) and programs.size(program) > 12)
    before = json.dumps(program)
    small = shrink.shrink(program, fails)
    assert fails(small) and json.dumps(program) == before
    assert programs.size(small) == 3, programs.show(small)
    assert find(small, "scope")[0]["deadline"] is None
    assert len(tried) < 5000


def test_shrinking_keeps_what_does_not_get_smaller():
    program = {"main": [{"op": "sleep", "d": 1}]}
    assert shrink.shrink(program, lambda smaller: smaller == program) == program


def test_no_divergence_through_anyio(make_venv, tmp_path):
    """AnyIO on its native asyncio backend does what AnyIO on Trio does."""
    if not (python := os.environ.get("ASYNCBIS_ANYIO_PYTHON")):
        python = make_venv("-c", ROOT / "survey" / "locks" / "anyio.txt", "anyio", "trio")
    summary = compare(python, tmp_path, "--anyio", "--programs", "2000", "--seed", "7")
    assert summary["compared"] > 1400 and summary["compared"] + summary["matched"] > 1800
