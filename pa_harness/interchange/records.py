"""Results as records that other programs read, one folder for each λ, laid out as a model's.

    every_eval_ever   lam=0.5/every_eval_ever/UUID.json       the EvalEval coalition's schema
    model_index       lam=0.5/README.md                       a model card with its metadata
    eval_results      lam=0.5/.eval_results/pa_harness.yaml   the Hub's evaluation results

λ and both parents stand in the model's name and in the metadata. Nothing is uploaded. The same run
gives the same bytes.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError
from pa_harness.foreign.naming import file_name
from pa_harness.foreign.reading import MALFORMED
from pa_harness.foreign.showing import in_markdown
from pa_harness.interchange.every_eval_ever import record, source_data
from pa_harness.interchange.lm_eval_files import from_results, is_lm_eval, read_json_file
from pa_harness.interchange.names import short
from pa_harness.markdown import card
from pa_harness.runs.folder import RunFolder
from pa_harness.storage import as_yaml, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pa_harness.interchange.reported import Reported

FORMATS = ("every_eval_ever", "model_index", "eval_results")


@dataclass
class Measurements:
    """All numbers of one model, and what is known of how they were made."""

    first: Reported
    library: str
    date: float
    numbers: dict[tuple[str, str], Reported] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def adapted(self) -> bool:
        """Whether the model is between two others."""
        return self.first.adapted

    @property
    def folder(self) -> str:
        """Where its records go: one part of a path, whatever the results say."""
        return file_name(self.first.place if self.adapted else short(self.first.model))

    def identifier(self, name: str) -> str:
        """The model's name: both parents and λ, or the given name and λ."""
        parents = "__".join(short(each).replace("/", "_") for each in self.parents)
        stem = name or parents or short(self.first.model)
        return f"{stem}__{self.first.place}" if self.adapted else stem

    @property
    def parents(self) -> list[str]:
        """Base and instruct model (or adapter); none for a model of its own."""
        return [self.first.base, self.first.instruct] if self.adapted else []


def export_results(path: Path, kind: str, output: Path, name: str = "") -> list[Path]:
    """Write the records of a sweep, or of a folder or file of lm-eval's results.

    Args:
        path: the results.
        kind: one of `FORMATS`.
        output: the folder that gets a folder for each model.
        name: of the model on the hub, without λ; default: made of the parents'.

    Returns:
        The files.

    Raises:
        RunError: no results are there, or none that the format can hold.
    """
    write: Callable[[Measurements, Path, str], Path | None] = {
        "every_eval_ever": _every_eval_ever,
        "model_index": _model_index,
        "eval_results": _eval_results,
    }[kind]
    models = read_measurements(path)
    _check_folders(models, path)
    files = [write(each, output / each.folder, each.identifier(name)) for each in models]
    written = [file for file in files if file is not None]
    if not written:
        raise RunError(
            f"{path}: no task of these results is on a dataset of the hub, which {kind} needs. "
            "Use --format every_eval_ever or model_index."
        )
    return written


def _check_folders(models: Sequence[Measurements], path: Path) -> None:
    """Two models in one folder would overwrite each other's records."""
    first: dict[str, Measurements] = {}
    for model in models:
        other = first.setdefault(model.folder, model)
        if other is not model:
            names = " and ".join(each.identifier("") for each in (other, model))
            raise RunError(
                f"{path} holds results of {names}, whose records would both be written to "
                f"{model.folder}. Export them one by one, to folders of their own (-o)."
            )


def read_measurements(path: Path) -> list[Measurements]:
    """What lm-eval's results files below a path hold, by model; newer numbers replace older."""
    if path.is_file() and path.suffix.lower() != ".json":
        raise RunError(
            f"{path} is no JSON file. Expected lm-eval's results: a file, a folder, a sweep."
        )
    files = RunFolder(path).results_files() if path.is_dir() else [path]
    found: dict[tuple[str, str, str], Measurements] = {}
    for file in sorted(files, key=lambda file: file.name):
        content = read_json_file(file)
        if not is_lm_eval(content):
            raise RunError(f"{file} is no results file of lm-eval (no results and configs).")
        numbers = from_results(content, file)
        first = numbers[0]
        key = (first.model, first.instruct, first.place)
        date = _seconds(content.get("date"), file)
        library = str(content.get("lm_eval_version") or "unknown")
        model = found.setdefault(key, Measurements(first, library, date))
        model.numbers |= {(each.task, each.metric): each for each in numbers}
        model.configs |= {task: dict(each) for task, each in content["configs"].items()}
    if not found:
        raise RunError(f"{path} holds no results file of lm-eval. Name a sweep's --output_path.")
    return list(found.values())


def _seconds(date: Any, file: Path) -> float:
    try:
        seconds = float(date or 0)
        datetime.fromtimestamp(seconds, timezone.utc)
    except (OSError, *MALFORMED):
        raise RunError(
            f"{file} is damaged: its date is {date!r}. Expected seconds since 1970, as lm-eval "
            "writes them. Run the evaluation again."
        ) from None
    return seconds


def _every_eval_ever(model: Measurements, folder: Path, identifier: str) -> Path:
    first = model.first
    about = {
        "name": identifier,
        "id": identifier,
        **({"base": first.base, "instruct": first.instruct} if model.adapted else {}),
        **({} if math.isnan(first.lam) else {"lam": f"{first.lam:g}"}),
        **({"way": first.way} if first.way else {}),
        "precision": first.precision or "unknown",
    }
    if first.parameters > 0:
        about["params_billions"] = f"{first.parameters / 1e9:g}"
    date = f"{model.date:.6f}"
    content = record(about, list(model.numbers.values()), model.configs, model.library, date)
    digest = sha256(f"{identifier}{date}".encode()).digest()
    name = uuid.UUID(bytes=digest[:16], version=4)  # the version that their datastore asks for
    file = folder / "every_eval_ever" / f"{name}.json"
    write_json(file, content)
    return file


def _model_index(model: Measurements, folder: Path, identifier: str) -> Path:
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    for number in model.numbers.values():
        data = source_data(number.task, model.configs.get(number.task) or {})
        details = data.get("additional_details") or {}
        if math.isnan(number.value):
            continue
        results.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=data["dataset_name"],
                dataset_name=number.task,
                dataset_config=details.get("config"),
                dataset_split=data.get("hf_split"),
                dataset_revision=details.get("revision"),
                dataset_args={"num_few_shot": number.num_fewshot},
                metric_type=number.metric.partition(",")[0],
                metric_name=number.metric,
                metric_value=number.value,
            )
        )
    parents = [short(each) for each in model.parents]
    data_of_card: Any = ModelCardData(
        model_name=identifier,
        base_model=parents or None,
        tags=["pa-harness", *([model.first.place] if model.adapted else [])],
        eval_results=results,
    )
    file = folder / "README.md"
    parts = [f"# {in_markdown(identifier)}", in_markdown(_sentence(model))]
    write_text(file, card(data_of_card.to_dict(), parts))
    return file


def _sentence(model: Measurements) -> str:
    if not model.adapted:
        return f"Measured with lm-eval {model.library}."
    base, instruct = model.parents
    return (
        f"θ_λ = θ_base + λ (θ_instruct − θ_base) with {model.first.strength}, base {base}, "
        f"instruct {instruct}. Measured with pa-harness and lm-eval {model.library}."
    )


def _eval_results(model: Measurements, folder: Path, _identifier: str) -> Path | None:
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    day = datetime.fromtimestamp(model.date, timezone.utc).strftime("%Y-%m-%d")
    entries = []
    for number in model.numbers.values():
        data = source_data(number.task, model.configs.get(number.task) or {})
        if "hf_repo" not in data or not number.main or math.isnan(number.value):
            continue
        entry = EvalResultEntry(
            dataset_id=data["hf_repo"],
            task_id=number.task,
            value=round(100 * number.value, 6),
            dataset_revision=data["additional_details"].get("revision"),
            date=day,
            notes=_notes(model, number),
        )
        entries.append(entry)
    if not entries:
        return None
    file = folder / ".eval_results" / "pa_harness.yaml"
    rows = eval_result_entries_to_yaml(entries)
    write_text(file, as_yaml(rows))
    return file


def _notes(model: Measurements, number: Reported) -> str:
    """What the format has no field for, as a sentence."""
    parts = [
        f"{number.metric}, percent",
        f"{number.num_fewshot} shots",
        f"lm-eval {model.library}, task version {number.version}",
    ]
    if number.limit:
        parts.append(f"limit {number.limit:g} ({number.n} documents)")
    if model.adapted:
        base, instruct = (short(each) for each in model.parents)
        parts.append(f"{model.first.strength} between {base} and {instruct} (pa-harness)")
    return "; ".join(parts)
