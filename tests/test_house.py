"""The rules of the house (STYLE.md), checked on the tree itself."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
ROOMS = ("app", "configs", "features", "models", "pipelines")
BANNED_FILES = {"utils.py", "common.py", "helpers.py", "base.py", "misc.py", "util.py"}
BANNED_CLASSES = re.compile(r"(Manager|Service|Handler|Processor)$")
BANNED_NAMES = {"process", "handle", "do", "get", "data", "df2", "tmp", "util", "manager"}
MAKE_TARGETS = [
    "install",
    "demo",
    "test",
    "lint",
    "type",
    "check",
    "bench",
    "train",
    "plan",
    "nightly",
    "preview",
    "replan",
    "serve",
    "tune",
    "compare",
    "export",
    "rollback",
    "mlflow",
    "prefect",
    "schedule",
    "screenshots",
    "docs",
    "clean",
    "sample",
]


def sources() -> list[Path]:
    return [file for room in ROOMS for file in sorted((HOUSE / room).rglob("*.py"))]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for file in sources():
        yield file.relative_to(HOUSE), ast.parse(file.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file}:{node.lineno} {node.name}", node


def n_body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the end of the docstring to the end of the function."""
    assert function.end_lineno is not None
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None and len(function.body) > 1
    begin = function.body[1].lineno if has_docstring else first.lineno
    return function.end_lineno - begin + 1


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=120)


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(file.relative_to(HOUSE)): len(file.read_text().splitlines()) for file in sources()}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_the_median_file_stays_near_150_lines() -> None:
    lengths = sorted(len(file.read_text().splitlines()) for file in sources() if file.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 180


def test_no_function_body_is_longer_than_40_lines() -> None:
    assert {name: n_body_lines(f) for name, f in functions() if n_body_lines(f) > 40} == {}


def test_functions_are_short_on_average() -> None:
    sizes = [n_body_lines(f) for _, f in functions()]
    assert sum(sizes) / len(sizes) <= 13


def test_every_public_name_says_what_it_is_for() -> None:
    bare = []
    for file, tree in trees():
        if ast.get_docstring(tree) is None:
            bare.append(str(file))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    bare.append(f"{file}:{node.lineno} {node.name}")
                members = node.body if isinstance(node, ast.ClassDef) else []
                bare += [
                    f"{file}:{member.lineno} {node.name}.{member.name}"
                    for member in members
                    if isinstance(member, ast.FunctionDef)
                    and not member.name.startswith("_")
                    and ast.get_docstring(member) is None
                ]
    assert bare == []


def test_files_are_named_by_what_they_hold() -> None:
    assert [str(file) for file in sources() if file.name in BANNED_FILES] == []


def test_classes_are_no_managers_and_names_are_not_banned() -> None:
    bad = []
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and BANNED_CLASSES.search(node.name):
                bad.append(f"{file}: class {node.name}")
            if isinstance(node, ast.FunctionDef) and node.name in BANNED_NAMES:
                bad.append(f"{file}: {node.name}()")
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in BANNED_NAMES:
                bad.append(f"{file}: {node.id} =")
    assert bad == []


def test_only_the_command_line_reads_the_clock() -> None:
    clock = re.compile(r"\b(datetime\.now|datetime\.utcnow|date\.today|Timestamp\.now|Timestamp\.today)\(")
    readers = {str(file.relative_to(HOUSE)) for file in sources() if clock.search(file.read_text(encoding="utf-8"))}
    assert readers == {"app/commands.py", "pipelines/cli.py"}


def test_chance_is_an_argument() -> None:
    """No global generator, and no generator without a seed."""
    loose = re.compile(r"np\.random\.(seed|rand|randn|randint|choice|shuffle)\(|default_rng\(\)")
    assert [str(f.relative_to(HOUSE)) for f in sources() if loose.search(f.read_text(encoding="utf-8"))] == []


def test_imports_run_one_way() -> None:
    linted = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert "Contracts: 4 kept, 0 broken." in linted.stdout, linted.stdout
    assert linted.returncode == 0


def test_an_arrow_against_the_grain_is_found(tmp_path: Path) -> None:
    """The contracts can fail: the same rules on a tree where configs imports pipelines."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "configs" / "__init__.py").write_text("import pipelines\n")
    rules = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]
    first = rules["contracts"][0]
    (tmp_path / "arrows.toml").write_text(
        f"[tool.importlinter]\nroot_packages = {list(ROOMS)}\n"
        f"[[tool.importlinter.contracts]]\nname = 'one way'\ntype = 'layers'\nlayers = {first['layers']}\n"
    )
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", "arrows.toml", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert linted.returncode == 1, linted.stdout
    assert "1 broken" in linted.stdout


def test_the_lock_has_hashes_and_names_no_place() -> None:
    lock = (HOUSE / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[A-Za-z0-9][^\s=]*==[^\s\\]+.*?(?=^[A-Za-z0-9]|\Z)", lock, flags=re.MULTILINE | re.DOTALL)
    assert len(pins) > 100
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert "://" not in lock
    assert not (HOUSE / "uv.lock").exists()


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=!;~ ]", line)[0].lower().replace("_", "-") for line in asked}
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (HOUSE / "requirements.lock").read_text(), flags=re.MULTILINE))
    assert names - locked == set()


def test_no_file_names_a_folder_of_a_builders_machine() -> None:
    tracked = run("git", "ls-files", "*.py", "*.yaml", "*.toml", "Makefile", ".ci/run").stdout.split()
    machine = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|home)/[A-Za-z]")
    named = [name for name in tracked if machine.search((HOUSE / name).read_text(encoding="utf-8"))]
    assert [name for name in named if name != "tests/test_house.py"] == []


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_make_help_tells_what_each_target_is_for(target: str) -> None:
    lines = [line.split(maxsplit=2) for line in run("make", "--silent", "help").stdout.splitlines()]
    told = {words[1]: words[2] for words in lines if words[:1] == ["make"]}
    assert len(told[target]) > 10


def test_make_help_is_what_make_says_without_a_target() -> None:
    assert run("make", "--silent").stdout == run("make", "--silent", "help").stdout


@pytest.mark.parametrize("target", ["nightly", "plan", "preview", "replan", "train", "tune", "compare", "rollback"])
def test_make_says_which_variable_is_missing(target: str) -> None:
    refused = run("make", "--silent", target, "READY=")
    assert refused.returncode == 2
    assert f"make {target}: SOURCE is not set; write: make {target} SOURCE=" in refused.stderr


def test_make_passes_the_variables_on() -> None:
    shown = run(
        "make", "-n", "nightly", "READY=", "SOURCE=in", "OUT=out", "RUN_DATE=2026-11-02", "CONFIG=a.yaml"
    ).stdout
    assert 'kakedoki nightly --source "in" --out "out" --run-date 2026-11-02 --config a.yaml' in shown


def test_the_ci_script_is_executable_and_stops_at_the_first_fault() -> None:
    script = HOUSE / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert [step for step in ("lint", "type", "test") if f"make {step}" not in text] == []
