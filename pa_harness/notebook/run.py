"""A finished run as an object: its tables as DataFrames, its verdict, figures that show."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.analysis.reading import read_trajectory
from pa_harness.errors import RunError, did_you_mean, listed
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

    from pa_harness.analysis.summary import Summary
    from pa_harness.analysis.verdict import Choices
    from pa_harness.report.picture import Picture


class Run:
    """The folder of a finished sweep; nothing of it is read before it is asked for.

    Example:
        >>> run = pa_harness.load("runs/first")
        >>> run.scores[["lam", "task", "value", "standard_error"]]
        >>> run.plot()
        >>> run.choose(tolerance=0.02).choices[0].sentence

    Attributes:
        path: the folder.
        instruction: what IF is the mean of, as in `pa_harness.analysis.reading.read_trajectory`.
    """

    def __init__(self, path: str | Path, instruction: Sequence[str] = ()) -> None:
        """Open a run.

        Args:
            path: the ``--output_path`` of a sweep.
            instruction: the beginnings of names of tasks or judges that make IF; none: all such
                tasks, or the only judge.

        Raises:
            RunError: the folder holds no finished sweep.
        """
        self.path, self.instruction = Path(path), tuple(instruction)
        if not (self.path / "scores.parquet").exists():
            RunFolder(self.path).scores()  # raises, and says what is there instead

    def __repr__(self) -> str:
        return f"pa_harness.load({str(self.path)!r})"

    @property
    def scores(self) -> DataFrame:
        """A row per λ, task and metric: value, standard error, n, and what the metric is."""
        from pandas import DataFrame

        return DataFrame([asdict(score) for score in RunFolder(self.path).scores()])

    @property
    def documents(self) -> DataFrame:
        """A row per λ, task, metric and document: columns lam, task, metric, document, value."""
        from pandas import DataFrame, concat

        found = RunFolder(self.path).documents()
        parts = []
        for task in found.tasks:
            for metric, paired in found.paired(task).items():
                for lam, values in zip(paired.lams, paired.values, strict=True):
                    columns = {"lam": lam, "task": task, "metric": metric, "document": paired.ids}
                    parts.append(DataFrame({**columns, "value": values}))
        return concat(parts, ignore_index=True)

    def summary(self, against: float | str = 1.0) -> Summary:
        """Every average along λ, and its differences to λ = 1 and 0, paired by document.

        Args:
            against: another λ than 1 for the first of these, or a checkpoint's name.

        Raises:
            RunError: nothing can be paired, or the run lacks that λ or checkpoint.
        """
        from pa_harness.analysis.summary import summarise

        return summarise(read_trajectory(self.path, self.instruction), against)

    def choose(
        self,
        tolerance: float | None = None,
        weights: Mapping[str, float] | None = None,
        confidence: float = 0.9,
        maximize: str | None = None,
        keep: Sequence[str] = (),
    ) -> Choices:
        """A λ by every rule that the run allows, as ``pa-harness choose``.

        Args:
            tolerance: share of IF(1), or of mine(1), that may be lost; a fraction, default 0.02.
            weights: of an average of your own, by task, category, ICL or IF.
            confidence: with which the tolerance, or all of `keep`, is to be kept, a fraction.
            maximize: what is to be best; default: ICL.
            keep: constraints in the place of the tolerance, such as ``ifeval>=98%``
                (`pa_harness.analysis.asked.language`).

        Raises:
            RunError: the run lacks λ = 1 or a task for ICL.
        """
        from pa_harness.analysis.asked.language import Asked
        from pa_harness.analysis.choice import choose

        trajectory = read_trajectory(self.path, self.instruction)
        asked = None if maximize is None and not keep else Asked(maximize or "ICL", tuple(keep))
        return choose(trajectory, tolerance, weights, confidence, asked=asked)

    def compare(self, other: Run | str | Path) -> DataFrame:
        """This run's numbers beside another's, or beside a leaderboard's published ones.

        Args:
            other: a run, a file of results, or the name of a leaderboard (``open_llm_v1``).

        Returns:
            A row per task and model: value, published (the other's), difference, z, verdict.

        Raises:
            RunError: nothing can be compared; it says what would.
        """
        from pandas import DataFrame

        from pa_harness.leaderboards.reading import read_results
        from pa_harness.leaderboards.sections import named_references, sections

        name = str(other.path if isinstance(other, Run) else other)
        found = sections(read_results([self.path]), *named_references([name]))
        return DataFrame([asdict(row) for section in found for row in section.rows])

    def plot(self, name: str = "overview", *others: Run) -> Picture:
        """One of the report's figures; in a notebook it shows itself.

        Args:
            name: ``overview``, ``icl``, ``instruction_following``, ``trade_off``,
                ``categories``, ``tasks``, ``calibration`` or ``heat_map``, as far as there is data
                for it.
            others: runs to overlay.

        Raises:
            RunError: there is no such figure of these runs.
        """
        from pa_harness.report.figures import all_figures

        drawn = all_figures([run.summary() for run in (self, *others)])
        if name not in drawn:
            raise RunError(
                f"There is no figure {name!r} of this run. {did_you_mean(name, drawn)}".rstrip()
                + f" There are:\n{listed(drawn)}"
            )
        return drawn[name]

    def report(self) -> Path:
        """Write figures and ``report.html`` into the folder; the page's path.

        Raises:
            RunError: nothing can be paired.
        """
        from pa_harness.report.publish import publish

        publish(self.path, self.instruction)
        return RunFolder(self.path).report_file

    def judge(self, *, max_cost: float | None = None, **settings: Any) -> DataFrame:
        """Ask a judge for the verdicts that lack, as ``pa-harness judge --yes``.

        Args:
            max_cost: the most dollars to spend; needed unless the price is 0.
            settings: fields of `pa_harness.judging.judge.JudgeSettings` by name, such as
                base_url, judge_model, reference, price; and api_key_env, the environment variable
                that holds the key.

        Returns:
            A row per λ and set of instructions: win rates with standard errors and n.

        Raises:
            JudgeError: the judge cannot be used, or would cost money and there is no limit.
        """
        from pandas import DataFrame

        from pa_harness.notebook.judging import judged

        rows = judged(self.path, max_cost, settings)
        return DataFrame([asdict(row) for row in rows])

    def _repr_html_(self) -> str:
        from pa_harness.report.publish import first_screen

        return first_screen(self.path, self.instruction)


def load(path: str | Path, instruction: Sequence[str] = ()) -> Run:
    """The run in a folder; arguments and errors as `Run`."""
    return Run(path, instruction)


def sweep(
    output_path: str | Path, *, lam: object, tasks: str | Sequence[str], **settings: Any
) -> Run:
    """Evaluate tasks at many λ with one model load, as ``pa-harness sweep``.

    Call it again with the same arguments after a stop: what is finished is not done again.

    Args:
        output_path: the run's folder.
        lam: values, ``"0:1:0.1"``, or one number.
        tasks: names, tags or patterns.
        settings: `pa_harness.runs.settings.SweepSettings` by name: model_args (a mapping with
            pretrained and instruct; without it the small pair), limit, num_fewshot, batch_size, …

    Raises:
        SweepError: a setting, or the tasks cannot be swept.
        ModelArgsError, CheckpointError, PairError: the pair is not there or no pair.
        RunError: the folder holds something else.
    """
    from pa_harness.registration import install

    install(switchable=False)
    from pa_harness.runs.settings import resolve
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.sweep import Terms
    from pa_harness.sweep.sweep import sweep as run_sweep

    given = resolve({"lam": lam, "tasks": tasks, **settings})
    run_sweep(given, Path(output_path), Progress(sys.stderr), Terms("pa_harness.sweep(...)"))
    return Run(output_path)
