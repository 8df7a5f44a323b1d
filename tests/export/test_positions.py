"""Text models exported from a pair with a wrapper: positions of images stay with the wrapper."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from breakage import settings
from exports import export
from wrappers import WRAPPERS, make_pair, own, text_names

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN = {"rope_type": "default", "rope_theta": 1e4}
_VISION = {"depth": 2, "hidden_size": 16, "num_heads": 2, "patch_size": 14}
_IMAGES = {"image_token_id": 310}
_SECTIONS = {"rope_parameters": {**_PLAIN, "mrope_section": [1, 1, 2]}}
_INTERLEAVED = {"rope_parameters": {**_SECTIONS["rope_parameters"], "mrope_interleaved": True}}
MORE = {
    "qwen 2 vl": (
        *("Qwen2VLForConditionalGeneration", "Qwen2ForCausalLM", _SECTIONS),
        *({"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2}, _IMAGES),
    ),
    "qwen 3 vl": (
        *("Qwen3VLForConditionalGeneration", "Qwen3ForCausalLM", _INTERLEAVED),
        {**_VISION, "intermediate_size": 24, "out_hidden_size": 32, "num_position_embeddings": 16}
        | {"deepstack_visual_indexes": [0]},
        _IMAGES,
    ),
}


@pytest.mark.parametrize("like", ["base", "instruct"])
@pytest.mark.parametrize("name", ["qwen 2.5 vl", *MORE])
def test_positions_of_images_stay_with_the_wrapper(
    name: str, like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a text computes, exported either way, what plain transformers computes at λ."""
    for more, kind in MORE.items():
        monkeypatch.setitem(WRAPPERS, more, kind)
    pair = make_pair(name, tmp_path, base="text", instruct="wrapper")
    settings(rope_parameters=_PLAIN)(pair[0])  # as text models are published
    assert export(pair, tmp_path / "out", 0.3, "--like", like, dtype="float32") == 0
    written: dict[str, Any] = json.loads((tmp_path / "out/config.json").read_text())
    theirs = json.loads((pair[1] / "config.json").read_text())["text_config"]["rope_parameters"]
    if like == "base":
        assert "mrope" not in json.dumps(written)
        assert written["rope_parameters"] == _PLAIN
    else:
        text = written["text_config"]
        assert text["rope_parameters"] == theirs
        old = {name: value for name, value in theirs.items() if name != "rope_theta"}
        assert (text["rope_theta"], text["rope_scaling"]) == (1e4, old)  # of transformers 4
    base, instruct = map(own, pair)
    state, wrapped = base.state_dict(), instruct.state_dict()
    for ours, key in text_names(name, instruct).items():
        state[ours] = torch.lerp(state[ours], wrapped[key], 0.3)
    base.load_state_dict(state)
    tokens = torch.tensor([list(range(40, 70))])
    with torch.no_grad():
        found = own(tmp_path / "out")(tokens).logits
        assert torch.allclose(found, base(tokens).logits, rtol=0, atol=1e-6)
