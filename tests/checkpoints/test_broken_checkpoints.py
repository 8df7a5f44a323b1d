"""Every broken checkpoint ends in one message that names the file, tensor or value at fault."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from breakage import (
    HEAD,
    NORM,
    QUERY,
    attempt,
    cut,
    dangling,
    directory,
    filled,
    gone,
    settings,
    text,
    to_bin,
    unreadable,
    weight_map,
    weights,
)

from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
SHARD = "model-00001-of-00006.safetensors"
INDEX = "model.safetensors.index.json"
ONE = "model.safetensors"
FOUR_BITS = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}


class Code:
    """Unpickling this would run a program."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)


# what: (sharded, sides, changes, message of CheckpointError)
FILES: dict[str, tuple[bool, str, list[Callable[[Path], None]], str]] = {
    "10^9 layers": (
        *(False, "base", [settings(num_hidden_layers=10**9)]),
        r"num_hidden_layers=1000000000, but the files hold \d+ tensors of at most \d+ rows\. Check",
    ),
    "10^9 layers of vision": (
        *(False, "instruct", [settings(vision_config={"depth": 10**9})]),
        r"says vision_config\.depth=1000000000, but the files hold",
    ),
    "10^7 experts": (
        *(False, "base", [settings(num_local_experts=10**7)]),
        r"says num_local_experts=10000000, but the files hold",
    ),
    "truncated": (False, "base", [cut(ONE, 0.5)], rf"{ONE} cannot be read: .*not fully covered"),
    "truncated shard": (True, "instruct", [cut(SHARD, 0.9)], rf"{SHARD} cannot be read: .*covered"),
    "zero-byte shard": (True, "base", [cut(SHARD, 0)], rf"{SHARD} cannot be read: .*too small"),
    "cut in the header": (True, "base", [cut(SHARD, 0.001)], rf"{SHARD} cannot be read"),
    "garbage": (True, "instruct", [text(SHARD, b"\xff" * 999)], rf"{SHARD} cannot be read"),
    "html": (False, "base", [text(ONE, "<html>404</html>" * 99)], rf"{ONE} cannot be read"),
    "shard missing": (True, "base", [gone(SHARD)], rf"1 of 6 shards .* missing in .*\n *{SHARD}"),
    "shard dangling": (True, "base", [dangling(SHARD)], rf"1 of 6 shards .*\n *{SHARD}"),
    "shard a folder": (True, "base", [directory(SHARD)], rf"1 of 6 shards .*\n *{SHARD}"),
    "weights dangling": (
        False,
        "base",
        [dangling(ONE)],
        r"has no weights .*Expected one of: model",
    ),
    "weights a folder": (False, "base", [directory(ONE)], rf"has no weights .*Found .*{ONE}/"),
    "no weights": (False, "instruct", [gone(ONE)], r"has no weights .*Found .*config\.json"),
    "empty folder": (False, "base", [gone("*")], r"has no config\.json in .*base"),
    "index broken": (
        True,
        "base",
        [cut(INDEX, 0.5)],
        rf"{INDEX} cannot be read as JSON: Expecting",
    ),
    "index not text": (
        True,
        "base",
        [text(INDEX, b"\xff\xfe")],
        rf"{INDEX} cannot be read as JSON",
    ),
    "index too deep": (True, "base", [text(INDEX, "[" * 99999)], rf"{INDEX} cannot be read as JSO"),
    "index a list": (True, "base", [text(INDEX, "[1]")], rf"{INDEX} holds a list, not an object"),
    "no weight_map": (
        True,
        "base",
        [settings(INDEX, weight_map=None)],
        rf"{INDEX} has no weight_m",
    ),
    "weight_map empty": (
        True,
        "base",
        [settings(INDEX, weight_map={})],
        rf"{INDEX} has no weight_m",
    ),
    "weight_map a list": (True, "base", [settings(INDEX, weight_map=[1])], r"has no weight_map"),
    "shard outside": (
        *(True, "base", [weight_map(**{NORM: f"../instruct/{SHARD}"})]),
        rf"1 of 7 shards .*missing in .*\n +\.\./instruct/{SHARD}",
    ),
    "shard name too long": (True, "base", [weight_map(**{NORM: "x" * 300})], r"1 of 7 shards .*xx"),
    "config missing": (False, "base", [gone("config.json")], r"base '.*' has no config\.json in "),
    "config dangling": (False, "instruct", [dangling("config.json")], r"has no config\.json in "),
    "config broken": (
        False,
        "base",
        [cut("config.json", 0.5)],
        r"config\.json cannot be read as J",
    ),
    "config empty": (
        False,
        "base",
        [cut("config.json", 0)],
        r"config\.json cannot be read as JSON",
    ),
    "config a list": (
        False,
        "base",
        [text("config.json", "[]")],
        r"config\.json holds a list, not",
    ),
    "model_type unknown": (
        *(False, "base", [settings(model_type="nonsense")]),
        r"transformers cannot use .*config\.json: .*`nonsense`.*Install a transformers that knows",
    ),
    "model_type missing": (
        False,
        "base",
        [text("config.json", "{}")],
        r"transformers cannot use .*",
    ),
    "text as size": (
        False,
        "both",
        [settings(hidden_size="x")],
        r"config\.json: .*'hidden_size' ex",
    ),
    "heads do not divide": (
        False,
        "base",
        [settings(num_attention_heads=3)],
        r"hidden size \(32\) i",
    ),
    "unknown activation": (
        *(False, "both", [settings(hidden_act="nonsense")]),
        r"cannot build LlamaForCausalLM from config\.json: KeyError: .nonsense.\nCheck that",
    ),
    "padding outside": (
        *(False, "both", [settings(pad_token_id=10**6)]),
        r"cannot build LlamaForCausalLM from config\.json: AssertionError: Padding_idx",
    ),
    "no heads": (False, "both", [settings(num_attention_heads=0)], r"config\.json: integer modulo"),
    "unknown dtype": (False, "base", [settings(dtype="float77")], r"cannot use .* 'float77'"),
    "4-bit": (
        *(False, "instruct", [weights(query=lambda t: t.char()), settings(**FOUR_BITS)]),
        rf"instruct '.*' is quantised \(bitsandbytes\): 1 of 21 .*{QUERY}: .*the unquantised check",
    ),
    "fp8 without its settings": (
        *(False, "base", [weights(query=lambda t: t.to(torch.float8_e4m3fn))]),
        rf"base '.*' is quantised: 1 of 21 .*\n +{QUERY}: torch\.float8_e4m3fn\n.*unquantised",
    ),
    "int8": (False, "both", [weights(query=lambda t: t.char())], rf"{QUERY}: integers"),
    "NaN": (
        False,
        "base",
        [weights(head=filled(float("nan")))],
        rf"hold NaN or Inf:\n +base {HEAD}",
    ),
    "Inf": (False, "instruct", [weights(norm=filled(float("-inf")))], rf"Inf:\n +instruct {NORM}"),
    "tokenizer broken": (
        *(False, "instruct", [cut("tokenizer.json", 0.5)]),
        r"instruct '.*': its tokenizer cannot be read: .*Pass tokenizer=FOLDER",
    ),
    "tokenizer settings broken": (
        *(False, "instruct", [text("tokenizer_config.json", "[]")]),
        r"instruct '.*': its tokenizer cannot be read",
    ),
    "no tokenizer": (
        False,
        "both",
        [gone("token*")],
        r"None of instruct .*, base .* has a tokenizer",
    ),
    "generation settings broken": (
        *(False, "base", [text("generation_config.json", "{")]),
        r"generation_config\.json cannot be read as JSON",
    ),
    "bin with code": (
        *(False, "base", [to_bin({NORM: Code()})]),
        r"pytorch_model\.bin cannot be read: .*weights_only=True, and nothing else",
    ),
    "bin truncated": (
        False,
        "base",
        [to_bin(), cut("pytorch_model.bin", 0.5)],
        r"model\.bin cannot",
    ),
    "bin garbage": (
        False,
        "base",
        [to_bin(), text("pytorch_model.bin", "x" * 99)],
        r"bin cannot be",
    ),
    "bin a list": (False, "base", [to_bin([1, 2])], r"model\.bin cannot be read: it holds a list"),
    "bin nested": (
        False,
        "base",
        [to_bin({"model": {}})],
        r"it holds a dict, not only named tensor",
    ),
}


@pytest.fixture(scope="session")
def shards(pair_of: Callable[..., Pair]) -> Pair:
    """The pair in six shards."""
    pair = pair_of("llama", max_shard_size="20KB")
    assert (pair[0] / SHARD).is_file()
    return pair


@pytest.mark.parametrize("what", FILES)
def test_a_broken_file_is_named(what: str, pair: Pair, shards: Pair, tmp_path: Path) -> None:
    sharded, sides, changes, message = FILES[what]
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        attempt(shards if sharded else pair, tmp_path, sides, changes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("file", [ONE, "config.json"])
def test_a_file_without_permission_is_named(file: str, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"{file} cannot be read.*(?i:permission)"):
        attempt(pair, tmp_path, "base", [unreadable(file)])


@pytest.mark.parametrize("sides", ["base", "both"])
def test_code_in_a_checkpoint_is_not_run(sides: str, pair: Pair, tmp_path: Path) -> None:
    """Only trust_remote_code=True may import a checkpoint's own classes."""
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import LlamaForCausalLM as Own"
    own = settings(auto_map={"AutoModelForCausalLM": "own.Own", "AutoConfig": "own.Own"})
    attempt(pair, tmp_path / "pair", sides, [text("own.py", code), own])
    assert not (tmp_path / "ran").exists()
