"""Requests that begin alike, the model that shares their beginnings, and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from pa_harness.models.prefix_sharing import PrefixSharingLM

if TYPE_CHECKING:
    from pathlib import Path

    from through_lm_eval import Pair

SHOTS = "Question: which colour?\nAnswer: blue\n\nQuestion: is it good?\nAnswer: no\n\n"


REQUESTS = [
    (SHOTS + "Question: the film?\nAnswer:", " a great film"),
    (SHOTS + "Question: the film?\nAnswer:", " great"),
    (SHOTS + "Question: the dog?\nAnswer:", " lazy"),
    (SHOTS + "Question: the dog?\nAnswer: ", "brown"),  # the space moves to the continuation
    ("", "The quick brown fox"),
    ("", "<s>The quick"),  # begins with the token that stands for an empty context
    ("Is", " it"),
    (SHOTS + "Question: the film?\nAnswer:", " a great film"),
]


def sharing(folder: Path, **arguments: Any) -> Any:
    return PrefixSharingLM(pretrained=str(folder), device="cpu", batch_size=3, **arguments)


def adapted(pair: Pair, **arguments: Any) -> Any:
    cls = get_model("partially_adapted")
    arguments = {"lam": 0.3, "device": "cpu", "batch_size": 3, **arguments}
    return cls(pretrained=str(pair[0]), instruct=str(pair[1]), **arguments)


def instances(texts: list[tuple[str, str]]) -> list[Instance]:
    return [Instance("loglikelihood", {}, text, number) for number, text in enumerate(texts)]


def answers(lm: Any, texts: list[tuple[str, str]]) -> list[tuple[float, bool]]:
    return [tuple(answer) for answer in lm.loglikelihood(instances(texts), disable_tqdm=True)]


def assert_same(ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]]) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-4)
    for value, greedy in ours:
        assert type(value) is float
        assert type(greedy) is bool


class Hook:
    """Stands in for lm-eval's --use_cache."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any, Any]] = []

    def add_partial(self, *entry: Any) -> None:
        self.kept.append(entry)
