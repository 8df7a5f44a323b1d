"""Adapters that are broken, or that λ cannot scale: each is refused by name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from breakage import cut, dangling, filled, gone, settings, snapshot, text
from families import make_model, save
from lm_eval.api.registry import get_model
from peft import IA3Config, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from pa_harness.errors import AdapterError, CheckpointError, PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pa_harness.errors import PAHarnessError

FILE, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MODULE = "model.layers.0.self_attn.q_proj"
A, B = (f"base_model.model.{MODULE}.lora_{factor}.weight" for factor in "AB")
LORA: dict[str, Any] = {
    **{"target_modules": ["q_proj"], "r": 4, "lora_alpha": 8, "init_lora_weights": False},
}


def factors(**changes: Any) -> Callable[[Path], None]:
    """Replace tensors of the adapter; `old` and `new` names are in full."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / FILE)
        for name, function in changes.items():
            tensor = tensors.pop(name, None)
            if function is not None:
                tensors[name] = function(tensor).contiguous()
        save_file(tensors, folder / FILE, metadata={"format": "pt"})

    return change


# what: (changes, class, message)
FILES: dict[str, tuple[list[Callable[[Path], None]], type[PAHarnessError], str]] = {
    "no settings": ([gone(CONFIG)], AdapterError, rf"has no {CONFIG} .*use instruct= instead of p"),
    "settings dangling": ([dangling(CONFIG)], AdapterError, rf"has no {CONFIG}"),
    "settings broken": ([cut(CONFIG, 0.5)], CheckpointError, rf"{CONFIG} cannot be read as JSON"),
    "settings a list": (
        [text(CONFIG, "[]")],
        CheckpointError,
        rf"{CONFIG} holds a list, not an ob",
    ),
    "no peft_type": (
        [settings(CONFIG, peft_type=None)],
        AdapterError,
        rf"peft cannot read .*{CONFIG}",
    ),
    "other peft_type": (
        [settings(CONFIG, peft_type="NO")],
        AdapterError,
        rf"peft cannot read .*{CONFIG}",
    ),
    "rank in words": (
        [settings(CONFIG, r="four")],
        AdapterError,
        r"adapter_config\.json: r is 'four', a str\. Correct it",
    ),
    "patterns in a list": (
        [settings(CONFIG, rank_pattern=[1])],
        *(AdapterError, r"adapter_config\.json: rank_pattern is \[1\], a list\. Correct it"),
    ),
    "parameters by number": (
        [settings(CONFIG, target_parameters=5)],
        *(AdapterError, r"adapter_config\.json: target_parameters is 5, a int\. Correct it"),
    ),
    "rank zero": (
        [settings(CONFIG, r=0)],
        AdapterError,
        r"expected rank 0 \(adapter_config\.json\)",
    ),
    "alpha in words": ([settings(CONFIG, lora_alpha="x")], AdapterError, r"lora_alpha='x'"),
    "slow pattern": (
        [settings(CONFIG, rank_pattern={r"(([a-z]|\w|[.])+)+(?<!j)": 4})],
        *(AdapterError, r"the pattern '.*' of rank_pattern .* takes too long to match \(model"),
    ),
    "no pattern": (
        [settings(CONFIG, alpha_pattern={"(": 4})],
        *(AdapterError, r"the pattern '\(' of rank_pattern or alpha_pattern, .* missing \)"),
    ),
    "other rank": (
        [settings(CONFIG, r=8)],
        AdapterError,
        rf"{MODULE} .*\[32, 4\] and \[4, 32\]; expected rank 8",
    ),
    "DoRA": (
        [settings(CONFIG, use_dora=True)],
        AdapterError,
        r"not scale .*linearly:\n +use_dora=T",
    ),
    "modules_to_save": (
        [settings(CONFIG, modules_to_save=["lm_head"])],
        *(AdapterError, r"linearly:\n +modules_to_save=\['lm_head'\]\nMerge the adapter"),
    ),
    "trained bias": ([settings(CONFIG, bias="all")], AdapterError, r"linearly:\n +bias='all'"),
    "PiSSA": (
        [settings(CONFIG, init_lora_weights="pissa")],
        AdapterError,
        r"init_lora_weights='pis",
    ),
    "no weights": (
        [gone(FILE)],
        AdapterError,
        r"its weights cannot be read: ",
    ),
    "truncated": (
        [cut(FILE, 0.5)],
        AdapterError,
        r"its weights cannot be read: .*not fully covered",
    ),
    "zero bytes": ([cut(FILE, 0)], AdapterError, r"its weights cannot be read: .*too small"),
    "pickled code": (
        [gone(FILE), text("adapter_model.bin", b"cos\nsystem\n(S'true'\ntR.")],
        *(AdapterError, r"its weights cannot be read: "),
    ),
    "no tensors": ([factors(**{A: None, B: None})], AdapterError, r"holds no LoRA factors"),
    "a factor missing": (
        [factors(**{B: None})],
        AdapterError,
        rf"{MODULE} lacks one of its two LoR",
    ),
    "NaN": (
        [factors(**{A: filled(float("nan"))})],
        AdapterError,
        r"NaN or Inf in:\n .*q_proj\.lora_A",
    ),
    "another tensor": (
        [factors(**{"base_model.model.lm_head.weight": lambda _: torch.ones(2)})],
        *(
            AdapterError,
            r"1 tensors that are not LoRA factors:\n +base_model\.model\.lm_head\.weight",
        ),
    ),
    "factors that do not meet": (
        [factors(**{A: lambda t: t[:2]})],
        *(AdapterError, rf"{MODULE} have the shapes \[32, 4\] and \[2, 32\]; expected rank 4"),
    ),
    "wrong width": (
        [factors(**{A: lambda t: t[:, :16]})],
        *(
            PairError,
            rf"does not fit base:\n +{MODULE}: base \[32, 32\], the adapter.s factors "
            r"\[32, 4\] and \[4, 16\]",
        ),
    ),
    "another model's modules": (
        [
            factors(**{A: None, B: None}),
            factors(**{A.replace("layers.0", "layers.7"): lambda _: torch.ones(4, 32)}),
            factors(**{B.replace("layers.0", "layers.7"): lambda _: torch.ones(32, 4)}),
        ],
        *(
            PairError,
            r"adapts 1 modules that base does not have:\n +model\.layers\.7\.self_attn\.q_",
        ),
    ),
}


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and a LoRA of rank 4 on the first layer's queries."""
    folder = tmp_path_factory.mktemp("lora")
    base = make_model("llama", seed=1)
    save(base, folder / "base")
    config = LoraConfig(layers_to_transform=[0], layers_pattern="layers", **LORA)
    get_peft_model(base, config).save_pretrained(folder / "adapter")
    return folder / "base", folder / "adapter"


def load(base: Path, adapter: Path) -> Any:
    cls = get_model("partially_adapted")
    return cls(pretrained=str(base), peft=str(adapter), lam=0.5, device="cpu")


def test_the_adapter_is_sound_before_it_is_broken(lora: tuple[Path, Path]) -> None:
    assert load(*lora).lam == 0.5


@pytest.mark.parametrize("what", FILES)
def test_a_broken_adapter_is_named(what: str, lora: tuple[Path, Path], tmp_path: Path) -> None:
    changes, kind, message = FILES[what]
    shutil.copytree(lora[1], tmp_path / "adapter")
    for change in changes:
        change(tmp_path / "adapter")
    before = snapshot(tmp_path)
    with pytest.raises(kind, match=f"(?s)({message})"):
        load(lora[0], tmp_path / "adapter")
    assert snapshot(tmp_path) == before


def test_an_adapter_of_another_method_is_refused(lora: tuple[Path, Path], tmp_path: Path) -> None:
    model = make_model("llama", seed=1)
    config = IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    get_peft_model(model, config).save_pretrained(tmp_path)
    with pytest.raises(
        AdapterError, match=r"is a .*IA3 adapter\. λ scales LoRA adapters only; mer"
    ):
        load(lora[0], tmp_path)


def test_an_adapter_of_a_tied_weight_is_refused(tmp_path: Path) -> None:
    base = make_model("llama-tied", seed=1)
    save(base, tmp_path / "base")
    config = LoraConfig(**LORA | {"target_modules": ["lm_head"]})
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(
        AdapterError, match=r"adapts weights that are (tied|assembled).*:\n +lm_head"
    ):
        load(tmp_path / "base", tmp_path / "adapter")
