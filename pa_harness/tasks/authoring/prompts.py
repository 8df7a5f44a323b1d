r"""Prompt, options, target and metrics of a task over named columns, in one of three scorings.

    cf    likelihood of each option's text (cloze)            "Question: ...\nAnswer:" + " blue"
    mcf   options shown with letters, likelihood of the letter    "...\n B. blue\nAnswer:" + " B"
    gen   generation up to the end of the line, exact match   "Question: ...\nAnswer:" -> " blue"

A shown letter follows a blank, as the scored one does: for most tokenizers "A" and " A" are two
different tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import DataFileError
from pa_harness.tasks.authoring.answer_column import LETTERS, answer_kind, target_template
from pa_harness.tasks.shipped import CATEGORIES as SUITE_CATEGORIES
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from pa_harness.data_file import DataFile

SCORINGS = ("cf", "mcf", "gen")
OWN = "own"  # the category of tasks outside the suite, so that they never enter its averages
CATEGORIES = (*SUITE_CATEGORIES, INSTRUCTION, OWN)
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # not texts in YAML
_MEAN = {"aggregation": "mean", "higher_is_better": True}


@dataclass(frozen=True)
class NewTask:
    """What the task is to be; None where nothing was said.

    Attributes:
        data: the data file.
        name: the task's name; "<file>_<scoring>" by default.
        scoring: one of `SCORINGS`.
        question: a column; `question` by default, where there is one. So `choices` and `answer`.
        context: a column shown before the question.
        choices: one column that holds lists, or several, separated by commas.
        labels: the options, separated by commas, where they are the same for every row.
        answer: a column; see `answer_column.KINDS` for what it may hold.
        answer_is: one of these kinds, where the values alone do not settle it.
        fewshot: a data file of shots.
        num_fewshot: how many shots; at most 5 by default.
        category: a category of the suite, or `OWN`.
        cluster: a column with the same value in documents that stand together (a story's number).
    """

    data: str
    name: str | None = None
    scoring: str | None = None
    question: str | None = None
    context: str | None = None
    choices: str | None = None
    labels: str | None = None
    answer: str | None = None
    answer_is: str | None = None
    fewshot: str | None = None
    num_fewshot: int | None = None
    category: str = OWN
    cluster: str | None = None

    @property
    def columns(self) -> list[tuple[str, str]]:
        """(flag, column) of every column that prompt or target needs."""
        named = [("--context", self.context), ("--question", self.question)]
        if self.scoring != "gen":
            named += [("--choices", name) for name in split(self.choices)]
        named.append(("--answer", self.answer))
        return [(flag, name) for flag, name in named if name]


@dataclass(frozen=True)
class _Options:
    """The options of every row, and how a template names them.

    Attributes:
        each: the texts, row by row.
        whole: a Jinja expression for the list of a row.
        shown: a template for each, where every row has as many; else empty.
        fixed: they are the same texts in every row.
    """

    each: list[list[str]]
    whole: str
    shown: list[str]
    fixed: bool

    @property
    def most(self) -> int:
        return max(map(len, self.each))


def split(names: str | None) -> list[str]:
    """The items of a list given with commas."""
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def flow(value: Any) -> str:
    """A value as YAML on one line. Strings are JSON's, which are YAML's double-quoted ones."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and value.isidentifier() and value.lower() not in _YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def multiple_choice(
    wanted: NewTask, rows: DataFile, evaluated: range
) -> tuple[list[str], dict[str, Any]]:
    """The lines of a multiple-choice task, and what its metadata says of the scoring.

    Args:
        wanted: complete.
        rows: all rows, shots included.
        evaluated: which of them are evaluated.

    Raises:
        DataFileError: options or answers are not what they should be.
    """
    options = _options(wanted, rows)
    answer = str(wanted.answer)
    kind = answer_kind(rows, answer, options.each, wanted.answer_is)
    letters = list(LETTERS[: options.most])
    text, choices, metrics = _prompt(wanted), f'"{{{{{options.whole}}}}}"', ["acc", "acc_norm"]
    if options.fixed:
        choices = flow(options.each[0])
    if wanted.scoring == "mcf":
        text, metrics = _prompt(wanted, _shown(options, letters)), ["acc"]
        choices = flow(letters)
        if not options.shown:
            choices = f'"{{{{{letters}[:({options.whole}) | length]}}}}"'
    main = "acc" if wanted.scoring == "mcf" or options.fixed else "acc_norm"
    lines = [
        "output_type: multiple_choice",
        f"doc_to_text: {flow(text)}",
        f"doc_to_choice: {choices}",
        f"doc_to_target: {flow(target_template(kind, answer, options.whole, options.most))}",
        "metric_list:",
        *(f"  - {flow({'metric': metric, **_MEAN})}" for metric in metrics),
    ]
    chance = sum(1 / len(options.each[i]) for i in evaluated) / len(evaluated)
    scored = {"scoring": wanted.scoring, "metric": f"{main},none"}
    return lines, {**scored, "random_baseline": round(chance, 6)}


def generation(wanted: NewTask, rows: DataFile) -> tuple[list[str], dict[str, Any]]:
    """The lines of a generation task, and what its metadata says of the scoring.

    Raises:
        DataFileError: an answer has a line break, at which generation ends.
    """
    answer = str(wanted.answer)
    # A CSV reader may make numbers of the answers, which a prompt cannot hold; a template is text.
    trimmed = f"{{{{{answer} | trim}}}}"
    longest, template = 0, trimmed if rows.loader == "csv" else answer
    if _looks_listed(rows, answer):
        template = trimmed = answer  # of a template's "[1, 2]" lm-eval makes a list
    for row, place in zip(rows.rows, rows.places, strict=True):
        value = row[answer]
        accepted = [str(item) for item in (value if isinstance(value, list) else [value])]
        if any("\n" in text.strip() for text in accepted):
            raise DataFileError(
                f"{rows.path}, {place}: {answer!r} has a line break, and generation ends at the "
                "first one. Put each answer on one line."
            )
        longest = max(longest, *map(len, accepted))
        if not isinstance(value, list) and value != accepted[0].strip():
            template = trimmed
            if trimmed == answer:
                raise DataFileError(
                    f"{rows.path}, {place}: {answer!r} is {accepted[0][:60]!r}. Where answers look "
                    "like lists, lm-eval evaluates what a template trims. Take the blanks around "
                    "it out."
                )
    # A token has at least one character, but for rare ones: as many tokens as characters suffice.
    tokens = max(32, 1 << (longest - 1).bit_length())
    match = {"metric": "exact_match", **_MEAN, "ignore_case": True, "ignore_punctuation": True}
    stop = flow(["\n"])
    lines = [
        "output_type: generate_until",
        f"doc_to_text: {flow(_prompt(wanted))}",
        f"doc_to_target: {flow(template)}",
        f"generation_kwargs: {{until: {stop}, do_sample: false, max_gen_toks: {tokens}}}",
        "filter_list:",
        "  - name: remove_whitespace",
        "    filter: [{function: remove_whitespace}, {function: take_first}]",
        f"metric_list: [{flow(match)}]",
    ]
    metric = "exact_match,remove_whitespace"
    return lines, {"scoring": "gen", "metric": metric, "random_baseline": 0.0}


def _looks_listed(rows: DataFile, answer: str) -> bool:
    texts = [row[answer].strip() for row in rows.rows if isinstance(row[answer], str)]
    return any(text.startswith("[") and text.endswith("]") for text in texts)


def _prompt(wanted: NewTask, shown: str = "") -> str:
    context = f"Passage: {{{{{wanted.context} | trim}}}}\n" if wanted.context else ""
    return f"{context}Question: {{{{{wanted.question} | trim}}}}\n{shown}Answer:"


def _shown(options: _Options, letters: list[str]) -> str:
    if options.shown:
        pairs = zip(letters, options.shown, strict=True)
        return "".join(f" {letter}. {text}\n" for letter, text in pairs)
    loop = f"{{% for option in {options.whole} %}}"
    return f"{loop} {{{{'{''.join(letters)}'[loop.index0]}}}}. {{{{option}}}}\n{{% endfor %}}"


def _options(wanted: NewTask, rows: DataFile) -> _Options:
    names = split(wanted.choices)
    if wanted.labels is not None:
        labels = split(wanted.labels)
        options = _Options([labels] * len(rows.rows), repr(labels), labels, fixed=True)
    elif len(names) > 1:
        each = [[str(row[name]).strip() for name in names] for row in rows.rows]
        shown = [f"{{{{{name} | trim}}}}" for name in names]
        options = _Options(each, f"[{', '.join(names)}] | map('trim') | list", shown, fixed=False)
    else:
        (name,) = names
        each = [_listed(rows, name, at) for at in range(len(rows.rows))]
        count = len(each[0]) if len(set(map(len, each))) == 1 else 0
        shown = [f"{{{{{name}[{i}] | trim}}}}" for i in range(count)]
        options = _Options(each, f"{name} | map('trim') | list", shown, fixed=False)
    for row, place in zip(options.each, rows.places, strict=True):
        if not 2 <= len(row) <= len(LETTERS) or len(set(row)) < len(row):
            raise DataFileError(
                f"{rows.path}, {place}: the options are {row}. Expected 2 to {len(LETTERS)} "
                "different ones."
            )
    return options


def _listed(rows: DataFile, name: str, at: int) -> list[str]:
    value = rows.rows[at][name]
    if isinstance(value, list):
        return [str(item).strip() for item in value]
    raise DataFileError(
        f"{rows.path}, {rows.places[at]}: {name!r} (--choices) holds {str(value)[:60]!r}, not a "
        "list. Name the columns of all options (--choices a,b,c), give fixed ones (--labels), or "
        "save the file as JSON lines with lists."
    )
