"""Made-up runs to judge: instructions, outputs of known lengths, folders as a sweep leaves them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.cli.main import main
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.samples import DocumentValues

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fake_judge import FakeJudge

TASK = "pa_alpaca_eval"
SETS = ("helpful_base", "koala", "oasst", "selfinstruct", "vicuna")
DATE = "2026-11-21T08-43-51.615217"


def rows(count: int, seed: str, length: int = 40) -> list[dict[str, Any]]:
    """AlpacaEval's model outputs: made-up words, lengths that vary."""
    draw = random.Random(seed)
    words = ["river", "copper", "lantern", "violin", "harbor", "meadow", "engine", "pepper"]
    return [
        {
            "dataset": SETS[number % len(SETS)],
            "instruction": f"Say something of number {number}.",
            "output": f"{seed} {number} "
            + " ".join(draw.choices(words, k=draw.randint(1, 2 * length))),
            "generator": seed,
        }
        for number in range(count)
    ]


def write_run(
    folder: Path, count: int, lams: Sequence[float], length: int = 40, **generation: Any
) -> Path:
    """A sweep's folder: sample logs and results of each λ, and the table with the tokens."""
    reference = rows(count, "gpt4_1106_preview", length)
    units = []
    for lam in lams:
        answers = rows(count, f"made@{lam:g}", length)
        write_logs(folder / f"lam={lam:g}", lam, reference, answers, generation)
        tokens = [float(len(answer["output"].split())) for answer in answers]
        values = DocumentValues(list(range(count)), {"length,answer": tokens})
        units.append((lam, TASK, values))
    write_documents(units, folder / "documents.parquet")
    return folder


def write_logs(
    folder: Path,
    lam: float,
    reference: list[dict[str, Any]],
    answers: list[dict[str, Any]],
    generation: dict[str, Any],
) -> None:
    """What lm-eval writes for one λ, as far as it is read."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"until": ["<end>"], "max_gen_toks": 2048, "do_sample": False, **generation}
    samples = [
        {
            "doc_id": number,
            "doc": document,
            "target": document["output"],
            "arguments": {"gen_args_0": {"arg_0": "a prompt", "arg_1": settings}},
            "resps": [[answer["output"]]],
            "filtered_resps": [f" {answer['output']}\n"],
            "filter": "none",
        }
        for number, (document, answer) in enumerate(zip(reference, answers, strict=True))
    ]
    lines = "".join(f"{json.dumps(sample)}\n" for sample in samples)
    (folder / f"samples_{TASK}_{DATE}.jsonl").write_text(lines)
    results = {
        "results": {TASK: {"bypass,none": 999}},
        "configs": {TASK: {"metadata": {"version": 1.0}}},
        "config": {"model": "partially_adapted", "lam": lam},
        "model_name": "made",
        "pa_harness": {"tasks": {TASK: {"chat_template": "default"}}},
    }
    (folder / f"results_{DATE}.json").write_text(json.dumps(results))


def write_gamed(path: Path, wins: Sequence[float] | None = None) -> Path:
    """A df_gamed.csv of the published schema with made-up numbers: the published is not ours.

    `wins` of some model (0 … 1) make difficulties that go with its verdicts, as the published do.
    """
    draw = np.random.default_rng(0)
    hard = draw.normal(0, 1.5, 805)
    if wins is not None:
        share = 0.02 + 0.96 * np.array(wins)
        hard = np.log(share / (1 - share)) + draw.normal(0, 1, 805)
    lines = [
        "model,index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline",
    ]
    for model, shift in (("verbose", -1.0), ("concise", 1.0)):
        lengths = draw.normal(shift, 0.5, 805)
        chances = 1 / (1 + np.exp(1.2 * np.tanh(lengths)))
        for number in range(805):
            values = f"{chances[number]:.6f},{lengths[number]:.6f},{hard[number]:.6f}"
            lines.append(f"gpt4_1106_preview_{model},{number},{values},False")
    path.write_text("\n".join(lines) + "\n")
    return path


def ask(run: Path, fake: FakeJudge, *more: str, model: str = "fake") -> int:
    at = ("--base_url", fake.url, "--judge_model", model, "--yes")
    return main(["judge", str(run), *at, *more])


def numbers(run: Path, **wanted: Any) -> Any:
    """The rows of the only judge's table that have these values."""
    (judge,) = RunFolder(run).judgements()
    return [
        row
        for row in judge.judgements()
        if all(getattr(row, name) == value for name, value in wanted.items())
    ]
