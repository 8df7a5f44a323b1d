"""One arm of `benchmarks.weights`, in a fresh process: ``... ARM BASE INSTRUCT``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from transformers import LlamaForCausalLM

from benchmarks.support.measure import Phases
from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import Rules, full_pair
from pa_harness.models.hf import PartiallyAdaptedLM
from pa_harness.models.loading import LoadedWeights
from pa_harness.weights import adapted as weights_room
from pa_harness.weights.effective_lam import Moments
from pa_harness.weights.inspection import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

LAM = 0.3
_NO_MOMENTS = Moments(0.0, 0.0, 0.0, 0.0, 1.0)


def weights(base: str, instruct: str, phases: Phases) -> None:
    """pa-harness, the weights alone: open and check both sides, load θ_λ."""
    with phases.phase("weights"):
        kept = _load(base, instruct)
    del kept  # freeing gigabytes takes time: outside


def whole(base: str, instruct: str, phases: Phases) -> None:
    """pa-harness, the whole constructor: pair, tokenizer, model, lm-eval's own part."""
    with phases.phase("whole"):
        kept = PartiallyAdaptedLM(pretrained=base, instruct=instruct, lam=LAM, device="cpu")
    del kept


def both(base: str, instruct: str, phases: Phases) -> None:
    """Both models and a third state dict, as wise-ft and LM-Cocktail do it; bf16."""
    with phases.phase("both"), torch.no_grad():
        model = LlamaForCausalLM.from_pretrained(base, dtype="auto")
        first = model.state_dict()
        second = LlamaForCausalLM.from_pretrained(instruct, dtype="auto").state_dict()
        theta = {key: (1 - LAM) * first[key] + LAM * second[key] for key in first}
        model.load_state_dict(theta)


def options(base: str, instruct: str, phases: Phases) -> None:
    """What single features cost: one load per variant, each freed before the next."""
    one = mock.patch.object
    # A load without one of its parts: what the part costs is the difference to "default".
    no_sums: Any = one(weights_room, "moments", lambda *_args, **_kwargs: _NO_MOMENTS)
    no_examination: Any = one(Findings, "examine", lambda *_args: None)
    variants: dict[str, Callable[[], Any]] = {
        "default": lambda: _load(base, instruct),
        "no λ_eff": lambda: _patched(no_sums, base, instruct),
        "no checks": lambda: _patched(no_examination, base, instruct),
        "check_finite=False": lambda: _load(base, instruct, check_finite=False),
        "lam_eff=tensors": lambda: _load(base, instruct, every_element=True),
        "rounding=stochastic": lambda: _load(base, instruct, seed=0),
        "dtype=float32": lambda: _load(base, instruct, dtype=torch.float32),
        "lam=1": lambda: _load(base, instruct, lam=1.0),
    }
    with phases.phase("first"):  # the allocator keeps some of its memory, for all the others
        _load(base, instruct)
    for name, load in variants.items():
        with phases.phase(name):
            kept = load()
        del kept


def switching(base: str, instruct: str, phases: Phases) -> None:
    """`set_lam_` against plain copies of the same bytes, mapped files."""
    _switching(base, instruct, phases, in_memory=False)


def switching_memory(base: str, instruct: str, phases: Phases) -> None:
    """The same with keep=memory."""
    _switching(base, instruct, phases, in_memory=True)


def _switching(base: str, instruct: str, phases: Phases, *, in_memory: bool) -> None:
    adapted, model = _load(base, instruct)
    if in_memory:
        adapted.keep_in_memory(model)
    ends = {key: adapted.ends(key) for key in adapted.pair.base_slices}
    # Copied to where set_lam_ writes: the model's own parameters (named as the checkpoint's keys).
    room = {key: parameter.data for key, parameter in model.named_parameters()}
    for lam in (0.5, 0.7, 0.3, 0.5, 0.7):
        with phases.phase("set_lam"):
            adapted.set_lam_(model, lam)
        with phases.phase("copy of both"):
            for side in (0, 1):
                for key, end in ends.items():
                    room[key].copy_(end[side][...])
        with phases.phase("copy of one"):
            for key, end in ends.items():
                room[key].copy_(end[0][...])
        with phases.phase("bare lerp"), torch.no_grad():
            for key, end in ends.items():
                torch.lerp(end[0][...], end[1][...], lam, out=room[key])


def _load(
    base: str,
    instruct: str,
    *,
    lam: float = LAM,
    dtype: torch.dtype = torch.bfloat16,
    **settings: Any,
) -> tuple[LoadedWeights, Any]:
    sides = open_checkpoint(base, "base"), open_checkpoint(instruct, "instruct")
    adapted = LoadedWeights(full_pair(*sides, Rules(dtype=dtype)), **settings)
    return adapted, adapted.load(lam)


def _patched(patch: Any, base: str, instruct: str) -> Any:
    with patch:
        return _load(base, instruct)


if __name__ == "__main__":
    measured = Phases()
    arm: Callable[[str, str, Phases], None] = globals()[sys.argv[1]]
    arm(sys.argv[2], sys.argv[3], measured)
    measured.emit()
