"""Which of a folder's files count, and which tensors of them: as transformers decides."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from breakage import copied, settings, to_bin
from families import make_instruct, make_model, save
from lm_eval.api.registry import get_model
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted, assert_same_weights, scores, stock

from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
INDEX = "model.safetensors.index.json"
SMALL = {"max_shard_size": "20KB"}


def older_shards(side: Path, family: str) -> None:
    """What an earlier save in shards leaves beside one file."""
    old = make_instruct(make_model(family, seed=1), seed=77)
    old.save_pretrained(side / "old", max_shard_size="20KB")
    for file in (side / "old").glob("model*"):
        if not (side / file.name).exists():
            shutil.copy(file, side)
    shutil.rmtree(side / "old")


def older_pickle(side: Path, family: str) -> None:
    """What a save by an old release leaves beside safetensors."""
    old = make_instruct(make_model(family, seed=1), seed=77)
    torch.save(old.state_dict(), side / "pytorch_model.bin")


LEFT_BEHIND: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "shards": (older_shards, INDEX),
    "pickle": (older_pickle, "pytorch_model.bin"),
}


@pytest.mark.parametrize("family", ["llama-tied", "gpt-2", "mixtral"])
@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_an_older_save_in_the_folder_is_left(
    what: str, family: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """transformers takes model.safetensors before an index, and safetensors before pickle."""
    pair = copied(pair_of(family), tmp_path)
    leave, name = LEFT_BEHIND[what]
    leave(pair[1], family)
    lm = adapted(pair, 1)
    assert_same_weights(lm, stock(pair[1]))
    assert_same_weights(lm, stock(pair_of(family)[1]))
    note = f"model.safetensors is used, as transformers does; {name} is left."
    assert sum(note in each for each in lm._notes) == 1


def lists_more(folder: Path, index: dict[str, Any]) -> None:
    """A tied head, and an MTP layer that no shard has."""
    last = sorted(set(index["weight_map"].values()))[-1]
    index["weight_map"] = {"lm_head.weight": last, "mtp.fc.weight": last} | index["weight_map"]


def misses_one(folder: Path, index: dict[str, Any]) -> None:
    """A tensor that its shard has."""
    del index["weight_map"]["model.norm.weight"]


def without_metadata(folder: Path, index: dict[str, Any]) -> None:
    """`hf` stops at it; the tensors are named all the same."""
    del index["metadata"]


def in_a_subfolder(folder: Path, index: dict[str, Any]) -> None:
    """Shards below the folder."""
    (folder / "shards").mkdir()
    for file in folder.glob("model-*"):
        file.rename(folder / "shards" / file.name)
    index["weight_map"] = {key: f"shards/{file}" for key, file in index["weight_map"].items()}


@pytest.mark.parametrize("change", [lists_more, misses_one, without_metadata, in_a_subfolder])
@pytest.mark.parametrize("family", ["llama-tied", "qwen-3"])
def test_an_index_that_disagrees_with_its_shards(
    family: str,
    change: Callable[[Path, dict[str, Any]], None],
    pair_of: Callable[..., Pair],
    tmp_path: Path,
) -> None:
    pair = copied(pair_of(family, **SMALL), tmp_path)
    index = json.loads((pair[1] / INDEX).read_text())
    change(pair[1], index)
    (pair[1] / INDEX).write_text(json.dumps(index))
    lm = adapted(pair, 0.2)
    lm.set_lam(1)
    assert_same_weights(lm, stock(pair_of(family)[1]))


def test_a_shard_that_no_tensor_is_said_to_be_in(
    pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """transformers would leave the parameter at random."""
    pair = copied(pair_of("llama", **SMALL), tmp_path)
    index = json.loads((pair[1] / INDEX).read_text())
    files = index["weight_map"]
    gone = files["lm_head.weight"]
    kept = next(file for file in files.values() if file != gone)
    index["weight_map"] = {key: kept if file == gone else file for key, file in files.items()}
    (pair[1] / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"(?s)hf would fill.*lm_head\.weight: missing"):
        adapted(pair, 0.5)


def test_weights_in_an_old_pickle_alone(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    pair = copied(pair_of("gpt-neox"), tmp_path)
    to_bin()(pair[1])
    assert_same_weights(adapted(pair, 1), stock(pair_of("gpt-neox")[1]))


# family: (keys that this architecture ignores, as they are published; what the note says of them)
IGNORED = {
    "qwen-3": (["v_head.summary.weight", "v_head.summary.bias"], r"v_head.* (2)"),  # TRL's
    "llama": (["model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"], "score.weight"),
    "glm-4-moe": (  # MTP
        ["model.layers.2.eh_proj.weight", "model.layers.2.enorm.weight"],
        "model.layers.2.* (2)",
    ),
    "mixtral": (["mtp.fc.weight", "mtp.layers.0.input_layernorm.weight"], "mtp.* (2)"),
}


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("family", IGNORED)
def test_tensors_that_the_architecture_ignores(
    family: str, sides: tuple[int, ...], pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """Left out with a note, on one side as on both; λ_eff and the weights know nothing of them."""
    pair = copied(pair_of(family), tmp_path)
    keys, words = IGNORED[family]
    for side in sides:
        path = pair[side] / "model.safetensors"
        more = {key: torch.full((4, 4), float(side + 1)) for key in keys}
        save_file(load_file(path) | more, path, metadata={"format": "pt"})
    lm, clean = adapted(pair, 0.5), adapted(pair_of(family), 0.5)
    assert_same_weights(lm, clean)
    ours, theirs = lm.get_model_info(), clean.get_model_info()
    assert ours["lam_eff"] == theirs["lam_eff"]
    assert ours["weights"] == theirs["weights"]
    notes = [each for each in lm._notes if "have no place in this architecture" in each]
    assert len(notes) == len(sides)
    assert all(note.endswith(f":\n  {words}") for note in notes)
    lm.set_lam(1)
    assert scores(lm) == scores(stock(pair[1]))


def test_a_numeric_folder_name_is_told_to_be_a_path(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """lm-eval reads `pretrained=1000` as a number."""
    from pa_harness.errors import PAHarnessError

    save(make_model("llama", seed=1), tmp_path / "1000")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PAHarnessError, match=r"\./1000"):
        get_model("partially_adapted")(pretrained=1000, instruct=str(pair[1]), lam=0.5)


def test_settings_of_the_file_name(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    """`transformers_weights` of config.json names the file, whatever else there is."""
    pair = copied(pair_of("llama"), tmp_path)
    (pair[1] / "model.safetensors").rename(pair[1] / "tuned.safetensors")
    shutil.copy(pair[0] / "model.safetensors", pair[1])
    settings(transformers_weights="tuned.safetensors")(pair[1])
    lm = adapted(pair, 1)
    assert_same_weights(lm, stock(pair_of("llama")[1]))
