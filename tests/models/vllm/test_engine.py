"""What vLLM is told and sent, without vLLM."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from pa_harness.checkpoints.pair import Rules
from pa_harness.errors import ExtraError, ModelArgsError, PAHarnessError, PairError, missing_extra
from pa_harness.models.vllm.arguments import parse_for_engine, room_to_score
from pa_harness.models.vllm.weights import EngineWeights
from pa_harness.weights.arguments import ModelArgs
from pa_harness.weights.opening import open_pair

Pair = tuple[Path, Path]
NEEDED = {"pretrained": "b", "instruct": "i", "lam": 0.5}


def host(
    self: Any, pretrained: str, batch_size: int | str = "auto", max_model_len: int = 1
) -> None:
    """Stands for lm-eval's vLLM model."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"load_format": "auto"}, r"load_format='auto' is chosen here"),
        ({"lora_local_path": "x"}, r"would be added on top of θ_λ.*Pass peft=ADAPTER"),
        ({"quantization": "fp8"}, r"quantised values cannot be interpolated"),
        ({"data_parallel_size": 2}, r"data_parallel_size=2: .*--executor ray"),
        ({"kv_transfer_config": {"kv_connector": "LMCacheConnectorV1"}}, r"does not reach"),
        ({"kv_offloading_size": 4.0}, r"kv_offloading_size=4\.0 keeps keys and values"),
        ({"kv_offloading_backend": "native"}, r"a change of λ does not reach"),
        ({"keep": "memory"}, r"keep='memory' is not for vLLM"),
        ({"tensor_parallel": 2}, r"Did you mean tensor_parallel_size\?.*--model vllm"),
        ({"lam": "half"}, r"lam='half' is not a number"),
    ],
)
def test_arguments_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelArgsError, match=message):
        parse_for_engine(NEEDED | given, host, ["tensor_parallel_size"])


def test_arguments_are_told_apart() -> None:
    ours, rest = parse_for_engine(
        NEEDED | {"tensor_parallel_size": 2, "max_model_len": 99}, host, ["tensor_parallel_size"]
    )
    assert ours == ModelArgs(**NEEDED)
    assert rest == {"tensor_parallel_size": 2, "max_model_len": 99}


@pytest.mark.parametrize(
    ("given", "positions", "engine"),
    [
        ({"max_model_len": 100}, 102, {"max_model_len": 102}),
        ({"max_length": "100"}, 4096, {"max_length": 102}),
        ({"max_model_len": 100}, 101, {"max_model_len": 100}),  # no positions for more
        ({"max_model_len": 100}, None, {"max_model_len": 100}),  # who knows
        ({}, 4096, {}),  # the engine takes all that the model has
    ],
)
def test_the_engine_has_room_for_prompts_that_hf_scores_whole(
    given: dict[str, Any], positions: int | None, engine: dict[str, Any]
) -> None:
    arguments = dict(given)
    assert room_to_score(arguments, positions) == (2 if engine != given else 0)
    assert arguments == engine


def weights_of(pair: Pair, dtype: torch.dtype = torch.float32) -> EngineWeights:
    return EngineWeights(open_pair(ModelArgs(0.5, *map(str, pair)), Rules(dtype=dtype)))


def test_lam_is_known_only_while_every_worker_has_it(pair: Pair) -> None:
    weights = weights_of(pair)
    weights.examine_all()
    keys = sorted(weights.pair.base_slices)
    half = [{"read": keys[:3], "missing": []}, {"read": keys[3:], "missing": []}]
    assert weights.send(0.5, lambda _: half) == []
    assert weights.lam == 0.5
    assert weights.effective_lam().lam_eff == pytest.approx(0.5, abs=1e-6)

    def broken(_: float) -> Any:
        raise OSError("a worker died")

    with pytest.raises(OSError, match="a worker died"):
        weights.send(1.0, broken)
    assert weights.lam is None


def test_what_the_engine_did_not_take_is_an_error_or_a_note(pair: Pair) -> None:
    keys = sorted(weights_of(pair).pair.base_slices)
    weights = weights_of(pair)
    with pytest.raises(PairError, match=r"got no weights:\n +layers\.0\.mlp\.gate_up"):
        weights.send(0.5, lambda _: [{"read": keys, "missing": ["layers.0.mlp.gate_up"]}])
    assert weights.lam is None
    weights = weights_of(pair)
    left = [key for key in keys if "lm_head" in key]
    rest = {"read": [k for k in keys if k not in left], "missing": []}
    (note,) = weights.send(0.5, lambda _: [rest])
    assert "vLLM has no use for 1 parameters:\n  lm_head.weight" in note
    assert weights.send(0.6, lambda _: [rest]) == []  # said once


def test_a_checkpoint_with_nan_is_refused_and_so_is_a_lam_out_of_range(
    pair: Pair, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "model.safetensors").write_bytes(b"")
    for file in pair[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(PAHarnessError, match=r"NaN or Inf:\n  instruct model\.norm\.weight"):
        weights_of((pair[0], tmp_path)).examine_all()
    weights = weights_of(pair, torch.float16)
    with pytest.raises(PAHarnessError, match=r"λ=1e\+38 takes \d+ tensors out of the range"):
        weights.send(1e38, lambda _: [])


def test_what_is_not_installed_is_said_with_its_cure() -> None:
    error = missing_extra("ray", "--executor ray", ImportError("No module named 'ray'\nmore"))
    assert str(error) == (
        "--executor ray needs the extra 'ray', which is not installed here (No module named "
        "'ray'). Install it: pip install 'pa-harness[ray]'."
    )


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_its_model_says_so() -> None:
    import lm_eval.models  # noqa: F401 -- fills the registry
    from lm_eval.api.registry import get_model

    with pytest.raises(
        ExtraError, match=r"partially_adapted_vllm needs the extra 'vllm'.*\[vllm\]"
    ):
        get_model("partially_adapted_vllm")
