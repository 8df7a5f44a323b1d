"""A place with everything a sweep reads, to be changed: a pair, tasks with code, data."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from families import make_pair
from safetensors.torch import load_file, save_file
from toy import run

from pa_harness.errors import PAHarnessError
from pa_harness.registration import install
from pa_harness.runs.settings import SweepSettings, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

install()

CODE = """\
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from marks import mark


def score(doc, results):
    return {"acc": mark(results[0])}
"""
MARKS = """\
def mark(text):
    return float(len(text) % 2)
"""
OPTIONS = {
    "task": "options",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}} Answer:",
    "doc_to_choice": [" blue", " film"],
    "doc_to_target": "label",
    "num_fewshot": 1,
    "fewshot_split": "shots",
    "fewshot_config": {"sampler": "first_n"},
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
TEXTS = {
    "task": "texts",
    "output_type": "generate_until",
    "doc_to_text": "{{instruction}}",
    "doc_to_target": "{{output}}",
    "generation_kwargs": {"until": ["?"], "max_gen_toks": 5},
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [{"name": "none", "filter": [{"function": "take_first"}]}],
    "metadata": {"category": "instruction"},
}
ROWS = [
    {"question": f"which? {n}", "label": n % 2, "instruction": f"Say {n}", "output": f"{n}"}
    for n in range(8)
]


def make_site(folder: Path) -> SweepSettings:
    """Write the place; settings of a sweep of its tasks at λ = 0 and 1."""
    make_pair("llama", folder)
    for name, rows in (("test", ROWS), ("shots", ROWS[:2])):
        write_rows(folder / f"{name}.jsonl", rows)
    (folder / "score.py").write_text(CODE)
    (folder / "marks.py").write_text(MARKS)
    data = {"test": str(folder / "test.jsonl"), "shots": str(folder / "shots.jsonl")}
    common = {"dataset_path": "json", "dataset_kwargs": {"data_files": data}, "test_split": "test"}
    for task in (OPTIONS, TEXTS):
        text = yaml.safe_dump({**common, **task, "metadata": {"version": 1.0, **meta(task)}})
        if task is TEXTS:
            text += "process_results: !function score.score\n"
        (folder / f"{task['task']}.yaml").write_text(text)
    sides = {"pretrained": str(folder / "base"), "instruct": str(folder / "instruct")}
    return resolve(
        {
            "model_args": {**sides, "dtype": "float32"},
            "lam": "0,1",
            "tasks": ["options", "texts"],
            "include_path": [str(folder)],
            "device": "cpu",
        }
    )


def meta(task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = task.get("metadata", {})
    return found


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


Change = tuple["Callable[[Path], object]", str]  # of the place; what the message names


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    """A text file's text in part."""

    def change(site: Path) -> None:
        text = (site / name).read_text()
        assert old in text, (name, text[:300])
        (site / name).write_text(text.replace(old, new))

    return change


def edited(names: str, act: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """JSON files."""

    def change(site: Path) -> None:
        for file in site.glob(names):
            content = json.loads(file.read_text())
            act(content)
            file.write_text(json.dumps(content))

    return change


def tensor(side: str, act: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], object]:
    """One tensor of a side, in place."""

    def change(site: Path) -> None:
        file = site / side / "model.safetensors"
        tensors = load_file(file)
        name = "model.layers.0.self_attn.q_proj.weight"
        tensors[name] = act(tensors[name]).contiguous()
        save_file(tensors, file.with_suffix(".new"), {"format": "pt"})
        file.with_suffix(".new").replace(file)

    return change


def rows_changed(act: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], object]:
    """The documents."""

    def change(site: Path) -> None:
        rows = [dict(row) for row in ROWS]
        act(rows)
        write_rows(site / "test.jsonl", rows)

    return change


def restore(kept: Path, site: Path) -> None:
    """Make the place what it was."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(kept, site)


@dataclass(frozen=True)
class Place:
    """What a sweep reads, that as it was, the sweep, its finished run."""

    site: Path
    kept: Path
    settings: SweepSettings
    run: Path


def finish(folder: Path) -> Place:
    """A place and a finished run of its sweep."""
    settings = make_site(folder / "site")
    shutil.copytree(folder / "site", folder / "kept")
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    run(settings, folder / "run")
    return Place(folder / "site", folder / "kept", settings, folder / "run")


def stop(folder: Path) -> None:
    """Make of a finished run one that was stopped before its last unit."""
    for name in ("files.json", "scores.parquet", "documents.parquet", "units/lam=1/texts.json"):
        (folder / name).unlink()


def said(act: Callable[[], object]) -> str:
    """What a verb refuses with; what it tells, where it does not."""
    try:
        return str(act())
    except PAHarnessError as error:
        return f"refused: {error}"


def readers(folder: Path, out: Path, judge: str = "http://127.0.0.1:9/v1") -> dict[str, list[str]]:
    """Commands of every verb that reads a run.

    Args:
        folder: the run.
        out: where they write what does not belong in there.
        judge: the server's address.
    """
    run_ = str(folder)
    theirs = [
        {"instruction": row["instruction"], "output": "z", "generator": "it", "dataset": "d"}
        for row in ROWS
    ]
    (out / "reference.json").write_text(json.dumps(theirs))
    asked = ["--reference", str(out / "reference.json"), "--base_url", judge, "--yes"]
    asked += ["--judge_model", "f", "--price", "0", "-o", str(out / "judged")]
    return {
        "summary": ["summary", run_],
        "choose": ["choose", run_],
        "plot": ["plot", run_, "-o", str(out / "figures")],
        "report": ["report", run_],
        "compare with a table": ["compare", run_, "--to", "open_llm_v1"],
        "compare two": ["compare", f"{run_}@0", f"{run_}@1"],
        "export-results": [
            *("export-results", run_, "--format", "every_eval_ever"),
            *("-o", str(out / "records")),
        ],
        "judge": ["judge", run_, "--task", "texts", *asked],
        "export": ["export", run_, "--lam", "1", "-o", str(out / "model")],
    }
