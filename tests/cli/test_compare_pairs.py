"""`pa-harness compare A B` on folders of lm_eval --log_samples and on sweeps."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sample_logs import answers, documents, samples, write
from scipy.stats import binomtest

from pa_harness.cli.main import main
from pa_harness.interchange import sample_logs as reading

if TYPE_CHECKING:
    from pathlib import Path

A = [1.0] * 40 + [0.0] * 20
B = [1.0] * 30 + [0.0] * 14 + [1.0] * 16


def found(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["compare", *map(str, arguments), "--format", "json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["compare", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_two_folders_are_compared_by_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = found(capsys, answers(tmp_path / "a", A), answers(tmp_path / "b", B))["tasks"]
    change = np.array(B) - np.array(A)
    assert row["task"] == "quiz"
    assert row["metric"] == "acc,none"
    assert (row["a"], row["b"]) == (pytest.approx(np.mean(A)), pytest.approx(np.mean(B)))
    assert row["difference"] == pytest.approx(change.mean())
    assert row["p"] == pytest.approx(binomtest(10, 26, 0.5).pvalue)
    assert (row["lost"], row["won"], row["n"], row["clusters"]) == (10, 16, 60, 60)
    assert row["error"] == pytest.approx(change.std(ddof=1) / np.sqrt(60))
    assert row["low"] == pytest.approx(change.mean() - 2.000995 * row["error"], abs=1e-5)
    assert row["high"] == pytest.approx(change.mean() + 2.000995 * row["error"], abs=1e-5)


def test_equal_ones_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = answers(tmp_path / "a", A)
    (row,) = found(capsys, folder, folder)["tasks"]
    assert (row["difference"], row["p"], row["lost"], row["won"]) == (0, 1, 0, 0)
    assert row["verdict"] == "same"
    assert row["low"] <= 0 <= row["high"]


def test_what_old_and_new_versions_wrote_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before 0.4.8 a line says neither its filter nor its metrics."""
    docs = documents(30, filter="a key of the documents", metrics=[1])
    random = np.random.default_rng(0)
    values = {("match", "strict"): random.integers(0, 2, 30).tolist()}
    values["match", "loose"] = random.integers(0, 2, 30).tolist()
    new = write(tmp_path / "new", {"gsm": samples(docs, values)})
    old = write(tmp_path / "old", {"gsm": samples(docs, values, old=True)})
    for key in ("match,strict", "match,loose"):
        (row,) = found(capsys, new, old, "--metrics", f"gsm={key}")["tasks"]
        assert (row["metric"], row["difference"], row["n"]) == (key, 0, 30)
        name = key.split(",")[1]
        assert row["a"] == pytest.approx(np.mean(values["match", name]))


def test_lines_in_another_order_are_read_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = answers(tmp_path / "a", A, passage=4)
    shutil.copytree(a, tmp_path / "b")
    for log in (tmp_path / "b").rglob("samples_*.jsonl"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        log.write_text("".join(f"{json.dumps(each, sort_keys=True)}\n" for each in lines))
    for pair in ((a, tmp_path / "b"), (tmp_path / "b", a)):
        (row,) = found(capsys, *pair)["tasks"]
        assert (row["n"], row["clusters"], row["lost"]) == (60, 15, 0)


@pytest.mark.parametrize("named", [False, True])
def test_documents_on_one_text_are_one_cluster(
    named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a long line in common, or by the column that the task names."""
    metadata = {"cluster": "group"} if named else {}
    docs = documents(60, 0 if named else 5)
    docs = [{**each, "group": str(n // 5)} for n, each in enumerate(docs)] if named else docs
    folders = []
    for name, values in (("a", A), ("b", B)):
        of = {"quiz": samples(docs, {("acc", "none"): values})}
        folders.append(write(tmp_path / name, of, metadata=metadata))
    (row,) = found(capsys, *folders)["tasks"]
    assert row["clusters"] == 12
    sums = (np.array(B) - np.array(A)).reshape(12, 5).sum(axis=1)
    mean = sums.mean()
    error = np.sqrt(((sums - mean) ** 2).sum() / 11 / 12) / 5
    assert row["error"] == pytest.approx(error)


def test_what_does_not_pair_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = found(capsys, answers(tmp_path / "a", A), answers(tmp_path / "b", B[:50]))
    (row,) = content["tasks"]
    assert row["n"] == 50
    assert content["notes"] == [
        f"quiz: 10 of 60 documents only in {tmp_path / 'a'} (number 50, 51, 52, 53, 54, …): left "
        "out."
    ]


def test_what_was_asked_otherwise_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = answers(tmp_path / "a", A)
    docs = documents(60)
    asked = {"quiz": samples(docs, {("acc", "none"): B}, prompt="Think. {question}")}
    others = {
        "60 of 60 prompts differ": write(tmp_path / "p", asked),
        "0 shots, not 5": write(
            tmp_path / "s", {"quiz": samples(docs, {("acc", "none"): B})}, shots=5
        ),
        "version 1.0, not 2.0": answers(tmp_path / "v", B, version=2.0),
    }
    for message, folder in others.items():
        error = refused(capsys, a, folder)
        assert message in error
        assert "--unpaired" in error
        content = found(capsys, a, folder, "--unpaired")
        (row,) = content["tasks"]
        assert (row["lost"], row["won"], row["n"]) == (None, None, 120)
        one, two = (np.var(each, ddof=1) / 60 for each in (A, B))
        assert row["error"] == pytest.approx(np.sqrt(one + two))
        assert message in content["notes"][0]


def test_more_than_two_stand_against_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [answers(tmp_path / name, values) for name, values in (("a", A), ("b", B), ("c", A))]
    content = found(capsys, *folders)
    assert [row["other"] for row in content["tasks"]] == [str(each) for each in folders[1:]]
    assert content["tasks"][1]["difference"] == 0
    assert content["tasks"][0]["corrected_p"] == pytest.approx(min(1, 2 * content["tasks"][0]["p"]))


def test_every_format_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(answers(tmp_path / name, v)) for name, v in (("a", A), ("b", B))]
    texts = {}
    for form in ("text", "markdown", "csv", "html"):
        assert main(["compare", *folders, "--format", form]) == 0
        texts[form] = capsys.readouterr().out
    assert "no difference shown, +10.00 points" in texts["text"]
    assert "| quiz" in texts["markdown"]
    (row,) = csv.DictReader(io.StringIO(texts["csv"]))
    assert (row["task"], row["lost"], row["won"]) == ("quiz", "10", "16")
    assert texts["html"].startswith("<!DOCTYPE html>")
    assert "<td>quiz</td>" in texts["html"]


@pytest.mark.parametrize("key", ["acc_norm", "acc_norm,none", "acc", "acc,none"])
def test_a_metric_is_named_short_or_whole(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {("acc", "none"): A, ("acc_norm", "none"): B}
    folder = write(tmp_path / "a", {"quiz": samples(documents(len(A)), values)})
    (row,) = found(capsys, folder, folder, "--metrics", f"quiz={key}")["tasks"]
    assert row["metric"] == f"{key.partition(',')[0]},none"
    assert row["a"] == pytest.approx(np.mean(A if "norm" not in key else B))


@pytest.mark.parametrize("noise", [1e-17, 1e-12, 3e-8])
def test_numerical_noise_is_no_change(
    noise: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graded = [each / 3 for each in A]
    folders = [
        answers(tmp_path / name, [each + plus for each in graded])
        for name, plus in (("a", 0), ("b", noise))
    ]
    (row,) = found(capsys, *folders)["tasks"]
    assert (row["verdict"], row["lost"], row["won"], row["p"]) == ("same", 0, 0, 1)


def test_changed_documents_are_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the other evaluation has them under other numbers, and lines in another order."""
    file, docs = tmp_path / "changed.csv", documents(60)
    a = write(tmp_path / "a", {"quiz": samples(docs, {("acc", "none"): A})})
    turned = samples(docs[::-1], {("acc", "none"): B[::-1]})
    for sample in turned:
        sample["resps"] = sample["resps"][::-1]
    b = write(tmp_path / "b", {"quiz": turned})
    (log,) = b.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(f"{json.dumps(each, sort_keys=True)}\n" for each in lines))
    found(capsys, a, b, "--documents", file)
    rows = list(csv.DictReader(file.open()))
    assert [row["change"] for row in rows].count("lost") == 10
    assert {int(row["document"]) for row in rows if row["change"] == "won"} == set(range(44, 60))
    for row in rows:
        document = docs[int(row["document"])]
        assert json.loads(row["doc"]) == document
        text = json.dumps(document, indent=2, ensure_ascii=False)
        assert row["doc_hash"] == hashlib.sha256(text.encode()).hexdigest()
        assert (row["target"], row["answer_a"], row["answer_b"]) == (" yes", " yes", " no")
        assert float(row["b"]) - float(row["a"]) == (1 if row["change"] == "won" else -1)


def test_a_sweep_is_taken_at_one_of_its_lams(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = found(capsys, f"{whole}@0", f"{whole}@0.5")["tasks"]
    values = {
        file.parent.name: json.loads(file.read_text())["results"]
        for file in whole.glob("lam=*/results_*.json")
    }
    assert {row["task"] for row in rows} == {"toy_colour", "toy_kind", "toy_answer"}
    for row in rows:
        for side, lam in (("a", "lam=0"), ("b", "lam=0.5")):
            assert row[side] == pytest.approx(values[lam][row["task"]][row["metric"]])
    assert main(["compare", str(whole), f"{whole}@1"]) == 0
    output = capsys.readouterr().out
    assert "taken at λ = 1" in output
    assert "the same on all 12 documents" in output


def test_mistakes_are_one_message(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = answers(tmp_path / "a", A)
    other = write(tmp_path / "o", {"riddle": samples(documents(9), {("acc", "none"): [1] * 9})})
    answers(tmp_path / "two", A, model="one")
    answers(tmp_path / "two", B, model="other")
    bare = answers(tmp_path / "bare", A)
    for log in bare.rglob("samples_*"):
        log.unlink()
    broken = answers(tmp_path / "broken", A)
    for log in broken.rglob("samples_*"):
        log.write_text(log.read_text()[:-40])
    for arguments, message in (
        ((a, other), "share no task that can be compared"),
        ((a, tmp_path / "none"), "There is no "),
        ((a, f"{whole}@0.7"), "has no results at λ = 0.7. It has λ = 0, 0.5, 1."),
        ((a, f"{a}@0.5"), "no λ: it is no sweep"),
        ((a, f"{whole}@half"), "expected a run and one of its λ"),
        ((a, tmp_path / "two"), "holds results of several models"),
        ((a, bare), "it has no sample log"),
        ((a, broken), "is damaged in line 60"),
        ((a, a, "--metrics", "quiz=f1,none"), "--metrics quiz=f1,none: "),
        ((a, a, "--metrics", "quiz=f1"), "has no such metric of quiz. It has:\n  acc,none"),
        ((a, a, "--metrics", "quip=acc"), "--metrics quip=acc: no such task. Did you mean quiz"),
        ((a, "--unpaired"), "--unpaired is for several evaluations"),
        ((whole, "--format", "html"), "--format html is for several evaluations"),
    ):
        error = refused(capsys, *arguments)
        assert message in error
        assert "Traceback" not in error


def test_large_logs_are_read_by_other_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [answers(tmp_path / name, v, passage=3) for name, v in (("a", A), ("b", B))]
    one = found(capsys, *folders)
    monkeypatch.setattr(reading, "_LARGE", 1)
    assert found(capsys, *folders) == one
