"""Everything that is derived from a finished run, written into its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pa_harness.analysis.choice import choose
from pa_harness.analysis.reading import read_trajectory
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.verdict import Choices
from pa_harness.errors import PAHarnessError, RunError
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import Section, sections
from pa_harness.report.changes import changed_documents
from pa_harness.report.figures import all_figures, write_figures
from pa_harness.report.page import Contents, report_html
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.scores import Score
from pa_harness.runs.tables import as_csv
from pa_harness.storage import plain, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def publish(path: Path, instruction: Sequence[str] = ()) -> list[str]:
    """Write summary.json, choice.json, comparison.json, figures/ and report.html.

    Args:
        path: the run.
        instruction: what IF is the mean of, as in `read_trajectory`.

    Returns:
        The choices' sentences.

    Raises:
        RunError: the folder holds no finished sweep, or nothing that can be paired.
    """
    folder = RunFolder(path)
    trajectory = read_trajectory(path, instruction)
    summary = summarise(trajectory)
    choices: Choices | None = None
    try:
        choices = choose(trajectory)
        sentences = [choice.sentence for choice in choices.choices]
        write_json(folder.choice_file, plain(choices))
    except RunError as error:
        sentences = [str(error)]
    write_json(folder.summary_file, plain(summary))
    write_figures(all_figures([summary]), folder.figures_folder)
    logs: list[dict[str, Path]] = [
        {
            task.name: folder.samples(float(lam), task.answers or task.name)
            for task in trajectory.tasks
        }
        for lam in trajectory.lams
    ]
    folder.manifest.check_logs({log for of_lam in logs for log in of_lam.values()})
    beside = _comparisons(path)
    if beside:
        write_json(folder.comparison_file, plain(beside))
    contents = Contents(
        *(summary, choices, trajectory.scores, changed_documents(trajectory, logs)),
        *(folder.provenance(), as_csv(Score, trajectory.scores)),
        comparisons=beside,
    )
    write_text(folder.report_file, report_html(contents))
    return sentences


def _comparisons(path: Path) -> list[Section]:
    """The run beside the leaderboards that share a task with it; none where no one does."""
    try:
        return sections(read_results([path]))
    except PAHarnessError:
        return []
