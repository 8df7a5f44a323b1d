"""Whether a win rate may stand beside AlpacaEval's leaderboard, and if not, why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.judging.annotator import OFFICIAL, OFFICIAL_MODEL, OPENAI_URL
from pa_harness.judging.published import BASELINE, INSTRUCTIONS
from pa_harness.runs.judgements import COMPARABLE, NOT_COMPARABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.judging.annotator import Annotator
    from pa_harness.judging.outputs import Outputs
    from pa_harness.judging.reference import Reference

_TOKENS, _TEMPERATURE = 2048, 0.7  # of the leaderboard's configurations of open models


def comparable(
    outputs: Outputs,
    reference: Reference,
    annotator: Annotator | None,
    answered_by: Sequence[str],
    verdicts: int,
) -> str:
    """``comparable``, or ``not comparable: `` and every reason.

    Args:
        outputs: of the model.
        reference: it was compared with.
        annotator: the judge; None where verdicts came with the file.
        answered_by: what the server called the judge.
        verdicts: how many there are.
    """
    reasons = [
        *_judge(annotator, answered_by),
        *(
            []
            if reference.official
            else [f"the reference is not known to be {BASELINE} as published"]
        ),
        *([] if verdicts == INSTRUCTIONS else [f"{verdicts} verdicts of {INSTRUCTIONS}"]),
        *_template(outputs),
        *_decoding(outputs.decoding),
    ]
    return f"{NOT_COMPARABLE}{'; '.join(reasons)}" if reasons else COMPARABLE


def _judge(annotator: Annotator | None, answered_by: Sequence[str]) -> list[str]:
    if annotator is None:
        return ["which judge gave the verdicts is not known"]
    if not annotator.official:
        return [f"the judge is not {OFFICIAL} ({OFFICIAL_MODEL} at {OPENAI_URL})"]
    others = [name for name in answered_by if name != OFFICIAL_MODEL]
    return [f"the server answered as {', '.join(others)}"] if others else []


def _template(outputs: Outputs) -> list[str]:
    if outputs.chat_template is None:
        return ["whether the chat template was applied is not known"]
    return [] if outputs.chat_template else ["the chat template was not applied"]


def _decoding(settings: Mapping[str, Any] | None) -> list[str]:
    if settings is None:
        return ["the decoding is not known"]
    temperature = settings.get("temperature")
    sampled = settings.get("do_sample", bool(temperature)) and bool(temperature)
    limit = settings.get("max_gen_toks") or settings.get("max_new_tokens") or 0
    reasons = []
    if not sampled or temperature != _TEMPERATURE:
        how = f"at temperature {temperature:g}" if sampled else "greedily"
        reasons.append(f"decoded {how}, not at temperature {_TEMPERATURE:g}")
    if limit < _TOKENS:
        reasons.append(f"answers were cut at {limit} tokens, not {_TOKENS}")
    return reasons
