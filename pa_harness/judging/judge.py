"""Judge a run: plan what must be asked, ask it, and make the numbers.

`plan` reads everything, renders every prompt and looks up what is answered already; so the price is
that of the very requests that are left. `judge` asks those and writes the judge's folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness import __version__
from pa_harness.errors import JudgeError
from pa_harness.judging.alpaca import AlpacaEval, Compared
from pa_harness.judging.annotator import OFFICIAL, OPENAI_URL, find_annotator
from pa_harness.judging.asking.price import Price, estimate, find_price
from pa_harness.judging.asking.server import JudgeServer, Patience
from pa_harness.judging.asking.session import Asking, Tally
from pa_harness.judging.asking.verdicts import Verdicts
from pa_harness.judging.outputs import TASK, read_outputs
from pa_harness.judging.published import check_gamed
from pa_harness.judging.reference import GPT4, find_reference
from pa_harness.judging.rows import Judge, judgement_rows
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import VERDICTS, Judged, JudgeFolder, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.judging.annotator import Annotator
    from pa_harness.judging.asking.price import Estimate
    from pa_harness.judging.asking.request import Request
    from pa_harness.judging.asking.session import AskingProgress
    from pa_harness.judging.outputs import Outputs
    from pa_harness.judging.reference import Reference


@dataclass(frozen=True)
class JudgeSettings:
    """What is to be judged, by whom, and how it is asked."""

    run: Path
    annotator: str = OFFICIAL
    base_url: str | None = None
    judge_model: str | None = None
    reference: str = GPT4
    task: str = TASK
    output_path: Path | None = None  # default: RUN/judgements
    cache: Path | None = None  # default: verdicts.sqlite in there
    df_gamed: Path | None = None
    price: str | None = None
    max_cost: float | None = None
    concurrency: int = 16
    patience: Patience = field(default_factory=Patience)

    @property
    def folder(self) -> Path:
        """Where judgements are kept."""
        beside = self.run.parent if self.run.is_file() else self.run
        return self.output_path or RunFolder(beside).judgements_folder


@dataclass
class Plan:
    """Everything that is known before the first request."""

    settings: JudgeSettings
    outputs: list[Outputs]
    reference: Reference
    annotator: Annotator | None  # None: the verdicts came with the file
    price: Price
    kept: Verdicts | None
    missing: dict[str, Request] = field(default_factory=dict)
    answered: int = 0  # requests that have their answer
    failed: set[str] = field(default_factory=set)  # keys, of this session

    def close(self) -> None:
        """Let go of the file of verdicts."""
        if self.kept is not None:
            self.kept.close()

    @property
    def estimate(self) -> Estimate:
        """Of what is missing."""
        return estimate(self.missing.values(), self.price)

    @property
    def name(self) -> str:
        """The judge's folder: the official judge's own name, else with a digest of what differs.

        Files that lie side by side share a folder of judgements: their names come first.
        """
        names = [self.settings.run.stem] if self.settings.run.is_file() else []
        if self.annotator is None:
            names += [self.outputs[0].annotator]
        elif self.annotator.official and self.reference.official:
            names += [self.annotator.name]
        else:
            digest = f"{self.annotator.digest[:4]}{self.reference.digest[:4]}"
            names += [self.annotator.name, self.annotator.model, f"vs-{self.reference.name}"]
            names += [digest]
        return _fit("-".join(names))


def plan(settings: JudgeSettings) -> Plan:
    """Read the run, and find out what must be asked.

    Raises:
        JudgeError: the judge or the reference cannot be used.
        RunError: there is nothing to judge, or it cannot be read.
    """
    check_gamed(settings.df_gamed)
    outputs = read_outputs(settings.run, settings.task)
    if outputs[0].annotator:
        return Plan(settings, outputs, find_reference(GPT4, outputs), None, Price(0, 0), None)
    package = AlpacaEval()
    annotator = find_annotator(
        settings.annotator, package.configurations, settings.base_url, settings.judge_model
    )
    at_openai = annotator.base_url == OPENAI_URL
    price = find_price(
        annotator.model, annotator.price_per_token, settings.price, at_openai=at_openai
    )
    if settings.max_cost is not None and price.prompt is None:
        raise JudgeError(
            f"--max_cost {settings.max_cost:g}: the price of {annotator.model} is not known. Give "
            "it by --price PROMPT,COMPLETION, dollars per million tokens."
        )
    reference = find_reference(settings.reference, outputs)
    kept = Verdicts(settings.cache or settings.folder / VERDICTS)
    made = Plan(settings, outputs, reference, annotator, price, kept)
    asked: set[str] = set()
    for each in outputs:
        package.annotate(annotator, pairs(each, reference), lambda r: _look_up(made, r, asked))
    made.answered = len(asked) - len(made.missing)
    return made


def pairs(outputs: Outputs, reference: Reference) -> list[Compared]:
    """The reference's output and the model's, in the order of its documents."""
    return [
        Compared(answer.instruction, reference.outputs[answer.instruction], answer.output)
        for answer in outputs.answers
    ]


def _look_up(made: Plan, request: Request, asked: set[str]) -> Mapping[str, Any] | None:
    """The kept completion; a request without one is noted as missing."""
    if made.kept is None or made.annotator is None:
        return None
    key = request.key(made.annotator.base_url)
    asked.add(key)
    found = made.kept.get(key)
    if found is None:
        made.missing[key] = request
    return None if found is None else found.completion


def ask(made: Plan, key: str | None, progress: AskingProgress) -> Tally:
    """Ask what is missing, and keep it.

    Args:
        made: of `plan`.
        key: the API key.
        progress: told how far it has come.

    Raises:
        JudgeError: the judge cannot be asked. What came is kept.
    """
    if made.annotator is None or made.kept is None or not made.missing:
        return Tally(0, made.price)
    settings = made.settings
    server = JudgeServer(made.annotator.base_url, key, settings.patience)
    is_verdict = AlpacaEval().parser(made.annotator)
    asking = Asking(server, made.kept, is_verdict, progress)
    tally = asking.ask(made.missing, made.price, settings.concurrency, settings.max_cost)
    made.failed = tally.failed_keys
    if tally.answered or made.answered:
        return tally
    if not tally.failed:
        raise JudgeError(
            f"Nothing was asked: {tally.stopped} by the first request already. All that is to ask: "
            f"{made.estimate}."
        )
    raise JudgeError(
        f"The judge at {server.base_url} gave no verdict at all in {tally.failed} requests; the "
        f"last: {tally.reasons[-1]}. An annotator that weighs tokens needs a server that returns "
        "logprobs, and a judge that answers with the very token (m or M); others read text, such "
        "as --annotator alpaca_eval_gpt4."
    )


def judge(made: Plan) -> tuple[Path, list[Judgement]]:
    """The numbers from the verdicts that are there; written to the judge's folder.

    Returns:
        The folder, and its table.
    """
    answered_by: set[str] = set()
    judged = [_judged(made, each, answered_by) for each in made.outputs]
    judge_ = Judge(
        made.annotator, made.reference, tuple(sorted(answered_by)), made.settings.df_gamed
    )
    rows, gamed = judgement_rows(judge_, made.outputs, judged)
    folder = made.settings.folder / made.name
    record = {**_record(made), "answered_by": sorted(answered_by), "length_control": gamed}
    record["answers"] = RunFolder(made.settings.run).answers(made.settings.task)
    JudgeFolder(folder).write(record, rows, judged, made.settings.task)
    return folder, rows


def _judged(made: Plan, outputs: Outputs, answered_by: set[str]) -> Judged:
    """The verdicts of one model, as AlpacaEval writes them."""
    open_: set[str] = set()  # instructions that were not put to the judge

    def answer(request: Request) -> Mapping[str, Any] | None:
        if made.annotator is None or made.kept is None:
            return None
        key = request.key(made.annotator.base_url)
        found = made.kept.get(key)
        if found is not None:
            answered_by.add(found.answered_by)
            return found.completion
        if key not in made.failed:
            open_.update(request.instructions)
        return None

    compared = pairs(outputs, made.reference)
    if made.annotator is None:
        verdicts = [answer_.verdict for answer_ in outputs.answers]
    else:
        verdicts = AlpacaEval().annotate(made.annotator, compared, answer)
    name = outputs.annotator or (made.annotator.name if made.annotator else "")
    annotations = [
        {
            "instruction": pair.instruction,
            "dataset": answered.dataset,
            "output_1": pair.output_1,
            "generator_1": made.reference.generator,
            "output_2": pair.output_2,
            "generator_2": outputs.generator,
            "annotator": name,
            "preference": verdict,
            "judged": verdict is not None or pair.instruction not in open_,
        }
        for pair, answered, verdict in zip(compared, outputs.answers, verdicts, strict=True)
    ]
    return Judged(outputs.lam, outputs.name, annotations)


def _record(made: Plan) -> dict[str, Any]:
    """What judge.json says, but for what only the verdicts tell."""
    annotator, reference = made.annotator, made.reference
    packages = ("alpaca-eval", "openai", "scikit-learn") if annotator else ()
    known = annotator and {
        "name": annotator.name,
        "model": annotator.model,
        "base_url": annotator.base_url,
        "template_sha256": annotator.template_digest,
        "configuration": annotator.configs,
    }
    return {
        "annotator": known or {"name": made.outputs[0].annotator},
        "reference": {
            "name": reference.name,
            "generator": reference.generator,
            "sha256": reference.digest,
            "official": reference.official,
        },
        "task": made.settings.task,
        "price_per_million_tokens": [made.price.prompt, made.price.completion],
        "versions": {"pa_harness": __version__, **{name: version(name) for name in packages}},
    }


def _fit(text: str) -> str:
    """Fit for a folder's name."""
    return re.sub(r"[^\w.=λ-]+", "_", text)
