"""What a judge is to be asked: everything that is known before the first request.

`plan` reads everything, renders every prompt and looks up what is answered already; so the price is
that of the very requests that are left.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import JudgeError, RunError, first_line
from pa_harness.foreign.naming import file_name
from pa_harness.judging.alpaca import AlpacaEval, Compared
from pa_harness.judging.annotator import OFFICIAL, OPENAI_URL, find_annotator
from pa_harness.judging.asking.price import Price, estimate, find_price, tokens_of
from pa_harness.judging.asking.reply import read_reply
from pa_harness.judging.asking.server import Patience
from pa_harness.judging.asking.verdicts import Verdict, Verdicts
from pa_harness.judging.outputs import TASK, read_outputs
from pa_harness.judging.published import check_gamed
from pa_harness.judging.reference import GPT4, find_reference
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import VERDICTS
from pa_harness.storage import sole_writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.judging.annotator import Annotator
    from pa_harness.judging.asking.price import Estimate
    from pa_harness.judging.asking.request import Request
    from pa_harness.judging.asking.session import IsVerdict
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

    @property
    def verdicts(self) -> Path:
        """The file of verdicts."""
        return self.cache or self.folder / VERDICTS


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
    notes: list[str] = field(default_factory=list)  # of a run that cannot be checked
    held: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Let go of the folder and of the file of verdicts."""
        self.held.close()

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
        return file_name("-".join(names))


def plan(settings: JudgeSettings) -> Plan:
    """Read the run, and find out what must be asked; until `Plan.close` nobody else judges there.

    Two judges of one folder, or with one file of verdicts, would pay for the same answers.

    Raises:
        JudgeError: the judge or the reference cannot be used.
        RunError: there is nothing to judge, it cannot be read, it is not what the sweep wrote,
            another process judges there, or nothing can be written there.
    """
    # a judge's own files are written anew
    notes = RunFolder(settings.run).check(judges=False) if settings.run.is_dir() else []
    with ExitStack() as held:
        made = _plan(settings, held)
        made.notes = notes
        made.held = held.pop_all()
    return made


def _plan(settings: JudgeSettings, held: ExitStack) -> Plan:
    check_gamed(settings.df_gamed)
    outputs = read_outputs(settings.run, settings.task)
    if outputs[0].annotator:
        made = Plan(settings, outputs, find_reference(GPT4, outputs), None, Price(0, 0), None)
        _take_hold(made, held)
        return made
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
    made = Plan(settings, outputs, reference, annotator, price, None)
    _take_hold(made, held)
    made.kept = Verdicts(settings.verdicts)
    held.callback(made.kept.close)
    is_verdict = package.parser(annotator)
    asked: set[str] = set()

    def answer(request: Request) -> Mapping[str, Any] | None:
        return _look_up(made, request, asked, is_verdict)

    for each in outputs:
        package.annotate(annotator, pairs(each, reference), answer)
    made.answered = len(asked) - len(made.missing)
    return made


def _take_hold(made: Plan, held: ExitStack) -> None:
    """Be the only one who judges there, and see that the end can be written before it is paid."""
    settings, folder = made.settings, made.settings.folder
    held.enter_context(sole_writer(folder, "a judge"))
    if settings.cache is not None:
        lock = f".{file_name(settings.cache.name)}.lock"
        held.enter_context(sole_writer(settings.cache.absolute().parent, "a judge", lock))
    try:
        (folder / made.name).mkdir(exist_ok=True)
        if not any((folder / made.name).iterdir()):
            (folder / made.name).rmdir()
    except OSError as error:
        raise RunError(
            f"{folder / made.name} cannot be written: {first_line(error)}. Choose another "
            "--output_path."
        ) from None


def pairs(outputs: Outputs, reference: Reference) -> list[Compared]:
    """The reference's output and the model's, in the order of its documents."""
    return [
        Compared(answer.instruction, reference.outputs[answer.instruction], answer.output)
        for answer in outputs.answers
    ]


def _look_up(
    made: Plan, request: Request, asked: set[str], is_verdict: IsVerdict
) -> Mapping[str, Any] | None:
    """The kept completion; a request without one is noted as missing."""
    if made.kept is None or made.annotator is None:
        return None
    key = request.key(made.annotator.base_url)
    asked.add(key)
    found = made.kept.get(key) or _from_answer(made.kept, key, request, is_verdict)
    if found is None:
        made.missing[key] = request
    return None if found is None else found.completion


def _from_answer(
    kept: Verdicts, key: str, request: Request, is_verdict: IsVerdict
) -> Verdict | None:
    """The verdict in an answer that came when a session ended; it is paid for."""
    text = kept.answer(key)
    try:
        found = read_reply(text or "", tokens_of(request))
    except ValueError:
        return None
    if not is_verdict(request, found.completion):
        return None
    kept.put(key, found)
    return found
