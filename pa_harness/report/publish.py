"""Everything that is derived from a finished run, written into its folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pa_harness.analysis.asked.language import Asked
from pa_harness.analysis.choice import choose
from pa_harness.analysis.constraints import CONFIDENCE
from pa_harness.analysis.pairs.ledger import Moved, ledger, moved_documents
from pa_harness.analysis.reading import read_trajectory
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.verdict import Choices
from pa_harness.errors import PAHarnessError, RunError
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import Section, sections
from pa_harness.report.changes import changed_documents
from pa_harness.report.figures import all_figures, write_figures
from pa_harness.report.page import Contents, first_screen_html, report_html
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.logged import read_samples
from pa_harness.runs.scores import Score
from pa_harness.runs.seal import read_sealed
from pa_harness.runs.tables import as_csv, write_table
from pa_harness.storage import plain, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pa_harness.analysis.trajectory import Trajectory


def publish(
    path: Path, instruction: Sequence[str] = (), asked: Asked | None = None, confidence: float = 0
) -> list[str]:
    """Write summary.json, choice.json, comparison.json, ledger.parquet, figures/, report.html.

    Args:
        path: the run.
        instruction: what IF is the mean of, as in `read_trajectory`.
        asked: what is to be best and what kept; default: what was asked of `choose` last, if
            anything was.
        confidence: with which; 0: as asked last, or the usual one.

    Returns:
        The choices' sentences.

    Raises:
        RunError: the folder holds no finished sweep, or nothing that can be paired.
    """
    folder = RunFolder(path)
    trajectory = read_trajectory(path, instruction)
    contents, sentences = _contents(path, trajectory, asked, confidence)
    if contents.choices:
        write_json(folder.choice_file, plain(contents.choices))
    write_json(folder.summary_file, plain(contents.summary))
    figures = all_figures([contents.summary], contents.choices, contents.ledger)
    write_figures(figures, folder.figures_folder)
    logs: list[dict[str, Path]] = [
        {
            task.name: folder.samples(float(lam), task.answers or task.name)
            for task in trajectory.tasks
        }
        for lam in trajectory.lams
    ]
    folder.manifest.check_logs({log for of_lam in logs for log in of_lam.values()})
    write_table(Moved, _with_hashes(moved_documents(trajectory), logs[0]), folder.ledger_file)
    beside = _comparisons(path)
    if beside:
        write_json(folder.comparison_file, plain(beside))
    contents = replace(contents, changed=changed_documents(trajectory, logs), comparisons=beside)
    write_text(folder.report_file, report_html(contents))
    return sentences


def first_screen(path: Path, instruction: Sequence[str] = ()) -> str:
    """The report's head as HTML, to stand in a notebook; arguments and errors as `publish`."""
    return first_screen_html(_contents(path, read_trajectory(path, instruction))[0])


def _contents(
    path: Path, trajectory: Trajectory, asked: Asked | None = None, confidence: float = 0
) -> tuple[Contents, list[str]]:
    """What the head of the page needs, and the choices' sentences or why there is none."""
    folder = RunFolder(path)
    choices: Choices | None = None
    try:
        last, sure = _asked_last(folder)
        choices = choose(
            trajectory, confidence=confidence or sure, asked=last if asked is None else asked
        )
        sentences = [choice.sentence for choice in choices.choices]
    except RunError as error:
        sentences = [str(error)]
    contents = Contents(
        *(summarise(trajectory), choices, trajectory.scores, ()),
        *(folder.provenance(), as_csv(Score, trajectory.scores)),
        distances=_distances(folder, len(trajectory.knots) - 1),
        ledger=ledger(trajectory),
    )
    return contents, sentences


def _asked_last(folder: RunFolder) -> tuple[Asked | None, float]:
    """What `choose` was asked last, and with which confidence."""
    try:
        content = parse_json(folder.choice_file.read_bytes())
        rules = tuple(map(str, content["keep"]))
        kept = Asked(str(content["maximize"]), rules) if content["maximize"] else None
        return kept, float(content["choices"][0]["confidence"])
    except (OSError, *MALFORMED):
        return None, CONFIDENCE


def _with_hashes(moved: Sequence[Moved], logs: Mapping[str, Path]) -> list[Moved]:
    """The documents with lm-eval's digests of them, out of the sample logs of one λ."""
    wanted: dict[str, set[int]] = {}
    for each in moved:
        wanted.setdefault(each.task, set()).add(each.document)
    hashes = {
        (task, number): str(sample.get("doc_hash", ""))
        for task, numbers in wanted.items()
        if logs[task].is_file()
        for number, sample in read_samples(logs[task], numbers).items()
    }
    return [replace(each, doc_hash=hashes.get((each.task, each.document), "")) for each in moved]


def _distances(folder: RunFolder, legs: int) -> dict[int, float]:
    """Of the two checkpoints of each leg, as the model measured it on its way."""
    found: dict[int, float] = {}
    for file in sorted(folder.path.glob("units/*/*.json")):
        model = read_sealed(file).get("model", {})
        lam, value = model.get("lam"), model.get("relative_delta")
        known = isinstance(lam, (int, float)) or legs == 1
        if known and isinstance(value, (int, float)) and len(found) < legs:
            leg = int(min(max(lam, 0), legs - 1)) if legs > 1 else 0  # as `lam.path.place`
            found.setdefault(leg, float(value))
    return found


def _comparisons(path: Path) -> list[Section]:
    """The run beside the leaderboards that share a task with it; none where no one does."""
    try:
        return sections(read_results([path]))
    except PAHarnessError:
        return []
