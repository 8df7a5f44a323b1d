"""Schedules of λ: against a reference written apart, at the ends, in commands, and refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import FAMILIES
from loras import CASES, lora, make_adapter
from through_lm_eval import TEXTS, adapted, assert_same_weights, scores, stock, weights
from toy import run, toy_settings

from pa_harness.analysis.reading import read_trajectory
from pa_harness.cli.main import main
from pa_harness.errors import ModelArgsError, SweepError
from pa_harness.lam.modules import MODULES, modules_of
from pa_harness.lam.reading import read_schedule
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]


def blocks(layer: int) -> float:
    return (0.9, 0.1)[layer]


# A schedule, and the same λ by hand: of the parameter's name and its layer (None outside).
FORMS: dict[str, tuple[dict[str, Any], Callable[[str, Any], float]]] = {
    "constant": ({"base": 0.3}, lambda _n, _i: 0.3),
    "linear": (
        {"base": 0.5, "rules": [{"lam": {"linear": [0.2, 0.6]}}]},
        lambda _n, i: 0.5 if i is None else 0.2 + 0.6 * i,
    ),
    "blocks": (
        {"base": 0.5, "rules": [{"lam": {"blocks": [0.9, 0.1]}}]},
        lambda _n, i: 0.5 if i is None else blocks(i),
    ),
    "list of one module": (
        {"base": 0, "rules": [{"module": "mlp", "lam": {"list": [1, 0.25]}}]},
        lambda n, i: 0.0 if i is None or ".mlp." not in n else (1.0, 0.25)[i],
    ),
    "modules": (
        {"base": 0.5, "rules": [{"module": ["q", "k"], "lam": 0}, {"module": "norm", "lam": 1}]},
        lambda n, _i: 1.0 if "norm" in n else 0.0 if "q_proj" in n or "k_proj" in n else 0.5,
    ),
    "the last match wins": (
        {"base": 0.5, "rules": [{"module": "attn", "lam": 1}, {"module": "v", "lam": 0.1}]},
        lambda n, _i: 0.1 if "v_proj" in n else 1.0 if "self_attn" in n else 0.5,
    ),
    "layers and a pattern": (
        {
            "base": 0.7,
            "rules": [{"layers": "1-3", "lam": 0.2}, {"pattern": "embed|lm_head", "lam": 1.2}],
        },
        lambda n, i: 1.2 if "embed" in n or "lm_head" in n else 0.2 if i == 1 else 0.7,
    ),
    "knobs": (
        {"base": "x", "knobs": {"x": 0.4, "y": 0.6}, "rules": [{"module": "o", "lam": "y"}]},
        lambda n, _i: 0.6 if "o_proj" in n else 0.4,
    ),
}


def reference(pair: Pair, lam_of: Callable[[str, Any], float]) -> dict[str, torch.Tensor]:
    """θ_λ parameter by parameter, from the two models as `hf` loads them."""
    base, instruct = (weights(stock(folder, tokenizer=str(pair[1]))) for folder in pair)
    found = {}
    for name, value in base.items():
        layer = re.search(r"layers\.(\d+)\.", name)
        lam = lam_of(name, int(layer.group(1)) if layer else None)
        other = instruct[name]
        merged = torch.lerp(value.float(), other.float(), lam).to(value.dtype)
        found[name] = {0.0: value, 1.0: other}.get(lam, merged)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "llama-tied", "qwen-3", "gemma-3"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_reference(
    form: str, family: str, dtype: torch.dtype, pair_of: Callable[..., Pair]
) -> None:
    """Loaded with the schedule, and changed to it in place from another λ."""
    pair = pair_of(family, dtype)
    schedule, lam_of = FORMS[form]
    expected = reference(pair, lam_of)
    loaded, changed = adapted(pair, json.dumps(schedule)), adapted(pair, 1)
    changed.set_lam(schedule)
    for lm in (loaded, changed):
        for name, value in weights(lm).items():
            assert torch.equal(value.view(torch.uint8), expected[name].view(torch.uint8)), name


@pytest.mark.parametrize("lam", [0, 0.3, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_constant_schedule_is_the_number(
    family: str, lam: float, pair_of: Callable[..., Pair]
) -> None:
    pair = pair_of(family, torch.bfloat16)
    constant = {"base": 0.9, "rules": [{"lam": lam, "pattern": ""}]}
    lm, number = adapted(pair, constant), adapted(pair, lam)
    assert_same_weights(lm, number)
    assert lm.get_model_info()["weights"] == number.get_model_info()["weights"] != ""
    lm.set_lam(0.6)
    lm.set_lam(constant)
    assert_same_weights(lm, number)


def test_experts_and_routers_of_fused_layers(pair_of: Callable[..., Pair]) -> None:
    """Rules speak of the model's parameters, in which the experts of a layer are stacked."""
    pair = pair_of("mixtral", torch.float32)
    rules = [{"module": "experts", "lam": 1}, {"pattern": r"0.*down_proj", "lam": 0}]
    lm = adapted(pair, {"base": 0, "rules": rules})
    base, instruct, ours = (weights(each) for each in (stock(pair[0]), stock(pair[1]), lm))
    for name, value in ours.items():
        moved = "experts" in name and name != "model.layers.0.mlp.experts.down_proj"
        assert torch.equal(value, (instruct if moved else base)[name]), name


@pytest.mark.parametrize("case", ["plain", "transposed", "beside fused experts"])
def test_a_lora_pair(case: str, tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, *CASES[case])
    halves = {"base": 1, "rules": [{"layers": 0, "lam": 0.5}]}
    ours, half, whole = (weights(lora(pair, lam)) for lam in (halves, 0.5, 1))
    for name, value in ours.items():
        same = half if ".0." in name else whole
        assert torch.equal(value, same[name]), name


def test_modules_of_every_family(pair_of: Callable[..., Pair]) -> None:
    """Everything has a module; q, k and v are one tensor in two families."""
    from safetensors import safe_open

    for family in FAMILIES:
        with safe_open(pair_of(family)[0] / "model.safetensors", "pt") as file:
            keys = list(file.keys())
        none = [key for key in keys if not modules_of(key)]
        assert not none, (family, none)
        present = {name for key in keys for name in modules_of(key)}
        missing = set(MODULES) - present
        fused = {"q", "k", "v"} if family in ("gpt-2", "gpt-neox") else set()
        experts = set() if family in ("mixtral", "glm-4-moe") else {"experts"}
        missing -= {"lm_head", "other"} | ({"norm"} if family == "olmo" else set())
        assert missing == fused | experts
        assert "other" not in present


def test_lam_eff_is_measured_against_the_mean(pair_of: Callable[..., Pair]) -> None:
    pair = pair_of("llama", torch.float32)
    lm = adapted(pair, {"base": 0.2, "rules": [{"module": "mlp", "lam": 0.8}]})
    info = lm.get_model_info()
    assert info["lam"] is None
    assert info["model_args"]["lam"]["rules"] == [{"module": ["mlp"], "lam": 0.8}]
    change = {n: (w, weights(stock(pair[1]))[n]) for n, w in weights(stock(pair[0])).items()}
    share = {n: float(((b - a).double() ** 2).sum()) for n, (a, b) in change.items()}
    inside = sum(value for name, value in share.items() if ".mlp." in name)
    mean = 0.2 + 0.6 * inside / sum(share.values())
    assert info["lam_eff"] == pytest.approx(mean, abs=1e-5)
    assert lm._weights.asked_lam() == pytest.approx(mean, abs=1e-5)


def test_the_identity_carries_the_schedule(pair: Pair, tmp_path: Path) -> None:
    one, other = {"base": 0.2}, {"base": 0.2, "rules": [{"layers": 1, "lam": 0.3}]}
    file = tmp_path / "schedule.yaml"
    file.write_text("base: 0.2\nrules: [{layers: 1, lam: 0.3}]\n")
    found = [adapted(pair, lam).get_model_info() for lam in (one, other, str(file))]
    assert found[0]["identity"] != found[1]["identity"] == found[2]["identity"]
    assert found[2]["model_args"]["lam"] == other | {"rules": [{"layers": [1], "lam": 0.3}]}
    assert read_schedule(read_schedule(other).as_dict()) == read_schedule(str(file))


def test_show_lam(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = '{"base": 0.5, "rules": [{"module": "q", "layers": [1], "lam": 0.125}]}'
    arguments = f"pretrained={pair[0]},instruct={pair[1]},lam={schedule}"
    assert main(["show-lam", "--model_args", arguments]) == 0
    lines = dict(reversed(line.split()) for line in capsys.readouterr().out.splitlines())
    odd = "model.layers.1.self_attn.q_proj.weight"
    assert lines.pop(odd) == "0.125"
    assert set(lines.values()) == {"0.5"}
    assert "lm_head.weight" in lines


def test_a_sweep_over_a_knob(pair: Pair, toy_tasks: Path, tmp_path: Path) -> None:
    """λ of the sweep is the knob: at each value the answers are those of the schedule there."""
    schedule = {"base": 1, "knobs": {"deep": 0.5}, "rules": [{"layers": 1, "lam": "deep"}]}
    settings = toy_settings(pair, toy_tasks)
    arguments = {**settings.model_args, "lam": schedule}
    plain = {**settings.as_dict(), "tasks": "toy_kind"}
    knob = {**plain, "model_args": arguments, "knob": "deep", "lam": "0,1"}
    run(resolve(knob), tmp_path / "knob")
    run(resolve({**plain, "lam": "1"}), tmp_path / "plain")
    swept = RunFolder(tmp_path / "knob").scores()
    whole = RunFolder(tmp_path / "plain").scores()
    assert [s.value for s in swept if s.lam == 1] == [s.value for s in whole]
    assert {score.lam for score in swept} == {0, 1}
    (file,) = (tmp_path / "knob/lam=0").glob("results_*.json")
    config = json.loads(file.read_text())["config"]
    assert (config["lam"], config["knob"]) == (0, "deep")
    assert config["model_args"]["lam"]["knobs"] == {"deep": 0}
    (note,) = read_trajectory(tmp_path / "knob").notes
    assert note.startswith("λ is here the knob deep of the schedule ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"knob": "x"}, r"--knob x: the schedule lam= has the knobs \[\]"),
        ({"lam_arg": {"base": 0.5}, "knob": "x"}, r"--knob x: .* has the knobs \[\]"),
        ({"lam_arg": {"base": "y", "knobs": {"y": 0.5}}}, r"lam=.* in --model_args: a sweep sets"),
    ],
)
def test_knobs_that_are_not_there(
    changes: dict[str, Any], message: str, pair: Pair, toy_tasks: Path
) -> None:
    settings = toy_settings(pair, toy_tasks)
    lam = {"lam": changes.pop("lam_arg")} if "lam_arg" in changes else {}
    with pytest.raises(SweepError, match=message):
        toy_settings(pair, toy_tasks, model_args={**settings.model_args, **lam}, **changes)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            {"base": 1, "rules": [{"layers": 2, "lam": 0}]},
            r"matches no tensor.*2 layers \(0 to 1\)",
        ),
        (
            {"base": 1, "rules": [{"module": "experts", "lam": 0}]},
            r"matches no tensor.*modules attn",
        ),
        ({"base": 1, "rules": [{"pattern": "nothing", "lam": 0}]}, r"\"pattern\": \"nothing\""),
        (
            {"base": 1, "rules": [{"module": "q", "lam": 0}, {"module": "attn", "lam": 0.5}]},
            r'rule {"module": \["q"\], "lam": 0.0} sets no tensor: later rules match all',
        ),
        ({"base": 1, "knobs": {"a": 1}}, r"the knob a is not used. Write its name in a rule"),
        ({"base": 1, "rules": [{"lam": {"list": [1]}}]}, r"list: 1 numbers for 2 layers"),
        ({"base": 1, "rules": [{"lam": {"blocks": [1, 1, 1]}}]}, r"3 blocks of 2 layers"),
        ({"base": 1, "rules": [{"lam": {"linear": [1]}}]}, r"two numbers, α and β"),
        ({"base": 1, "rules": [{"lam": {"cubic": [1]}}]}, r"unknown 'cubic'"),
        ({"base": 1, "rules": [{"lam": {}}]}, r"should be one of linear"),
        ({"base": 1, "rules": [{"module": "q"}]}, r"has no lam"),
        ({"base": 1, "rules": [{"module": "query", "lam": 0}]}, r"module='query' is unknown"),
        ({"base": 1, "rules": [{"modul": "q", "lam": 0}]}, r"unknown 'modul'. Did you mean module"),
        ({"base": 1, "rules": [{"pattern": "(", "lam": 0}]}, r"not a regular expression"),
        ({"base": 1, "rules": [{"layers": "3-1", "lam": 0}]}, r"layers='3-1' should be layers"),
        ({"base": 1, "rules": {"lam": 0}}, r"should be a list of rules"),
        ({"base": 1, "knobs": [1]}, r"should be numbers by name"),
        ({"base": "x", "knobs": {"y": 1}}, r"base='x' should be a finite number or a knob \(y\)"),
        ({"base": float("nan")}, r"base=nan should be a finite number"),
        ({"base": 10**400}, r"base=1000+ should be a finite number"),
        ({"rules": []}, r"a schedule needs base"),
        ("{base: [", r"lam: not YAML or JSON"),
        ("no_such_file.yaml", r"lam='no_such_file.yaml' is neither a number nor a schedule"),
        ("{1}", r"should be a mapping of base|unknown 1"),
    ],
)
def test_what_is_no_schedule(schedule: Any, message: str, pair: Pair) -> None:
    with pytest.raises(ModelArgsError, match=f"(?s){message}"):
        adapted(pair, schedule)


def test_answers_differ_between_schedules(pair: Pair) -> None:
    """The answers follow the weights, through a change in place and back."""
    lm = adapted(pair, 0)
    before = scores(lm)
    lm.set_lam({"base": 0, "rules": [{"module": "v", "lam": 1}]})
    assert len(scores(lm)) == len(TEXTS)
    assert scores(lm) != before
    lm.set_lam(0)
    assert scores(lm) == before
