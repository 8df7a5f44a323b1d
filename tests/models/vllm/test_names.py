"""Under which names parameters reach an engine: those of a file of its own class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file
from wrappers import make_pair

from pa_harness.checkpoints.pair import Pair, Rules
from pa_harness.errors import PairError
from pa_harness.models.vllm.weights import as_in_files
from pa_harness.weights.arguments import ModelArgs
from pa_harness.weights.opening import open_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Folders = tuple["Path", "Path"]


def opened(folders: Folders) -> Pair:
    return open_pair(ModelArgs(0.5, *map(str, folders)), Rules())


@pytest.mark.parametrize("family", ["llama", "mixtral", "glm-4-moe", "gpt-2"])
def test_a_pairs_own_files(family: str, pair_of: Callable[..., Folders]) -> None:
    """Experts one by one, as they are published."""
    folders = pair_of(family)
    keys = [each.key for each in as_in_files(opened(folders))]
    assert len(keys) == len(set(keys))
    assert set(keys) == load_file(folders[0] / "model.safetensors").keys()


@pytest.mark.parametrize("base", ["text", "wrapper"])
@pytest.mark.parametrize("name", ["llava", "qwen 3.5", "mistral 3"])
def test_the_text_model_of_a_wrapper(name: str, base: str, tmp_path: Path) -> None:
    """The names of the text model's own files, whichever side is a wrapper."""
    folders = make_pair(name, tmp_path / base, base=base, instruct="text")
    pair = opened(folders)
    keys = {each.key for each in as_in_files(pair)}
    assert keys == load_file(folders[1] / "model.safetensors").keys()
    assert pair.model.cls.__name__.endswith("ForCausalLM")


def test_a_wrapper_on_both_sides_that_transformers_reads_as_its_text(tmp_path: Path) -> None:
    folders = make_pair("qwen 3.5", tmp_path, base="wrapper", instruct="wrapper")
    keys = {each.key for each in as_in_files(opened(folders))}
    assert all(key.startswith("model.layers") or key.count(".") == 2 for key in keys), keys


def test_a_wrapper_that_is_evaluated_as_such(tmp_path: Path) -> None:
    folders = make_pair("gemma 3", tmp_path, base="wrapper", instruct="wrapper")
    keys = {each.key for each in as_in_files(opened(folders))}
    assert keys == load_file(folders[0] / "model.safetensors").keys()


def test_layouts_that_do_not_meet_are_named(
    pair_of: Callable[..., Folders], tmp_path: Path
) -> None:
    """Single experts in the base's files, all of a layer as one in the other's."""
    import transformers
    from breakage import copied

    folders = copied(pair_of("mixtral"), tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(folders[1])
    model.save_pretrained(folders[1], save_original_format=False)
    with pytest.raises(PairError, match=r"is made of other tensors in base (?s:.*)export θ_λ"):
        list(as_in_files(opened(folders)))
