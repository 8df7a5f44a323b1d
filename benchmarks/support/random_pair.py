"""Random Llamas of a given shape as a pair on disk, with a tokenizer trained on given texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WORDS = 24_000
_SHARD = 4_500_000_000  # bytes of a file


def tokenizer_for(texts: Iterable[str], words: int = WORDS) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most so many words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(vocab_size=words, special_tokens=special, show_progress=False)
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def make_pair(
    folder: Path,
    shape: dict[str, Any],
    tokenizer: PreTrainedTokenizerFast,
    dtype: torch.dtype,
    device: str = "cpu",
) -> dict[str, str]:
    """A base, and an instruct model that lies a little beside it.

    Args:
        folder: where to.
        shape: settings of a `LlamaConfig`.
        tokenizer: of both.
        dtype: of the weights.
        device: where the weights are drawn.

    Returns:
        The model arguments that name the pair.
    """
    config = LlamaConfig(
        **{"max_position_embeddings": 8192, **shape}, bos_token_id=0, eos_token_id=1, dtype=dtype
    )
    config.architectures = ["LlamaForCausalLM"]
    with torch.device("meta"):
        tensors = LlamaForCausalLM(config).state_dict()
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight")
    for side in ("base", "instruct"):
        (folder / side).mkdir(parents=True)
        _write(folder / side, {name: each.shape for name, each in tensors.items()}, dtype, device)
        config.save_pretrained(folder / side)
        tokenizer.save_pretrained(folder / side)
    return {"pretrained": str(folder / "base"), "instruct": str(folder / "instruct")}


def _write(folder: Path, shapes: dict[str, torch.Size], dtype: torch.dtype, device: str) -> None:
    generator, shards, size = torch.Generator(device), [{}], 0
    for number, (name, shape) in enumerate(shapes.items()):
        generator.manual_seed(number)
        norm = name.endswith("norm.weight")
        value = torch.ones(shape, device=device)
        if not norm:
            value = torch.randn(shape, generator=generator, device=device) * 0.02
        if folder.name == "instruct":
            generator.manual_seed(10_000 + number)
            value += 0.003 * torch.randn(shape, generator=generator, device=device)
        shards[-1][name] = value.to(dtype).cpu()
        size += shards[-1][name].nbytes
        if size > _SHARD:
            shards.append({})
            size = 0
    index = {}
    for number, shard in enumerate(each for each in shards if each):
        file = f"model-{number:05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(shard, file))
    named = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(named, encoding="utf-8")
