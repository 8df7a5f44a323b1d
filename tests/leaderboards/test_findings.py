"""What may be said of a difference to a published number, at its stated rate."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from as_published import results_of, run_of

from pa_harness.errors import RunError
from pa_harness.interchange.lm_eval_files import from_results
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.comparison import Row
from pa_harness.leaderboards.findings import AGREES, DIFFERS, REPRODUCED, finding
from pa_harness.leaderboards.sections import sections
from pa_harness.leaderboards.text import as_text

V1, FILE = BOARDS[0], Path("results.json")


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1, math.nan])
def test_a_margin_is_a_fraction(margin: float) -> None:
    numbers = from_results(results_of(V1, run_of(V1, "google/gemma-7b", "bfloat16")), FILE)
    with pytest.raises(RunError, match=r"--margin \S+: expected a fraction above 0"):
        sections(numbers, margin=margin)


def apart(difference: float, stderr: float) -> Row:
    error = math.sqrt(2) * stderr
    return Row(
        *("t", "λ = 1", 1.0, 0.5 + difference, stderr, "m", 0.5, difference),
        *(difference / error, "comparable", (), (), "", 2.8 * error),
    )


def test_no_finding_says_more_than_its_rate() -> None:
    """A model that is really 2 points apart is seldom reproduced within 1, whatever is shared."""
    random = np.random.default_rng(0)
    for shared in (0.0, 0.5, 1.0):  # of the variance, by both runs
        for stderr in (0.002, 0.005, 0.01, 0.02):
            noise = random.normal(0, stderr * math.sqrt(2 * (1 - shared)), 2000)
            said = [finding(apart(0.02 + each, stderr)) for each in noise]
            assert said.count(REPRODUCED) / 2000 < 0.05 + 0.015
            same = [finding(apart(each or 0.001, stderr)) for each in noise]
            assert same.count(DIFFERS) / 2000 < 0.05 + 0.015
    alike = [finding(apart(each, 0.002)) for each in random.normal(0, 0.002 * math.sqrt(2), 2000)]
    assert (alike.count(REPRODUCED) + alike.count(AGREES)) / 2000 > 0.9


def test_a_rank_has_the_range_of_its_number() -> None:
    content = results_of(V1, run_of(V1, "google/gemma-7b", "bfloat16"))
    (section,) = sections(from_results(content, FILE), [V1.name])
    assert {(s.best, s.worst) for s in section.standings} == {(0, 0)}  # no standard error
    for numbers in content["results"].values():
        for key in [key for key in numbers if "," in key]:
            metric, _, filtered = key.partition(",")
            numbers[f"{metric}_stderr,{filtered}"] = 0.02
    (section,) = sections(from_results(content, FILE), [V1.name])
    for standing in section.standings:
        assert 1 <= standing.best <= standing.rank <= standing.worst <= standing.of + 1
    assert any(standing.best < standing.worst for standing in section.standings)
    assert f"{section.standings[0].best} to {section.standings[0].worst}" in as_text(
        [section], "text"
    )
