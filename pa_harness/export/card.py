"""The README.md of an exported model: what it is made of, how, how it scored, under which terms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.foreign.naming import belongs
from pa_harness.foreign.reading import parse_yaml
from pa_harness.foreign.showing import as_code, in_markdown, one_line
from pa_harness.markdown import card as as_card
from pa_harness.markdown import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pa_harness.runs.scores import Score

_TERMS = ("license", "license_name", "license_link")
_MOST_READ = 1 << 20  # bytes of a card
_MOST_NAMES, _MOST_SHOWN = 8, 200  # of licences; characters of their names
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*")


@dataclass(frozen=True)
class Parent:
    """One end of the pair, as the card names it."""

    role: str  # base, instruct or peft; of a path base, stage_1, …
    name: str
    sha: str
    on_hub: bool
    terms: dict[str, str]  # license, license_name, license_link of its own card, as far as it says


@dataclass(frozen=True)
class Facts:
    """What the card says.

    Attributes:
        parents: what θ_λ is made of: base, then instruct or adapter; of a path those that λ is
            between.
        lam: λ, or a schedule as a mapping.
        formula: of θ_λ.
        arithmetic: how θ_λ was computed and stored.
        fingerprint: of the weights.
        checked: a sentence on what the weights were compared with.
        scores: at this λ and others, main metrics only; empty without a run.
        figures: file names below the card.
        run: the folder of the run; empty without.
        notes: what was said of the pair when it was opened, and of what was written.
    """

    parents: tuple[Parent, ...]
    lam: float | dict[str, Any]
    formula: str
    arithmetic: str
    fingerprint: str
    checked: str
    scores: tuple[Score, ...]
    figures: tuple[str, ...]
    run: str
    notes: tuple[str, ...] = ()


def read_terms(folder: Path) -> dict[str, str]:
    """What the model card in a checkpoint folder says of its licence; {} where it says nothing.

    Whoever made the checkpoint wrote the card: it is read in bounded time, and says a few words.
    """
    file = folder / "README.md"
    if not belongs(file, folder):
        return {}
    try:
        with file.open("rb") as readable:
            text = readable.read(_MOST_READ).decode("utf-8", "replace").replace("\r\n", "\n")
        begin, _, rest = text.lstrip("\ufeff").lstrip().partition("\n")
        content = parse_yaml(rest.partition("\n---")[0]) if begin.rstrip() == "---" else {}
    except OSError:
        return {}
    except ValueError as error:
        return {"license": f"unreadable ({error})"}
    said = content if isinstance(content, dict) else {}
    return {name: _words(said[name]) for name in _TERMS if said.get(name)}


def _words(value: Any) -> str:
    """A text, or a few of them, cut to what a licence may be called."""
    several = value[:_MOST_NAMES] if isinstance(value, list) else [value]
    texts = [str(each)[:_MOST_SHOWN] for each in several if isinstance(each, (str, int, float))]
    return one_line(", ".join(texts)[:_MOST_SHOWN]) or "unreadable"


def card(facts: Facts) -> str:
    """The text of README.md."""
    title = _lam_text(facts.lam)
    base, other = (in_markdown(_short(facts.parents[side])) for side in (0, -1))
    parts = [
        f"# {base} → {other}, {title}",
        "A partially adapted model (İrsoy et al. 2025, "
        "[arXiv 2504.11626](https://arxiv.org/abs/2504.11626)), exported by pa-harness:",
        f"    {facts.formula},   {title}",
        _parents_table(facts.parents),
        f"Arithmetic: {facts.arithmetic}. Weights: `{facts.fingerprint}`. {facts.checked}",
    ]
    if isinstance(facts.lam, dict):
        parts.append(f"The schedule:\n\n```json\n{json.dumps(facts.lam, indent=2)}\n```")
    if facts.notes:
        lines = (one_line(line) for note in facts.notes for line in note.splitlines())
        parts.append("What was noted of the pair:\n\n" + "\n".join(f"    {line}" for line in lines))
    if facts.scores:
        parts.append(_score_table(facts))
    elif facts.run:
        parts.append(
            f"The run {as_code(facts.run)} did not evaluate this λ: there are no scores of it."
        )
    parts += [f"![{name}]({name})" for name in facts.figures]
    parts.append(_licences(facts.parents))
    return as_card(_metadata(facts.parents), parts)


def _lam_text(lam: float | dict[str, Any]) -> str:
    return "λ by a schedule" if isinstance(lam, dict) else f"λ = {lam:g}"


def _short(parent: Parent) -> str:
    return parent.name.rstrip("/").split("/")[-1]


def _metadata(parents: Sequence[Parent]) -> dict[str, Any]:
    """What the Hub reads of a card."""
    ids = [parent.name for parent in parents if parent.on_hub]
    terms = parents[0].terms
    if not terms or any(parent.terms != terms for parent in parents):
        terms = {"license": "other", "license_name": "terms-of-both-parents"}
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["merge", "partial-adaptation", "pa-harness"],
        **({"base_model": ids, "base_model_relation": "merge"} if ids else {}),
        **{name: terms[name] for name in _TERMS if name in terms},
    }


def _parents_table(parents: Sequence[Parent]) -> str:
    rows = [[p.role, as_code(p.name), as_code(p.sha), _term(p)] for p in parents]
    return table(["side", "checkpoint", "commit or fingerprint", "licence"], rows)


def _term(parent: Parent) -> str:
    values = [in_markdown(parent.terms[name]) for name in _TERMS if name in parent.terms]
    return ", ".join(values) or "its card names none"


def _score_table(facts: Facts) -> str:
    lams = sorted({score.lam for score in facts.scores})
    tasks = dict.fromkeys((score.task, score.key, score.n) for score in facts.scores)
    found = {(score.task, score.key, score.lam): score for score in facts.scores}
    head = ["task", "metric", "n", *(f"λ = {lam:g}" for lam in lams)]
    rows = [
        [as_code(task), as_code(key), str(n)] + [_cell(found.get((task, key, lam))) for lam in lams]
        for task, key, n in tasks
    ]
    return f"Scores in the run {as_code(facts.run)}, ± standard error:\n\n{table(head, rows)}"


def _cell(score: Score | None) -> str:
    if score is None or score.value != score.value:
        return "–"
    error = "" if score.stderr != score.stderr else f" ± {score.stderr:.3f}"
    return f"{score.value:.4f}{error}"


def _licences(parents: Sequence[Parent]) -> str:
    lines = [f"- {p.role} {as_code(p.name)}: {_term(p)}" for p in parents]
    return (
        "## Licence\n\nThis model is derived from these checkpoints, and the terms of each hold "
        "for it:\n\n"
        + "\n".join(lines)
        + "\n\nLicence files that came with them are in `licences/`, "
        "where there were any."
    )
