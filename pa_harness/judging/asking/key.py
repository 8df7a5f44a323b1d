"""The key of a judge's server, out of the environment; OpenAI's own goes to OpenAI only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError
from pa_harness.judging.annotator import OPENAI_URL

if TYPE_CHECKING:
    from collections.abc import Collection

    from pa_harness.judging.annotator import Annotator

KEY = "OPENAI_API_KEY"


def find_key(
    name: str | None, annotator: Annotator | None, missing: Collection[object]
) -> str | None:
    """The key of the variable that was named, or OpenAI's; None where none is needed.

    Args:
        name: of an environment variable.
        annotator: who is asked.
        missing: requests that have no answer yet.

    Raises:
        JudgeError: there is none where one is needed.
    """
    if annotator is None or not missing:
        return None
    wanted = name or (KEY if annotator.base_url == OPENAI_URL else None)
    key = os.environ.get(wanted, "").strip() if wanted else None
    if wanted and not key:
        raise JudgeError(
            f"The environment variable {wanted} is not set: it must hold the key for "
            f"{annotator.base_url}. For a server of your own give --base_url and --judge_model."
        )
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise JudgeError(  # sent as it is, it would come back in an error message
            f"The environment variable {wanted} holds no key: there is a blank, a line break or "
            "a letter that is not ASCII in it. Set it to the key alone."
        )
    return key
