"""Which documents of a task stand or fall together: questions on one passage, copies, variants.

Documents are in one cluster where they have in common

- the text that the task's ``metadata: {cluster: ...}`` makes of them: a column, or a template;
- without such a name, a line of `LONG` characters or more in any of their texts (a passage, the
  premises of a riddle). A line that is in more than half of them is the task's own wording, and
  says nothing;
- the very same prompt of their own, the demonstrations left aside;

and where a chain of such pairs joins them. A cluster's name is a digest: of what is shared, so that
another task on the same passages has the same names, or of a document that shares nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import TaskError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

LONG = 100  # characters of a text: a shorter one may be in two documents by chance


def named(task: Any) -> str | None:
    """The column or template of a task's ``metadata: {cluster: ...}``; None where there is none.

    Args:
        task: lm-eval's.

    Raises:
        TaskError: it is no text.
    """
    found = (task.config.metadata or {}).get("cluster")
    if found is not None and not (isinstance(found, str) and found.strip()):
        raise TaskError(
            f"{task.config.task}: metadata: cluster: {found!r}: expected the name of a column, or "
            "a template of columns such as '{{story}} {{part}}'."
        )
    return found


def clusters(task: Any, documents: Sequence[Row]) -> list[str]:
    """The name of each document's cluster.

    Args:
        task: lm-eval's, which renders their prompts.
        documents: evaluated ones; which lines are shared is told from these alone.

    Raises:
        TaskError: the named column or template has nothing to say of them.
    """
    config = task.config
    prompts = [_prompt(task, document) for document in documents]
    return joined(
        Origin(config.task, config.dataset_path, config.dataset_name, config.dataset_kwargs),
        named(task),
        documents,
        prompts,
    )


@dataclass(frozen=True)
class Origin:
    """The task whose documents they are, and its data set, as its configuration names it."""

    task: str
    dataset_path: Any = None
    dataset_name: Any = None
    dataset_kwargs: Any = None


def joined(
    origin: Origin,
    field: str | None,
    documents: Sequence[Row],
    prompts: Sequence[str],
    count: int = 0,
) -> list[str]:
    """`clusters`, of documents whose prompts are known.

    Args:
        origin: of the documents.
        field: the column or template that the task names; None for none.
        documents: those that may share something with another.
        prompts: a digest of what each asks; empty where that says nothing.
        count: how many there are with those that share nothing; default: these are all.

    Raises:
        TaskError: as `clusters`.
    """
    if field is None:
        shared = _shared_lines(documents, count or len(documents))
    else:
        parts = [origin.dataset_path, origin.dataset_name, origin.dataset_kwargs]
        source = json.dumps(parts, default=str)
        texts = [_rendered(origin.task, field, document) for document in documents]
        # A passage is the same wherever it stands; a number or name is one data set's own.
        shared = [
            [digest(text if len(text) >= LONG else [source, field, text])] if text else []
            for text in texts
        ]
    alone = [digest(document) for document in documents]
    keys = [
        [*some, *([f"prompt {prompt}"] if prompt else []), own]
        for some, prompt, own in zip(shared, prompts, alone, strict=True)
    ]
    firsts = _joined(keys)
    names: dict[int, tuple[bool, str]] = {}
    for place, some, own in zip(firsts, shared, alone, strict=True):
        for name in [(False, each) for each in some] or [(True, own)]:
            names[place] = min(names.get(place, name), name)
    return [names[place][1] for place in firsts]


def _rendered(task: str, field: str, document: Row) -> str:
    """What a column holds, or what a template makes of a document; without outer blanks."""
    from jinja2 import TemplateError
    from lm_eval.utils import apply_template

    if field in document:
        value = document[field]
        return "" if value is None else str(value).strip()
    if "{{" not in field:
        raise TaskError(
            f"{task}: metadata: cluster: {field}: its documents have no such column. "
            f"Columns: {', '.join(map(str, document))}."
        )
    try:
        return str(apply_template(field, document)).strip()
    except TemplateError as error:
        raise TaskError(
            f"{task}: metadata: cluster: {field!r} cannot be rendered: "
            f"{first_line(error)}. Columns: {', '.join(map(str, document))}."
        ) from None


def _prompt(task: Any, document: Row) -> str:
    """A digest of what a document asks, the demonstrations left aside; empty where it is blank."""
    text = task.doc_to_text(document)
    if getattr(
        task, "multiple_input", 0
    ):  # the options are prompts, the text is which of them is right
        text = "\n".join(map(str, task.doc_to_choice(document)))
    text = str(text).strip()
    return digest(text) if text else ""


def most_that_share(count: int) -> float:
    """Documents of so many that a line may be in; in more it is the task's own wording."""
    return max(count / 2, 2)


def _shared_lines(documents: Sequence[Row], count: int) -> list[list[str]]:
    """Digests of the long lines of each document that some others have, too, but not most."""
    lines = [{digest(line) for line in long_lines(document)} for document in documents]
    counts: dict[str, int] = {}
    for found in lines:
        for line in found:
            counts[line] = counts.get(line, 0) + 1
    most = most_that_share(count)
    return [sorted(line for line in found if 1 < counts[line] <= most) for found in lines]


def long_lines(value: Any) -> Iterator[str]:
    """The lines of at least `LONG` characters in any text of a document."""
    if isinstance(value, str):
        yield from (line.strip() for line in value.split("\n") if len(line.strip()) >= LONG)
    elif isinstance(value, dict):
        for each in value.values():
            yield from long_lines(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from long_lines(each)


def _joined(keys: Sequence[Sequence[str]]) -> list[int]:
    """For each item the first of those that are joined with it by keys in common."""
    parents = list(range(len(keys)))

    def first(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    holders: dict[str, int] = {}
    for item, of_item in enumerate(keys):
        for key in of_item:
            one, other = sorted((first(holders.setdefault(key, item)), first(item)))
            parents[other] = one
    return [first(item) for item in range(len(keys))]


def digest(value: Any) -> str:
    """Of a text, or of a value as JSON: 16 hexadecimal digits."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
