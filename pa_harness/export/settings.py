"""An export's config.json, generation_config.json and code, readable by transformers 4 and 5."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from pa_harness.checkpoints.checkpoint import Checkpoint
from pa_harness.checkpoints.configuration import read_config
from pa_harness.checkpoints.vocabulary import read_tokenizer, stop_ids
from pa_harness.errors import CheckpointError, ExportError, PAHarnessError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.checkpoints.architecture import Architecture
    from pa_harness.weights.opening import Opened

_HELD_ELSEWHERE = ("rope_theta", "partial_rotary_factor")  # by transformers 4, beside rope_scaling


def write_settings(opened: Opened, model: Architecture, folder: Path) -> None:
    """Write both files.

    Args:
        opened: the pair.
        model: the exported one.
        folder: of the export.
    """
    pair = opened.weights.pair
    config = copy.deepcopy(model.config)
    config.dtype = opened.weights.dtype
    config.architectures = [model.cls.__name__]
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "mrope" not in model.code:  # of a wrapper, for images only
        config.rope_parameters = {k: v for k, v in rope.items() if not k.startswith("mrope")}
    config.save_pretrained(folder)
    _add_names_of_4(folder, trust_remote_code=opened.trust_remote_code)
    generation: dict[str, Any] = next(
        filter(None, (side.read_json("generation_config.json") for side in pair.full)), {}
    )
    tokenizer = read_tokenizer(opened.tokenizer, trust_remote_code=opened.trust_remote_code)
    stops = stop_ids(pair.knots, tokenizer)
    generation |= {"eos_token_id": stops or None}
    _write(folder / "generation_config.json", generation)


def check_opens(folder: Path, *, trust_remote_code: bool) -> None:
    """Open the written configuration and tokenizer as whoever uses them will.

    Raises:
        ExportError: transformers cannot.
    """
    written = Checkpoint(str(folder), "export", folder)
    try:
        read_config(written, trust_remote_code=trust_remote_code)
        read_tokenizer(written, trust_remote_code=trust_remote_code)
    except PAHarnessError as error:
        raise ExportError(
            f"transformers cannot open what was written: {first_line(error)}\nNothing was kept. Is "
            "a file of the tokenizer or the model's code missing beside the checkpoints?"
        ) from error


def names_of_4(settings: dict[str, Any]) -> dict[str, Any]:
    """What transformers 4 calls settings that transformers 5 has renamed.

    Args:
        settings: of one model, as transformers 5 writes them.
    """
    names = {}
    if settings.get("dtype"):
        names["torch_dtype"] = settings["dtype"]
    rope = settings.get("rope_parameters") or {}
    if "full_attention" in rope:  # Gemma 3: one for each kind of layer
        local = (rope.get("sliding_attention") or {}).get("rope_theta")
        names |= {} if local is None else {"rope_local_base_freq": local}
        rope = rope["full_attention"] or {}
    names |= {name: rope[name] for name in _HELD_ELSEWHERE if rope.get(name) is not None}
    scaling = {k: v for k, v in rope.items() if k not in _HELD_ELSEWHERE and v is not None}
    if scaling and scaling != {"rope_type": "default"}:
        names["rope_scaling"] = scaling
    if settings.get("model_type") == "gpt_neox" and rope:
        names |= {"rotary_emb_base": rope.get("rope_theta")}
        names |= {"rotary_pct": rope.get("partial_rotary_factor", 1.0)}
    return {name: value for name, value in names.items() if name not in settings}


def _add_names_of_4(folder: Path, *, trust_remote_code: bool) -> None:
    """Add them to config.json, where transformers 5 then reads the same as before."""
    written = Checkpoint(str(folder), "export", folder)
    before = read_config(written, trust_remote_code=trust_remote_code).to_dict()
    settings = written.read_json("config.json")
    more = copy.deepcopy(settings)
    for part in (more, *(v for k, v in more.items() if k == "text_config")):
        part |= names_of_4(part)
    _write(folder / "config.json", more)
    try:
        after = read_config(written, trust_remote_code=trust_remote_code).to_dict()
    except CheckpointError:  # a type that transformers 4 does not know, and 5 has no old names for
        after = {}
    if {k: after.get(k) for k in before} != before:
        _write(folder / "config.json", settings)


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
