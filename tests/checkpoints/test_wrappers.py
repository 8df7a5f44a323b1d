"""Wrappers of images and their text models: both sides alike, or one of each kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from breakage import copied, settings
from exports import export
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted, scores, stock
from toy import run, toy_settings
from wrappers import WRAPPERS, make_pair, own, text_names

from pa_harness.cli.main import main
from pa_harness.errors import CheckpointError, PairError

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple["Path", "Path"]
_KINDS = ("wrapper", "text")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Pairs by name and kinds, made once."""
    made: dict[tuple[str, str, str], Pair] = {}

    def pair(name: str, base: str, instruct: str) -> Pair:
        key = (name, base, instruct)
        if key not in made:
            folder = tmp_path_factory.mktemp("wrapper")
            made[key] = make_pair(name, folder, base=base, instruct=instruct)
        return made[key]

    return pair


def as_text(name: str, model: Any) -> dict[str, torch.Tensor]:
    """A model's values under the text model's names."""
    state: dict[str, torch.Tensor] = model.state_dict()
    if "language_model" not in " ".join(state):
        return state
    return {ours: state[key] for ours, key in text_names(name, model).items()}


def between(base: Any, instruct: Any, lam: float) -> Any:
    return {
        k: torch.lerp(base[k], instruct[k], lam) if lam not in (0, 1) else (base, instruct)[lam][k]
        for k in base
    }


@pytest.mark.parametrize("instruct", _KINDS)
@pytest.mark.parametrize("base", _KINDS)
@pytest.mark.parametrize("name", WRAPPERS)
def test_the_text_is_interpolated(name: str, base: str, instruct: str, pairs: Any) -> None:
    pair = pairs(name, base, instruct)
    lm = adapted(pair, 0.3)
    ends = [as_text(name, own(side)) for side in pair]
    for lam in (0.3, 0, 1, 0.3):
        lm.set_lam(lam)
        ours, expected = as_text(name, lm.model), between(*ends, lam)
        for key, value in expected.items():
            assert torch.equal(ours[key], value), (lam, key)
    if base == instruct and name in ("gemma 3", "qwen 3.5", "llama 4"):
        for lam, side in ((0, pair[0]), (1, pair[1])):  # those that hf loads
            lm.set_lam(lam)
            assert scores(lm) == scores(stock(side))


@pytest.mark.parametrize("like", ["base", "instruct"])
@pytest.mark.parametrize("base", _KINDS)
@pytest.mark.parametrize("name", WRAPPERS)
def test_an_export_has_either_form(
    name: str, base: str, like: str, pairs: Any, tmp_path: Path
) -> None:
    """Its text is θ_λ, and what else a wrapper has is at λ, or of the one side that has it."""
    instruct = "wrapper"
    pair = pairs(name, base, instruct)
    assert export(pair, tmp_path / "out", 0.3, "--like", like, dtype="float32") == 0
    sides = [own(side) for side in pair]
    back = own(tmp_path / "out")
    assert type(back) is type(sides[like == "instruct"])
    expected = between(*(as_text(name, side) for side in sides), 0.3)
    found = as_text(name, back)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    if base == instruct:
        whole = between(*(side.state_dict() for side in sides), 0.3)
        assert all(torch.equal(back.state_dict()[key], value) for key, value in whole.items())
    elif like == "instruct":
        images = {k: v for k, v in sides[1].state_dict().items() if "language_model" not in k}
        rest = [key for key in images if "lm_head" not in key]
        assert rest
        assert all(torch.equal(back.state_dict()[key], images[key]) for key in rest)


@pytest.mark.parametrize(
    ("name", "base", "instruct"),
    [
        *((name, "wrapper", "wrapper") for name in ("gemma 3", "qwen 3.5", "llava")),
        *(("mistral 3", "text", "wrapper"), ("gemma 3", "wrapper", "text")),
    ],
)
def test_a_schedule_and_show_lam(
    name: str, base: str, instruct: str, pairs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Layers are those of the text, whatever the images' part has."""
    pair = pairs(name, base, instruct)
    lam = {"base": 0.5, "rules": [{"module": "mlp", "lam": {"list": [0, 1]}}]}
    lm = adapted(pair, lam)
    ends = [as_text(name, own(side)) for side in pair]
    for key, value in as_text(name, lm.model).items():
        which = {"layers.0": 0, "layers.1": 1}.get(key[6:14], 0.5) if ".mlp." in key else 0.5
        assert torch.equal(value, between(*ends, which)[key]), key
    arguments = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": lam}
    assert main(["show-lam", "--model_args", json.dumps(arguments)]) == 0
    assert "layers.1.mlp.up_proj.weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "base", "instruct"),
    [("qwen 3.5", "wrapper", "wrapper"), ("gemma 3", "text", "wrapper")],
)
def test_a_sweep_and_an_export_of_it(
    name: str, base: str, instruct: str, pairs: Any, toy_tasks: Path, tmp_path: Path
) -> None:
    """What is shipped of a run is bit for bit what it evaluated."""
    pair = pairs(name, base, instruct)
    run(toy_settings(pair, toy_tasks, lam="0,0.5,1", limit=2), tmp_path / "run")
    shipped = ["export", str(tmp_path / "run"), "--lam", "0.5", "-o", str(tmp_path / "out")]
    assert main(shipped) == 0
    assert "are bit for bit the weights" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    expected = between(*(as_text(name, own(side)) for side in pair), 0.5)
    found = as_text(name, own(tmp_path / "out"))
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_two_that_have_nothing_in_common(pairs: Any) -> None:
    sides = pairs("gemma 3", "wrapper", "wrapper")[0], pairs("llava", "text", "wrapper")[0]
    with pytest.raises(
        PairError, match="base is a Gemma3ForConditionalGeneration, instruct a Llama"
    ):
        adapted(sides, 0.5)


def test_text_models_of_other_sizes(pairs: Any, tmp_path: Path) -> None:
    """The setting is named, as between two of one form."""
    text = make_pair("gemma 3", tmp_path, base="text", instruct="text", hidden_size=64)[0]
    with pytest.raises(PairError, match=r"hidden_size: base 64, instruct 32"):
        adapted((text, pairs("gemma 3", "wrapper", "wrapper")[1]), 0.5)


@pytest.mark.parametrize("name", ["gemma 3", "qwen 3.5"])
def test_a_tied_wrapper_of_a_text_that_is_not(name: str, tmp_path: Path) -> None:
    """The exported wrapper has the head and the rows that were evaluated."""
    pair = make_pair(name, tmp_path, base="text", instruct="wrapper")
    path = pair[0] / "model.safetensors"
    tensors = load_file(path)
    embedding = tensors["model.embed_tokens.weight"]
    longer = torch.cat([embedding, embedding[:4] * 2])
    tensors |= {"model.embed_tokens.weight": longer, "lm_head.weight": longer * 0.5}
    save_file(tensors, path, metadata={"format": "pt"})
    settings(tie_word_embeddings=False, vocab_size=324)(pair[0])
    made = {"dtype": "float32", "extra_rows": "copy"}
    assert export(pair, tmp_path / "out", 0.3, **made) == 0
    base, instruct, back = (own(side) for side in (*pair, tmp_path / "out"))
    for part in ("get_input_embeddings", "get_output_embeddings"):
        ours, theirs, found = (getattr(m, part)().weight for m in (base, instruct, back))
        assert torch.equal(found[:320], torch.lerp(ours[:320], theirs, 0.3))
        assert torch.equal(found[320:], ours[320:])


def test_an_exported_wrapper_sees_images(pairs: Any, tmp_path: Path) -> None:
    """Its answers to an image are those of the wrapper at λ, in its own class; files go along."""
    pair = copied(pairs("llava", "wrapper", "wrapper"), tmp_path)
    (pair[1] / "preprocessor_config.json").write_text('{"image_processor_type": "none"}')
    assert export(pair, tmp_path / "out", 0.3, dtype="float32") == 0
    assert (tmp_path / "out/preprocessor_config.json").exists()
    sides = [own(side) for side in pair]
    expected, found = sides[1], own(tmp_path / "out")
    image = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(4))
    tokens = torch.tensor([[0, *[found.config.image_token_index] * 4, 5, 6, 7]])
    before = expected(input_ids=tokens, pixel_values=image).logits
    expected.load_state_dict(between(*(side.state_dict() for side in sides), 0.3))
    with torch.no_grad():
        there = expected(input_ids=tokens, pixel_values=image).logits
        here = found(input_ids=tokens, pixel_values=image).logits
    assert torch.equal(here, there)
    assert not torch.equal(here, before)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "blip",
            r"is a BlipForCon\w+, which does not continue a text alone: it needs pixel_values\.",
        ),
        (
            "instructblip",
            r"a text alone: it needs pixel_values, qformer_input_ids\. Expected a lang",
        ),
        ("clip", r"of the type 'clip', for which transformers has no model that continues text\."),
        (
            "evolla",
            r"of the type 'evolla', for which transformers has no model that continues text",
        ),
    ],
)
def test_what_does_not_continue_a_text_is_refused_in_a_line(
    kind: str, message: str, pair: Pair, tmp_path: Path
) -> None:
    sides = copied(pair, tmp_path)
    for side in sides:
        (side / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(CheckpointError, match=message):
        adapted(sides, 0.5)
