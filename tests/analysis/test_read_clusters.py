"""Clusters of documents.parquet come into every interval of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import t

from pa_harness.analysis.reading import read_trajectory
from pa_harness.cli.main import main
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.scores import Score

if TYPE_CHECKING:
    from pathlib import Path

PASSAGES, QUESTIONS = 40, 5
COUNT = PASSAGES * QUESTIONS


def values(seed: int) -> np.ndarray:
    """Scores at λ = 0 and 1, [λ, documents]; a passage moves all of its questions."""
    random = np.random.default_rng(seed)
    shared = np.repeat(random.normal(0, 1, PASSAGES), QUESTIONS)
    return np.stack([random.normal(0, 1, COUNT) + shared, random.normal(0, 1, COUNT)])


def write_run(folder: Path, found: dict[str, np.ndarray], *, named: bool) -> Path:
    """A finished sweep of few-shot tasks about the same passages."""
    names = [f"passage {n // QUESTIONS}" for n in range(COUNT)] if named else []
    units, scores = [], []
    for name, of_task in found.items():
        for lam, row in zip((0.0, 1.0), of_task, strict=True):
            units.append(
                (lam, name, DocumentValues([*range(COUNT)], {"f1,none": list(row)}, names))
            )
            about = {"lam": lam, "main": True, "category": "own", "counts_as": name}
            score = Score(name, "f1", "none", float(row.mean()))
            scores.append(Score(**{**vars(score), **about}))
    folder.mkdir()
    write_documents(units, folder / "documents.parquet")
    RunFolder(folder).write_scores(scores)
    return folder


def half(run: Path) -> float:
    """Of the 95% interval of ICL(0) − ICL(1), pointwise."""
    assert main(["summary", str(run)]) == 0
    (icl,) = [
        curve
        for curve in json.loads((run / "summary.json").read_text())["curves"]
        if curve["name"] == "ICL"
    ]
    return float(icl["to_instruct"]["high"][0] - icl["to_instruct"]["low"][0]) / 2


@pytest.mark.parametrize("tasks", [1, 2])
def test_an_interval_is_of_the_passages(tasks: int, tmp_path: Path) -> None:
    """Of one task, and of the mean of two that ask about the same passages."""
    found = {f"task{n}": values(n) for n in range(tasks)}
    apart = np.mean([each[0] - each[1] for each in found.values()], axis=0)
    sums = (apart - apart.mean()).reshape(PASSAGES, QUESTIONS).sum(axis=1)
    error = np.sqrt(PASSAGES / (PASSAGES - 1) * (sums**2).sum()) / COUNT
    expected = t.ppf(0.975, PASSAGES - 1) * error
    run = write_run(tmp_path / "run", found, named=True)
    assert half(run) == pytest.approx(expected, rel=0.03)
    alone = write_run(tmp_path / "alone", found, named=False)
    assert half(alone) < 0.8 * expected


def test_a_name_is_one_cluster_in_every_task(tmp_path: Path) -> None:
    found = {"a": values(0), "b": values(1)}
    first, second = read_trajectory(write_run(tmp_path / "run", found, named=True)).tasks
    assert first.clusters is not None
    assert second.clusters is not None
    assert first.clusters.tolist() == second.clusters.tolist()
    assert len(set(first.clusters.tolist())) == PASSAGES
