"""Two models of one language model: which of both θ_λ are the parameters of, and who has them.

One may be a wrapper (of images or sounds) around the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pa_harness.checkpoints.architecture import Architecture, whole_model
from pa_harness.checkpoints.configuration import choose_config
from pa_harness.checkpoints.side import Side, outside, read_side
from pa_harness.errors import CheckpointError, PairError, listed

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.parameters import Source

Names = dict[str, str]  # of a side's parameters -> of the pair's model's


def meet(
    base: Architecture, instruct: Architecture, config_from: str | None
) -> tuple[Architecture, tuple[Names | None, Names | None], list[str]]:
    """The model of the pair, what the two sides' parameters are called there, what to warn of.

    The class that both have; or of a wrapper (images, sounds) and its text model the latter.
    """
    sides = {"base": base, "instruct": instruct}
    known: tuple[Names | None, Names | None] = (None, None)
    text = instruct
    if base.cls is not instruct.cls:
        known = (names_in(base, instruct), None)
        if known[0] is None:
            known, text = (None, names_in(instruct, base)), base
        if known == (None, None):
            raise PairError(
                f"base is a {base.cls.__name__}, instruct a {instruct.cls.__name__}, and neither "
                "holds the other as its text model. The two must share one architecture; check "
                "that instruct= was tuned from pretrained=."
            )
        sides = {role: _text_side(side, text) for role, side in sides.items()}
    whose, notes = choose_config(sides["base"], sides["instruct"], config_from)
    model = sides[whose]
    if config_from is None and model.aliases != _common_aliases(base, instruct, known):
        model = model.with_config(tie_word_embeddings=False)
        notes.append(
            "one side ties its head to the embedding, the other does not: θ_λ has a head of its "
            "own, which on the tied side is the embedding"
        )
    return model, known, notes


def _text_side(side: Architecture, text: Architecture) -> Architecture:
    """A wrapper's text part as a model of the class of `text`."""
    if side is text:
        return side
    settings = side.config.get_text_config().to_dict()
    kind = type(text.config)
    settings = {k: v for k, v in settings.items() if k not in ("model_type", "architectures")}
    return replace(side, cls=text.cls, config=kind.from_dict(settings))


def _common_aliases(
    base: Architecture, instruct: Architecture, known: tuple[Names | None, Names | None]
) -> dict[str, str]:
    """The aliases (see `Architecture.aliases`) that both sides have, under the model's names."""
    found = [
        {
            (names or {}).get(alias, alias): (names or {}).get(name, name)
            for alias, name in side.aliases.items()
            if names is None or alias in names
        }
        for side, names in zip((base, instruct), known, strict=True)
    ]
    return {alias: name for alias, name in found[0].items() if found[1].get(alias) == name}


def as_model(
    side: Side, model: Architecture, names: Names | None
) -> tuple[dict[str, Source], list[str]]:
    """A side's values under the model's names, and what to say of those that have none there."""
    own = side.model
    names = names or {name: name for name in (*own.stored, *own.aliases)}
    found = {
        ours: side.sources[own.aliases.get(theirs, theirs)]
        for theirs, ours in names.items()
        if own.aliases.get(theirs, theirs) in side.sources
    }
    kept = {name: found[name] for name in model.stored if name in found}
    used = {id(source) for source in kept.values()}
    left = [name for name, source in side.sources.items() if id(source) not in used]
    notes = []
    if left:
        notes.append(
            f"{side.checkpoint}: {len(left)} tensors take no part in {model.cls.__name__} and are "
            f"left out of the evaluation:\n{listed(outside(left, side.sources.keys() - {*left}))}"
        )
    return kept, notes


def read_text(
    checkpoint: Checkpoint, config: PretrainedConfig, own: Architecture, *, dequantize: bool
) -> Side:
    """A checkpoint as its text model, which files of a wrapper may name in the wrapper's way only.

    Raises:
        CheckpointError: it fits neither.
    """
    try:
        return read_side(checkpoint, own, dequantize=dequantize)
    except CheckpointError:
        whole = Architecture(*whole_model(config, checkpoint), own.dtype, checkpoint)
        names = None if whole.cls is own.cls else names_in(whole, own)
        if names is None:
            raise
    read = read_side(checkpoint, whole, dequantize=dequantize)
    sources, left = as_model(read, own, names)
    return Side(checkpoint, own, sources, (*read.notes, *left))


def interchangeable(own: Architecture, model: Architecture) -> bool:
    """Whether a side's files say the same of both."""
    if own is model:
        return True
    shapes = [{n: t.shape for n, t in each.stored.items()} for each in (own, model)]
    return own.cls is model.cls and shapes[0] == shapes[1] and own.aliases == model.aliases


def names_in(wrapper: Architecture, text: Architecture) -> dict[str, str] | None:
    """The text model's parameters as a wrapper names them.

    Both hold tensors of the same names there; of what shapes is their configurations' business.

    Args:
        wrapper: the architecture that may hold the other's text model.
        text: the text model.

    Returns:
        Name in the wrapper -> name in the text model, aliases included; None where it has none.
    """
    if wrapper.config.get_text_config() is wrapper.config:
        return None
    whole, alone = wrapper.shell_names, text.shell_names
    prefix = f"{text.decoder or text.shell.base_model_prefix}."
    inner = {name.removeprefix(prefix) for name in alone if name.startswith(prefix)}
    outer = [name for name in alone if not name.startswith(prefix)]
    for path, _ in wrapper.shell.named_modules():
        held = {n.removeprefix(f"{path}.") for n in whole if path and n.startswith(f"{path}.")}
        if not inner or held != inner:
            continue
        names = {f"{path}.{name}": f"{prefix}{name}" for name in inner}
        heads = {name: [n for n in whole if _ends(n, name) and n not in names] for name in outer}
        if all(len(found) == 1 for found in heads.values()):
            return names | {found[0]: name for name, found in heads.items()}
    return None


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")
