"""A task's prompts: rendered once, the same on whatever day; and where two renderings differ."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import PAHarnessError, SweepError, first_line
from pa_harness.runs.identity import first_difference
from pa_harness.sweep.workload import silence_but_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings


@contextmanager
def _on(started: str) -> Iterator[None]:
    """Give chat templates that ask for today's date the day on which the sweep began.

    It would else be another prompt tomorrow. transformers has no argument for it, so its clock is
    exchanged meanwhile; one that has moved is an AttributeError.
    """
    from transformers.utils import chat_template_utils

    templates: Any = chat_template_utils  # to types, its clock is none of ours
    day, clock = datetime.fromisoformat(started), templates.datetime
    templates.datetime = SimpleNamespace(now=lambda: day)
    try:
        yield
    finally:
        templates.datetime = clock


def build_prompts(task: Any, settings: SweepSettings, lm: Any, template: str, started: str) -> str:
    """Render the task's prompts, for good; return a digest of all requests and documents.

    Args:
        task: lm-eval's; asked to build requests later, it will keep these.
        settings: limit, samples, system instruction.
        lm: for its chat template.
        template: of `facts`.
        started: when the sweep began, ISO.

    Raises:
        SweepError: a chat template is wanted, and the tokenizer has none.
    """
    from lm_eval.evaluator_utils import get_sample_size

    if template:
        _check_template(task, lm)
    multiturn = settings.fewshot_as_multiturn
    with silence_but_warnings(), _named(task), _on(started):
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
    if template and settings.system_instruction:
        _check_system(task, settings.system_instruction)
    check = getattr(lm, "check_requests", None)
    if check is not None:
        with _named(task):
            check(task.instances)
    sha = hashlib.sha256()
    for instance in task.instances:
        sha.update(json.dumps([instance.doc_id, instance.arguments], default=str).encode())
    return sha.hexdigest()


@contextmanager
def _named(task: Any) -> Iterator[None]:
    """Errors of lm-eval and of the task's own code, with its name: most are for the user to mend.

    Raises:
        SweepError: prompts could not be made.
        PAHarnessError: they cannot be answered.
    """
    name, shots = task.task_name, task.get_config("num_fewshot")
    try:
        yield
    except PAHarnessError as error:
        raise type(error)(f"{name}: {error}") from None
    except Exception as error:
        few = " There are fewer examples to take shots from, perhaps." if shots else ""
        raise SweepError(
            f"{name}: its prompts cannot be made with num_fewshot={shots}: "
            f"{type(error).__name__}: {first_line(error)}.{few} `pa-harness check-task` finds "
            "what is wrong with a task."
        ) from error


def _check_system(task: Any, instruction: str) -> None:
    """Some templates take no system message; lm-eval then leaves it out."""
    if not any(instruction.strip() in str(each.arguments[0]) for each in task.instances[:1]):
        raise SweepError(
            f"{task.task_name}: the chat template drops the system message, so that no prompt has "
            f"--system_instruction {instruction[:60]!r}. Leave it out, or choose another template "
            "or tokenizer (tokenizer= in --model_args)."
        )


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
