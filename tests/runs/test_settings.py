"""Settings from a file and a command line."""

from __future__ import annotations

import math
import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from pa_harness.cli.main import parser
from pa_harness.errors import SweepError
from pa_harness.runs.identity import difference
from pa_harness.runs.settings import SweepSettings, as_yaml, resolve

if TYPE_CHECKING:
    from pathlib import Path

LEAST = {"model_args": ["pretrained=B,instruct=I"], "lam": "0,1", "tasks": ["a,b", "c"]}


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "model_args: {pretrained: X, instruct: I}\nlam: [0, 0.5]\ntasks: a,b\nlimit: 7\nseed: 3\n"
    )
    settings = resolve({"lam": "0:1:0.5", "limit": None, "batch_size": "8"}, file)
    assert settings.lam == (0.0, 0.5, 1.0)
    assert (settings.limit, settings.batch_size, settings.seed) == (7, 8, (3, 3, 3, 3))
    assert settings.tasks == ("a", "b")


def test_texts_are_read_as_lm_eval_reads_them() -> None:
    settings = resolve(
        {**LEAST, "gen_kwargs": ["temperature=0,stop=['a,b']", '{"top_p": 1}'], "limit": 0.5}
    )
    assert settings.model_args == {"pretrained": "B", "instruct": "I"}
    assert settings.tasks == ("a", "b", "c")
    assert settings.gen_kwargs == {"temperature": 0, "stop": ["a,b"], "top_p": 1}
    assert settings.limit == 0.5


def test_the_commands_options_arrive() -> None:
    options = parser().parse_args(
        shlex.split(
            "sweep -a pretrained=B,instruct=I --lam 0:1:0.5 -t a,b c -o run --limit 5 --seed 7 "
            "--categories a=instruction b=reading --metrics a=strict,none b=acc_norm,none "
            "--apply_chat_template false --gen_kwargs temperature=0 -b auto --include_path tasks"
        )
    )
    names = {each.name for each in fields(SweepSettings)}
    given = {name: value for name, value in vars(options).items() if name in names}
    settings = resolve(given)
    assert settings.tasks == ("a", "b", "c")
    assert settings.categories == {"a": "instruction", "b": "reading"}
    assert settings.metrics == {"a": "strict,none", "b": "acc_norm,none"}
    assert (settings.limit, settings.batch_size, settings.seed) == (5, "auto", (7, 7, 7, 7))
    assert settings.apply_chat_template is False
    assert settings.include_path == ("tasks",)
    assert {*names} <= {*vars(options)}  # every setting is an option, too


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    settings = resolve({**LEAST, "samples": '{"a": [1, 2]}', "seed": "0,None,1,2"})
    file = tmp_path / "sweep.yaml"
    file.write_text(as_yaml(settings), encoding="utf-8")
    assert resolve({}, file) == settings


def test_the_difference_names_what_changed() -> None:
    old = resolve({**LEAST, "limit": 20}).as_dict()
    new = resolve({**LEAST, "lam": "0,0.5,1", "model_args": "pretrained=C,instruct=I"}).as_dict()
    assert difference(old, new) == [
        "lam: [0.0, 1.0] there, [0.0, 0.5, 1.0] here",
        "limit: 20 there, null here",
        'model_args.pretrained: "B" there, "C" here',
    ]
    assert difference(old, old) == []


@pytest.mark.parametrize("written", ["0:1:0.5", "[0:1:0.5]", "[0, 0.5, 1]", "0,0.5,1"])
def test_a_range_in_a_file_is_no_number_to_the_base_60(written: str, tmp_path: Path) -> None:
    """YAML 1.1 reads 0:1:0.5 as 60.5."""
    file = tmp_path / "sweep.yaml"
    file.write_text(f"lam: {written}\nlimit: 2.0\nnum_fewshot: 3\n")
    settings = resolve({**LEAST, "lam": None}, file)
    assert settings.lam == (0.0, 0.5, 1.0)
    assert (settings.limit, settings.num_fewshot) == (2, 3)


def test_null_in_a_file_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("trust_remote_code: null\nbatch_size: null\n")
    assert resolve(LEAST, file) == resolve(LEAST)


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        ("trust_remote_code: true", "trust_remote_code"),
        ("confirm_run_unsafe_code: true", "confirm_run_unsafe_code"),
        ("model_args: {pretrained: a, trust_remote_code: true}", "trust_remote_code"),
        ("model_args: pretrained=a,instruct=b,trust_remote_code=True", "trust_remote_code"),
    ],
)
def test_a_file_gives_no_trust(written: str, flag: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.yaml"
    file.write_text(f"tasks: [a]\n{written}\n")
    given = {**LEAST, "model_args": None if "model_args" in written else LEAST["model_args"]}
    with pytest.raises(SweepError, match=f"asks for {flag}.* A file cannot .*add --{flag} to the"):
        resolve(given, file)
    resolve({**given, flag: True}, file)
    resolve(LEAST, tmp_path / "theirs.yaml") if "model_args" in written else None


def test_a_bomb_of_aliases_is_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    rows = [f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 9)}]" for n in range(8)]
    file.write_text("\n".join(["x0: &x0 [y, y, y, y, y, y, y, y]", *rows]))
    with pytest.raises(SweepError, match=r"cannot be read: line \d+: aliases .* multiply"):
        resolve(LEAST, file)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": None}, r"A sweep needs tasks: give --tasks"),
        ({"lamb": 1}, r"Unknown setting lamb=1\. Did you mean lam\?"),
        ({"zzz": 1}, r"Unknown setting zzz=1\. Known are:\n  apply_chat_template\n"),
        ({"limit": -1}, r"limit=-1: expected a number of documents"),
        ({"metrics": ["a=acc"]}, r"metrics='a=acc': expected TASK=METRIC,FILTER, as in"),
        ({"seed": "1,2"}, r"seed='1,2': expected one whole number"),
        ({"seed": "x"}, r"seed='x': expected"),
        ({"model_args": ["pretrained"]}, r"model_args='pretrained' cannot be read: .*key=value"),
        ({"limit": math.nan}, r"limit=nan: expected a number of documents"),
        ({"limit": math.inf}, r"limit=inf: expected a number of documents"),
        ({"limit": True}, r"limit=True: expected a number of documents"),
        ({"tasks": 3}, r"tasks=3: expected names"),
        ({"num_fewshot": "two"}, r"num_fewshot='two': expected a whole number, 0 or more"),
        ({"num_fewshot": -1}, r"num_fewshot=-1: expected a whole number"),
        ({"trust_remote_code": "no"}, r"trust_remote_code='no': expected true or false"),
        ({"apply_chat_template": 1}, r"apply_chat_template=1: expected true, false or a template"),
        ({"system_instruction": [1]}, r"system_instruction=\[1\]: expected a text"),
        ({"metadata": [1]}, r"metadata=\[1\]: expected values by name"),
        ({"model_args": 5}, r"model_args=5: expected values by name"),
        ({"categories": {"a": 5}}, r"categories=\{'a': 5\}: expected a text for each task"),
        ({"metadata": ['{"a": ']}, r"metadata='\{\"a\": ' cannot be read"),
    ],
)
def test_what_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        resolve({**LEAST, **given})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"cannot be read: line 2: did not find"),
        ("- a", r"holds list, not settings"),
        (None, "cannot be read: .*No such"),
    ],
)
def test_a_broken_file(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SweepError, match=message):
        resolve(LEAST, file)


def test_a_setting_that_did_not_exist_yet_is_null() -> None:
    """A sweep that an earlier version began can be completed."""
    assert difference({"limit": 2}, {"limit": 2, "knob": None}) == []
    assert difference({"limit": 2}, {"limit": 2, "knob": "mlp"}) == [
        'knob: nothing there, "mlp" here'
    ]
