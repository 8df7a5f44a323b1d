"""The house: imports go down the stairs, nobody imports the models, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pa_harness"
GROUND = {"errors", "storage", "data_file", "markdown", "processes", "foreign"}  # for everyone
STAIRS: dict[str, set[str]] = {  # each may import itself, the ground, and what stands here
    "lam": set(),
    "checkpoints": set(),
    "weights": {"lam", "checkpoints"},
    "prefixes": set(),
    "models": {"lam", "checkpoints", "weights", "prefixes"},
    "export": {"lam", "checkpoints", "weights", "runs"},
    # without torch from here on
    "tasks": set(),
    "registration": {"lam", "tasks"},
    "runs": {"lam", "tasks"},
    "analysis": {"tasks", "runs"},
    "sweep": {"lam", "tasks", "runs", "analysis", "registration", "weights"},  # its arguments, late
    "judging": {"lam", "tasks", "runs", "analysis"},
    "interchange": {"tasks", "runs"},
    "leaderboards": {"runs", "interchange"},
    "report": {"tasks", "runs", "analysis", "leaderboards"},
    "notebook": {"runs", "analysis", "sweep", "registration", "judging", "leaderboards", "report"},
    "cli": {"lam", "weights", "export", "tasks", "registration", "runs", "analysis", "sweep"}
    | {"judging", "interchange", "leaderboards", "report"},  # weights and export: inside functions
}
TENSORS = {"checkpoints", "weights", "prefixes", "models", "export"}
IN_LM_EVAL = {"documents", "demonstrations", "answers"}  # imported by lm-eval, which has torch
FILES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]


def module(file: Path) -> str:
    """``pa_harness.weights.adapted`` of a file; a package's own name of its ``__init__``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package(name: str) -> str:
    """The wing of a module; of the ground floor's modules their own name."""
    return name.split(".")[1] if "." in name else ""


NAMES = {module(file): file for file in FILES}


def imported(name: str) -> set[str]:
    """Modules named by any import in the file, late ones included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(NAMES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by a relative name, which is not followed here"
            whole = {f"{node.module}.{each.name}" for each in node.names}
            found |= whole & NAMES.keys() or {node.module}
    return found & NAMES.keys()


GRAPH = {name: imported(name) - {"pa_harness"} for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_down_the_stairs(name: str) -> None:
    here = package(name)
    if here in ("", "__main__"):  # the package hands out names of the notebook, late
        assert {package(each) for each in GRAPH[name]} <= {"cli" if here else "notebook"}
        return
    allowed = GROUND | ({here} | STAIRS[here] if here in STAIRS else set())
    assert {package(each) for each in GRAPH[name]} <= allowed


def test_there_is_no_circle() -> None:
    """Neither among the wings nor among the modules; what is raised, `CycleError`, names it."""
    list(TopologicalSorter(STAIRS).static_order())
    list(TopologicalSorter(GRAPH).static_order())


def test_a_wing_says_what_it_is_for_and_holds_no_code() -> None:
    for wing in sorted({file.parent for file in FILES}):
        tree = ast.parse((wing / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), wing
        assert wing == PACKAGE or len(tree.body) == 1, wing


def test_nobody_imports_the_models() -> None:
    """lm-eval's registry asks for them by name, whoever calls."""
    assert not any("models" in below for below in STAIRS.values())


def test_the_table_half_starts_without_torch() -> None:
    light = [n for n in NAMES if package(n) not in TENSORS and n.split(".")[-1] not in IN_LM_EVAL]
    code = f"import sys, {', '.join(sorted(set(light) - {'pa_harness.__main__'}))}"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_folders_stay_small() -> None:
    held = Counter(file.parent for file in FILES)
    assert held[PACKAGE] <= 8
    assert {folder.name: count for folder, count in held.items() if count > 16} == {}


@pytest.mark.parametrize("file", EVERYTHING, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
