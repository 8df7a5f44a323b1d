"""Which of our models stands beside which published one, and by what name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from as_published import results_of, run_of

from pa_harness.errors import RunError
from pa_harness.interchange.lm_eval_files import from_results
from pa_harness.interchange.reported import Reported
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.comparison import Names
from pa_harness.leaderboards.sections import Section, sections

V1 = BOARDS[0]
FILE = Path("results.json")


def beside(content: dict[str, Any], names: Names | None = None) -> Section:
    """The section of the Open LLM Leaderboard v1 for one results file."""
    (section,) = sections(from_results(content, FILE), ["open_llm_v1"], (), names)
    return section


def test_ends_come_first_and_stand_beside_their_models() -> None:
    run = run_of(V1, "google/gemma-2b", "bfloat16")
    numbers = []
    for lam in (0.5, 1, 0):
        args = {"pretrained": "google/gemma-2b", "instruct": "google/gemma-2b-it", "lam": lam}
        numbers += from_results(results_of(V1, run, model_args=args), FILE)
    (section,) = sections(numbers, ["open_llm_v1"])
    shown = [(row.contender, row.model) for row in section.rows if row.task == "ARC"]
    assert shown == [
        ("λ = 0", "google/gemma-2b"),
        ("λ = 1", "google/gemma-2b-it"),
        ("λ = 0.5", "google/gemma-2b-it"),
    ]
    assert section.sentences == (
        "λ = 0 beside google/gemma-2b, 6 comparable tasks: agrees as printed: 6.",
        "λ = 1: no task is comparable with google/gemma-2b-it's.",  # published in float16
    )
    assert {standing.contender for standing in section.standings} == {"λ = 0", "λ = 1", "λ = 0.5"}


def test_beyond_the_ends_nothing_is_reproduced() -> None:
    """λ = 1.5 is no published model: its numbers stand beside the instruct model's, no more."""
    args = {"pretrained": "google/gemma-2b", "instruct": "google/gemma-2b-it", "lam": 1.5}
    section = beside(results_of(V1, run_of(V1, "google/gemma-2b-it"), model_args=args))
    assert section.rows[0].model == "google/gemma-2b-it"
    assert section.sentences == ()


def test_a_model_that_was_never_published_gets_suggestions() -> None:
    content = results_of(V1, run_of(V1, "google/gemma-2b", "bfloat16"))
    content["config"]["model_args"] = {"pretrained": "google/gema-2b"}
    section = beside(content)
    assert {row.verdict for row in section.rows} == {"no published number"}
    assert (
        "no published number of google/gema-2b. Near it: google/gemma-2b," in (section.sentences[0])
    )
    named = beside(content, Names(model="google/gemma-2b"))
    assert [row.difference for row in named.rows] == [0.0] * 6
    with pytest.raises(RunError, match="--base google/gemma-2b names the base of a pair"):
        beside(content, Names(base="google/gemma-2b"))


def test_one_name_does_not_stand_for_two_models() -> None:
    numbers = [Reported(name, "hellaswag", "acc_norm", 0.82) for name in ("a/b", "c/d")]
    with pytest.raises(RunError, match=r"The results are of: a/b, c/d\."):
        sections(numbers, ["open_llm_v1"], (), Names(model="google/gemma-2b"))


def adapted(lam: Any, knob: str = "", **model_args: Any) -> list[Reported]:
    """gemma-2b's numbers as those of a model between it and gemma-2b-it; as the model writes it."""
    parents = {"pretrained": "google/gemma-2b", "instruct": "google/gemma-2b-it"}
    config = {
        "model_args": {**parents, "lam": lam, **model_args},
        "lam": None if isinstance(lam, dict) else lam,
        **({"knob": knob} if knob else {}),
    }
    return from_results(results_of(V1, run_of(V1, "google/gemma-2b", "bfloat16"), **config), FILE)


SCHEDULE = {"base": 0.5, "rules": []}


WAYS: list[tuple[list[Reported], str, str]] = [
    (adapted(0.0), "λ = 0", "base"),
    (adapted(1.0), "λ = 1", "instruct"),
    (adapted(0.0, "mlp"), "knob mlp, λ = 0", ""),
    (adapted(1.0, "mlp"), "knob mlp, λ = 1", ""),
    (adapted(SCHEDULE), "schedule ", ""),
    (adapted(1.0, method="trim", density=0.2), "trim density=0.2, λ = 1", ""),
    (adapted(0.0, method="trim", density=0.2), "λ = 0", "base"),
    (adapted(0.5, method="slerp"), "slerp, λ = 0.5", ""),
    (adapted(1.0, method="slerp"), "λ = 1", "instruct"),
]


@pytest.mark.parametrize(("numbers", "label", "parent"), WAYS, ids=[way[1] for way in WAYS])
def test_only_a_parent_reproduces_a_parent(
    numbers: list[Reported], label: str, parent: str
) -> None:
    """λ of a knob or of a shortened Δ is no end, and a schedule is not the base model."""
    (section,) = sections(numbers, ["open_llm_v1"])
    assert all(row.contender.startswith(label) for row in section.rows)
    assert section.rows[0].model == "google/gemma-2b" + "-it" * (parent != "base")
    assert len(section.sentences) == bool(parent)


def test_two_schedules_are_two_models() -> None:
    numbers = [number for base in (0.5, 0.6) for number in adapted({**SCHEDULE, "base": base})]
    (section,) = sections(numbers, ["open_llm_v1"])
    assert len({row.contender for row in section.rows}) == 2
