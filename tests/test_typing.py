"""asyncbis-stubs: what it makes of the typeshed of mypy and of pyright, by their own judgment and by stubtest's."""
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import textwrap
import zipfile

import pytest

import doc_examples
import test_documentation
import test_porting_guide
from tools import wheel

pytest_plugins = ["interpreters"]
# The first test here builds an interpreter and makes an environment.
pytestmark = pytest.mark.timeout(2400)

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "typing_cases.py"
REQUIREMENTS = ROOT / "tests" / "requirements-typing.txt"
README = ROOT / "stubs" / "README.md"
# Of the others not all packages say types, nor are these packages installed here.
ANNOTATED = [f"{name}.py" for name in ("background", "first_wins", "hangs_on_stock", "hello", "server", "shutdown")]
# What stubtest says of asyncio: first of typeshed and a stock interpreter, then of our modules that are for asyncio
# itself only and have no stubs.
STOCK_COMPLAINTS = {
    "asyncio.events.AbstractEventLoop.create_unix_server is inconsistent, "
    'runtime does not have parameter "cleanup_socket"',
    "asyncio.locks.Condition.acquire is not present at runtime",  # They are set in __init__().
    "asyncio.locks.Condition.locked is not present at runtime",
    "asyncio.locks.Condition.release is not present at runtime",
    "asyncio.windows_events failed to import. ImportError: win32 only",
    "asyncio.windows_utils failed to import. ImportError: win32 only",
    "asyncio.__main__ failed to find stubs",
}
OUR_COMPLAINTS = {f"asyncio.{module} failed to find stubs"
                  for module in ("asyncgens", "edge_scopes", "farewells", "groups", "interrupts", "legacy_groups",
                                 "rootgroup")}


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_wheels(tmp_path):
    def names():
        return sorted(path.name for path in (tmp_path / wheel.BUNDLED).iterdir())

    name, data = wheel.make(ROOT, "stubs")
    assert (name, data) == wheel.make(ROOT, "stubs")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {"asyncbis_stubs/__main__.py", "asyncbis_stubs/cancelscopes.pyi"} <= set(archive.namelist())
    (tmp_path / wheel.BUNDLED).mkdir()
    (tmp_path / wheel.BUNDLED / "asyncbis_stubs-0.1-py3-none-any.whl").touch()  # an old one
    wheel.install(ROOT, tmp_path)
    assert names() == sorted([wheel.make(ROOT)[0], name])
    times = [path.stat().st_mtime_ns for path in (tmp_path / wheel.BUNDLED).iterdir()]
    wheel.put(ROOT, tmp_path)
    assert times == [path.stat().st_mtime_ns for path in (tmp_path / wheel.BUNDLED).iterdir()]
    assert (tmp_path / "site-packages" / "asyncbis_stubs" / "cancelscopes.pyi").exists()


@pytest.fixture(scope="module")
def python(make_venv):
    """A patched interpreter that has both checkers."""
    return make_venv("-r", REQUIREMENTS)


class Program:
    """A folder with a program, and a pyproject.toml with what the README has for each checker."""

    def __init__(self, folder, python):
        self.folder = folder
        self.python = python
        self.packages, = python.parent.parent.glob("lib/python3.*/site-packages")
        blocks = re.findall(r'^```toml\n\[tool\.(\w+)\]\n(\w+) = "(.*)"\n```$', README.read_text(), re.MULTILINE)
        self.settings = {checker: {name: value} for checker, name, value in blocks}
        command, = re.findall(r"^python (-m asyncbis_stubs) mypy +#", README.read_text(), re.MULTILINE)
        self.command = command.split()

    def write_stubs(self, checker, *options):
        return run(self.python, *self.command, checker, *options, cwd=self.folder)

    def check(self, checker, *names, **settings):
        """Return what a checker prints about the files of these names, or all, if it is not content."""
        settings = self.settings[checker] | settings
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        (self.folder / "pyproject.toml").write_text(f"[tool.{checker}]\n{''.join(lines)}")
        command = {"mypy": ["-m", "mypy"], "pyright": ["-m", "pyright", "--pythonpath", self.python]}[checker]
        done = run(self.python, *command, *(names or ["."]), cwd=self.folder)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout if done.returncode else ""


STRICT = {
    "mypy": {"strict": True, "warn_unreachable": True},
    # (pyright's strict mode asks for more than mypy's: types of what others' packages return, no private names.)
    "pyright": {"reportUnnecessaryTypeIgnoreComment": True},
}
LENIENT = {
    "mypy": {"check_untyped_defs": True, "ignore_missing_imports": True, "disable_error_code": ["name-defined"]},
    "pyright": {"reportMissingImports": False, "reportMissingModuleSource": False, "reportUndefinedVariable": False},
}
# For code that has no annotations: it says neither what is in a list, nor that something is not None or is reached.
UNANNOTATED = {
    "mypy": {"disable_error_code": ["name-defined", "var-annotated", "union-attr"]},
    "pyright": {"reportOptionalMemberAccess": False, "reportPossiblyUnboundVariable": False, "reportRedeclaration": False},
}
# The programs of the documentation that a checker complains of, all the same.
COMPLAINTS = {
    # They are wrong, and are there to be ported.
    "guide_before_private": {"mypy", "pyright"},        # an attribute that only stock's timeout has
    "guide_before_shield_future": {"pyright"},          # add_done_callback() of what shield() returns
    # They choose what to do by the interpreter that they find.
    "guide_after_awaited": {"mypy", "pyright"},         # create_task(..., **ARGUMENTS)
    "guide_after_compat": {"mypy", "pyright"},
    "guide_after_own_group": {"mypy", "pyright"},
    "guide_after_own_scopes": {"mypy", "pyright"},      # a class of one of two types
    # pyright knows that the block can be left before a name is bound.
    "asyncio_cancelscopes_default10": {"pyright"},
}
CHECKERS = pytest.mark.parametrize("checker", ["mypy", "pyright"])


@pytest.fixture(scope="module")
def program(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(CASES, folder)
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    readme = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for number, block in enumerate(readme):
        # Some are only a part of a program.
        if not block.startswith("import asyncio\n"):
            block = f"import asyncio\n\nasync def block():\n{textwrap.indent(block, '    ')}"
        (folder / f"readme{number}.py").write_text(block)
    program = Program(folder, python)
    for checker in "mypy", "pyright":
        done = program.write_stubs(checker)
        assert done.returncode == 0, done.stderr
        # It prints the line that the README has.
        (name, value), = program.settings[checker].items()
        assert f'[tool.{checker}]\n{name} = "{value}"\n' in done.stdout
    return program


@CHECKERS
def test_cases(program, checker):
    assert not program.check(checker, CASES.name, **STRICT[checker])


@CHECKERS
def test_cases_with_stock_stubs(program, checker):
    # The checkers do look at them.
    option, = program.settings[checker]
    stock = {option: program.settings[checker][option] + "-stock"}
    package = {"mypy": "mypy/typeshed", "pyright": "pyright/dist/dist/typeshed-fallback"}[checker]
    shutil.copytree(program.packages / package, program.folder / stock[option])
    assert '"CancelScope"' in program.check(checker, CASES.name, **STRICT[checker], **stock)


@CHECKERS
def test_annotated_examples(program, checker):
    assert not program.check(checker, *ANNOTATED, **STRICT[checker])


@CHECKERS
def test_all_programs(program, checker):
    # All in the folder, of which the copy of typeshed is no part.
    assert not program.check(checker, **LENIENT[checker])


def documented():
    """Return {name: program} of the code in CPython's documentation, as far as the series changes it."""
    programs = {}
    for page in test_documentation.PAGES:
        blocks = doc_examples.find_blocks((ROOT / page).read_text(encoding="utf-8"))
        for group in {block.group for block in blocks}:
            ours = [block for block in blocks if block.group == group]
            setup = "".join(block.text for block in ours if block.kind == "testsetup")
            # One by one, since the same name is defined in several of them.
            for number, block in enumerate(ours):
                code = {"testcode": block.text, "doctest": "".join(
                    example.source for _, example in doc_examples.find_examples([block]))
                    if block.kind == "doctest" else ""}.get(block.kind)
                if code:
                    programs[f"{pathlib.Path(page).stem}_{group}{number}"] = f"import asyncio\n{setup}{code}"
    for block in [*test_porting_guide.BEFORE.values(), *test_porting_guide.AFTER]:
        complete = block.text if block.kind == "before" else test_porting_guide.complete(block)
        programs[f"guide_{block.kind}_{block.name}"] = complete
    return {re.sub(r"\W", "_", name): program for name, program in programs.items()}


@CHECKERS
def test_code_in_the_documentation(program, checker):
    programs = documented()
    assert len(programs) > 60
    folder = program.folder / "documented"
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text)
    try:
        printed = program.check(checker, "documented", **(LENIENT[checker] | UNANNOTATED[checker]))
    finally:
        shutil.rmtree(folder)
    complained = set(re.findall(r"\bdocumented/(\w+)\.py:\d+", printed))
    assert complained == {name for name, checkers in COMPLAINTS.items() if checker in checkers}, printed


def stubtest(python, typeshed, packages):
    """Return the set of the complaints of stubtest about asyncio."""
    done = run(python, "-m", "mypy.stubtest", "--concise", "--custom-typeshed-dir", typeshed, "asyncio",
               env={**os.environ, "PYTHONPATH": str(packages)})
    assert not done.stderr
    return set(done.stdout.splitlines())


def test_stubs_agree_with_the_interpreter(program):
    typeshed = program.folder / program.settings["mypy"]["custom_typeshed_dir"]
    assert stubtest(program.python, typeshed, program.packages) == STOCK_COMPLAINTS | OUR_COMPLAINTS


def test_complaints_about_stock(program, stock):
    version = "import sys; print(*sys.version_info[:2])"
    if run(stock, "-c", version).stdout != run(program.python, "-c", version).stdout:
        pytest.skip("no stock Python of this version here: ./build.sh build --variant stock makes one")
    assert stubtest(stock, program.packages / "mypy" / "typeshed", program.packages) == STOCK_COMPLAINTS


@pytest.mark.parametrize("file, old, new, problem", [
    ("tasks.pyi", "def shield(", "def guard(", "tasks.pyi has no shield"),
    ("tasks.pyi", "_TaskYieldType", "_YieldType", "tasks.pyi does not define _TaskYieldType"),
    ("timeouts.pyi", "delay: float | None", "delay: float | None, *, shield: bool = ...",
     "timeouts.pyi has a parameter shield of timeout already"),
    ("taskgroups.pyi", "class TaskGroup:", "class Group:", "taskgroups.pyi has no TaskGroup.create_task"),
    ("base_events.pyi", "eager_start: bool | None = None,", "**kwargs: Any,",
     "base_events.pyi has parameters of BaseEventLoop.create_task that are not expected"),
    ("exceptions.pyi", "__all__ = (", "__all__ = names(",
     "exceptions.pyi assigns no list or tuple of names to __all__"),
    ("exceptions.pyi", "class ", "struct ", "exceptions.pyi is not in the syntax of this Python, 3.14 (line "),
    ("tasks.pyi", "def shield(", "@overload\ndef shield(", "tasks.pyi has overloads of shield"),
    ("taskgroups.pyi", ") -> None: ...", "): ...", "taskgroups.pyi does not say what TaskGroup.__aexit__ returns"),
])
def test_unexpected_stubs(program, tmp_path, file, old, new, problem):
    shutil.copytree(program.packages / "mypy" / "typeshed" / "stdlib", tmp_path / "typeshed" / "stdlib")
    path = tmp_path / "typeshed" / "stdlib" / "asyncio" / file
    path.write_text(path.read_text().replace(old, new))
    done = program.write_stubs("mypy", "--typeshed", tmp_path / "typeshed", "--output", tmp_path / "output")
    assert done.returncode == 1
    assert done.stderr.startswith(f"asyncbis_stubs: the asyncio stubs of {tmp_path}/typeshed are not what this command "
                                  f"can change: {problem}")
    assert "It is tested with mypy " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["typeshed"]


def test_older_stubs(program, tmp_path):
    """What was otherwise in the typeshed of mypy 1.17 and of pyright 1.1.400."""
    shutil.copytree(program.packages / "mypy" / "typeshed", tmp_path / "typeshed")
    stdlib = tmp_path / "typeshed" / "stdlib"
    for path, old, new in [
        ("asyncio/tasks.pyi", "def shield(arg: _FutureLike[_T]) -> Future[_T]: ...",
         "if sys.version_info >= (3, 10):\n    def shield(arg: _FutureLike[_T]) -> Future[_T]: ...\nelse:\n"
         "    def shield(arg: _FutureLike[_T], *, loop: AbstractEventLoop | None = None) -> Future[_T]: ..."),
        ("asyncio/taskgroups.pyi", "    if sys.version_info >= (3, 15):\n        def cancel(self) -> None: ...\n", ""),
        ("typing_extensions.pyi", "def disjoint_base(", "def _disjoint_base("),
    ]:
        text = (stdlib / path).read_text()
        assert old in text
        (stdlib / path).write_text(text.replace(old, new))
    done = program.write_stubs("mypy", "--typeshed", tmp_path / "typeshed", "--output", tmp_path / "output")
    assert done.returncode == 0, done.stderr
    settings = {"custom_typeshed_dir": str(tmp_path / "output")}
    assert not program.check("mypy", CASES.name, **STRICT["mypy"] | settings)


def test_tested_versions(program):
    versions = re.findall(r"^(mypy|pyright)==(.*)$", REQUIREMENTS.read_text(), re.MULTILINE)
    done = program.write_stubs("mypy", "--typeshed", "/", "--output", "unused")
    assert "no typeshed" in done.stderr
    text = (ROOT / "stubs" / "src" / "asyncbis_stubs" / "__main__.py").read_text()
    assert f"_TESTED = '{' and '.join(' '.join(version) for version in versions)}'\n" in text


def test_output(program, tmp_path):
    def write(*options):
        return program.write_stubs("mypy", "--output", tmp_path / "output", *options)

    (tmp_path / "output").mkdir()
    assert "exists and was not written by this command" in write().stderr
    (tmp_path / "output").rmdir()
    for _ in range(2):
        assert write().returncode == 0
        (tmp_path / "output" / "stdlib" / "stale.pyi").touch()
    assert write().returncode == 0
    assert not (tmp_path / "output" / "stdlib" / "stale.pyi").exists()
    again = program.write_stubs("mypy", "--output", tmp_path / "other", "--typeshed", tmp_path / "output")
    assert "was written by this command" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_pyright_from_npm(program, tmp_path):
    package = tmp_path / "lib" / "node_modules" / "pyright"
    shutil.copytree(program.packages / "mypy" / "typeshed", package / "dist" / "typeshed-fallback")
    (package / "index.js").touch(mode=0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pyright").symlink_to(package / "index.js")
    done = run(program.python, "-S", *program.command, "pyright", cwd=tmp_path, env={
        **os.environ, "PYTHONPATH": str(ROOT / "stubs" / "src"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.stdout.startswith(".asyncbis-typeshed/pyright is the typeshed of pyright, with"), done.stderr


def test_no_checker(program):
    # -S: an interpreter that sees neither of them.
    done = run(program.python, "-S", *program.command, "mypy", cwd=program.folder,
               env={**os.environ, "PYTHONPATH": str(ROOT / "stubs" / "src")})
    assert done.returncode == 1
    assert done.stderr.startswith("asyncbis_stubs: found no typeshed of mypy.  Run this in the environment of mypy (")
