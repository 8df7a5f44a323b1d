"""The README.md of an exported model: what it is made of, how, how it scored, under which terms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pa_harness.runs.scores import Score

_TERMS = ("license", "license_name", "license_link")
_ORDER = ["library_name", "pipeline_tag", "tags", "base_model", "base_model_relation", *_TERMS]
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*")


@dataclass(frozen=True)
class Parent:
    """One end of the pair, as the card names it."""

    role: str  # base, instruct or peft
    name: str
    sha: str
    on_hub: bool
    terms: dict[str, str]  # license, license_name, license_link of its own card, as far as it says


@dataclass(frozen=True)
class Facts:
    """What the card says.

    Attributes:
        parents: base, then instruct or adapter.
        lam: λ, or a schedule as a mapping.
        arithmetic: how θ_λ was computed and stored.
        fingerprint: of the weights.
        checked: a sentence on what the weights were compared with.
        scores: at this λ and others, main metrics only; empty without a run.
        figures: file names below the card.
        run: the folder of the run; empty without.
    """

    parents: tuple[Parent, ...]
    lam: float | dict[str, Any]
    arithmetic: str
    fingerprint: str
    checked: str
    scores: tuple[Score, ...]
    figures: tuple[str, ...]
    run: str


def read_terms(folder: Path) -> dict[str, str]:
    """What the model card in a checkpoint folder says of its licence; {} where it says nothing."""
    import yaml
    from huggingface_hub import metadata_load

    try:
        content = metadata_load(folder / "README.md") or {}
    except yaml.YAMLError as error:
        return {"license": f"unreadable ({first_line(error)})"}
    except (OSError, ValueError):  # no file, no text, or a list
        return {}
    return {name: str(content[name]) for name in _TERMS if content.get(name)}


def card(facts: Facts) -> str:
    """The text of README.md."""
    title = _lam_text(facts.lam)
    parts = [
        _front_matter(facts.parents),
        f"# {_short(facts.parents[0])} → {_short(facts.parents[-1])}, {title}",
        "A partially adapted model (İrsoy et al. 2025, "
        "[arXiv 2504.11626](https://arxiv.org/abs/2504.11626)), exported by pa-harness:",
        f"    θ_λ = θ_base + λ (θ_instruct − θ_base),   {title}",
        _parents_table(facts.parents),
        f"Arithmetic: {facts.arithmetic}. Weights: `{facts.fingerprint}`. {facts.checked}",
    ]
    if isinstance(facts.lam, dict):
        parts.append(f"The schedule:\n\n```json\n{json.dumps(facts.lam, indent=2)}\n```")
    if facts.scores:
        parts.append(_score_table(facts))
    elif facts.run:
        parts.append(f"The run {facts.run} did not evaluate this λ: there are no scores of it.")
    parts += [f"![{name}]({name})" for name in facts.figures]
    parts.append(_licences(facts.parents))
    return "\n\n".join(parts) + "\n"


def _lam_text(lam: float | dict[str, Any]) -> str:
    return "λ by a schedule" if isinstance(lam, dict) else f"λ = {lam:g}"


def _short(parent: Parent) -> str:
    return parent.name.rstrip("/").split("/")[-1]


def _front_matter(parents: Sequence[Parent]) -> str:
    from huggingface_hub import ModelCardData

    ids = [parent.name for parent in parents if parent.on_hub]
    terms = parents[0].terms
    if not terms or any(parent.terms != terms for parent in parents):
        terms = {"license": "other", "license_name": "terms-of-both-parents"}
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["merge", "partial-adaptation", "pa-harness"],
        base_model=ids or None,
        base_model_relation="merge" if ids else None,
        license=terms.get("license"),
        license_name=terms.get("license_name"),
        license_link=terms.get("license_link"),
    )
    return f"---\n{data.to_yaml(original_order=_ORDER)}\n---"


def _parents_table(parents: Sequence[Parent]) -> str:
    rows = [f"| {p.role} | `{p.name}` | `{p.sha}` | {_term(p)} |" for p in parents]
    head = "| side | checkpoint | commit or fingerprint | licence |\n|---|---|---|---|"
    return "\n".join([head, *rows])


def _term(parent: Parent) -> str:
    values = [parent.terms[name] for name in _TERMS if name in parent.terms]
    return ", ".join(values) or "its card names none"


def _score_table(facts: Facts) -> str:
    lams = sorted({score.lam for score in facts.scores})
    tasks = dict.fromkeys((score.task, score.key, score.n) for score in facts.scores)
    found = {(score.task, score.key, score.lam): score for score in facts.scores}
    head = f"| task | metric | n | {' | '.join(f'λ = {lam:g}' for lam in lams)} |"
    lines = [head, "|---|---|--:|" + "--:|" * len(lams)]
    for task, key, n in tasks:
        cells = [_cell(found.get((task, key, lam))) for lam in lams]
        lines.append(f"| {task} | {key} | {n} | {' | '.join(cells)} |")
    return f"Scores in the run `{facts.run}`, ± standard error:\n\n" + "\n".join(lines)


def _cell(score: Score | None) -> str:
    if score is None or score.value != score.value:
        return "–"
    error = "" if score.stderr != score.stderr else f" ± {score.stderr:.3f}"
    return f"{score.value:.4f}{error}"


def _licences(parents: Sequence[Parent]) -> str:
    lines = [f"- {p.role} `{p.name}`: {_term(p)}" for p in parents]
    return (
        "## Licence\n\nThis model is derived from both parents, and the terms of both hold for "
        "it:\n\n" + "\n".join(lines) + "\n\nLicence files that came with them are in `licences/`, "
        "where there were any."
    )
