"""The text of every message about model arguments, and what is not an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from pa_harness.errors import ModelArgsError
from pa_harness.weights.arguments import DEFAULT_PAIR, parse

EXAMPLE = r"Expected --model_args pretrained=BASE,instruct=INSTRUCT,lam=0\.5"
TEXTS: list[tuple[dict[str, Any], str]] = [
    ({"lam": None}, rf"^lam= is missing: the adaptation strength λ\. {EXAMPLE}\.$"),
    ({"lam": "x"}, r"^lam='x' is not a number\. Expected the adaptation strength λ as one finite"),
    (
        {"lambda": 0},
        r"^lambda=0 is a Python keyword; the argument is called lam\. Pass lam=0\.5\.$",
    ),
    (
        {"delta": "d"},
        r"^delta='d' would be added on top of θ_λ at full strength\. Pass the instruct",
    ),
    ({"gguf_file": "f"}, r"^gguf_file='f' names quantised weights, .* Pass unquantised folders"),
    ({"autogptq": True}, r"^autogptq=True loads quantised weights, .* Leave it out"),
    ({"gptqmodel": True}, r"^gptqmodel=True loads quantised weights, .* Leave it out"),
    ({"load_in_8bit": True}, r"^load_in_8bit=True quantises while loading, .* Use dtype=bfloat16"),
    ({"load_in_4bit": True}, r"^load_in_4bit=True quantises while loading, .* Use dtype=bfloat16"),
    ({"quantization_config": {1: 2}}, r"^quantization_config=\{1: 2\} is not supported here\. Use"),
    (
        {"lamda": 1},
        r"^Unknown model argument lamda=1\. Did you mean lam\? Ours are lam, pretrained,",
    ),
    (
        {"zzz": 1},
        r"^Unknown model argument zzz=1\. Ours are .*prefix_sharing; the others are lm-eval's for",
    ),
    ({"a b": "x" * 999}, r"^Unknown model argument 'a b'='x{199}… \(1001 characters\)\. "),
    (
        {"instruct": 1000},
        r"^instruct=1000 should be text, not int\. A folder of that name is instruct=\./1000\.",
    ),
    (
        {"revision": 12},
        r"^revision=12 should be text, not int\. lm-eval reads unquoted hashes as nu",
    ),
    (
        {"instruct_revision": 1e5},
        r"pass --model_args as JSON, or quote it: instruct_revision=\"'\.",
    ),
    ({"keep": "disk"}, r"^keep='disk' should be 'auto' or 'files' or 'memory'\.$"),
    ({"check_finite": 1}, r"^check_finite=1 should be True or False, not int\.$"),
    ({"max_length": 2.5}, r"^max_length=2\.5 should be a whole number, not float\.$"),
    ({"chat_template_args": "x"}, r"^chat_template_args='x' should be a mapping, not str\.$"),
    ({"device_map": "x"}, r"^device_map='x' is not possible\. Expected such as auto\.$"),
    ({"device_map": 3}, r"^device_map=3 should be a mapping or text, not int\.$"),
    ({"pretrained": ""}, r"^pretrained='' is empty\. Expected a folder or hub id: "),
    ({"instruct": " "}, r"^instruct=' ' is empty\. Expected a folder or hub id: --model_args pret"),
    ({"tokenizer": ""}, r"^tokenizer='' is empty\. Expected a folder or hub id"),
    (
        {"batch_size": "auto:x"},
        r"^batch_size='auto:x' is not possible\. Expected a positive whole n",
    ),
    ({"max_batch_size": 0}, r"^max_batch_size=0 is not possible\. Expected 1 or more\.$"),
    ({"max_length": -3}, r"^max_length=-3 is not possible\. Expected 1 or more tokens\.$"),
    (
        {"prefix_token_id": -1},
        r"^prefix_token_id=-1 is not possible\. Expected a token id: 0 or more",
    ),
    (
        {"max_cpu_memory": "lots"},
        r"^max_cpu_memory='lots' is not possible\. Expected bytes, or for e",
    ),
    (
        {"revision": "a..b"},
        r"^revision='a\.\.b' is not possible\. Expected a branch, tag or commit h",
    ),
    (
        {"peft": "p"},
        r"^Exactly one of instruct= and peft= is needed; both were given\. Expected --m",
    ),
    (
        {"instruct": None},
        r"^Exactly one of .* neither was given\. .*peft=ADAPTER in the place of ins",
    ),
    ({"pretrained": None}, rf"^pretrained= \(the base\) is missing\. {EXAMPLE}\.$"),
    (
        {"dtype": "int8"},
        r"^dtype='int8' is not a floating dtype\. Expected float32, bfloat16, float",
    ),
    ({"softmax_dtype": "x"}, r"^softmax_dtype='x' is not a floating dtype\. "),
    (
        {"softmax_dtype": "auto"},
        r"^softmax_dtype='auto' has no meaning\. Expected for example float",
    ),
    (
        {"rounding": "stochastic", "dtype": "float32"},
        r"^rounding=stochastic is defined for bfloat16 weights, not dtype='float32': wider dtype",
    ),
    ({"enable_thinking": True}, r"^enable_thinking=True needs think_end_token=: .*</think>\.$"),
    (
        {"tp_plan": "auto", "parallelize": True},
        r"^tp_plan= and parallelize=True exclude each other\.",
    ),
    ({"tp_size": 2}, r"^tp_size=2 needs tp_plan=auto, under torchrun\.$"),
    (
        {"device": "gpu"},
        r"^device='gpu' is not a device\. Expected for example cpu, cuda or cuda:0",
    ),
    ({"device": "cpu:1"}, r"^device='cpu:1' cannot run models\. Expected cpu, cuda or mps\.$"),
    (
        {"device": "cuda:99"},
        r"^device='cuda:99' is not here: torch sees \d+ cuda devices\. Pass devi",
    ),
]
GOOD: list[dict[str, Any]] = [
    *({"load_in_8bit": False}, {"delta": ""}, {"revision": ""}, {"revision": "refs/pr/1"}),
    *({"batch_size": "auto:4"}, {"batch_size": "8"}, {"dtype": torch.float16}, {"dtype": "auto"}),
    *({"device_map": "auto"}, {"device_map": {"": "cpu"}}),
    *({"device": "cuda:0"}, {"max_memory_per_gpu": "1.5 GiB", "parallelize": True}, {"lam": 1}),
    *({"enable_thinking": True, "think_end_token": "\n"}, {"think_end_token": 7}),
    *({"revision": "a" * 40}, {"instruct_revision": "v1.0-step1000+x"}, {"max_length": None}),
]


def read(**changes: Any) -> Any:
    return parse({"pretrained": "b", "instruct": "i", "lam": 0.5} | changes, HFLM.__init__)


@pytest.mark.parametrize(("changes", "text"), TEXTS, ids=lambda value: str(value)[:40])
def test_the_message(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelArgsError, match=text):
        read(**changes)


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_what_is_no_error(changes: dict[str, Any]) -> None:
    ours, _ = read(**changes)
    assert (ours.pretrained, ours.instruct) == ("b", "i")


def test_without_a_pair_the_small_default_one_stands_in() -> None:
    ours, _ = read(pretrained=None, instruct=None)
    assert (ours.pretrained, ours.instruct) == DEFAULT_PAIR
    assert ours.uses_default_pair


def test_without_a_device_the_machines_own_is_taken() -> None:
    """HFLM's default is cuda, also where there is none."""
    assert read()[1]["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
