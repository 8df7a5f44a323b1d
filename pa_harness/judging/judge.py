"""Judge a run: ask what a plan found missing, and make the numbers.

`ask` asks, `judge` writes the judge's folder.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pa_harness import __version__
from pa_harness.errors import JudgeError
from pa_harness.judging.alpaca import AlpacaEval
from pa_harness.judging.asking.server import JudgeServer
from pa_harness.judging.asking.session import Asking, Tally
from pa_harness.judging.plan import pairs
from pa_harness.judging.rows import Judge, judgement_rows
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import Judged, JudgeFolder, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pa_harness.judging.asking.request import Request
    from pa_harness.judging.asking.session import AskingProgress
    from pa_harness.judging.outputs import Outputs
    from pa_harness.judging.plan import Plan


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
        f"last: {tally.reasons[-1]}. What came is kept in {made.kept.path}. An annotator that "
        "weighs tokens needs a server that returns logprobs, and a judge that answers with the "
        "very token (m or M); others read text, such as --annotator alpaca_eval_gpt4."
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
    rows, judged, gamed = judgement_rows(judge_, made.outputs, judged)
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
    packages = ("alpaca-eval", "httpx2", "scikit-learn") if annotator else ()
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
