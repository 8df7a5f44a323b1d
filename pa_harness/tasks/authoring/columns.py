"""Which columns a task's templates use, and whether each of them means what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pa_harness.data_file import delimiter_cure, other_delimiter
from pa_harness.errors import TaskError, did_you_mean, first_line
from pa_harness.tasks.authoring.confinement import one_document, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELDS = ("doc_to_text", "doc_to_choice", "doc_to_target")  # a column's name, or a template
# What Jinja reads as a value and never as a name.
CONSTANTS = {
    **{"true": True, "True": True, "false": False, "False": False},
    **{"none": None, "None": None},
}


def columns_used(config: dict[str, Any], columns: list[str]) -> list[str]:
    """The columns that the prompt, the options and the target are made of.

    Functions are not looked into.

    Raises:
        TaskError: a template or a name that no column answers to.
    """
    used: dict[str, None] = {}
    shots = config.get("fewshot_config") or {}
    for where, value in [
        *((field, config.get(field)) for field in (*_FIELDS, "gen_prefix", "description")),
        *((f"fewshot_config.{field}", shots.get(field)) for field in _FIELDS),
    ]:
        if isinstance(value, str) and value:
            used |= dict.fromkeys(_columns_of(where, value, config, columns))
    return list(used)


def _columns_of(where: str, value: str, config: dict[str, Any], columns: list[str]) -> list[str]:
    if value in columns:
        return [value]
    names = names_in(where, value)
    _check_constants(where, value, columns)
    choices = config.get("doc_to_choice")
    constant = isinstance(choices, list) and value in choices
    if not names and where.endswith(_FIELDS) and value.isidentifier() and not constant:
        names = {value}  # without braces: a column's name that is no column, not a text
    guarded = "defined" in value or "default" in value
    unknown = sorted(names - set(columns))
    if unknown and not guarded:
        hint = f" {did_you_mean(unknown[0], columns)}".rstrip()
        other = other_delimiter(columns)
        if other:
            hint = f" In the file, {delimiter_cure(columns[0], ',', other)}"
        raise TaskError(
            f"{where} uses {', '.join(map(repr, unknown))}, which no document has.{hint} "
            f"Columns: {', '.join(columns)}."
        )
    return sorted(names & set(columns))


def names_in(where: str, template: str) -> set[str]:
    """The names that a template needs to be given.

    Raises:
        TaskError: it is no template.
    """
    from jinja2 import TemplateSyntaxError, meta

    env = sandbox()
    try:
        with one_document():  # Jinja computes what is constant already here
            return meta.find_undeclared_variables(env.parse(template)) - set(env.globals)
    except (TemplateSyntaxError, RecursionError, TimeoutError, MemoryError) as error:
        why = first_line(error) or "it is too large"
        if isinstance(error, TemplateSyntaxError):
            why += f" (line {error.lineno})"
        raise TaskError(
            f"{where} {template[:300]!r} is no Jinja template: {why}. Correct it."
        ) from error


def _check_constants(where: str, template: str, columns: Iterable[str]) -> None:
    """A column named true, false or none cannot be named: Jinja has values of these names."""
    from jinja2 import nodes

    values = [each.value for each in sandbox().parse(template).find_all(nodes.Const)]
    for column in columns:
        if column in CONSTANTS and any(value is CONSTANTS[column] for value in values):
            raise TaskError(
                f"{where} uses {column!r}, which Jinja takes for its constant "
                f"{CONSTANTS[column]!r} and never for the column of that name. Rename the column."
            )


def texts_in(template: Any, row: dict[str, Any], task: Any) -> list[str]:
    """The columns that a template shows, if all of them hold text; none if it is a function, say.

    Of such a template the field makes text again, and what lm-eval makes of it was not meant.
    """
    if not isinstance(template, str) or template in task.features:
        return []
    named = [row[name] for name in names_in("doc_to_target", template) if name in row]
    return named if all(isinstance(value, str) for value in named) else []


def is_counted(
    template: Any, target: Any, choices: tuple[Any, ...], row: dict[str, Any], task: Any
) -> bool:
    """Whether a text of digits, which is one option's, is taken for the number of another."""
    text = str(target)
    if type(target) is not int or text not in choices or choices.index(text) == target:
        return False
    shown = [value.strip() for value in texts_in(template, row, task)]
    return text in shown and not re.search(r"\|\s*int\b", template)
