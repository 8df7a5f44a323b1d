"""The architecture: imports go down the stairs, files and functions stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pa_harness"
TEXT = {"errors"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "tasks": set(),
    "aggregation": set(),
    "f1": set(),
    "bbh": set(),
    "truthfulqa": {"tasks"},
    "documents": set(),
    "demonstrations": {"documents"},
    "extraction": {"documents"},
    "alpaca_task": TEXT,
    "interpolation": TEXT,
    "token_trie": set(),
    "packing": {"token_trie"},
    "tree_attention": {"packing"},
    "prefix_scoring": {"packing", "token_trie", "tree_attention"},
    "compatibility": {"prefix_scoring", "tree_attention"},
    "prefix_generation": {"packing", "prefix_scoring", "token_trie", "tree_attention"},
    "prefix_sharing": {"compatibility", "prefix_generation", "prefix_scoring"},
    "argument_types": TEXT,
    "tensor_names": set(),
    "schedule": TEXT | {"tensor_names"},
    "methods": TEXT | {"interpolation"},
    "arguments": TEXT | {"argument_types", "interpolation", "methods", "schedule"},
    "checkpoint": TEXT | {"interpolation"},
    "hub": TEXT | {"checkpoint"},
    "configuration": TEXT | {"checkpoint"},
    "vocabulary": TEXT | {"checkpoint"},
    "adapter": TEXT | {"checkpoint", "interpolation"},
    "provenance": TEXT | {"checkpoint", "interpolation"},
    "pair": TEXT
    | {"arguments", "checkpoint", "configuration", "hub", "interpolation", "vocabulary"},
    "architecture": TEXT | {"pair"},
    "inspection": TEXT | {"adapter", "checkpoint", "pair"},
    "loading": TEXT
    | {"architecture", "inspection", "interpolation", "methods", "pair", "schedule"},
    "opening": TEXT
    | {"adapter", "architecture", "arguments", "checkpoint", "hub", "loading", "pair"}
    | {"vocabulary"},
    "registration": TEXT | {"aggregation", "tasks"},
    "data_file": TEXT,
    "answer_column": TEXT | {"data_file"},
    "prompt_template": TEXT | {"answer_column", "data_file", "tasks"},
    "task_template": TEXT | {"data_file", "prompt_template", "storage"},
    "task_source": TEXT | {"data_file", "registration"},
    "task_documents": TEXT | {"data_file", "task_source"},
    "document_checks": TEXT | {"task_documents"},
    "token_checks": TEXT | {"task_documents"},
    "task_check": TEXT
    | {
        "aggregation",
        "document_checks",
        "prompt_template",
        "task_documents",
        "task_source",
        "token_checks",
    },
    "model": {"adapted_model", "architecture", "arguments", "data_parallel", "loading", "opening"}
    | {"pair", "prefix_sharing", "provenance", "vocabulary"},
    # more than one process or machine
    "processes": set(),
    "extras": TEXT,
    "data_parallel": {"processes"},
    "adapted_model": TEXT
    | {"adapter", "arguments", "checkpoint", "inspection", "interpolation", "loading", "opening"}
    | {"pair", "provenance", "schedule", "vocabulary"},
    "lazy_tensor": {"interpolation"},
    "engine_weights": TEXT | {"architecture", "interpolation", "lazy_tensor", "loading"},
    "vllm_worker": {"architecture", "arguments", "lazy_tensor", "methods", "opening", "pair"},
    "engine_arguments": TEXT | {"arguments"},
    "vllm_model": TEXT
    | {"adapted_model", "architecture", "arguments", "checkpoint", "engine_arguments"}
    | {"engine_weights", "extras", "loading", "opening", "pair", "provenance", "vllm_worker"}
    | {"vocabulary"},
    "storage": TEXT,
    "scores": TEXT | {"aggregation", "storage"},
    "samples": set(),
    "grid": TEXT,
    "settings": TEXT | {"grid", "schedule"},
    "value_table": TEXT | {"samples", "storage"},
    "folder": TEXT | {"grid", "settings", "storage"},
    "workload": TEXT | {"settings"},
    "progress": set(),
    "evaluation": {"samples", "settings", "workload"},
    "unit_worker": TEXT | {"evaluation", "processes", "settings", "workload"},
    "cluster": TEXT | {"settings"},
    "cluster_options": TEXT | {"cluster", "settings"},
    "ray_executor": TEXT
    | {"cluster", "extras", "registration", "settings", "unit_worker"}
    | {"workload"},
    "sweep": TEXT
    | {
        "value_table",
        "cluster",
        "evaluation",
        "folder",
        "processes",
        "progress",
        "samples",
        "scores",
        "settings",
        "storage",
    }
    | {"ray_executor", "unit_worker", "workload"},
    "resampling": set(),
    "calibration": set(),
    "trajectory": TEXT | {"scores"},
    "trajectory_reader": TEXT | {"folder", "judgements", "scores", "trajectory", "value_table"},
    "statistics": {"calibration", "resampling", "trajectory"},
    "choice": TEXT | {"resampling", "statistics", "trajectory"},
    "tables": {"choice", "resampling", "statistics"},
    "drawing": {"resampling", "statistics"},
    "plotting": {"drawing", "statistics"},
    "figures": {"plotting", "statistics", "storage"},
    "browser": {"trajectory"},
    "report": {"browser", "choice", "figures", "resampling", "scores", "side_by_side"}
    | {"statistics"},
    "reported": set(),
    "leaderboard": {"reported"},
    "boards": {"reported"},
    "model_names": set(),
    "lm_eval_files": TEXT | {"model_names", "reported", "scores"},
    "score_tables": TEXT | {"boards", "data_file", "reported"},
    "every_eval_ever": TEXT | {"model_names", "reported"},
    "judgement_files": TEXT | {"reported"},
    "result_files": TEXT
    | {"every_eval_ever", "judgement_files", "lm_eval_files", "reported", "score_tables"},
    "board_scores": {"boards", "reported"},
    "comparison": TEXT | {"board_scores", "boards", "model_names", "reported"},
    "standing": {"board_scores", "boards", "comparison", "model_names", "reported"},
    "side_by_side": TEXT
    | {"boards", "comparison", "leaderboard", "model_names", "reported", "result_files"}
    | {"standing"},
    "comparison_text": {"comparison", "side_by_side", "standing", "storage", "tables"},
    "sharing": TEXT
    | {"every_eval_ever", "lm_eval_files", "model_names", "reported", "score_tables", "storage"},
    "cli_compare": TEXT
    | {"boards", "cli_verb", "comparison", "comparison_text", "result_files"}
    | {"sharing", "side_by_side", "storage"},
    "publication": TEXT
    | {"browser", "choice", "figures", "folder", "report", "scores", "statistics", "storage"}
    | {"trajectory", "trajectory_reader", "result_files", "side_by_side"},
    "search": {"trajectory"},
    "auto": TEXT
    | {"progress", "resampling", "search", "settings", "storage", "sweep", "trajectory"}
    | {"trajectory_reader", "workload"},
    "cli_search": {"auto", "cli_verb", "progress", "settings"},
    "cli_verb": set(),
    "cli_sweep": TEXT
    | {"cli_search", "cli_verb", "cluster_options", "progress", "publication", "registration"}
    | {"scores", "settings", "sweep"},
    "cli_run": {"choice", "cli_verb", "figures", "publication", "scores", "statistics"}
    | {"storage", "tables", "trajectory_reader"},
    # judging
    "model_outputs": TEXT | {"grid", "judge_request", "scores", "value_table"},
    "alpaca_data": TEXT,
    "reference": TEXT | {"alpaca_data", "model_outputs"},
    "annotator": TEXT,
    "judge_request": set(),
    "alpaca": TEXT | {"annotator", "judge_request"},
    "win_rate": {"resampling"},
    "leaderboard_match": {"alpaca_data", "annotator", "model_outputs", "reference"},
    "verdicts": TEXT,
    "price": TEXT | {"annotator", "judge_request"},
    "judgements": TEXT | {"samples", "storage", "value_table"},
    "judge_server": TEXT | {"judge_request", "price", "verdicts"},
    "asking": TEXT | {"judge_request", "judge_server", "price", "verdicts"},
    "judge_numbers": {"alpaca", "alpaca_data", "annotator", "judgements", "leaderboard_match"}
    | {"model_outputs", "reference", "win_rate"},
    "judge_tables": {"judgements", "tables", "win_rate"},
    "judging": TEXT
    | {
        "alpaca",
        "alpaca_data",
        "annotator",
        "asking",
        "judge_numbers",
        "judge_request",
        "judge_server",
    }
    | {"judgements"}
    | {"model_outputs", "price", "reference", "verdicts"},
    "cli_judge": TEXT
    | {"annotator", "asking", "cli_verb", "judge_server", "judge_tables", "judging"}
    | {"model_outputs", "reference"},
    # shipping a model
    "shards": set(),
    "model_card": TEXT | {"scores"},
    "evaluated": TEXT | {"folder", "schedule", "scores"},
    "export": TEXT
    | {"adapter", "architecture", "checkpoint", "evaluated", "inspection", "model_card", "opening"}
    | {"schedule", "shards", "storage", "vocabulary"},
    "recipes": TEXT
    | {"adapter", "architecture", "checkpoint", "export", "methods", "opening", "pair", "schedule"},
    "cli_export": TEXT
    | {"cli_verb", "evaluated", "export", "grid", "opening", "recipes", "settings"},
    "cli": TEXT
    | {"cli_compare", "cli_export", "cli_judge", "cli_run", "cli_sweep", "registration", "tasks"}
    | {"answer_column", "prompt_template", "task_check", "task_template"},
    "__main__": {"cli"},
}
MODULES = sorted(PACKAGE.glob("*.py"))
ROOT = PACKAGE.parent
EVERYTHING = [*MODULES, *(ROOT / "tests").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]


def imported(module: Path) -> set[str]:
    """Rooms named by any import in the file, late ones included."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pa_harness"):
            tail = (node.module or "").removeprefix("pa_harness").strip(".")
            rooms |= {tail} if tail else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pa_harness.")}
    return {room for room in rooms if not room.startswith("__")}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_imports_go_down_the_stairs(module: Path) -> None:
    assert imported(module) <= MAY_IMPORT[module.stem]


def test_the_stairs_have_no_circle() -> None:
    left = {room: set(below) for room, below in MAY_IMPORT.items()}
    while left:
        ground = {room for room, below in left.items() if not below & left.keys()}
        assert ground, f"a circle among {sorted(left)}"
        left = {room: below for room, below in left.items() if room not in ground}


def test_nobody_imports_the_model() -> None:
    """lm-eval's registry asks for it by name, whoever calls."""
    assert not any({"model", "vllm_model"} & below for below in MAY_IMPORT.values())


@pytest.mark.parametrize(
    "room",
    [
        *("aggregation", "bbh", "f1", "task_check", "task_template"),
        *("cli", "registration", "tasks", "errors", "scores", "samples", "value_table", "folder"),
        *("settings", "sweep", "statistics", "choice", "tables", "publication", "judging"),
        *("leaderboard", "result_files", "side_by_side", "sharing", "cli_compare"),
        *("schedule", "tensor_names", "model_card", "evaluated"),
        *("cluster", "extras", "processes", "ray_executor", "unit_worker"),
    ],
)
def test_starts_without_torch(room: str) -> None:
    code = f"import sys, pa_harness.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("file", EVERYTHING, ids=lambda f: f.stem)
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
