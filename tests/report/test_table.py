"""The table of scores at a sweep's end."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pa_harness.report.table import scores_table
from pa_harness.runs.scores import Score

TEXTS = {"str": "", "float": 0.0, "int": 0, "bool": True}


def score(task: str, lam: float, value: float, **more: Any) -> Score:
    blank = {each.name: TEXTS.get(str(each.type), "") for each in fields(Score)}
    named = {"task": task, "lam": lam, "value": value, "metric": "acc", "main": True, **more}
    return Score(**{**blank, **named})


def test_points_of_fractions_and_other_numbers_as_they_are() -> None:
    scores = [score("arc", lam, 0.25 + lam / 8) for lam in (0.0, 0.5, 1.0)]
    scores += [score("loss", lam, -3.14159 + lam, metric="nll") for lam in (0.0, 1.0)]
    scores.append(score("arc", 0.0, 0.9, metric="other", main=False))
    rows = [line.split() for line in scores_table(scores).splitlines()]
    assert rows[0] == ["points;", "λ", "=", "0", "0.5", "1"]
    assert rows[1] == ["arc", "(acc)", "25.0", "31.2", "37.5"]
    assert rows[2] == ["loss", "(nll)", "-3.142", "–", "-2.142"]


def test_it_stays_within_a_terminal() -> None:
    lams = [n / 20 for n in range(21)]
    scores = [
        score(f"a_task_with_{'very_' * 10}long_name_{n}", lam, lam) for n in "ab" for lam in lams
    ]
    text = scores_table(scores)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("points; λ =") == 3
    for lam in lams:
        assert f"  {lam:g}" in text
    assert "long_name_a" not in text
    assert "name_a (acc)" in text


def test_nothing_of_no_main_scores() -> None:
    assert scores_table([]) == ""
