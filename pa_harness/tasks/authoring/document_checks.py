"""Checks of a task's documents: scorable, apart from the shots, not answered by a trick."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from pa_harness.data_file import places
from pa_harness.tasks.authoring.material import COUNTED, LISTED, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pa_harness.tasks.authoring.material import Document, Material

_SIGMAS = 3.0  # a deviation from chance smaller than this many standard errors is not one
_MARGIN = 0.05  # and neither is one smaller than this
_CURES = {
    LISTED: "Name the column itself, without braces: doc_to_target: answer. That is not evaluated.",
    COUNTED: "If the texts are meant, name the column itself, without braces: doc_to_target: "
    "answer; if numbers are, say so: '{{answer | int}}'.",
}
_CLASSES = 20  # a generation task with more different answers has no label set


def document_findings(material: Material) -> Iterator[Finding]:
    """All findings about documents and shots."""
    for check in (_scorable, _leakage, _duplicates, _labels, _option_lengths, _spacing):
        yield from check(material)


def _numbers(documents: Iterable[Document]) -> str:
    return places([str(document.number) for document in documents])


def _scorable(material: Material) -> Iterator[Finding]:
    """Fields that say nothing, prompts that cannot be rendered, answers that are not there."""
    splits = [("evaluated", material.documents), ("few-shot", material.pool)]
    for which, documents in splits:
        holes: dict[str, list[Document]] = defaultdict(list)
        broken: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            for column in document.unfilled:
                holes[column].append(document)
            if document.problem[0]:
                broken[document.problem[0]].append(document)
        for column, found in holes.items():
            yield Finding(
                "error",
                f"{column!r} is missing or empty in {len(found)} of {len(documents)} {which} "
                f"documents ({_numbers(found)}); a null shows up as the word None.",
                "Fill it in, or take these rows out.",
            )
        for problem, found in broken.items():
            yield Finding(
                "warning" if "twice" in problem else "error",
                f"{which} documents that {problem}: {len(found)} of {len(documents)} "
                f"({_numbers(found)}); the first: {found[0].problem[1][:300]}.",
                _CURES.get(problem, "Correct these rows, or the template that reads them."),
            )


def _leakage(material: Material) -> Iterator[Finding]:
    if not material.num_fewshot:
        return
    if material.fewshot_split == material.test_split:
        yield Finding(
            "error",
            f"the shots come from the split that is evaluated ({material.test_split}).",
            "Set fewshot_split: to one that is not, such as train.",
        )
        return
    hits = {d.number for d, _ in _common(material.documents, material.shots, _exactly)}
    for how, level, pairs in (
        ("", "error", _common(material.documents, material.shots, _exactly)),
        (
            ", but for case and spacing,",
            "warning",
            [
                pair
                for pair in _common(material.documents, material.shots, _loosely)
                if pair[0].number not in hits
            ],
        ),
    ):
        if pairs:
            yield Finding(
                level,
                f"evaluated documents that are{how} among the shots: {len(pairs)} "
                f"({_numbers(d for d, _ in pairs)}; shots {_numbers(s for _, s in pairs)}).",
                "Take these rows out of one of the two splits.",
            )
    rest = material.pool[len(material.shots) :]
    pairs = _common(material.documents, rest, _loosely)
    if pairs:
        yield Finding(
            "warning",
            f"evaluated documents in the few-shot split, though not among the shots: {len(pairs)} "
            f"({_numbers(d for d, _ in pairs)}).",
            f"With more than {material.num_fewshot} shots they could be. Take them out.",
        )


def _exactly(document: Document) -> tuple[str, ...]:
    return document.question


def _loosely(document: Document) -> tuple[str, ...]:
    return tuple(" ".join(text.casefold().split()) for text in document.question)


def _common(
    documents: list[Document], shots: list[Document], key: Callable[[Document], tuple[str, ...]]
) -> list[tuple[Document, Document]]:
    """Pairs of a document and the first shot with the same question."""
    asked = {key(shot): shot for shot in reversed(shots) if any(shot.question)}
    return [(d, asked[key(d)]) for d in documents if any(d.question) and key(d) in asked]


def _duplicates(material: Material) -> Iterator[Finding]:
    groups: dict[tuple[str, ...], list[Document]] = defaultdict(list)
    for document in material.documents:
        if any(document.question):
            groups[document.question].append(document)
    for same, what, cure in (
        (True, "repeat an earlier one", "Take the copies out: they count twice."),
        (False, "ask what an earlier one asks, with another answer", "One of the two is wrong."),
    ):
        found = [
            document
            for group in groups.values()
            for document in group[1:]
            if (document.targets == group[0].targets) == same
        ]
        if found:
            named = _numbers(sorted(found, key=lambda document: document.number))
            yield Finding(
                "warning", f"evaluated documents that {what}: {len(found)} ({named}).", cure
            )


def _labels(material: Material) -> Iterator[Finding]:
    """How often each label is right, where the task has a fixed set of them."""
    scored = [document for document in material.documents if document.targets]
    counts = Counter(document.targets[0] for document in scored)
    names = list(material.labels)
    if not material.scored_by_choice and 1 < len(counts) <= min(_CLASSES, len(scored) // 5):
        names = sorted(counts)
    if not names or not scored:
        return
    shares = ", ".join(f"{name!r} {counts[name]}" for name in names)
    label, most = max(((name, counts[name]) for name in names), key=lambda pair: pair[1])
    share, chance = most / len(scored), 1 / len(names)
    error = math.sqrt(chance * (1 - chance) / len(scored))
    if share - chance > max(_MARGIN, _SIGMAS * error):
        yield Finding(
            "warning",
            f"labels are unbalanced ({shares}): always {label!r} would be right in {share:.1%} of "
            f"the documents, chance in {chance:.1%}.",
            "Compare results with that share, or balance the evaluated split.",
        )
    else:
        yield Finding("note", f"labels of the evaluated documents: {shares}.")
    shown = {document.targets[0] for document in material.shots if document.targets}
    absent = [name for name in names if name not in shown]
    reasoned = not material.scored_by_choice and len(absent) == len(names)  # answers at length
    if material.shots and absent and not reasoned:
        several = f" Fewer than {len(names)} shots cannot hold all." * (
            len(material.shots) < len(names)
        )
        yield Finding(
            "warning",
            f"no shot has the label {', '.join(map(repr, absent))}.{several}",
            "Order the few-shot split so that its first rows hold every label.",
        )


def _option_lengths(material: Material) -> Iterator[Finding]:
    """Accuracy of always taking the longest, or the shortest, option (ties shared)."""
    usable = [d for d in material.documents if d.gold is not None and len(d.choices) > 1]
    if not usable or material.labels or not material.scored_by_choice:
        return
    chance = sum(1 / len(d.choices) for d in usable) / len(usable)
    for which, extreme in (("longest", max), ("shortest", min)):
        right, variance = 0.0, 0.0
        for document in usable:
            lengths = list(map(len, document.choices))
            tied = lengths.count(extreme(lengths))
            right += (lengths[document.gold or 0] == extreme(lengths)) / tied
            # Of one document, were each option right with probability 1/k: E[x²] − E[x]².
            variance += 1 / (tied * len(lengths)) - 1 / len(lengths) ** 2
        if not variance:
            continue  # all options are equally long: letters
        accuracy, error = right / len(usable), math.sqrt(variance) / len(usable)
        says = (
            f"always the {which} option is right in {accuracy:.1%} of {len(usable)} documents "
            f"(chance {chance:.1%} ± {error:.1%})"
        )
        if abs(accuracy - chance) > max(_MARGIN, _SIGMAS * error):
            cure = "The lengths tell the answer: rewrite options, or report this baseline beside."
            yield Finding("warning", f"{says}.", cure)
        else:
            yield Finding("note", f"{says}.")


def _spacing(material: Material) -> Iterator[Finding]:
    """Blanks where prompt and answer meet, and double ones before."""
    whole = [] if material.loaded.task.multiple_input else material.documents
    ends = [d for d in whole if d.text.endswith((" ", "\t"))]
    if ends:
        yield Finding(
            "error",
            f"prompts that end in a blank, which belongs to the answer's first token: {len(ends)} "
            f"({_numbers(ends)}).",
            "End doc_to_text without it ({{column | trim}}); target_delimiter brings the blank.",
        )
    for prompt in material.prompts:
        before, after = prompt.context[-1:], prompt.continuations
        if any(re.match(r"[ \t]{2}|[ \t]*\n", text) for text in after) and not ends:
            yield Finding(
                "error",
                f"more than one blank stands before the answer: {list(after)!r}.",
                "Let either target_delimiter or the options and targets bring it, not both.",
            )
            break
        if before.isascii() and before.strip() and any(_glued(text) for text in after):
            yield Finding(
                "warning",
                f"nothing stands between the prompt and the answer: {prompt.context[-12:]!r} + "
                f"{after[0]!r}.",
                'Set target_delimiter: " ".',
            )
            break
    double = [d for d in material.documents if re.search(r"\S[ \t]{2,}\S", d.text)]
    if double:
        yield Finding(
            "note", f"prompts with double blanks inside: {len(double)} ({_numbers(double)})."
        )


def _glued(text: str) -> bool:
    return text[:1].isascii() and bool(text[:1].strip())
