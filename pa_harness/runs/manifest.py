"""``files.json`` of a finished sweep: the digests of all that it wrote, by name in its folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pa_harness.errors import RunError
from pa_harness.runs.seal import check_digests, differing, digests, read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

NAME = "files.json"
LOG = ".jsonl"  # of samples: large, so checked by those that read it


class Manifest:
    """The list of one run; where there is none, nothing is known of its files."""

    def __init__(self, run: Path) -> None:
        self.run, self.file = run, run / NAME

    def __bool__(self) -> bool:
        return self.file.exists()

    def write(self, files: Iterable[Path], logs: Mapping[str, str]) -> None:
        """Keep digests: where they are, the sweep is finished.

        Args:
            files: of the run.
            logs: digests of its sample logs, by their names.
        """
        every = digests(self.run, files) | dict(logs)
        write_sealed(self.file, {"files": dict(sorted(every.items()))})

    def logs(self) -> dict[str, str]:
        """Digests of the sample logs."""
        return {name: each for name, each in self._all().items() if name.endswith(LOG)}

    def rest(self) -> dict[str, str]:
        """Digests of all else."""
        return {name: each for name, each in self._all().items() if not name.endswith(LOG)}

    def lost(self) -> list[str]:
        """A line for each file, but the sample logs, that is missing or another."""
        if not self:
            return [f"{NAME}: missing"]
        try:
            return differing(self.run, self.rest())
        except RunError as error:
            return [str(error)]

    def check(self) -> None:
        """Refuse files, but the sample logs, that are not what the sweep wrote.

        Raises:
            RunError: some are missing, or others.
        """
        check_digests(self.run, self.rest())

    def check_logs(self, logs: Iterable[Path]) -> None:
        """Refuse sample logs that are not what the sweep wrote, where that is known."""
        if self:
            wanted = self.logs()
            names = [log.relative_to(self.run).as_posix() for log in logs]
            check_digests(self.run, {name: wanted[name] for name in names if name in wanted})

    def _all(self) -> dict[str, str]:
        if not self:
            return {}
        files = read_sealed(self.file).get("files")
        if not isinstance(files, dict):
            raise RunError(
                f"{self.file} lists no files. Restore it, or repeat the sweep's command."
            )
        return files


def own(files: Sequence[Path]) -> list[Path]:
    """lm-eval's files; those in a finished sweep's folder must be what it wrote.

    Args:
        files: results and sample logs, each in a folder ``lam=…`` if a sweep wrote it.

    Raises:
        RunError: one is not.
    """
    for file in files:
        manifest = Manifest(file.parent.parent)
        if not manifest:
            _check_with_unit(file)
            continue
        name = file.relative_to(manifest.run).as_posix()
        if name not in manifest.logs() | manifest.rest():
            raise RunError(
                f"{file} was not written by the sweep in whose folder it lies. Take it out."
            )
        check_digests(manifest.run, {name: (manifest.logs() | manifest.rest())[name]})
    return list(files)


def _check_with_unit(file: Path) -> None:
    """Of a sweep that is not finished, a task's unit has the digest of its sample log."""
    quoted = re.fullmatch(rf"samples_(.*)_\d{{4}}-\d\d-\d\dT.*{re.escape(LOG)}", file.name)
    unit = file.parent.parent / "units" / file.parent.name / f"{quoted[1] if quoted else ''}.json"
    if quoted and unit.exists():
        digest = read_sealed(unit).get("log")
        if digest:
            check_digests(file.parent, {file.name: digest})
