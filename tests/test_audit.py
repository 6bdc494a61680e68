"""docs/audit.md has a verdict on each task that asyncio makes itself, and on each await in a cleanup."""
import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)
AUDIT = (ROOT / "docs" / "audit.md").read_text()
MAKES_TASKS = {"create_task", "_create_task", "ensure_future", "_ensure_future", "_spawn_background", "_spawn"}
MECHANISM = "cancelscopes.", "_spawning."  # through which the others are made
AUDITED = ["asyncio/*.py", "contextlib.py", "unittest/async_case.py", "concurrent/futures/*.py", "concurrent/interpreters/*.py"]


@pytest.fixture(scope="module")
def library():
    """The library of the patched interpreter."""
    python = subprocess.run(["./build.sh", "python"], cwd=ROOT, check=True, capture_output=True, text=True,
                            timeout=1800).stdout.strip()
    return pathlib.Path(subprocess.run([python, "-c", "import os; print(os.path.dirname(os.__file__))"], check=True,
                                       capture_output=True, text=True, timeout=60).stdout.strip())


def section(title):
    """The names in the first column of the table below a heading, several of them apart by <br>."""
    text = AUDIT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}


def walk(node, names=(), clean_up=False):
    """Yield (node, qualified name of the function it is in, whether it is in a cleanup)."""
    yield node, ".".join(names), clean_up
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        names = (*names, node.name)
        clean_up = node.name in ("__aexit__", "aclose")
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walk(child, names, clean_up or field == "finalbody" or isinstance(child, ast.ExceptHandler))


def found(library, patterns, wanted):
    for pattern in patterns:
        for path in sorted(library.glob(pattern)):
            module = path.relative_to(library).with_suffix("").as_posix().replace("/", ".").removeprefix("asyncio.")
            for node, name, clean_up in walk(ast.parse(path.read_text())):
                if wanted(node, clean_up):
                    yield f"{module}.{name}"


def makes_task(node, clean_up):
    name = getattr(node, "attr", getattr(node, "id", None))
    return name in MAKES_TASKS and isinstance(node.ctx, ast.Load)


def waits_in_clean_up(node, clean_up):
    return clean_up and isinstance(node, (ast.Await, ast.AsyncWith, ast.AsyncFor))


def waits(node, clean_up):
    return isinstance(node, (ast.Await, ast.AsyncWith, ast.AsyncFor))


def test_every_task_that_asyncio_makes(library):
    made = set(found(library, ["asyncio/*.py"], makes_task))
    assert section("Tasks that asyncio makes") == {name for name in made if not name.startswith(MECHANISM)}


def test_every_await_in_a_clean_up(library):
    listed = section("Awaits in cleanup positions")
    assert set(found(library, AUDITED, waits_in_clean_up)) <= listed
    # The others are loops and waits for what must not be left behind; no row is about what is not there.
    assert listed <= set(found(library, AUDITED, waits))
