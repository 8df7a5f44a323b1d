"""Trust is given by whoever runs a command, in that command; never by a file, nor by a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAGS = ("trust_remote_code", "confirm_run_unsafe_code")
_REMOTE = _FLAGS[0]


def check_trust(file: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """See that a settings file gives no trust that the command line does not give too.

    Somebody else's ``sweep.yaml`` would otherwise run the code of the checkpoints that it names.

    Args:
        file: its settings by name.
        given: those of the command line; None and absent mean "not given".

    Raises:
        SweepError: it does.
    """
    asked = {name for name in _FLAGS if file.get(name)}
    model_args = file.get("model_args")
    if given.get("model_args") is None:
        named = (
            model_args if isinstance(model_args, dict) else {_REMOTE: _REMOTE in str(model_args)}
        )
        asked |= {_REMOTE} if named.get(_REMOTE) else set()
    missing = sorted(name for name in asked if not given.get(name))
    if missing:
        flags = " ".join(f"--{name}" for name in missing)
        raise SweepError(
            f"The --config file asks for {', '.join(missing)}, which runs code that checkpoints or "
            f"tasks bring along. A file cannot give that trust: look at the code, and add {flags} "
            "to the command."
        )
