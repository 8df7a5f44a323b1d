"""Malformed model arguments: each ends in one short message that names the argument at fault."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval._cli import HarnessCLI
from lm_eval.api.registry import get_model

from pa_harness.errors import PAHarnessError

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple["Path", "Path"]
Case = tuple[str, Any]
MISSING = "<the argument is left out>"
CAREFUL = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# ------------------------------------------------------------------ malformed (name, value) pairs

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LISTS = st.lists(st.integers(), max_size=2)
NOT_TEXT = st.integers(-9, 9) | st.floats() | st.booleans() | LISTS
NOT_WHOLE = WORDS | st.booleans() | LISTS | st.floats()
NOT_BOOL = WORDS | st.integers(-2, 2) | st.floats() | LISTS
NOWHERE = st.one_of(
    WORDS.map(lambda text: f"/nonexistent/{text}"),
    WORDS.map(lambda text: f"no such\0folder {text}"),
    st.sampled_from(["~nosuchuser/x", "/etc/passwd", "/dev/null", "a/b/c", "https://x/y", "a\nb"]),
    st.sampled_from(
        ["../nowhere/at/all", "..\\..\\x", "file:///etc", "a/b@v1", "\u202eevil \x1b[2J"]
    ),
    st.integers(97, 9999).map(lambda length: "x" * length),
    st.integers(97, 9999).map(lambda length: "a/" + "b" * length),
)
BLANK = st.sampled_from(["", " ", "\t", "\n ", "\u2003"])
CHECKPOINTS = ("pretrained", "instruct", "tokenizer")
SUBFOLDERS = ("subfolder", "instruct_subfolder")
REVISIONS = ("revision", "instruct_revision")
CHOICES = ("keep", "rounding", "config_from", "extra_rows", "lam_eff", "backend")
CHOSEN = {"base", "instruct", "files", "memory", "nearest", "stochastic", "refuse", "copy"}
CHOSEN |= {"model", "tensors", "default", "causal", "seq2seq"}
BOOLS = ("check_finite", "trust_remote_code", "logits_cache", "truncation", "parallelize")
REFUSED = ("delta", "gguf_file", "autogptq", "gptqmodel", "load_in_8bit", "quantization_config")
UNKNOWN = (
    "self",
    "cls",
    "kwargs",
    "__init__",
    "model",
    "lamda",
    "LAM",
    "λ",
    "Pretrained",
    "lm",
    "",
)


def some(names: tuple[str, ...], values: Any) -> st.SearchStrategy[Case]:
    values = values if isinstance(values, st.SearchStrategy) else st.sampled_from(values)
    return st.tuples(st.sampled_from(names), values)


MALFORMED = st.one_of(
    some(("lam",), [float("nan"), float("inf"), -float("inf"), True, MISSING, [0.5], "0.5", {}]),
    some(("lam",), WORDS | LISTS | st.sampled_from([10**400, -1e39, 1e300])),
    some((*CHECKPOINTS, *SUBFOLDERS, *REVISIONS, "device", "attn_implementation"), NOT_TEXT),
    some(CHECKPOINTS, NOWHERE),
    some(CHECKPOINTS, BLANK),
    some(SUBFOLDERS, NOWHERE),
    some(
        REVISIONS, ["..", "../../x", "a b", "v1^", "a~1", "a:b", "re\nv", "what?", "*", "\0", 12.0]
    ),
    some(CHOICES, NOT_TEXT | WORDS.filter(lambda word: word not in CHOSEN)),
    some(BOOLS, NOT_BOOL),
    some(
        ("rounding_seed", "max_length", "max_batch_size", "prefix_token_id", "tp_size"), NOT_WHOLE
    ),
    some(("max_length", "max_batch_size", "tp_size"), st.integers(max_value=0)),
    some(("prefix_token_id",), st.integers(max_value=-1)),
    some(
        ("batch_size",),
        [0, -1, 1.5, True, "0", "", "x", "AUTO", "auto:", "auto:x", "auto:0", "1e3"],
    ),
    some(("device",), ["gpu", "CPU", "cuda:-1", "cuda:x", "cuda:99", "meta", "cpu:0", "cpu ", ""]),
    some(
        ("dtype", "softmax_dtype"), ["fp16", "int8", "bool", "", " float32", "__class__", "nn", 16]
    ),
    some(("softmax_dtype", "mixed_precision_dtype"), ["auto", "float8_e4m3fn"]),
    some(("max_memory_per_gpu", "max_cpu_memory"), ["x", "10 G", "-1GB", "GiB", -1, 0.5, []]),
    some(("chat_template_args", "max_memory"), ["x", [], 5, True]),
    some(("enable_thinking",), [True]),
    some(("lambda",), [0.5, 0, "x"]),
    some(REFUSED, WORDS),
    some(("peft",), ["/adapter", "", 5]),
    some(("pretrained", "instruct"), [MISSING]),
    some(UNKNOWN, st.integers() | WORDS),
    st.tuples(st.from_regex(r"[a-z]{3,9}_[xyzλ\n\0]{2,2000}", fullmatch=True), WORDS),
)
# What a message may call the argument: a checkpoint is named by its role.
ROLES = {"pretrained": "base", "instruct_subfolder": "subfolder", "lambda": "lam"}


def arguments(pair: Pair, name: str, value: Any) -> dict[str, Any]:
    valid = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": 0.5, "device": "cpu"}
    given_all = valid | {name: value}
    return {key: value for key, value in given_all.items() if value is not MISSING}


def assert_names(caught: pytest.ExceptionInfo[PAHarnessError], name: str) -> None:
    message = str(caught.value)
    assert any(word in message for word in (name, ROLES.get(name, name), repr(name)[:50]))
    assert len(message) < 1500
    assert "\0" not in message


def from_command_line(text: str) -> Any:
    """The model, by way of lm-eval's own parser."""
    words = ["lm-eval", "run", "--model", "partially_adapted", "--tasks", "x", "--model_args", text]
    with mock.patch.object(sys, "argv", words):
        options = HarnessCLI().parse_args()
    return get_model("partially_adapted").create_from_arg_obj(options.model_args or {})


@CAREFUL
@given(case=MALFORMED)
def test_as_keywords(pair: Pair, case: Case) -> None:
    with pytest.raises(PAHarnessError) as caught:
        get_model("partially_adapted")(**arguments(pair, *case))
    assert_names(caught, case[0])


@CAREFUL
@given(case=MALFORMED, device=st.sampled_from([None, "cpu"]))
def test_as_a_dict_beside_lm_evals_own_settings(pair: Pair, case: Case, device: str | None) -> None:
    cls, given_all = get_model("partially_adapted"), arguments(pair, *case)
    more = {"device": device} if "device" not in given_all else {}
    with pytest.raises(PAHarnessError) as caught:
        cls.create_from_arg_obj(given_all, more | {"max_length": None})
    assert_names(caught, case[0])


def test_model_args_come_before_what_lm_eval_passes_beside_them(pair: Pair) -> None:
    make = get_model("partially_adapted")
    given = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": 0.5, "batch_size": 4}
    beside = {"batch_size": 1, "max_batch_size": None, "device": "cpu"}
    assert make.create_from_arg_obj(given, beside).batch_size == 4
    string = ",".join(f"{name}={value}" for name, value in given.items())
    assert make.create_from_arg_string(string, beside).batch_size == 4


@pytest.mark.parametrize("name", ["attn_implementation", "experts_implementation"])
def test_what_transformers_does_not_have_is_left_out(pair: Pair, name: str) -> None:
    with pytest.raises(PAHarnessError, match=rf"{name}='x' cannot be used: (?s:.*)Leave it out"):
        get_model("partially_adapted")(**arguments(pair, name, "x"))


@CAREFUL
@given(case=MALFORMED)
def test_as_json_on_the_command_line(pair: Pair, case: Case) -> None:
    with pytest.raises(PAHarnessError) as caught:
        from_command_line(json.dumps(arguments(pair, *case)))
    assert_names(caught, case[0])


# Not what starts as an argument does: Hypothesis may well think of lam=0, which is none too many.
SPOILT = WORDS.filter(lambda text: text.strip(",") and not re.match(r"[\s,]*\w+\s*=.", text))


@CAREFUL
@given(end=SPOILT)
def test_a_spoilt_list_on_the_command_line(pair: Pair, end: str) -> None:
    """lm-eval's parser refuses it (argparse, exit code 2), or we do."""
    with pytest.raises((PAHarnessError, SystemExit)) as caught:
        from_command_line(f"pretrained={pair[0]},instruct={pair[1]},lam=0.5,{end}")
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "lam", "=", "lam=", "lam=0,5", "lam=0.5.5", "lam=0.5;instruct=x", "lam=½", "lam==1"),
        *("null", "5", "[1]", '"x"', "{", "{}", "}", "{'lam': 0.5}", '{"lam": 0.5', '{"lam": }'),
        *(
            '{"lam": [[[{}]]]}',
            '{"a":' * 5000,
            "[" * 99999,
            "lam=" + "(" * 300,
            "lam=" + "-" * 9999,
        ),
        *("lam=" + "9" * 5000, '{"lam": ' + "9" * 5000 + "}", "lam={[]: 1}", "lam=0.5,lam=x"),
        *(
            "lam=²",
            "lam='0.5'",
            "lam=None",
            "lam=True",
            "lam=nan",
            "lam=-inf",
        ),
    ],
)
def test_odd_text_on_the_command_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((PAHarnessError, SystemExit)) as caught:
        from_command_line(text)
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 2
        assert "--model_args: " in capsys.readouterr().err
