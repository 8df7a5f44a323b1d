"""`pa-harness compare` as users type it, on sweeps and on files of other model types."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from as_published import results_of, run_of

from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import sections
from pa_harness.report.publish import publish
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import JudgeFolder, Judgement

V1 = BOARDS[0]
GEMMA = "google/gemma-2b"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """λ = 0 is gemma-2b's own numbers but for WinoGrande; λ = ½ and 1 have them all."""
    for lam in (0, 0.5, 1):
        args = {"pretrained": "/data/gemma-2b", "instruct": "google/gemma-2b-it", "lam": lam}
        run = run_of(V1, GEMMA, "bfloat16")
        content = results_of(V1, run, model_args=args)
        if lam == 0:
            numbers = content["results"]["winogrande"]
            numbers |= {"acc,none": 0.6, "acc_stderr,none": 0.0125}
        (tmp_path / f"results_{lam}.json").write_text(json.dumps(content))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def test_a_terminal_gets_tables_and_sentences(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, str(files), "--to", "open_llm_v1")
    assert text.startswith("=== Open LLM Leaderboard v1 ===\n")
    assert "λ = 0 beside google/gemma-2b, 6 comparable tasks: agrees as printed: 5; Wino" in text
    published = next(r.value for r in run_of(V1, GEMMA, "bfloat16") if r.task == "winogrande")
    assert (
        f"differs by {0.6 - published:+.4f} (z = {(0.6 - published) / 0.0125 / 2**0.5:+.1f})"
        in text
    )
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ARC")]
    assert [row[1].strip() for row in rows] == ["λ = 0", "λ = 1", "λ = 0.5"]
    assert rows[0][-1] == "comparable |"
    assert "computed, not submitted" in text
    assert "2–3.5 B" in text


def test_markdown_csv_and_json_say_the_same(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ("--to", "open_llm_v1", "--format")
    markdown = printed(capsys, str(files), *to, "markdown")
    assert markdown.startswith("## Open LLM Leaderboard v1\n")
    assert "\n### Where it would stand" in markdown
    table = list(csv.DictReader(io.StringIO(printed(capsys, str(files), *to, "csv"))))
    (section,) = json.loads(printed(capsys, str(files), *to, "json"))
    assert len(table) == len(section["rows"]) == 18
    for cells, row in zip(table, section["rows"], strict=True):
        assert float(cells["value"]) == row["value"]
        assert cells["verdict"] == row["verdict"]
        assert cells["verdict"] in markdown
        assert (row["z"] is None) == (cells["z"] == "")
    assert section["standings"][0]["note"] == "computed, not submitted"


def test_a_file_is_written_where_one_is_named(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = files / "compared.md"
    text = printed(capsys, str(files), "--format", "markdown", "--output", str(target))
    assert text.strip() == str(target)
    assert target.read_text() == printed(capsys, str(files), "--format", "markdown")


def test_the_user_says_which_published_model_ours_is(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("--base", "Qwen/Qwen1.5-4B", "--instruct", "google/gemma-7b-it")
    text = printed(capsys, str(files), "--to", "open_llm_v1", *names)
    assert "Published: Qwen/Qwen1.5-4B, google/gemma-7b-it." in text


def test_errors_are_one_message_and_exit_code_2(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "results_0.json").write_text('{"results": {"a')
    for arguments, message in (
        ([str(files)], "results_0.json is not whole JSON"),
        ([str(files / "none")], "There is no file"),
        ([str(files / "results_1.json"), "--to", "open_llm_v11"], "Did you mean open_llm_v1?"),
        (
            [str(files / "results_1.json"), "--instruct", "google/gema-2b-it"],
            "google/gema-2b-it: nothing is published under this name. Near it: google/gemma-2b-it,",
        ),
        (
            [str(files / "results_1.json"), "--model", GEMMA],
            f"--model {GEMMA} names one model that is no pair. The results are of: λ = 1. --base",
        ),
        (
            [str(files / "results_1.json"), "--output", str(files)],
            f"{files} cannot be written: Is a directory. Name another place.",
        ),
    ):
        assert main(["compare", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("\nRunError: ")
        assert message in error
        assert "Traceback" not in error


def test_a_reader_may_leave_early(files: Path) -> None:
    command = [sys.executable, "-m", "pa_harness", "compare", str(files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (0, b"")


def test_results_of_no_leaderboard_say_what_would_do(whole: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)toy_colour.*open_llm_v1: ARC, .*pa_open_llm_v1"):
        sections(read_results([whole]))


def as_winogrande(run: Path) -> None:
    """Rename a task of a finished run in lm-eval's results files."""
    for file in run.glob("lam=*/results_*.json"):
        content: dict[str, Any] = json.loads(file.read_text())
        for section in ("results", "configs", "versions", "n-shot", "n-samples"):
            content[section]["winogrande"] = content[section].pop("toy_kind")
        file.write_text(json.dumps(content))


def publish_edited(run: Path) -> None:
    """Publish a run whose results were made to look like others': its list of files is, too."""
    folder = RunFolder(run)
    folder.finish(folder.manifest.logs())
    publish(run)


def test_a_sweeps_page_has_the_comparison(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    publish_edited(run)
    assert "Beside published numbers" not in (run / "report.html").read_text()
    assert not (run / "comparison.json").exists()
    as_winogrande(run)
    publish_edited(run)
    page = (run / "report.html").read_text()
    assert "Beside published numbers" in page
    assert "no published number of" in page
    assert "documents: 12, not 1267" not in page, "no table where nothing was published"
    for file in run.glob("lam=*/results_*.json"):
        content = json.loads(file.read_text())
        content["config"]["base"] = {"name": GEMMA}
        file.write_text(json.dumps(content))
    publish_edited(run)
    assert "documents: 12, not 1267" in (run / "report.html").read_text()
    (section,) = json.loads((run / "comparison.json").read_text())
    assert [row["lam"] for row in section["rows"]] == [0.0, 1.0, 0.5]
    assert section["rows"][0]["reasons"] == [
        *("shots: 2, not 5", "documents: 12, not 1267", "precision: float32, not float16"),
    ]


def as_published(run: Path) -> None:
    """The renamed task with all that the leaderboard's has; at λ = 1 it and another are there."""
    as_winogrande(run)
    for file in run.glob("lam=*/results_*.json"):
        content: dict[str, Any] = json.loads(file.read_text())
        content["n-shot"]["winogrande"] = 5
        content["n-samples"]["winogrande"] = {"original": 1267, "effective": 1267}
        content["results"]["winogrande"].pop("sample_len", None)
        content["config"] |= {"limit": None, "model_dtype": "torch.bfloat16"}
        content["config"]["model_num_parameters"] = 2_500_000_000
        content["config"]["base"] = {"name": GEMMA}
        content["config"]["instruct"] = {"name": f"{GEMMA}-it"}
        if "lam=1" in str(file):
            for section in ("results", "configs", "versions", "n-shot", "n-samples"):
                content[section]["hellaswag"] = content[section]["winogrande"]
            content["n-shot"]["hellaswag"] = 10
            content["n-samples"]["hellaswag"] = {"original": 10042, "effective": 10042}
            content["results"]["hellaswag"] = {"acc_norm,none": 0.7}
        file.write_text(json.dumps(content))


def test_a_sweeps_page_has_the_ranks(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    as_published(run)
    publish_edited(run)
    page = (run / "report.html").read_text()
    (section,) = json.loads((run / "comparison.json").read_text())
    rows = {(each["contender"], each["what"]): each for each in section["standings"]}
    cells = {
        key: f"{row['rank']} ({row['best']} to {row['worst']}) beside 3"
        for key, row in rows.items()
    }
    for lam in ("λ = 0", "λ = 0.5"):
        both = f"<td>2–3.5 B</td><td>{cells[lam, 'WinoGrande']}</td><td>–</td>"
        assert f"<tr><td>{lam}</td>{both}</tr>" in page
    row = rows["λ = 1", "HellaSwag"]
    assert row["rank"] == 3  # published: 0.7177, 0.7165, 0.6270
    assert f"<td>{cells['λ = 1', 'HellaSwag'] if row['best'] else '3 beside 3'}</td></tr>" in page


def judged(run: Path, *lams: float) -> JudgeFolder:
    """As `pa-harness judge` writes it."""
    verdict = "not comparable: the judge is not weighted; decoded greedily"
    rows = [
        Judgement(
            *(lam, "somebody", subset, 805, 805, 805, 22.569903, 1.2, 22.0, 22.918785, 0.8, ""),
            *(1500.0, 400.0, 1700.0, verdict if lam else "comparable"),
        )
        for lam in lams
        for subset in ("all", "vicuna")
    ]
    judge = JudgeFolder(run / "judgements" / "somebody")
    judge.write({}, rows, [], "alpaca_eval")
    return judge


def test_judgements_of_a_run_are_compared_too(files: Path) -> None:
    judged(files, 0.0, 1.0)
    found = sections(read_results([files]), ["alpaca_eval_2"])
    rows = {(row.lam, row.task): row for row in found[0].rows}
    assert len(rows) == 4
    assert rows[0.0, "win rate"].value == pytest.approx(0.22569903)
    assert rows[0.0, "win rate"].reasons == ()
    assert rows[1.0, "win rate"].reasons == ("decoded greedily", "the judge is not weighted")
    assert rows[1.0, "win rate"].published == pytest.approx(0.0340, abs=1e-3)


def test_a_table_of_judgements_that_is_not_the_runs_is_named(files: Path) -> None:
    file = judged(files, 0.0, 0.3).table_file
    message = r"judgements\.parquet judges λ = 0\.3, of which .* has no results of a pair\. Judge"
    with pytest.raises(RunError, match=message):
        read_results([files])
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunError, match=r"judgements\.parquet is not a table of judgements"):
        read_results([files])
