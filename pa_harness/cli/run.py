"""The verb run: lm-eval's own command, with all that is ours in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pa_harness.errors import PAHarnessError, install_excepthook, tell
from pa_harness.registration import install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.cli.verb import Verbs


def add(verbs: Verbs) -> None:
    """Name the verb in the command's help; what follows it is lm-eval's to parse."""
    verbs.add_parser(
        "run", help="lm-eval's own command, where the startup hook is off (lm-eval run --help)"
    )


def run(arguments: Sequence[str]) -> int:
    """``lm-eval run ...`` with our model types and tasks, without the startup hook."""
    install(switchable=False)
    install_excepthook()
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    except PAHarnessError as error:
        return tell(error)
    return 0
