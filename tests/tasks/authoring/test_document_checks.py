"""Flaws of documents, options and shots: each is found, at its level, with names and counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_tasks import (
    APART,
    GENERATION,
    LISTED,
    OWN,
    ROWS,
    SHOTS,
    Flaw,
    assert_flaw,
    changed,
)

MORE = [*SHOTS, {"question": "IS  5 odd?", "label": 1}]
FLAWS: dict[str, Flaw] = {
    "leak": (
        {},
        None,
        [ROWS[3], *SHOTS],
        "error",
        r"documents that are among the shots: 1 \(3; shots 0\)",
    ),
    "near leak": (
        {},
        None,
        [{"question": "is  3 ODD?", "label": 1}, *SHOTS],
        "warning",
        r"that are, but for case and spacing, among the shots: 1 \(3; shots 0\)",
    ),
    "leak beyond": ({}, None, MORE, "warning", r"in the few-shot split, though not .*: 1 \(5\)"),
    "same split": ({"fewshot_split": "test"}, None, None, "error", r"shots come from .* \(test\)"),
    "random leak": ({"fewshot_config": None}, None, MORE, "warning", r"among the shots: 1 \(5; sh"),
    "unbalanced": (
        {},
        [{"question": f"Is {n}?", "label": int(n < 3)} for n in range(40)],
        None,
        "warning",
        r"unbalanced \('no' 37, 'yes' 3\): always 'no' would be right in 92\.5% .* in 50\.0%",
    ),
    "label not shown": (
        {},
        None,
        [{**shot, "label": 1} for shot in SHOTS],
        "warning",
        r"no shot has the label 'no'\.$",
    ),
    "too few for all": (
        {"num_fewshot": 1},
        None,
        None,
        "warning",
        r"'no'\. Fewer than 2 shots can",
    ),
    "generated label not shown": (
        GENERATION,
        None,
        [{**shot, "label": 1} for shot in SHOTS],
        "warning",
        r"no shot has the label 'no'\.$",
    ),
    "copies": (
        {},
        [*ROWS, ROWS[2], ROWS[2]],
        None,
        "warning",
        r"repeat an earlier one: 2 \(12, 13",
    ),
    "contradiction": (
        {},
        [*ROWS, {**ROWS[2], "label": 1}],
        None,
        "warning",
        r"ask what an earlier one asks, with another answer: 1 \(12\)",
    ),
    "longest": (
        LISTED,
        [{"question": f"q{n}", "options": [f"xx{n}", "y", "z"], "label": 0} for n in range(40)],
        APART,
        "warning",
        r"always the longest option is right in 100\.0% of 40 documents \(chance 33\.3% ± 7\.5%\)",
    ),
    "blank at the end": (
        {"doc_to_text": "{{question}} "},
        None,
        None,
        "error",
        r"prompts that end in a blank, .*: 12 \(0, 1, 2, 3, 4, 5, 6, 7 and 4 more\)",
    ),
    "two blanks": (
        {"doc_to_choice": [" no", " yes"]},
        None,
        None,
        "error",
        r"more than one blank stands before the answer: \['  no', '  yes'\]",
    ),
    "no blank": (
        {"target_delimiter": ""},
        None,
        None,
        "warning",
        r"nothing stands between .* 'no'",
    ),
    "blanks inside": ({}, changed(4, question="a  b"), None, "note", r"double blanks .*: 1 \(4\)"),
    "null": (
        {},
        changed(4, question=None),
        None,
        "error",
        r"'question' is missing .* 1 of 12 .*\(4",
    ),
    "no field": (
        {},
        [*ROWS, {"label": 0}],
        None,
        "error",
        r"'question' is missing or empty in 1 of 13 evaluated documents \(12\)",
    ),
    "blank": ({}, changed(4, question=" "), None, "error", r"'question' is missing or empty in 1"),
    "shot's field": (
        {},
        None,
        changed(0, SHOTS, question=None),
        "error",
        r"'question' is missing or empty in 1 of 3 few-shot documents \(0\)",
    ),
    "gold": (
        {},
        changed(4, label=2),
        None,
        "error",
        r"gold answer .*: 1 of 12 \(4\); .* 2 with the o",
    ),
    "negative gold": (
        {},
        changed(4, label=-1),
        None,
        "error",
        r"gold answer that is none of their",
    ),
    "gold text": (
        {"doc_to_target": "word"},
        [{**row, "word": "maybe"} for row in ROWS],
        [{**row, "word": "no"} for row in SHOTS],
        "error",
        r"gold answer .*: 12 of 12 .*'maybe' with the options \['no', 'yes'\]",
    ),
    "one option": (
        LISTED,
        changed(4, OWN, options=["x"], label=0),
        APART,
        "error",
        r"fewer than two",
    ),
    "same option": (
        LISTED,
        changed(4, OWN, options=["x", "x"], label=0),
        APART,
        "warning",
        r"same option twice: 1 of 12 \(4\); the first: \['x', 'x'\]",
    ),
    "no target": (
        GENERATION | {"doc_to_target": "{{'x' if label else ''}}"},
        None,
        None,
        "error",
        r"have an empty target: 6 of 12 \(0, 2, 4, 6, 8, 10\)",
    ),
    "no text": (
        GENERATION | {"doc_to_target": "label"},
        None,
        None,
        "error",
        r"cannot build the prompts: AssertionError: Answer is not a string! : 1",
    ),
    "empty option": (
        LISTED,
        changed(4, OWN, options=["x", " "], label=0),
        APART,
        "error",
        r"have an option that is empty or no text: 1 of 12 \(4\); the first: \['x', ' '\]",
    ),
    "rendering": (
        {"doc_to_text": "Question: {{question}} {{4 // label}}\nAnswer:"},
        ROWS[1:],
        SHOTS[:1],
        "error",
        r"cannot be rendered: 5 of 11 \(1, 3, 5, 7, 9\); the first: ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("what", FLAWS)
def test_a_flaw(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_flaw(FLAWS[what], capsys)
