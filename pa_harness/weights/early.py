"""Model arguments before anything slow is imported: names, forms, and whether the pair is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.checkpoints.location import find_root
from pa_harness.errors import CheckpointError
from pa_harness.lam.path import Stage, roles
from pa_harness.weights.arguments import FROM_PRETRAINED, split

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_early(given: Mapping[str, Any]) -> None:
    """What `--model partially_adapted` would say of its arguments, in a second and without torch.

    Types of lm-eval's own arguments, dtype, device and all that takes the weights are the model's
    to check.

    Args:
        given: the model arguments, with `lam`.

    Raises:
        ModelArgsError: an argument is unknown, malformed or missing.
        CheckpointError: a side of the pair is not there.
    """
    ours, rest = split(given, {**FROM_PRETRAINED, **dict.fromkeys(_names_of_lm_eval(), Any)})
    stages = dict(zip(roles(ours.stages), ours.stages, strict=True))
    if isinstance(rest.get("tokenizer"), str):
        stages["tokenizer"] = Stage(rest["tokenizer"])
    for role, stage in stages.items():
        folder = find_root(stage.name, role, stage.revision)[0] / stage.subfolder
        wanted = "adapter_config.json" if stage.is_adapter else "config.json"
        if role != "tokenizer" and not (folder / wanted).exists():
            raise CheckpointError(
                f"{role} {stage.name!r:.200} has no {wanted} (in {folder}). Expected the folder of "
                "a checkpoint."
            )


def _names_of_lm_eval() -> list[str]:
    """Argument names of lm-eval's `HFLM`, read from its source: to import it costs seconds."""
    found = importlib.util.find_spec("lm_eval")
    places = (found.submodule_search_locations if found else None) or ["."]
    source = Path(next(iter(places))) / "models" / "huggingface.py"
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == "HFLM":
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    arguments = [*each.args.args, *each.args.kwonlyargs]
                    return [argument.arg for argument in arguments[1:]]
    raise LookupError(f"{source} has no HFLM.__init__")
