"""Names of models: renames and copies, suggestions, sizes."""

from __future__ import annotations

import math

import pytest

from pa_harness.interchange.names import (
    between,
    billions,
    canonical,
    matching,
    short,
    size_class,
    suggestions,
)
from pa_harness.leaderboards.published import published

KNOWN = list(dict.fromkeys(row.model for row in published()))


@pytest.mark.parametrize(
    ("name", "published_name"),
    [
        ("google/gemma-2b", "google/gemma-2b"),
        ("Google/Gemma-2b", "google/gemma-2b"),
        ("/data/models/gemma-2b/", "google/gemma-2b"),
        ("./gemma-2b", "google/gemma-2b"),
        ("gemma-2b", "google/gemma-2b"),
        ("unsloth/gemma-2b", "google/gemma-2b"),
        ("NousResearch/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"),
        ("meta-llama/Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("meta-llama/Llama-3-8B", "meta-llama/Meta-Llama-3-8B"),
        ("mistral-community/Mixtral-8x22B-v0.1", "mistralai/Mixtral-8x22B-v0.1"),
    ],
)
def test_one_model_of_several_names(name: str, published_name: str) -> None:
    assert matching(name, KNOWN)[0] == published_name


@pytest.mark.parametrize(
    "name", ["somebody/gemma-2b", "google/gemma-2b-it-4bit", "google/gemma-3-270m", "base"]
)
def test_other_models_are_not_taken_for_it(name: str) -> None:
    """A fine-tune of another owner may bear its model's name."""
    assert matching(name, KNOWN) == []


def test_both_spellings_of_one_release_are_found_its_own_first() -> None:
    names = ["meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"]
    assert matching("meta-llama/Llama-3.1-8B", names) == names[::-1]


def test_a_near_miss_is_suggested() -> None:
    assert suggestions("google/gema-2b-it", KNOWN)[0] == "google/gemma-2b-it"
    assert suggestions("mistralai/Mistral-7b-v01", KNOWN)[0] == "mistralai/Mistral-7B-v0.1"
    assert suggestions("zzzzzz", KNOWN) == []


@pytest.mark.parametrize(
    ("name", "size", "in_class"),
    [
        ("google/gemma-2-9b-it", 9, "3.5–10 B"),
        ("Qwen/Qwen1.5-0.5B", 0.5, "under 2 B"),
        ("HuggingFaceTB/SmolLM2-135M", 0.135, "under 2 B"),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7, "20–50 B"),
        ("allenai/OLMo-2-1124-7B", 7, "3.5–10 B"),
        ("meta-llama/Llama-3.1-405B", 405, "over 100 B"),
        ("x/model-2B", 2, "2–3.5 B"),
        ("gpt2", math.nan, ""),
    ],
)
def test_sizes(name: str, size: float, in_class: str) -> None:
    assert billions(name) == pytest.approx(size, nan_ok=True)
    assert size_class(billions(name)) == in_class


def test_a_counted_size_comes_before_the_name() -> None:
    assert billions("model-7b", 268098176) == pytest.approx(0.268, abs=1e-3)
    assert size_class(billions("Qwen/Qwen1.5-4B")) == size_class(billions("", 3_950_369_792))


def test_names_in_tables() -> None:
    assert short("/tmp/a/b/base/") == "base"
    assert short("google/gemma-2b") == "google/gemma-2b"
    assert canonical("META-LLAMA/Meta-Llama-3-8B") == "meta-llama/llama-3-8b"


def test_a_model_between_others_has_their_names_or_that_of_the_one_it_is() -> None:
    pair, path = ("org/base", "org/it"), ("org/base", "org/sft → ./runs/rl")
    assert [between(*pair, place) for place in ("lam=0", "lam=1", "lam=0.5", "lam=2")] == [
        *("org/base", "org/it", "org_base__org_it__lam=0.5", "org_base__org_it__lam=2")
    ]
    assert [between(*path, place) for place in ("lam=1", "lam=2", "lam=1.5")] == [
        *("org/sft", "./runs/rl", "org_base__org_sft__rl__lam=1.5")
    ]
