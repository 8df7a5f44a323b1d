"""What models answered to AlpacaEval's instructions: from sample logs, or AlpacaEval's own JSON.

A run is a folder with lm-eval's sample logs of the task, one for each λ (a sweep's, or that of
``lm_eval --log_samples --output_path``), or a JSON file: ``model_outputs.json`` as AlpacaEval has
it, or an ``annotations.json`` whose verdicts are taken as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line, listed
from pa_harness.foreign.naming import file_name
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.judging.asking.request import verdict_of
from pa_harness.lam.grid import lam_name
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.scores import lam_of, task_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TASK = "pa_alpaca_eval"  # the task whose sample logs are read
ANSWER_TOKENS = "length,answer"  # of a sweep's documents.parquet


@dataclass(frozen=True)
class Answer:
    """One instruction with a model's answer, stripped, as AlpacaEval compares them."""

    instruction: str
    output: str
    dataset: str = ""  # the source set
    tokens: float = math.nan  # of the answer, in the model's own tokenizer
    reference: str | None = None  # that the task's documents carry
    verdict: float | None = None  # 1: the reference is better, 2: the model; of a file of verdicts


@dataclass(frozen=True)
class Outputs:
    """All answers of one model, in the order of the task's documents."""

    generator: str
    answers: tuple[Answer, ...]
    lam: float = math.nan
    reference_generator: str = ""  # of `Answer.reference`
    annotator: str = ""  # whose verdicts the answers carry
    chat_template: bool | None = None  # None: not known
    decoding: Mapping[str, Any] | None = None  # generation settings; None: not known

    @property
    def name(self) -> str:
        """Fit for a file: ``lam=0.5``, or the model's name where λ is not known."""
        if not math.isnan(self.lam):
            return lam_name(self.lam)
        return file_name(self.generator)


def read_outputs(run: Path, task: str = TASK) -> list[Outputs]:
    """The models of a run, by ascending λ.

    Args:
        run: folder or JSON file.
        task: of the sample logs.

    Raises:
        RunError: nothing to judge is there, files are broken, or a λ is there twice.
    """
    if run.is_file():
        return [_from_json(run)]
    if not run.exists():
        raise RunError(f"{run} does not exist. Expected the folder of a run, or a JSON file.")
    folder = RunFolder(run)
    logs = folder.sample_logs(task)
    if not logs:
        raise RunError(
            f"{run} has no sample logs of {task} (samples_{task}_….jsonl). Make them with "
            f"`pa-harness sweep --tasks {task} …`, or `lm_eval --tasks {task} --log_samples "
            "--output_path …`; or name a JSON file of model outputs."
        )
    found = [_from_log(log, results_file, task) for log, results_file in logs]
    found.sort(key=lambda outputs: (math.isnan(outputs.lam), outputs.lam, outputs.generator))
    names = [outputs.name for outputs in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunError(
            f"{run} has more than one model for {', '.join(twice)}:\n"
            f"{listed(log for log, _ in logs)}\nName the folder of one run."
        )
    return _with_tokens(found, folder, task)


def read_reference(path: Path) -> Outputs:
    """A file of model outputs to compare with.

    Raises:
        RunError: it is no such file.
    """
    return _from_json(path)


def _from_log(log: Path, results_file: Path, task: str) -> Outputs:
    try:
        results = parse_json(results_file.read_bytes())
        with log.open(encoding="utf-8") as file:
            samples = [parse_json(line) for line in file]
        by_document = {int(each["doc_id"]): each for each in reversed(samples)}  # first filter's
        answers = [_answer(by_document[number]) for number in sorted(by_document)]
        first = samples[0]
        generators = {str(each["doc"].get("generator", "")) for each in samples}
    except FileNotFoundError:
        raise RunError(
            f"{log} stands without its {results_file.name}, which says at which λ it was made. "
            "Keep the files of a run together."
        ) from None
    except (OSError, *MALFORMED) as error:
        raise RunError(
            f"{log} cannot be read as a sample log of {task} ({type(error).__name__}: "
            f"{first_line(error)}). Its documents must have an instruction, and each sample its "
            "text in filtered_resps."
        ) from None
    lam = lam_of(results)
    name = str(results.get("model_name") or results["config"].get("model") or log.parent.name)
    facts = task_facts(task, results)
    template = facts.get("chat_template") or results.get("chat_template")
    return Outputs(
        generator=name if math.isnan(lam) else f"{name}@λ={lam:g}",
        answers=tuple(answers),
        lam=lam,
        reference_generator=generators.pop() if len(generators) == 1 else "",
        chat_template=bool(template),
        decoding=_decoding(first),
    )


def _answer(sample: Mapping[str, Any]) -> Answer:
    document = sample["doc"]
    reference = document.get("output")
    text = sample["filtered_resps"][0]
    return Answer(
        instruction=str(document["instruction"]),
        output=str(text[0] if isinstance(text, list) else text).strip(),
        dataset=str(document.get("dataset", "")),
        reference=None if reference is None else str(reference),
    )


def _decoding(sample: Mapping[str, Any]) -> dict[str, Any] | None:
    settings = ((sample.get("arguments") or {}).get("gen_args_0") or {}).get("arg_1")
    return dict(settings) if isinstance(settings, dict) else None


def _from_json(path: Path) -> Outputs:
    try:
        rows = parse_json(path.read_bytes())
        judged = "preference" in rows[0] and "output_2" in rows[0]
        answers = tuple((_judged_answer if judged else _plain_answer)(row) for row in rows)
        key = "generator_2" if judged else "generator"
        generators = sorted({str(row.get(key) or path.stem) for row in rows})
        annotators = sorted({str(row.get("annotator") or "unknown") for row in rows})
    except FileNotFoundError:
        raise RunError(f"{path} does not exist.") from None
    except (OSError, *MALFORMED) as error:
        raise RunError(
            f"{path} is no file of model outputs ({type(error).__name__}: {first_line(error)}). "
            'Expected a JSON list of {"instruction": …, "output": …, "generator": …, "dataset": '
            "…}, as AlpacaEval's model_outputs.json, or its annotations.json."
        ) from None
    if len(generators) > 1:
        raise RunError(f"{path} has answers of several models: {', '.join(generators)}.")
    reference = str(rows[0].get("generator_1", "")) if judged else ""
    return Outputs(
        *(generators[0], answers),
        reference_generator=reference,
        annotator=", ".join(annotators) if judged else "",
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    text = row[key]
    if not isinstance(text, str):
        raise TypeError(f"{key} is {text!r}, no text")
    return text


def _plain_answer(row: Mapping[str, Any]) -> Answer:
    texts = (_text(row, "instruction"), _text(row, "output").strip())
    return Answer(*texts, str(row.get("dataset", "")))


def _judged_answer(row: Mapping[str, Any]) -> Answer:
    """Texts as they were judged."""
    return Answer(
        *(_text(row, "instruction"), _text(row, "output_2"), str(row.get("dataset", ""))),
        reference=_text(row, "output_1"),
        verdict=verdict_of(row["preference"]),
    )


def _with_tokens(found: list[Outputs], run: RunFolder, task: str) -> list[Outputs]:
    """The answers' tokens, where the run is a sweep that counted them."""
    if not run.documents_file.exists():
        return found
    paired = run.documents().paired(task).get(ANSWER_TOKENS)
    if paired is None:
        return found
    counted = dict(zip(paired.lams.tolist(), paired.values.tolist(), strict=True))
    return [_counted(outputs, counted.get(outputs.lam, ())) for outputs in found]


def _counted(outputs: Outputs, tokens: Iterable[float]) -> Outputs:
    numbers = list(tokens)
    if len(numbers) != len(outputs.answers):
        return outputs
    pairs = zip(outputs.answers, numbers, strict=True)
    return replace(outputs, answers=tuple(replace(each, tokens=n) for each, n in pairs))
