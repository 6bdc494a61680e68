"""Random programs on stock and on the patched interpreter: see differential/README.md."""
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

from differential import shrink, stock_compare, stock_mutations, stock_programs, stock_rules

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = ROOT / "tests" / "differential" / "against_stock.py"
CORPUS = sorted((ROOT / "tests" / "differential" / "stock_corpus").glob("*.json"))
# The first test here may have to build the interpreters.
pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def interpreters():
    for variant in "stock", "release":
        subprocess.run(["./build.sh", "build", "--variant", variant], cwd=ROOT, check=True, timeout=1800)
    return ROOT / "build" / "stock" / "python", ROOT / "build" / "release" / "python"


def run(*arguments):
    return subprocess.run([sys.executable, COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=1800)


def compare(folder, *arguments):
    """Return the summary."""
    out = folder / "summary.json"
    done = run(*arguments, "--jobs", str(len(os.sched_getaffinity(0))), "--out", out, "--failures", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def test_each_divergence_is_explained(interpreters, tmp_path):
    summary = compare(tmp_path, "--programs", "1500", "--seed", "21")
    assert summary["divergences"] == {} and summary["unsteady"] < 5
    # The programs are not empty.
    assert set(stock_programs.OPS) - set(summary["ops"]) == set()
    assert {"2.1", "2.3", "2.5", "5.3", "7.2", "8.1"} <= set(summary["rules"])


def test_what_nothing_cancels_is_the_same(interpreters, tmp_path):
    summary = compare(tmp_path, "--quiet", "--programs", "1500", "--seed", "22")
    assert summary["divergences"] == {}
    assert summary["quiet"] > 1000


@pytest.mark.parametrize("name", ["gather_loses_the_message", "timeout_has_no_cause", "shutdown_reports_nothing"])
def test_mutation_is_found(interpreters, name):
    """One of each kind; `./build.sh verify against-stock` hunts for all."""
    class Options:
        stock, patched = interpreters
        switches, seed = stock_compare.SWITCHES, 0
    number, how = stock_mutations.hunt(name, Options)
    assert number is not None and how


def test_mutations_fit_the_sources(interpreters, tmp_path):
    package = stock_mutations.sources(interpreters[1])
    for name, what in stock_mutations.MUTATIONS.items():
        assert (package / what.file).read_text().count(what.old) == 1, name
    assert len(stock_mutations.MUTATIONS) >= 20


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_diverged_does_no_more(interpreters, path):
    done = run("--replay", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_worker_that_ends_is_seen(tmp_path):
    machine = tmp_path / "machine.py"
    machine.write_text("import os, sys, json\n"
                       "for line in sys.stdin:\n"
                       "    for program in json.loads(line):\n"
                       "        os._exit(7) if program == 'end' else print(json.dumps(program), flush=True)\n")
    worker = stock_compare.Worker([sys.executable, str(machine)])
    records = worker.run(["one", "end", "two", "three"])
    worker.stop()
    assert [json.loads(record) for record in records] == [
        "one", [["machine", 0, "ends the interpreter", 7]], "two", "three"]


def test_same_seed_same_program():
    made = [[stock_programs.generate(random.Random(seed)) for seed in range(30)] for _ in range(2)]
    assert made[0] == made[1]
    assert json.loads(json.dumps(made[0])) == made[0]
    assert all(stock_programs.show(program).startswith("main") for program in made[0])


@pytest.mark.parametrize("seed", range(5))
def test_shrinking(seed):
    def fails(program):
        return any(s["op"] == "group" and any(inner["op"] == "cancel" for inner in stock_programs.walk(s["body"]))
                   for s in stock_programs.walk(program["main"]))

    seeds = random.Random(seed)
    program = next(program for program in iter(lambda: stock_programs.generate(random.Random(seeds.random())), None)
                   if fails(program) and stock_programs.size(program) > 15)
    small = shrink.shrink(program, fails, language=stock_programs)
    assert fails(small) and stock_programs.size(small) == 2, stock_programs.show(small)


def test_rule_needs_its_condition():
    """An event alone is not enough: what went before has to be what the rule speaks of."""
    program = {"main": [{"op": "sleep", "d": 1}, {"op": "sleep", "d": 2}]}
    before = [["main", 0, "start", 0], ["main", 1, "sleep", None, "raises", "CancelledError()"],
              ["main", 1, "catches", "CancelledError()", 1]]
    goes_on, raises = ["main", 2, "sleep", None, None], ["main", 1, "sleep", None, "raises", "CancelledError()"]
    found = stock_rules.find_rule(("edge-cancel",), program, [*before, goes_on], [*before, raises], 3)
    assert found == "2.1"
    assert stock_rules.find_rule(("shield",), program, [*before, goes_on], [*before, raises], 3) is None
    assert stock_rules.find_rule(("edge-cancel",), program, [before[0], goes_on], [before[0], raises], 1) is None
    assert stock_rules.find_rule(("edge-cancel",), program, [*before, raises], [*before, goes_on], 3) is None
