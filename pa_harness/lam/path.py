"""A path of checkpoints as it is written, and where on it λ is.

    path: [allenai/base, allenai/sft, {model: allenai/dpo, revision: v2}, {peft: ./adapter}]

λ = n is the n-th of them, from 0; between two neighbours λ goes on a straight line. Beyond the ends
the first and the last leg go on. A path of two is the pair `pretrained` and `instruct` (or `peft`),
and is written so everywhere: `short_form`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ModelArgsError
from pa_harness.lam.reading import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PARTS = ("model", "peft", "revision", "subfolder")
_EXAMPLE = '{"path": ["BASE", "SFT", "INSTRUCT"], "lam": 1.3}'
PAIR = (  # what names the ends of a pair: model argument -> part of a stage
    {"pretrained": "name", "revision": "revision", "subfolder": "subfolder"},
    {"instruct_revision": "revision", "instruct_subfolder": "subfolder"},
)


@dataclass(frozen=True)
class Stage:
    """One checkpoint of a path.

    Attributes:
        name: folder or hub id.
        revision: on the hub; None for the default.
        subfolder: inside its repository.
        is_adapter: whether it is a LoRA on the stage before.
    """

    name: str
    revision: str | None = None
    subfolder: str = ""
    is_adapter: bool = False


def place(lam: float, legs: int) -> tuple[int, float]:
    """The leg that λ is on, from 0, and how far: 0 is the leg's first checkpoint, 1 its second.

    Exact in decimals: λ = 1.3 is 0.3 of the second leg, as typed. A knot belongs to the leg that
    begins there; the last one ends the last leg.

    Args:
        lam: λ, finite.
        legs: of the path, 1 or more.
    """
    leg = int(min(max(lam, 0), legs - 1))
    return leg, float(Decimal(repr(float(lam))) - leg) if leg else lam


def read_path(given: Any) -> tuple[Stage, ...]:
    """The stages of a path.

    Args:
        given: the model argument: two or more folders or hub ids, or mappings as above.

    Raises:
        ModelArgsError: it is none, or begins with an adapter.
    """
    if not isinstance(given, (list, tuple)) or len(given) < 2:
        raise ModelArgsError(
            f"path={str(given)[:200]!r} should be a list of two or more checkpoints. Expected for "
            f"example --model_args '{_EXAMPLE}'."
        )
    stages = tuple(map(_stage, given))
    for before, after in zip((None, *stages), stages, strict=False):
        if after.is_adapter and (before is None or before.is_adapter):
            what = "the first of a path" if before is None else f"on the adapter {before.name!r}"
            raise ModelArgsError(
                f"path: the adapter {after.name!r} is {what}. An adapter needs a full checkpoint "
                "before it: merge one into its model with peft, and name that."
            )
    return stages


def roles(stages: Sequence[Stage]) -> list[str]:
    """What messages and results call them: base, instruct or peft; base, stage_1, peft_2."""
    if len(stages) == 2:
        return ["base", "peft" if stages[1].is_adapter else "instruct"]
    kinds = ("peft" if stage.is_adapter else "stage" for stage in stages)
    return ["base", *[f"{kind}_{n}" for n, kind in enumerate(kinds)][1:]]


def short_form(model_args: Mapping[str, Any]) -> dict[str, Any]:
    """Model arguments in which a path of two is a pair; a longer one is a list.

    Raises:
        ModelArgsError: the path is none, or stands beside another naming of checkpoints.
    """
    found = dict(model_args)
    given = found.pop("path", None)
    if given is None:
        return found
    stages = read_path(given)
    others = [name for name in (*PAIR[0], "instruct", "peft", *PAIR[1]) if found.get(name)]
    if others:
        raise ModelArgsError(
            f"path= and {others[0]}= both name checkpoints. Write the revision or subfolder of a "
            "stage into the path: {model: NAME, revision: …, subfolder: …}."
        )
    if len(stages) > 2:
        return {**found, "path": [_written(stage) for stage in stages]}
    first, second = stages
    names = {"pretrained": first.name, "peft" if second.is_adapter else "instruct": second.name}
    more = {
        argument: getattr(stage, part)
        for stage, parts in zip(stages, PAIR, strict=True)
        for argument, part in parts.items()
        if part != "name" and getattr(stage, part)
    }
    return {**names, **more, **found}


def stages_of(model_args: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The checkpoints that λ leads through, as far as they are given.

    Args:
        model_args: in their short form.
    """
    given = model_args.get
    if given("path"):
        return read_path(given("path"))
    more = given("instruct_revision"), given("instruct_subfolder") or ""
    ends = (
        Stage(given("pretrained") or "", given("revision"), given("subfolder") or ""),
        Stage(given("instruct") or "", *more),
        Stage(given("peft") or "", *more, is_adapter=True),
    )
    return tuple(stage for stage in ends if stage.name)


def _stage(given: Any) -> Stage:
    content = {"model": given} if isinstance(given, str) else checked(given, _PARTS, "path")
    names = [name for name in ("model", "peft") if content.get(name)]
    texts = all(isinstance(value, str) or value is None for value in content.values())
    if len(names) != 1 or not texts or not content[names[0]].strip():
        raise ModelArgsError(
            f"path: {given!r} should name one checkpoint: a folder or hub id, {{model: NAME, "
            "revision: …, subfolder: …}, or for an adapter {peft: NAME}."
        )
    return Stage(
        content[names[0]],
        content.get("revision") or None,
        content.get("subfolder") or "",
        is_adapter=names[0] == "peft",
    )


def _written(stage: Stage) -> str | dict[str, str]:
    """A stage as short as it can be."""
    parts = {"peft" if stage.is_adapter else "model": stage.name}
    parts |= {"revision": stage.revision} if stage.revision else {}
    parts |= {"subfolder": stage.subfolder} if stage.subfolder else {}
    return stage.name if list(parts) == ["model"] else parts
