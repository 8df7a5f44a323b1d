"""Random checkpoints to measure with: a pair of 1.1 billion parameters, and a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.support.places import kept

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "benchmark-pair-1.1b"
_VOCABULARY = 32_000
_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_LARGE = {  # 1.100e9 parameters: 2.2 GB in bf16
    "vocab_size": _VOCABULARY,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
_TINY = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_SIZE = 0.02  # standard deviation of the base's weights
_RELATIVE_DELTA = 0.03  # of the pair


def large_pair() -> tuple[Path, Path]:
    """Base and instruct folder: Llama, 1.1 billion parameters, bf16, three shards each."""
    folder = kept(PAIR, _make_pair, bytes_needed=8_000_000_000)
    return folder / "base", folder / "instruct"


def tiny_model() -> Path:
    """A folder with a two-layer model and its tokenizer."""
    return kept("benchmark-tiny", _make_tiny)


def far_pair() -> tuple[Path, Path]:
    """Two-layer models with nothing in common: every tensor at about a right angle."""
    folder = kept("benchmark-far", _make_far)
    return folder / "base", folder / "instruct"


def _make_pair(folder: Path) -> None:
    model = _model(_LARGE)
    generator = torch.Generator().manual_seed(0)
    _save(model, folder / "base", _VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            change = torch.empty(parameter.shape).normal_(generator=generator)
            parameter.add_(change, alpha=_SIZE * _RELATIVE_DELTA)
    _save(model, folder / "instruct", _VOCABULARY)


def _make_tiny(folder: Path) -> None:
    _save(_model(_TINY), folder, 256)


def _make_far(folder: Path) -> None:
    for seed, name in enumerate(("base", "instruct"), 1):
        _save(_model(_TINY, seed), folder / name, 256)


def _model(settings: dict[str, Any], seed: int = 1) -> Any:
    model = LlamaForCausalLM(LlamaConfig(**settings, **_ENDS)).to(torch.bfloat16)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty(parameter.shape).normal_(0, _SIZE, generator=generator))
    return model


def _save(model: Any, folder: Path, vocabulary: int) -> None:
    model.save_pretrained(folder, max_shard_size="800MB")
    words = {f"w{index}": index for index in range(vocabulary)}
    core = Tokenizer(models.WordLevel(words, unk_token="w3"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="w0", eos_token="w1", pad_token="w2", unk_token="w3"
    )
    tokenizer.save_pretrained(folder)
