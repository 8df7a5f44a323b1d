"""What a task makes of its data: documents, shots and prompts as plain records; and findings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pa_harness.data_file import is_empty
from pa_harness.errors import TaskError, first_line
from pa_harness.tasks.authoring.columns import is_counted, texts_in
from pa_harness.tasks.authoring.confinement import one_document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pa_harness.tasks.authoring.source import LoadedTask

PROMPTS = 3
# Of a document's problems, those that have a cure of their own.
LISTED = "have an answer that lm-eval takes for a Python list"
COUNTED = "have a gold answer that lm-eval takes for an option's number, and that is another's text"
_PATIENCE = 60.0  # seconds for all documents of a split
_SEED = 1234  # lm-eval's default seed of few-shot sampling


@dataclass(frozen=True)
class Finding:
    """Something a check has to say.

    Attributes:
        level: "error" (numbers would be wrong), "warning" (they would mislead) or "note".
        what: what is the case, with names and counts.
        cure: what to do about it.
    """

    level: str
    what: str
    cure: str = ""


@dataclass(frozen=True)
class Document:
    """A document as the task shows it.

    Attributes:
        number: its row in the split, from 0, as in lm-eval's samples.
        text: the prompt's part that is the document's own; where options are prompts, what
            follows each of them.
        choices: the options' texts; none in generation.
        gold: the index of the right one.
        targets: the text, or texts, that count as right.
        problem: what keeps it from being scored, and the values; empty if nothing does.
        unfilled: columns that are null or empty, among those the task uses.
    """

    number: int
    text: str
    choices: tuple[str, ...] = ()
    gold: int | None = None
    targets: tuple[str, ...] = ()
    problem: tuple[str, str] = ("", "")
    unfilled: tuple[str, ...] = ()

    @property
    def question(self) -> tuple[str, ...]:
        """What is asked: equal for two documents that differ in their answer only."""
        return (self.text, *self.choices)


@dataclass(frozen=True)
class Prompt:
    """A whole prompt, shots included.

    Attributes:
        context: what the model is given.
        continuations: what is scored after it, the delimiter included; in generation, the target.
        gold: the index of the right continuation.
        own: the length of the context's end that is the document's own.
    """

    context: str
    continuations: tuple[str, ...]
    gold: int | None
    own: int


@dataclass(frozen=True)
class Material:
    """Everything that is checked.

    Attributes:
        loaded: the task.
        documents: the evaluated ones, the first `limit` of `total`.
        shots: those that are shown; where they are drawn at random, all that may be.
        pool: the few-shot split, its first `limit`.
        prompts: of the first documents.
        failure: why there are no prompts.
    """

    loaded: LoadedTask
    documents: list[Document]
    total: int
    shots: list[Document]
    pool: list[Document]
    prompts: list[Prompt]
    failure: str = ""

    @property
    def scored_by_choice(self) -> bool:
        """Whether likelihoods of options are compared."""
        return bool(self.loaded.task.OUTPUT_TYPE == "multiple_choice")

    @property
    def num_fewshot(self) -> int:
        """How many shots the YAML asks for."""
        return self.loaded.task.config.num_fewshot or 0

    @property
    def sampler(self) -> str:
        """The name of the sampler of shots."""
        found = self.loaded.task.fewshot_cfg.sampler
        return found if isinstance(found, str) else found.__name__

    @property
    def labels(self) -> tuple[str, ...]:
        """The options, where every document has the same; else none."""
        found = {document.choices for document in self.documents if not document.problem[0]}
        return found.pop() if len(found) == 1 else ()

    @property
    def fewshot_split(self) -> str | None:
        """The split the shots come from; lm-eval's own choice where the YAML makes none."""
        config = self.loaded.task.config
        how = self.loaded.task.fewshot_cfg
        if how.split is None and how.samples:
            return None
        either = how.split or config.training_split or config.validation_split
        return str(either or config.test_split)

    @property
    def test_split(self) -> str:
        """The split that is evaluated."""
        config = self.loaded.task.config
        return str(config.test_split or config.validation_split)


def read_material(loaded: LoadedTask, used: list[str], limit: int) -> Material:
    """Render the first `limit` documents and possible shots, and the first few prompts.

    Args:
        loaded: the task.
        used: the columns it uses.
        limit: how many documents of each split to look at.

    Raises:
        TaskError: a document, or all of them, take too long.
    """
    task = loaded.task
    documents = _documents(task, task.task_docs, used, limit, shot=False)
    sampler = getattr(task, "sampler", None)
    pool = _documents(task, sampler.df if sampler else [], used, limit, shot=True)
    fixed = task.fewshot_cfg.sampler == "first_n"
    shots = pool[: task.config.num_fewshot or 0] if fixed else pool
    prompts, failure = _prompts(task, documents)
    if not task.config.num_fewshot:
        shots = []
    return Material(loaded, documents, len(task.task_docs), shots, pool, prompts, failure)


def _documents(
    task: Any, rows: Iterable[dict[str, Any]], used: list[str], limit: int, *, shot: bool
) -> list[Document]:
    found = []
    began = time.monotonic()
    for number, row in enumerate(islice(rows, limit)):
        unfilled = tuple(column for column in used if is_empty(row.get(column)))
        try:
            with one_document():
                found.append(_document(task, row, number, unfilled, shot=shot))
        except TimeoutError as error:
            raise _too_long(task, f"document {number}", error) from None
        except Exception as error:  # noqa: BLE001 -- templates, and the user's own functions
            problem = ("cannot be rendered", f"{type(error).__name__}: {first_line(error)}")
            found.append(Document(number, "", problem=problem, unfilled=unfilled))
        if time.monotonic() - began > _PATIENCE:
            raise TaskError(
                f"{task.task_name}: the first {number + 1} documents took more than "
                f"{_PATIENCE:g} seconds. Look at fewer: --limit {max(1, number // 2)}."
            )
    return found


def _too_long(task: Any, what: str, error: TimeoutError) -> TaskError:
    return TaskError(
        f"{task.task_name}: the texts of {what} cannot be made: {error}. Look for a loop in its "
        "templates and functions."
    )


def _document(
    task: Any, row: dict[str, Any], number: int, unfilled: tuple[str, ...], *, shot: bool
) -> Document:
    how = task.fewshot_cfg if shot else task.config
    text = task.doc_to_text(row, how.doc_to_text)
    target = task.doc_to_target(row, how.doc_to_target)
    choices = tuple(task.doc_to_choice(row, how.doc_to_choice)) if how.doc_to_choice else ()
    if task.multiple_input:  # the options are prompts, the target follows each of them
        return _chosen(number, str(target), choices, text, unfilled)
    if task.OUTPUT_TYPE == "multiple_choice":
        if is_counted(how.doc_to_target, target, choices, row, task):
            problem = (COUNTED, f"{str(target)!r} with the options {list(choices)}")
            return Document(number, text, choices, problem=problem, unfilled=unfilled)
        return _chosen(number, text, choices, target, unfilled)
    if choices and isinstance(target, int):
        target = choices[target]
    shown = texts_in(how.doc_to_target, row, task)
    if isinstance(target, list) and shown:
        return Document(number, text, problem=(LISTED, repr(target)), unfilled=unfilled)
    targets = tuple(str(item) for item in (target if isinstance(target, list) else [target]))
    blank = not any(item.strip() for item in targets)
    problem = ("have an empty target", repr(target)) if blank else ("", "")
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        problem = ("", "")
    return Document(number, text, (), None, targets, problem, unfilled)


def _chosen(
    number: int, text: str, choices: tuple[Any, ...], gold: Any, unfilled: tuple[str, ...]
) -> Document:
    """A multiple-choice document, with what is wrong with its options or its gold."""
    golds = gold if isinstance(gold, list) else [gold]
    indices = [choices.index(g) if isinstance(g, str) and g in choices else g for g in golds]
    valid = [i for i in indices if isinstance(i, int) and 0 <= i < len(choices)]
    problem = ("", "")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        problem = ("have an option that is empty or no text", repr(list(choices)))
        choices, valid = tuple(map(str, choices)), []
    elif len(choices) < 2:
        problem = ("have fewer than two options", repr(list(choices)))
    elif len(valid) < len(indices) or not indices:
        what = f"{gold!r} with the options {list(choices)}"
        problem = ("have a gold answer that is none of their options", what)
    elif len(set(choices)) < len(choices):
        problem = ("have the same option twice", repr(list(choices)))
    targets = tuple(choices[i] for i in valid)
    return Document(number, text, choices, valid[0] if valid else None, targets, problem, unfilled)


def _prompts(task: Any, documents: list[Document]) -> tuple[list[Prompt], str]:
    """The first prompts as lm-eval builds them, or why it cannot."""
    task.set_fewshot_seed(_SEED)
    prompts = []
    for document, row in zip(documents[:PROMPTS], task.task_docs, strict=False):
        try:
            with one_document():
                prompts.append(_prompt(task, document, row))
        except TimeoutError as error:
            raise _too_long(task, f"prompt {document.number}", error) from None
        except Exception as error:  # noqa: BLE001 -- lm-eval asserts, and users' functions
            return prompts, f"{type(error).__name__}: {first_line(error)}"
    return prompts, ""


def _prompt(task: Any, document: Document, row: dict[str, Any]) -> Prompt:
    prefix = task.doc_to_prefix(row)
    count = task.config.num_fewshot or 0
    context = task.fewshot_context(row, num_fewshot=count, gen_prefix=prefix)
    if task.OUTPUT_TYPE == "multiple_choice":
        metadata = (task.task_name, document.number, 1)
        requests = task.construct_requests(doc=row, ctx=context, metadata=metadata)
        pairs = [request.args for request in requests][: len(document.choices)]
        if task.multiple_input:  # one prompt for each option: the right one is shown
            context, answer = pairs[document.gold or 0]
            return Prompt(context, (answer,), 0, len(document.choices[document.gold or 0]))
        return Prompt(context, tuple(p[1] for p in pairs), document.gold, len(document.text))
    delimiter = task.config.target_delimiter if task.OUTPUT_TYPE == "generate_until" else ""
    targets = tuple(delimiter + target for target in document.targets)
    return Prompt(context, targets, 0, len(document.text) + len(prefix or ""))
