"""A task's prompts: rendered once, the same on whatever day; and where two renderings differ."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError
from pa_harness.runs.identity import first_difference
from pa_harness.sweep.workload import silence

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings


def keep_date(lm: Any, started: str) -> None:
    """Give chat templates that ask for today's date the day on which the sweep began.

    It would else be another prompt tomorrow. A variable of a template goes before a function of
    that name that transformers has.

    Args:
        lm: lm-eval's model.
        started: date and time, ISO.
    """
    given = getattr(lm, "chat_template_args", None)
    if given is not None:
        lm.chat_template_args = {**given, "strftime_now": datetime.fromisoformat(started).strftime}


def build_prompts(task: Any, settings: SweepSettings, lm: Any, template: str) -> str:
    """Render the task's prompts, for good; return a digest of all requests and documents.

    Args:
        task: lm-eval's; asked to build requests later, it will keep these.
        settings: limit, samples, system instruction.
        lm: for its chat template.
        template: of `facts`.

    Raises:
        SweepError: a chat template is wanted, and the tokenizer has none.
    """
    from lm_eval.evaluator_utils import get_sample_size

    if template:
        _check_template(task, lm)
    multiturn = settings.fewshot_as_multiturn
    with silence():
        task.build_all_requests(
            limit=get_sample_size(task, settings.limit),
            samples=(settings.samples or {}).get(task.task_name),
            rank=lm.rank,
            world_size=lm.world_size,
            system_instruction=settings.system_instruction,
            apply_chat_template=bool(template),
            fewshot_as_multiturn=bool(template) and multiturn is not False,
            chat_template=lm.apply_chat_template if template else None,
            tokenizer_name=getattr(lm, "tokenizer_name", "") if template else "",
        )
    task.build_all_requests = lambda **_: None
    sha = hashlib.sha256()
    for instance in task.instances:
        sha.update(json.dumps([instance.doc_id, instance.arguments], default=str).encode())
    return sha.hexdigest()


def first_difference_to(log: Path, task: Any) -> str:
    """The first request that is not the one in a sample log, in words."""
    now: dict[int, list[list[Any]]] = {}
    for instance in task.instances:
        now.setdefault(instance.doc_id, []).append(_plain(instance.arguments))
    with log.open(encoding="utf-8") as file:
        for line, (number, asked) in zip(file, now.items(), strict=False):
            sample = json.loads(line)
            there = [list(request.values()) for request in sample["arguments"].values()]
            if there != asked:
                pairs = zip(there, asked, strict=False)
                old, new = next(((a, b) for a, b in pairs if a != b), (there, asked))
                words = first_difference(*(_text(each) for each in (old, new)))
                return f"document {sample.get('doc_id', number)}: {words}"
    return f"{len(now)} documents are asked now, another number was then"


def _plain(arguments: Any) -> list[Any]:
    found: list[Any] = json.loads(json.dumps(list(arguments), default=str))
    return found


def _text(arguments: list[Any]) -> str:
    return " ⏎ ".join(str(each) for each in arguments)


def _check_template(task: Any, lm: Any) -> None:
    tokenizer = getattr(lm, "tokenizer", None)
    if tokenizer is not None and not getattr(tokenizer, "chat_template", None):
        raise SweepError(
            f"{task.task_name} is asked in chat format, and the tokenizer has no chat template. "
            "Name one that has (tokenizer= in --model_args), or ask raw prompts "
            "(--apply_chat_template false)."
        )
