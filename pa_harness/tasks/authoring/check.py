"""What is wrong with a task, before a model is asked: prompts to look at, findings, cures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.errors import TaskError
from pa_harness.tasks.authoring.cluster_checks import cluster_findings
from pa_harness.tasks.authoring.columns import columns_used
from pa_harness.tasks.authoring.confinement import confined
from pa_harness.tasks.authoring.document_checks import document_findings
from pa_harness.tasks.authoring.material import Finding, read_material
from pa_harness.tasks.authoring.metric_checks import group_findings, metric_findings, metric_names
from pa_harness.tasks.authoring.prompts import SCORINGS
from pa_harness.tasks.authoring.source import load_tasks
from pa_harness.tasks.authoring.token_checks import token_findings
from pa_harness.tasks.average import JUDGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.tasks.authoring.material import Material, Prompt
    from pa_harness.tasks.authoring.source import LoadedTask

LIMIT = 5000  # documents of each split that are looked at
_LEVELS = ("error", "warning", "note")
_ROUNDING = 0.005  # a baseline may be written with two digits
_METADATA = ("version", "category", "scoring", "metric", "random_baseline")
_OUTPUT = {"cf": "multiple_choice", "mcf": "multiple_choice", "gen": "generate_until"}


@dataclass(frozen=True)
class Report:
    """What was found. `str` gives the text for a terminal.

    Attributes:
        heading: name, documents, shots.
        prompts: the first of them.
        findings: errors first.
    """

    heading: str
    prompts: list[Prompt]
    findings: list[Finding]

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.level == "error" for finding in self.findings)

    def __str__(self) -> str:
        parts = [self.heading]
        first = self.prompts[0] if self.prompts else None
        for number, prompt in enumerate(self.prompts, 1):
            parts.append(f"prompt {number} of {len(self.prompts)}\n{_shown(prompt, first)}")
        if self.findings:
            parts.append("\n".join(map(_line, self.findings)))
        counts = {level: sum(f.level == level for f in self.findings) for level in _LEVELS}
        parts.append(", ".join(f"{level}s: {count}" for level, count in counts.items()))
        return "\n\n".join(parts)


def check_tasks(spec: str, tokenizers: list[str], *, limit: int = LIMIT) -> list[Report]:
    """Check a task, or every task of a group.

    Args:
        spec: the path of a YAML, or a name that lm-eval knows.
        tokenizers: folders or hub ids; none leaves tokens unchecked.
        limit: documents of each split to look at.

    Raises:
        TaskError, DataFileError: there is nothing to check; what is wrong is the message.
    """
    if limit < 1:
        raise TaskError(f"--limit {limit}: expected 1 or more documents.")
    with confined():
        loaded = load_tasks(spec)
        reports = [check_task(each, tokenizers, limit) for each in loaded.tasks]
    tasks = {each.name: each.task for each in loaded.tasks}
    return reports + [
        Report(f"{name}: a group of {len(tasks)} tasks", [], found)
        for name, group in loaded.groups.items()
        if (found := group_findings(group, tasks))
    ]


def check_task(loaded: LoadedTask, tokenizers: list[str], limit: int = LIMIT) -> Report:
    """Check one task."""
    used = columns_used(loaded.config, list(loaded.task.features))
    material = read_material(loaded, used, limit)
    findings = [
        *_prompting(material),
        *document_findings(material),
        *cluster_findings(material),
        *token_findings(material, tokenizers),
        *_generation(material),
        *_metadata(material),
        *metric_findings(material),
    ]
    if loaded.own:
        findings.append(
            Finding(
                "note",
                "its templates were rendered in a sandbox here; evaluating a task runs them, and "
                "its functions, as code.",
                "Look at what you did not write yourself.",
            )
        )
    if material.total > len(material.documents):
        findings.append(Finding("note", f"only the first {limit} documents were looked at."))
    shots = f"{material.num_fewshot} shots"
    if material.num_fewshot:
        shots += f" of {material.fewshot_split or 'the YAML'} ({material.sampler})"
    heading = f"{loaded.name}: {material.total} documents of {material.test_split}, {shots}"
    ordered = sorted(findings, key=lambda finding: _LEVELS.index(finding.level))
    return Report(heading, material.prompts, ordered)


def _shown(prompt: Prompt, first: Prompt | None) -> str:
    """The prompt, indented, with its answers; shots that stand above already are left out."""
    shots = prompt.context[: len(prompt.context) - prompt.own]
    text = prompt.context
    if first is not None and prompt is not first and shots:
        same = first.context[: len(first.context) - first.own] == shots
        text = f"[the same shots]\n{text[len(shots) :]}" if same else text
    answers = "   ".join(
        f"{'->' if index == prompt.gold else '  '} {continuation!r}"
        for index, continuation in enumerate(prompt.continuations)
    )
    return "\n".join(f"  | {line}" for line in text.split("\n")) + f"\n  {answers}"


def _line(finding: Finding) -> str:
    cure = f"\n         {finding.cure}" if finding.cure else ""
    return f"{finding.level:8} {finding.what}{cure}"


def _prompting(material: Material) -> Iterator[Finding]:
    """Shots: how many, fixed or not, from where."""
    config, count = material.loaded.task.config, material.num_fewshot
    if config.num_fewshot is None:
        yield Finding(
            "warning",
            "num_fewshot is not set, so lm-eval gives no shots unless it is told to.",
            "Set num_fewshot: 5, or 0 if none are wanted.",
        )
    if count > len(material.pool):
        yield Finding(
            "error",
            f"num_fewshot is {count}, but the few-shot split has {len(material.pool)} documents.",
            "Lower num_fewshot, or give it more documents.",
        )
    elif material.failure:
        yield Finding(
            "error",
            f"lm-eval cannot build the prompts: {material.failure}.",
            "Every question and every shot's answer must come out as a text.",
        )
    if not count:
        return
    if material.sampler != "first_n":
        yield Finding(
            "warning",
            f"the shots are not fixed (sampler: {material.sampler}): other ones for every document "
            "and for every number of processes.",
            "Set fewshot_config: {sampler: first_n}; scoring is faster, too.",
        )
    if not (material.loaded.task.fewshot_cfg.split or material.loaded.task.fewshot_cfg.samples):
        yield Finding(
            "warning",
            f"fewshot_split is not set; lm-eval takes {material.fewshot_split}.",
            "Name it.",
        )


def _generation(material: Material) -> Iterator[Finding]:
    if material.loaded.task.OUTPUT_TYPE != "generate_until":
        return
    asked = material.loaded.config.get("generation_kwargs") or {}
    stops = asked.get("until") or []
    stops = [stops] if isinstance(stops, str) else list(stops)
    if not stops:
        yield Finding(
            "warning",
            "generation_kwargs has no until: it goes on to the delimiter of shots.",
            'Set generation_kwargs: {until: ["\\n"]}.',
        )
    cut = [
        document.number
        for document in material.documents
        if document.targets
        and all(any(stop in target for stop in stops) for target in document.targets)
    ]
    if cut:
        yield Finding(
            "error",
            f"answers that hold one of until: {stops}, so that they can never come out: {len(cut)} "
            f"(the first: document {cut[0]}).",
            "Choose another stop, or answers without it.",
        )
    if asked.get("do_sample") or asked.get("temperature"):
        yield Finding(
            "warning", "generation samples: runs differ.", "Set do_sample: false for a benchmark."
        )
    if "max_gen_toks" not in asked:
        yield Finding(
            "note",
            "max_gen_toks is not set: up to 256 tokens where no stop comes.",
            "Set it in generation_kwargs.",
        )


def _metadata(material: Material) -> Iterator[Finding]:
    """What aggregation and reports read; what it says must be so."""
    said = material.loaded.config.get("metadata")
    said = said if isinstance(said, dict) else {}
    absent = [key for key in _METADATA if key not in said]
    if absent:
        yield Finding(
            "warning",
            f"metadata lacks {', '.join(absent)}; averages over tasks cannot use this one.",
            "metadata: {version: 1.0, category: ..., scoring: cf, metric: 'acc,none', "
            "random_baseline: 0.25}.",
        )
    task = material.loaded.task
    scoring = said.get("scoring")
    if scoring is not None and _OUTPUT.get(scoring) != task.OUTPUT_TYPE:
        yield Finding(
            "error",
            f"metadata says scoring: {scoring}, the task is {task.OUTPUT_TYPE}.",
            f"Expected one of {', '.join(SCORINGS)} that agrees with output_type.",
        )
    metrics = metric_names(task)
    if said.get("metric") and metrics and said["metric"] not in (*metrics, JUDGED):
        yield Finding(
            "error",
            f"metadata says metric: {said['metric']!r}, which the task does not have.",
            f"It has {', '.join(metrics)}.",
        )
    chances = [
        max(1, len(set(d.targets))) / len(d.choices)
        for d in material.documents
        if material.scored_by_choice and d.choices
    ]
    chance = sum(chances) / len(chances) if chances else None
    baseline = said.get("random_baseline")
    number = baseline if isinstance(baseline, (int, float)) else math.nan
    if chance is not None and baseline is not None and not abs(number - chance) <= _ROUNDING:
        yield Finding(
            "error",
            f"metadata says random_baseline: {baseline}, guessing among the options gives "
            f"{chance:.4f}.",
            "Correct it: normalised scores are relative to it.",
        )
