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


def test_program_that_is_stuck_is_seen(interpreters):
    """In one turn of the loop, so that the loop cannot see it; the programs around it have their own records."""
    [path] = [path for path in CORPUS if path.stem == "stuck-between-two-exceptions"]
    stuck = json.loads(path.read_text())["program"]
    fine = {"main": [{"op": "sleep", "d": 1}]}
    worker = stock_compare.Worker([interpreters[0], stock_compare.MACHINE])
    before, record, after = map(json.loads, worker.run([fine, stuck, fine]))
    worker.stop()
    assert before == after and before[-1] == ["end", "main", "done"]
    assert [event[2] for event in record if event[0] == "loop"] == ["is stuck"]
    assert record[-1] == ["end", "f2", "CANCELLED", 0]


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


def test_1_2_needs_a_member_that_waits():
    """What is interrupted first may be no member, if one waits for it, perhaps through others."""
    def program(group, of):
        return {"main": [
            {"op": "spawn", "id": "t4", "group": "root", "eager": False, "body": [{"op": "sleep", "d": 2}]},
            {"op": "spawn", "id": "t3", "group": "root", "eager": False, "body": [{"op": "ref", "of": "t4"}]},
            {"op": "group", "id": "g1", "body": [
                {"op": "spawn", "id": "t1", "group": group, "eager": False, "body": [
                    {"op": "gather", "exceptions": False, "items": [{"op": "ref", "of": of}]}]},
                {"op": "sleep", "d": 1}]}]}

    def find(group="g1", of="t3", when=1, change="edge-scopes"):
        before = [["main", 0, "spawn", ["t4", "root"]], ["main", 0, "spawn", ["t3", "root"]],
                  ["main", 0, "spawn", ["t1", group]]]
        main = ["main", 1, "sleep", None, "raises", "CancelledError()"]
        found = [["t4", 1, "sleep", None, "raises", "CancelledError()"], main,
                 ["t3", 1, "ref", "t4", "raises", "CancelledError()"],
                 ["t1", when, "gather", None, "raises", "CancelledError()"]]
        return stock_rules.find_rule((change,), program(group, of), [*before, main], [*before, *found], 3)

    assert find() == find(of="t4") == "1.2"
    assert find(group="root") is None           # No member.
    assert find(of="t2") is None                # It waits for something else.
    assert find(when=2) is None                 # It is interrupted by something else.
    assert find(change="edge-cancel") is None


def test_2_2_needs_a_request_that_was_taken_back():
    """By the task that it was passed on to, before a timeout asks once more."""
    program = {"main": [
        {"op": "spawn", "id": "t4", "group": "root", "eager": False, "body": [{"op": "sleep", "d": 2}]},
        {"op": "wait_for", "delay": 1, "items": [{"op": "ref", "of": "t4"}]}]}
    asked, taken_back = ["t4", 0, "cancel", ["main", "started", True, 1]], ["t4", 0, "uncancel", ["t4", 0]]
    interrupted = [["t4", 1, "sleep", None, "raises", "CancelledError()"],
                   ["main", 1, "wait_for", None, "raises", "CancelledError()"]]
    goes_on = [["t4", 2, "sleep", None, None], ["main", 2, "wait_for", None, "t4"]]

    def find(*before, stock=interrupted, program=program):
        return stock_rules.find_rule(("edge-scopes",), program, [*before, *stock], [*before, *goes_on], len(before))

    assert find(asked, taken_back) == "2.2"
    assert find(asked) is None
    assert find(taken_back) is None
    assert find(taken_back, asked) is None
    assert find(asked, ["t4", 0, "uncancel", ["t4", 1]]) is None      # Another request is in force.
    assert find(asked, ["t4", 0, "uncancel", ["main", 0]]) is None      # That of another task.
    assert find(asked, taken_back, stock=interrupted[:1]) is None       # Its host is not interrupted.
    assert find(asked, taken_back, program={"main": [program["main"][0], {"op": "ref", "of": "t4"}]}) is None


def test_2_2_needs_a_task_that_was_interrupted_before():
    """Or one that waits for what a timeout interrupts on stock."""
    program = {"main": [{"op": "timeout", "id": "m1", "delay": 1, "at": False, "body": [
        {"op": "spawn", "id": "t3", "group": "root", "eager": False, "body": [{"op": "sleep", "d": 3}]},
        {"op": "gather", "exceptions": False, "items": [
            {"op": "co", "id": "t2", "body": [{"op": "sleep", "d": 3}]}]}]}]}
    asked = ["t1", 0, "cancel", ["main", "started", True, 1]]
    interrupted = ["main", 0, "sleep", None, "raises", "CancelledError()"]
    again = [["t2", 1, "sleep", None, "raises", "CancelledError()"],
             ["main", 1, "gather", None, "raises", "CancelledError()"]]

    def find(*before, stock=again):
        goes_on = [["t1", 2, "sleep", None, None], ["t2", 3, "sleep", None, None]]
        return stock_rules.find_rule(("edge-scopes",), program, [*before, *stock], [*before, *goes_on], len(before))

    assert find(asked, interrupted) == find(asked, interrupted, stock=again[1:]) == "2.2"
    joins = [["t3", *again[0][1:]], ["main", 1, "left", "g1", 2]]
    assert find(asked, interrupted, ["main", 0, "spawn", ["t3", "g1"]], stock=joins) == "2.2"
    assert find(asked, interrupted, ["main", 0, "spawn", ["t3", "root"]], stock=joins) is None
    assert find(asked, interrupted, ["main", 0, "spawn", ["t3", "g1"]], stock=joins[:1]) is None
    assert find(asked) is None
    assert find(interrupted) is None    # By the only timeout.
    assert find(asked, interrupted, stock=again[:1]) is None
    assert find(asked, interrupted, stock=[["t3", *again[0][1:]], again[1]]) is None


def test_4_3_needs_a_request_and_a_switch():
    program = {"main": [{"op": "timeout", "id": "m1", "delay": 1, "at": False, "body": []}]}
    asked = ["main", 1, "cancel", ["main", "self", True, 2]]
    left = ["main", 1, "left", "m1", True, 1]

    def find(*before, error="E1(main)", chain=" after TimeoutError() from CancelledError()", in_force=("edge-cancel",),
             op="timeout"):
        raises = ["main", 1, op, "m1" if op == "timeout" else None, "raises"]
        return stock_rules.find_rule(("edge-scopes",), program, [*before, [*raises, "E1(main)"]],
                                     [*before, [*raises, error + chain]], len(before), in_force)

    assert find(asked, left) == find(asked, op="wait_for") == find(asked, op="stack") == "4.3"
    assert find(op="wait_for") is None
    assert find(asked, op="try") is None
    assert find(left) is None
    assert find(asked) is None
    assert find(asked, ["main", 1, "left", "m1", False, 1]) is None     # It has not expired.
    assert find(asked, left, error="E2(main)") is None
    assert find(asked, left, chain=" after TimeoutError() from E2()") is None
    assert find(asked, left, in_force=()) is None


def test_4_1_needs_a_request_in_force():
    program = {"main": [{"op": "timeout", "id": "m1", "delay": 1, "at": False, "body": []}]}
    asked = ["main", 0, "cancel", ["main", "self", True, 1]]
    raises = ["main", 1, "timeout", "m1", "raises", "E1(main)"]

    def find(*before, in_force=()):
        chained = [*raises[:-1], "E1(main) after TimeoutError() from CancelledError()"]
        return stock_rules.find_rule(("edge-cancel",), program, [*before, chained], [*before, raises], len(before),
                                     in_force)

    assert find(asked, ["main", 1, "left", "m1", True, 1]) == "4.1"
    assert find(["main", 1, "left", "m1", True, 1]) is None
    assert find(asked, ["main", 1, "left", "m1", True, 0]) is None
    assert find(asked, ["main", 1, "left", "m1", False, 1]) is None
    assert find(asked, ["main", 1, "left", "m1", True, 1], in_force=("edge-cancel",)) is None


def test_6_4_needs_a_group_whose_host_is_asked_twice():
    program = {"main": []}
    asked = ["t1", 0, "cancel", ["t1", "self", True, 1]]
    sleep = ["t2", 0, "sleep", None, None]

    def find(left, *, time=0, in_force=("edge-scopes",)):
        later = [sleep[0], time, *sleep[2:]]
        return stock_rules.find_rule(("edge-cancel",), program, [asked, left, later], [asked, later, left], 1, in_force)

    assert find(["t1", 0, "left", "g1", 2]) == "6.4"
    assert find(["t1", 0, "left", "g1", 1]) is None
    assert find(["t1", 0, "left", "m1", False, 2]) is None
    assert find(["t1", 0, "left", "g1", 2], time=1) is None
    assert find(["t1", 0, "left", "g1", 2], in_force=()) is None


def test_6_3_needs_a_member_that_fails_as_shield_waits():
    program = {"main": [{"op": "group", "id": "g1", "body": [
        {"op": "spawn", "id": "t3", "group": "g1", "eager": False, "body": [{"op": "raise", "error": "E1"}]},
        {"op": "shield", "items": [{"op": "co", "id": "t1", "body": [{"op": "raise", "error": "E2"}]}]}]}]}
    spawned, lost = ["main", 0, "spawn", ["t3", "g1"]], ["t1", 1, "ends with", "E2(t1)"]
    fails, shield = ["t3", 1, "ends with", "E1(t3)"], ["main", 1, "shield", None, "raises", "CancelledError()"]

    def find(*before, message="Task exception was never retrieved", error="E2(t1)"):
        return stock_rules.find_rule(("edge-scopes",), program, [*before],
                                     [*before, ["loop", 2, "late handler", message, error]], len(before))

    assert find(spawned, lost, fails, shield) == "6.3"
    assert find(lost, fails, shield) is None            # No member.
    assert find(spawned, lost, shield) is None          # None that fails,
    assert find(spawned, fails, lost, shield) is None   # or not after that.
    assert find(spawned, lost, fails) is None
    assert find(spawned, lost, fails, [shield[0], 2, *shield[2:]]) is None
    assert find(spawned, lost, fails, shield, error="E3(t1)") is None
    assert find(spawned, lost, fails, shield, message="unhandled exception") is None


def test_1_2_needs_a_member_that_heard_of_the_end_of_run():
    """In its own code, or in that of a generator that it runs."""
    program = {"main": [{"op": "group", "id": "g1", "body": [
        {"op": "spawn", "id": "t2", "group": "g1", "eager": False, "body": []}]}]}
    ended, first = ["main", 1, "ends", 0], ["t2", 1, "sleep", None, "raises", "CancelledError()"]
    goes_on = ["t2", 2, "sleep", None, None]

    def find(*before, who="t2:a1", group="g1"):
        before = [["main", 0, "spawn", ["t2", group]], *before]
        again = [who, 1, "sleep", None, "raises", "CancelledError()"]
        return stock_rules.find_rule(("edge-scopes",), program, [*before, again], [*before, goes_on], len(before))

    assert find(ended, first) == find(ended, first, who="t2") == "1.2"
    assert find(first) is None
    assert find(ended) is None
    assert find(ended, first, who="t3") is None
    assert find(ended, first, group="root") is None
    assert find(ended, [first[0], 0, *first[2:]]) is None


def test_6_4_needs_a_group_that_is_destroyed():
    program = {"main": [
        {"op": "spawn", "id": "t5", "group": "root", "eager": False, "body": [{"op": "raise", "error": "E1"}]},
        {"op": "spawn", "id": "t4", "group": "root", "eager": False, "body": [
            {"op": "gather", "exceptions": True, "items": [{"op": "ref", "of": "t5"}, {"op": "ref", "of": "t6"}]}]}]}
    failed = ["t5", 0, "ends with", "E1(t5)"]
    report = ["loop", 0, "late handler", "Task exception was never retrieved", "E1(t5)"]
    gives_up = ["t4", 0, "gather", None, "raises", "GeneratorExit()"]
    left = ["t3", 0, "group", "g1", "raises", "RuntimeError(no running event loop)"]

    def find(*before, report=report, later=(gives_up, left)):
        return stock_rules.find_rule(("edge-scopes",), program, [*before, report, *later], [*before, *later],
                                     len(before))

    assert find(failed) == "6.4"
    assert find() is None
    assert find(failed, later=[left]) is None
    assert find(failed, later=[gives_up]) is None
    assert find(failed, later=[["t3", *gives_up[1:]], left]) is None    # It waits for something else.
    assert find(failed, report=[*report[:-1], "E2(t5)"]) is None


def test_6_5_needs_members_that_are_done():
    """As main leaves their group; so run() comes before what stock has done by then."""
    program = {"main": [{"op": "group", "id": "g1", "body": []}]}
    spawned, asked = ["main", 0, "spawn", ["t2", "g1"]], ["t3", 0, "cancel", ["t2", "new", True, 1]]
    left, ended = ["main", 0, "left", "g1", 1], ["main", 0, "ends", 1]

    def find(*before, patched="CancelledError()", time=0):
        gather = ["t1", time, "gather", None]
        return stock_rules.find_rule(("edge-scopes",), program, [*before, [*gather, ["CancelledError()"]]],
                                     [*before, [*gather, "raises", patched]], len(before))

    assert find(spawned, asked, left, ended) == "6.5"
    assert find(spawned, ["t2", 0, "start", 0], ["t2", 0, "ends", 0], left, ended) == "6.5"
    assert find(spawned, left, ended) is None
    assert find(spawned, asked, left) is None
    assert find(spawned, asked, ended) is None
    assert find(spawned, asked, ["t2", 0, "start", 1], left, ended) is None
    assert find(spawned, asked, ["main", 0, "spawn", ["t4", "g1"]], left, ended) is None
    assert find(spawned, asked, left, ended, patched="E1(t1)") is None
    assert find(spawned, asked, left, ended, time=1) is None
