"""The folder of a sweep: what lies where, what is done, whether it is the same sweep.

    sweep.yaml                       the settings, a --config file
    provenance.json                  command, versions, model, digests of the prompts; times
    units/lam=0.5/TASK.json          one task at one λ: numbers, and values by document
    lam=0.5/results_DATE.json        lm-eval's own results file for this λ
    lam=0.5/samples_TASK_DATE.jsonl  lm-eval's own sample log
    scores.parquet                   a row per λ, task and metric
    documents.parquet                a row per λ, task, metric and document
    judgements/JUDGE/                what a judge said of the answers (`judgements`)
    summary.json, choice.json, comparison.json, figures/, report.html    derived from them
    auto.json, phase-1/, phase-2/    of ``--lam auto``: the search, and its sweeps

DATE is the sweep's start, in all names the same. A unit is done when its file is there; every file
is written whole, so a sweep that was killed goes on after its last finished unit.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line, listed
from pa_harness.lam.grid import lam_name
from pa_harness.runs.documents import Documents
from pa_harness.runs.judgements import TABLE, JudgeFolder
from pa_harness.runs.scores import Score
from pa_harness.runs.settings import as_yaml, difference
from pa_harness.runs.tables import read_table, write_table
from pa_harness.storage import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.runs.settings import SweepSettings

_DATE = "[0-9][0-9][0-9][0-9]-*"  # what follows a task's whole name in a log's
# Of lm-eval's model information: what is not the same at every λ.
_BY_LAM = {
    *("lam", "lam_eff", "lam_eff_tensors", "rounding_noise", "relative_delta"),
    *("identity", "notes", "model_args", "weights"),
}


class RunFolder:
    """Paths and records of one sweep; lm-eval's own files also of a folder that lm-eval wrote."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.settings_file = self.path / "sweep.yaml"
        self.provenance_file = self.path / "provenance.json"
        self.scores_file = self.path / "scores.parquet"
        self.documents_file = self.path / "documents.parquet"
        self.judgements_folder = self.path / "judgements"
        self.summary_file = self.path / "summary.json"
        self.choice_file = self.path / "choice.json"
        self.comparison_file = self.path / "comparison.json"
        self.figures_folder = self.path / "figures"
        self.report_file = self.path / "report.html"
        self.search_file = self.path / "auto.json"

    def scores(self) -> list[Score]:
        """The table of scores.

        Raises:
            RunError: the sweep has not come to its end, or the file is no such table.
        """
        if not self.scores_file.exists():
            raise RunError(
                f"{self.scores_file} does not exist. It is written at the end of a sweep: run "
                "`pa-harness sweep` with this --output_path, or name the folder of one that was."
            )
        return read_table(Score, self.scores_file, "Name a table that a sweep wrote.")

    def write_scores(self, scores: Sequence[Score], form: str = "parquet") -> None:
        """Write the table of scores, in one of `tables.FORMATS`."""
        write_table(Score, scores, self.scores_file.with_suffix(f".{form}"))

    def documents(self) -> Documents:
        """The values by document.

        Raises:
            RunError: as `scores`.
        """
        return Documents(self.documents_file)

    def judgements(self) -> list[JudgeFolder]:
        """The judges of the answers, by name."""
        found = sorted(self.judgements_folder.glob(f"*/{TABLE}"))
        return [JudgeFolder(file.parent) for file in found]

    def results_files(self) -> list[Path]:
        """lm-eval's results files, wherever they lie below."""
        return sorted(self.path.rglob("results*.json"))

    def sample_logs(self, task: str) -> list[tuple[Path, Path]]:
        """The newest of lm-eval's logs of a task in each folder below, and its results file."""
        start = f"samples_{_quoted(task)}_"
        newest = {
            log.parent: log for log in sorted(self.path.rglob(f"{escape(start)}{_DATE}.jsonl"))
        }
        return [
            (log, log.with_name(f"results_{log.stem.removeprefix(start)}.json"))
            for log in newest.values()
        ]

    def unit(self, lam: float, task: str) -> Path:
        """The file of one task at one λ."""
        return self.path / "units" / lam_name(lam) / f"{_quoted(task)}.json"

    def units(self, lam: float) -> list[Path]:
        """The files of the tasks that are done at one λ."""
        return sorted(self.unit(lam, "").parent.glob("*.json"))

    def results(self, lam: float) -> Path:
        """lm-eval's results file of one λ."""
        return self.path / lam_name(lam) / f"results_{self.date_id}.json"

    def samples(self, lam: float, task: str) -> Path:
        """lm-eval's sample log of one task at one λ."""
        return self.path / lam_name(lam) / f"samples_{_quoted(task)}_{self.date_id}.jsonl"

    @property
    def date_id(self) -> str:
        """The sweep's start as lm-eval writes times in file names."""
        started: str = self.provenance()["started"]
        return started.replace(":", "-")

    def provenance(self) -> dict[str, Any]:
        """What `open_` and `add_provenance` wrote."""
        return read_json(self.provenance_file)

    def open_(self, settings: SweepSettings, provenance: Mapping[str, Any]) -> None:
        """Begin the sweep, or make sure that the folder holds the same one.

        Args:
            settings: of the sweep that is asked for.
            provenance: `versions`, compared when a sweep goes on; and what else is to be kept.

        Raises:
            RunError: the folder holds a sweep with other settings or versions, or other files.
        """
        if self.provenance_file.exists():
            if self._is_same(settings, provenance):
                return
            for stale in self.path.glob("lam=*/samples_*.jsonl"):  # of a unit that did not finish
                stale.unlink()
        else:
            self._check_empty()
        write_text(self.settings_file, as_yaml(settings))
        started = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds")
        write_json(
            self.provenance_file,
            {"started": started, "settings": settings.as_dict(), **provenance},
        )

    def _check_empty(self) -> None:
        strangers = [each.name for each in self.path.iterdir() if not each.name.startswith(".")]
        if strangers and strangers != [self.settings_file.name]:
            raise RunError(
                f"{self.path} is not empty and holds no sweep:\n{listed(sorted(strangers))}\n"
                "Choose a new folder as --output_path."
            )

    def _is_same(self, settings: SweepSettings, provenance: Mapping[str, Any]) -> bool:
        """False where the other sweep has not finished a unit, so that nothing would be mixed."""
        old = self.provenance()
        lines = difference(old["settings"], settings.as_dict())
        lines += difference({"version of": old["versions"]}, {"version of": provenance["versions"]})
        if lines and any(self.path.glob("units/*/*.json")):
            raise RunError(
                f"{self.path} holds a sweep with another configuration:\n{listed(lines)}\n"
                "A sweep goes on only under its own: repeat its settings (--config "
                f"{self.settings_file}), or choose another --output_path."
            )
        return not lines

    def check_model(self, info: Mapping[str, Any]) -> None:
        """Keep what is known of the model; where a sweep goes on, it must be the same.

        Raises:
            RunError: the model, tokenizer or template is not that of the finished part.
        """
        fixed = {name: value for name, value in info.items() if name not in _BY_LAM}
        self._check_kept("model", json.loads(json.dumps(fixed, default=str)))

    def check_prompts(self, task: str, digest: str) -> None:
        """Keep the digest of a task's prompts; where a sweep goes on, it must be the same.

        Raises:
            RunError: the task's documents or prompts have changed.
        """
        self._check_kept("prompts", {task: digest})

    def _check_kept(self, section: str, found: Mapping[str, Any]) -> None:
        record = self.provenance()
        kept = record.setdefault(section, {})
        changed = {name: kept[name] for name in found if name in kept and kept[name] != found[name]}
        if changed:
            lines = difference(changed, {name: found[name] for name in changed})
            raise RunError(
                f"{self.path} was begun with another {section}:\n{listed(lines)}\n"
                "Finished and new parts would not belong together. Restore what was changed, or "
                "choose another --output_path."
            )
        if any(name not in kept for name in found):
            kept.update(found)
            write_json(self.provenance_file, record)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the run.

    Raises:
        RunError: it is missing or is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{path.parent} is no folder of a sweep: it has no {path.name}. Name the folder that "
            "was the --output_path of a `pa-harness sweep`."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {first_line(error)}") from None
    return content


def _quoted(task: str) -> str:
    """A task's name as part of a file name."""
    return task.replace("/", "%2F")
