"""`pa-harness check-task`: a sound task passes; what the YAML gets wrong is found and named."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from own_tasks import (
    APART,
    GENERATION,
    LISTED,
    OWN,
    SHOTS,
    TASK,
    Flaw,
    Row,
    Task,
    assert_flaw,
    changed,
    findings,
    write,
)

from pa_harness.cli.main import main
from pa_harness.tasks.authoring.check import check_tasks

REASONED = "{{['no', 'yes'][label] if question[3] != '-' else 'So it is.'}}"
SOUND: dict[str, tuple[Task, list[Row] | None, list[Row] | None]] = {
    "labels": ({}, None, None),
    "generation": (GENERATION, None, None),
    "shots that reason": (GENERATION | {"doc_to_target": REASONED}, None, None),
    "an answer beside one that is cut": (
        GENERATION | {"doc_to_target": "{{[['no', 'yes'][label], 'x\\n']}}"},
        None,
        None,
    ),
    "own options": (LISTED, OWN, APART),
    "no shots": ({"num_fewshot": 0, "fewshot_split": None}, None, None),
    "shots in the YAML": (
        {"fewshot_split": None, "fewshot_config": {"sampler": "first_n", "samples": SHOTS}},
        None,
        None,
    ),
}


@pytest.mark.parametrize("what", SOUND)
def test_a_sound_task(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(*SOUND[what])
    assert [f for f in findings() if f.level != "note"] == []
    assert main(["check-task", "odd.yaml"]) == 0
    assert "errors: 0, warnings: 0, notes: " in capsys.readouterr().out


FLAWS: dict[str, Flaw] = {
    "random": (
        {"fewshot_config": None},
        None,
        None,
        "warning",
        r"not fixed \(sampler: default\)",
    ),
    "unnamed split": (
        {"fewshot_split": None, "training_split": "shots"},
        None,
        None,
        "warning",
        r"fewshot_split is not set; lm-eval takes shots",
    ),
    "too few": ({"num_fewshot": 4}, None, None, "error", r"num_fewshot is 4, but .* has 3 docum"),
    "no number": ({"num_fewshot": None}, None, None, "warning", r"num_fewshot is not set, so lm"),
    "no metadata": (
        {"metadata": None},
        None,
        None,
        "warning",
        r"lacks version, category, scoring, m",
    ),
    "scoring": (
        {"metadata": TASK["metadata"] | {"scoring": "gen"}},
        None,
        None,
        "error",
        r"metadata says scoring: gen, the task is multiple_choice",
    ),
    "metric": (
        {"metadata": TASK["metadata"] | {"metric": "acc_norm,none"}},
        None,
        None,
        "error",
        r"metadata says metric: 'acc_norm,none', which the task does not have",
    ),
    "baseline": (
        {"metadata": TASK["metadata"] | {"random_baseline": 0.25}},
        None,
        None,
        "error",
        r"random_baseline: 0\.25, guessing among the options gives 0\.5000",
    ),
    "baseline in words": (
        {"metadata": TASK["metadata"] | {"random_baseline": "half"}},
        None,
        None,
        "error",
        r"random_baseline: half, guessing",
    ),
    "no until": (
        GENERATION | {"generation_kwargs": {"max_gen_toks": 8}},
        None,
        None,
        "warning",
        r"generation_kwargs has no until",
    ),
    "sampling": (
        GENERATION | {"generation_kwargs": {"until": "\n", "temperature": 0.7}},
        None,
        None,
        "warning",
        r"generation samples: runs differ",
    ),
    "no maximum": (
        GENERATION | {"generation_kwargs": {"until": ["\n"]}},
        None,
        None,
        "note",
        r"max_gen_toks is not set",
    ),
    "cut": (
        GENERATION | {"generation_kwargs": {"until": ["e"]}},
        None,
        None,
        "error",
        r"answers that hold one of until: \['e'\], .*: 6 \(the first: document 1\)",
    ),
}


@pytest.mark.parametrize("what", FLAWS)
def test_a_flaw(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_flaw(FLAWS[what], capsys)


def test_prompts_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({})
    main(["check-task", "odd.yaml"])
    text = capsys.readouterr().out
    assert text.startswith("odd: 12 documents of test, 2 shots of shots (first_n)\n")
    shots = "  | Question: Is -1 odd?\n  | Answer: yes\n  | \n  | Question: Is -2 odd?\n"
    assert f"prompt 1 of 3\n{shots}  | Answer: no\n  | \n  | Question: Is 0 odd?\n" in text
    second = "prompt 2 of 3\n  | [the same shots]\n  | Question: Is 1 odd?\n  | Answer:\n"
    assert f"{second}     ' no'   -> ' yes'\n" in text


def test_option_lengths_against_brute_force(folder: Path) -> None:
    """Expectation and standard error over every way the golds could have fallen."""
    rng = random.Random(0)
    rows = [
        {
            "question": f"q{n}",
            "options": [chr(97 + i) * rng.randint(1, 3) for i in range(rng.randint(2, 4))],
        }
        for n in range(30)
    ]
    for row in rows:
        row["label"] = rng.randrange(len(row["options"]))
    write(LISTED, rows, APART)
    right, means, variances = 0.0, [], []
    for row in rows:
        lengths = [len(option) for option in row["options"]]
        credit = [(x == max(lengths)) / lengths.count(max(lengths)) for x in lengths]
        right += credit[row["label"]]
        means.append(sum(credit) / len(credit))
        variances.append(sum((x - means[-1]) ** 2 for x in credit) / len(credit))
    chance, error = sum(means) / 30, math.sqrt(sum(variances)) / 30
    expected = f"right in {right / 30:.1%} of 30 documents (chance {chance:.1%} ± {error:.1%})"
    assert any(f"longest option is {expected}" in finding.what for finding in findings())


def test_only_so_many_documents(folder: Path) -> None:
    write({}, changed(9, label=7))
    assert any("only the first 5 documents" in finding.what for finding in findings(limit=5))
    assert not any(finding.level == "error" for finding in findings(limit=5))
    assert any(finding.level == "error" for finding in findings(limit=10))


def test_functions_and_includes(folder: Path) -> None:
    """Options that are prompts (as in WinoGrande), by functions beside the YAML."""
    write({}, OWN, APART)
    Path("own.py").write_text(
        "def gold(doc):\n    return doc['label']\n"
        "def starts(doc):\n    return [f'{o} and' for o in doc['options']]\n"
    )
    Path("_shared").write_text(Path("odd.yaml").read_text())
    Path("odd.yaml").write_text(
        "include: _shared\ndoc_to_text: !function own.gold\ndoc_to_choice: !function own.starts\n"
        "doc_to_target: question\n"
    )
    (report,) = check_tasks("odd.yaml", [])
    (baseline,) = [finding for finding in report.findings if finding.level == "error"]
    assert "guessing among the options gives 0.3333" in baseline.what
    assert report.prompts[1].context.endswith("yy and")
    assert report.prompts[1].continuations == (" q1",)


def test_a_group(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder's group: each of its tasks is checked; here lm-eval's own are not looked at."""
    write({"task": "even"})
    Path("even.yaml").write_text(Path("odd.yaml").read_text())
    write({"num_fewshot": 4})
    Path("both.yaml").write_text("group: both\ntask: [even, odd]\n")
    assert main(["check-task", "both.yaml"]) == 2
    text = capsys.readouterr().out
    assert text.index("even: 12 documents") < text.index("odd: 12 documents")
    assert text.count("errors: 0") == 1
