"""Where the text model of one architecture stands in another: a wrapper of images around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pa_harness.checkpoints.architecture import Architecture


def names_in(wrapper: Architecture, text: Architecture) -> dict[str, str] | None:
    """The text model's parameters as a wrapper names them.

    Both hold the same tensors there, up to the number of rows of a vocabulary.

    Args:
        wrapper: the architecture that may hold the other's text model.
        text: the text model.

    Returns:
        Name in the wrapper -> name in the text model, aliases included; None where it has none.
    """
    whole, alone = wrapper.shell.state_dict(), text.shell.state_dict()
    prefix = f"{text.shell.base_model_prefix}."
    inner = {name.removeprefix(prefix) for name in alone if name.startswith(prefix)}
    outer = [name for name in alone if not name.startswith(prefix)]
    for path, _ in wrapper.shell.named_modules():
        held = {n.removeprefix(f"{path}.") for n in whole if path and n.startswith(f"{path}.")}
        if not inner or held != inner:
            continue
        names = {f"{path}.{name}": f"{prefix}{name}" for name in inner}
        heads = {name: [n for n in whole if _ends(n, name) and n not in names] for name in outer}
        if all(len(found) == 1 for found in heads.values()):
            names |= {found[0]: name for name, found in heads.items()}
            fits = (whole[n].shape[1:] == alone[t].shape[1:] for n, t in names.items())
            return names if all(fits) else None
    return None


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")
