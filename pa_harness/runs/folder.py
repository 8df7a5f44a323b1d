"""The folder of a sweep: what lies where, what is done, whether it is what was written there.

    sweep.yaml                       the settings, a --config file
    provenance.json                  command, settings, versions, model; times
    units/lam=0.5/TASK.json          one task at one λ: numbers, values by document, its identity
    lam=0.5/results_DATE.json        lm-eval's own results file for this λ
    lam=0.5/samples_TASK_DATE.jsonl  lm-eval's own sample log
    scores.parquet                   a row per λ, task and metric
    documents.parquet                a row per λ, task, metric and document
    files.json                       the digest of each of these files, at the end of the sweep
    judgements/JUDGE/                what a judge said of the answers (`judgements`)
    summary.json, choice.json, comparison.json, figures/, report.html    derived from them
    ledger.parquet                   derived: a row per document that λ = 0 or 1 answers otherwise
    auto.json, phase-1/, phase-2/    of ``--lam auto``: the search, and its sweeps

DATE is the sweep's start, in all names the same. A unit is done when its file is there; every file
is written whole, so a sweep that was killed goes on after its last finished unit.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, listed
from pa_harness.foreign.naming import file_name
from pa_harness.lam.grid import lam_name
from pa_harness.runs.documents import Documents
from pa_harness.runs.identity import difference
from pa_harness.runs.judgements import TABLE, JudgeFolder
from pa_harness.runs.manifest import LOG, NAME, Manifest, own
from pa_harness.runs.record import read_record
from pa_harness.runs.scores import Score
from pa_harness.runs.seal import write_sealed
from pa_harness.runs.settings import as_yaml
from pa_harness.runs.tables import read_table, write_table
from pa_harness.storage import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.runs.settings import SweepSettings

_DATE = "[0-9][0-9][0-9][0-9]-*"  # what follows a task's whole name in a log's
NO_IDENTITY = (
    "was made by a version that kept no digests: that its files are those that the sweep wrote, "
    "and belong together, cannot be checked"
)


class RunFolder:
    """Paths and records of one sweep; lm-eval's own files also of a folder that lm-eval wrote."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.settings_file = self.path / "sweep.yaml"
        self.provenance_file = self.path / "provenance.json"
        self.scores_file = self.path / "scores.parquet"
        self.documents_file = self.path / "documents.parquet"
        self.manifest = Manifest(self.path)
        self.judgements_folder = self.path / "judgements"
        self.summary_file = self.path / "summary.json"
        self.choice_file = self.path / "choice.json"
        self.comparison_file = self.path / "comparison.json"
        self.figures_folder = self.path / "figures"
        self.report_file = self.path / "report.html"
        self.ledger_file = self.path / "ledger.parquet"
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
        """lm-eval's results files, wherever they lie below.

        Raises:
            RunError: one lies in the folder of a finished sweep that has not written it.
        """
        return own(sorted(self.path.rglob("results*.json")))

    def sample_logs(self, task: str) -> list[tuple[Path, Path]]:
        """The newest of lm-eval's logs of a task in each folder below, and its results file.

        Raises:
            RunError: a log in the folder of a finished sweep is not the one it has written, or
                one is missing.
        """
        pattern = f"*/{_log_pattern(task)}"
        written = [self.path / name for name in self.manifest.logs() if fnmatchcase(name, pattern)]
        self.manifest.check_logs(log for log in written if not log.exists())
        logs = own(sorted(self.path.rglob(_log_pattern(task))))
        newest = {log.parent: log for log in logs}
        start = len(f"samples_{file_name(task)}_")
        return [(log, log.with_name(f"results_{log.stem[start:]}.json")) for log in newest.values()]

    def unit(self, lam: float, task: str) -> Path:
        """The file of one task at one λ."""
        return self.path / "units" / lam_name(lam) / f"{file_name(task)}.json"

    def units(self, lam: float) -> list[Path]:
        """The files of the tasks that are done at one λ."""
        return sorted(self.unit(lam, "").parent.glob("*.json"))

    def units_of(self, task: str) -> list[Path]:
        """The files of a task at every λ where it is done."""
        return sorted(self.path.glob(f"units/*/{escape(file_name(task))}.json"))

    def results(self, lam: float) -> Path:
        """lm-eval's results file of one λ."""
        return self.path / lam_name(lam) / f"results_{self.date_id}.json"

    def samples(self, lam: float, task: str) -> Path:
        """lm-eval's sample log of one task at one λ."""
        return self.path / lam_name(lam) / f"samples_{file_name(task)}_{self.date_id}{LOG}"

    @property
    def started(self) -> str:
        """When the sweep began, in UTC."""
        return str(self.provenance()["started"])

    @property
    def date_id(self) -> str:
        """The sweep's start as lm-eval writes times in file names."""
        return file_name(self.started.replace(":", "-"))

    @property
    def begun(self) -> bool:
        """Whether a unit is done."""
        return any(self.path.glob("units/*/*.json"))

    @property
    def is_old(self) -> bool:
        """Whether a version began it that kept no digests."""
        return self.provenance_file.exists() and "digest" not in self.provenance()

    def provenance(self) -> dict[str, Any]:
        """What `open_` and `add_provenance` wrote.

        Raises:
            RunError: this is no folder of a sweep, or the file is not what was written.
        """
        if not self.provenance_file.exists():
            raise RunError(
                f"{self.path} is no folder of a sweep: it has no {self.provenance_file.name}. Name "
                "the folder that was the --output_path of a `pa-harness sweep`."
            )
        return read_record(self.provenance_file)

    def add_provenance(self, **entries: object) -> None:
        """Keep more in the record; what is there already is replaced."""
        record = self.provenance()
        if any(record.get(name) != value for name, value in entries.items()):
            write_sealed(self.provenance_file, record | entries)

    def open_(
        self, settings: SweepSettings, provenance: Mapping[str, Any], started: str = ""
    ) -> None:
        """Begin the sweep, or make sure that the folder holds one with the same settings.

        Args:
            settings: of the sweep that is asked for.
            provenance: what else is to be kept.
            started: when it began, as another sweep that it is a part of; default: now.

        Raises:
            RunError: the folder holds a sweep with other settings, or other files.
        """
        if self.provenance_file.exists():
            if self._is_same(settings):
                return
            for stale in self.path.glob(f"lam=*/samples_*{LOG}"):  # of a unit that did not finish
                stale.unlink()
        else:
            self._check_empty()
        write_text(self.settings_file, as_yaml(settings))
        now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds")
        head = {"started": started or now, "settings": settings.as_dict()}
        write_sealed(self.provenance_file, {**head, **provenance})

    def _check_empty(self) -> None:
        strangers = [each.name for each in self.path.iterdir() if not each.name.startswith(".")]
        if strangers and strangers != [self.settings_file.name]:
            raise RunError(
                f"{self.path} is not empty and holds no sweep:\n{listed(sorted(strangers))}\n"
                "Choose a new folder as --output_path."
            )

    def _is_same(self, settings: SweepSettings) -> bool:
        """False where the other sweep has not finished a unit, so that nothing would be mixed."""
        begun = self.begun
        lines = difference(self.provenance()["settings"], settings.as_dict())
        if lines and begun:
            raise RunError(
                f"{self.path} holds a sweep with another configuration:\n{listed(lines)}\n"
                "A sweep goes on only under its own: repeat its settings (--config "
                f"{self.settings_file}), or choose another --output_path."
            )
        return begun

    def finish(self, logs: Mapping[str, str]) -> None:
        """Keep the digests of all that the sweep wrote: where they are, it is finished.

        Args:
            logs: of the sample logs, by their names below the folder.
        """
        files = [self.provenance_file, self.scores_file, self.documents_file]
        files += [*self.path.glob("units/*/*.json"), *self.path.glob("lam=*/results_*.json")]
        self.manifest.write(files, logs)

    def reopen(self) -> None:
        """Take away the mark of a finished sweep, and what was derived from its units."""
        if self.manifest:
            self.manifest.file.unlink()
            derived = (self.scores_file, self.documents_file, self.summary_file, self.choice_file)
            for file in (*derived, self.comparison_file, self.report_file, self.ledger_file):
                file.unlink(missing_ok=True)
            shutil.rmtree(self.figures_folder, ignore_errors=True)

    def check(self, *, judges: bool = True) -> list[str]:
        """Make sure that the folder, or each run below it, holds what its sweep wrote.

        Everything but the sample logs is read for it; those are checked where they are read.

        Args:
            judges: whether what judges wrote is checked, too.

        Returns:
            What must be said of runs that cannot be checked.

        Raises:
            RunError: some files are others, or missing; or a sweep is not finished.
        """
        records = {*self.path.rglob(NAME), *self.path.rglob(self.provenance_file.name)}
        runs = sorted({file.parent for file in records})
        return [note for run in runs for note in RunFolder(run).check_own(judges=judges)]

    def check_own(self, *, judges: bool = True) -> list[str]:
        """`check`, of this folder alone, with its judges."""
        notes = []
        if self.manifest:
            self.manifest.check()
        elif self.is_old or not self.provenance_file.exists():
            notes = [f"{self.path} {NO_IDENTITY}."]
        elif self.scores_file.exists():
            raise RunError(
                f"{self.path} has no {self.manifest.file.name}, which a sweep writes at its end. "
                "Repeat the sweep's command: it makes what is missing."
            )
        for judge in self.judgements() if judges else ():
            notes += judge.check()
        return notes

    def answers(self, task: str) -> dict[str, str]:
        """Digests of a task's sample logs by ``lam=λ``; empty where they are not known."""
        pattern = f"*/{_log_pattern(task)}"
        logs = self.manifest.logs().items()
        return {name.split("/")[0]: each for name, each in logs if fnmatchcase(name, pattern)}


def _log_pattern(task: str) -> str:
    """Matches the names of a task's sample logs."""
    return f"{escape(f'samples_{file_name(task)}_')}{_DATE}{LOG}"
