"""Against AlpacaEval's published annotations and leaderboard, and its own length control.

They are CC-BY-NC and not in the repository: PA_HARNESS_HUB=FOLDER names a mirror. df_gamed.csv is
not in that mirror, so length control is compared with upstream's code on a made-up one.
"""

from __future__ import annotations

import csv
import json
import os
import random
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_judge import FakeJudge
from judge_data import write_gamed
from suite_data import REAL

from pa_harness.cli.main import main
from pa_harness.judging.alpaca import AlpacaEval
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import JudgeFolder

if TYPE_CHECKING:
    from pa_harness.runs.judgements import Judgement

DATA = Path(os.environ.get(REAL, "absent")) / "tatsu-lab" / "alpaca_eval"
pytestmark = pytest.mark.skipif(
    not (DATA / "results").is_dir(),
    reason=f"needs a mirror of tatsu-lab/alpaca_eval with its results: {REAL}=FOLDER",
)
PUBLISHED = [
    ("gemma-2b-it", "weighted_alpaca_eval_gpt4_turbo", "data_AlpacaEval_2"),
    ("Mistral-7B-Instruct-v0.2", "alpaca_eval_cot_gpt4_turbo_fn", "data_AlpacaEval_2"),
    ("llama-2-7b-chat-hf", "alpaca_eval_gpt4", "data_AlpacaEval"),
]
GEMMA = DATA / "results" / "gemma-2b-it" / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json"


@pytest.fixture(scope="module")
def gamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wins = [row["preference"] - 1 for row in json.loads(GEMMA.read_text())]
    return write_gamed(tmp_path_factory.mktemp("gamed") / "made_up.csv", wins)


def judged(
    rows: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> Judgement:
    """The row of all instructions of a file of annotations, by the command."""
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(rows))
    monkeypatch.chdir(DATA.parents[1])
    assert main(["judge", str(folder / "annotations.json"), *more]) in (0, 3)
    (found,) = RunFolder(folder).judgements()
    return found.judgements()[0]


def upstream(rows: list[dict[str, Any]], gamed: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """alpaca-eval's own length-controlled win rate, as it is called by its users."""
    AlpacaEval()
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(gamed))
    frame = pd.DataFrame(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of what 1.10 takes away
        found = glm_winrate.get_length_controlled_winrate(frame, save_weights_dir=None)
    return float(found["length_controlled_winrate"])


@pytest.mark.parametrize(("model", "annotator", "board"), PUBLISHED)
def test_win_rate_and_error_are_the_leaderboards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, annotator: str, board: str
) -> None:
    rows = json.loads((DATA / "results" / model / annotator / "annotations.json").read_text())
    with (DATA / "leaderboards" / board / f"{annotator}_leaderboard.csv").open() as file:
        (published,) = [line for line in csv.DictReader(file) if line[""] == model]
    row = judged(rows, tmp_path, monkeypatch)
    assert row.win_rate == pytest.approx(float(published["win_rate"]), abs=1e-6)
    assert row.standard_error == pytest.approx(float(published["standard_error"]), abs=1e-6)
    if board == "data_AlpacaEval_2":
        discrete = float(published["discrete_win_rate"])
        assert row.discrete_win_rate == pytest.approx(discrete, abs=1e-6)
    assert row.n_parsed == float(published["n_total"])
    assert round(row.average_characters) == pytest.approx(float(published["avg_length"]), abs=1)


def test_length_control_is_upstreams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    rows = json.loads(GEMMA.read_text())
    row = judged(rows, tmp_path, monkeypatch, "--df_gamed", str(gamed))
    assert row.length_controlled_winrate == pytest.approx(
        upstream(rows, gamed, monkeypatch), abs=0.05
    )
    assert row.lc_standard_error > 0
    assert "length control by another df_gamed.csv" in row.comparable


def test_a_shuffled_file_has_the_same_length_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    """Upstream looks difficulties up by row, so that its answer depends on the order of rows."""
    rows = json.loads(GEMMA.read_text())
    shuffled = random.Random(0).sample(rows, len(rows))
    right = judged(rows, tmp_path / "in order", monkeypatch, "--df_gamed", str(gamed))
    ours = judged(shuffled, tmp_path / "shuffled", monkeypatch, "--df_gamed", str(gamed))
    assert ours.length_controlled_winrate == right.length_controlled_winrate
    theirs = upstream(shuffled, gamed, monkeypatch)
    assert abs(theirs - right.length_controlled_winrate) > 0.05


def test_a_partial_file_has_no_length_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    """A random quarter, and a lost verdict: upstream gives numbers with the wrong difficulties."""
    rows = json.loads(GEMMA.read_text())
    part = random.Random(0).sample(rows, 200)
    row = judged(part, tmp_path / "part", monkeypatch, "--df_gamed", str(gamed))
    assert row.length_controlled_winrate != row.length_controlled_winrate  # NaN
    assert row.lc_absent == "it needs all 805 verdicts; there are 200"
    assert upstream(part, gamed, monkeypatch) > 0
    expected = [each["preference"] - 1 for each in part]
    assert row.win_rate == pytest.approx(100 * sum(expected) / 200)
    rows[100]["preference"] = None
    row = judged(rows, tmp_path / "lost", monkeypatch, "--df_gamed", str(gamed))
    assert (row.n, row.n_parsed) == (805, 804)
    assert row.lc_absent == "it needs all 805 verdicts; there are 804"


def test_without_the_gamed_file_only_length_control_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    row = judged(json.loads(GEMMA.read_text()), tmp_path, monkeypatch)
    assert row.win_rate == pytest.approx(3.4019714381366457, abs=1e-6)
    assert "df_gamed.csv of tatsu-lab/alpaca_eval is not there" in row.lc_absent


def test_other_outputs_of_the_reference_are_not_the_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    rows = json.loads(GEMMA.read_text())
    rows[7]["output_1"] += " And one more thing."
    row = judged(rows, tmp_path, monkeypatch, "--df_gamed", str(gamed))
    assert "instructions or outputs of gpt4_1106_preview are not the published" in row.lc_absent
    assert "the reference is not known to be gpt4_1106_preview as published" in row.comparable


def test_without_a_spread_of_lengths_there_is_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    rows = json.loads(GEMMA.read_text())
    rows = [{**row, "output_2": f"{row['output_1']}!"} for row in rows]
    row = judged(rows, tmp_path, monkeypatch, "--df_gamed", str(gamed))
    assert row.lc_absent == "all answers differ in length by the same"
    assert row.n_parsed == 805


@pytest.mark.slow
def test_real_outputs_through_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gamed: Path
) -> None:
    """Published outputs, judged anew: upstream's annotator on the same answers agrees."""
    monkeypatch.chdir(DATA.parents[1])
    outputs = DATA / "results" / "gemma-2b-it" / "model_outputs.json"
    with FakeJudge() as fake:
        command = ["judge", str(outputs), "--base_url", fake.url, "--judge_model", "fake", "--yes"]
        assert main([*command, "-o", str(tmp_path), "--df_gamed", str(gamed)]) == 0
        assert fake.requests == 805
    (folder,) = tmp_path.glob("*/judgements.parquet")
    row = JudgeFolder(folder.parent).judgements()[0]
    annotations = json.loads(next(folder.parent.glob("annotations_*.json")).read_text())
    theirs = upstream(annotations, gamed, monkeypatch)
    assert row.length_controlled_winrate == pytest.approx(theirs, abs=0.05)
