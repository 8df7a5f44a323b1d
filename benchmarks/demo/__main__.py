"""Prepare the pair and the data, evaluate every λ, print one table."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.demo.data import TASKS, demo_tasks
from benchmarks.demo.evaluation import evaluate_lams
from benchmarks.demo.pair import hub_pair, packaged_pair, to_prepare
from benchmarks.demo.recipe import QUICK, RECIPE, cache_folder
from benchmarks.demo.table import table
from pa_harness.cli.verb import stopped
from pa_harness.errors import PAHarnessError, tell

if TYPE_CHECKING:
    from benchmarks.demo.pair import Pair
    from benchmarks.demo.recipe import Recipe

_SWEEP = 0.055  # minutes for a document of each task at five λ, on two idle cores
_EPILOG = """\
examples:
  python -m benchmarks.demo
  python -m benchmarks.demo --lam 0,0.5,1 --limit 100
  python -m benchmarks.demo --full --limit 200   # README's figure
  python -m benchmarks.demo --full --pair-only   # the pair of the published numbers
"""


def _lams(text: str) -> list[float]:
    try:
        lams = [float(part) for part in text.split(",")]
    except ValueError:
        lams = []
    if not lams or not all(map(math.isfinite, lams)):
        raise argparse.ArgumentTypeError(f"expected numbers such as 0,0.5,1, not {text!r}")
    return lams


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description="Evaluate a real base/instruct pair at several adaptation strengths λ.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--lam",
        type=_lams,
        default=[0.0, 0.25, 0.5, 0.75, 1.0],
        metavar="λ,λ,...",
        help="adaptation strengths (default: 0,0.25,0.5,0.75,1)",
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=20,
        metavar="N",
        help="documents per task, at most 200 are prepared (default: 20; takes N/20 of the time)",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help=f"tune on {RECIPE.examples} instructions, not {QUICK.examples}: published numbers",
    )
    parser.add_argument(
        "--pair-only",
        action="store_true",
        help="prepare pair and tasks, print where they are, stop",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        default=Path("runs/demo"),
        metavar="FOLDER",
        help="for task files and the sweep's folder (default: runs/demo)",
    )
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _plan(pair: Pair | None, recipe: Recipe, arguments: argparse.Namespace) -> str:
    """What will be done, and how long it takes."""
    if pair:
        steps = ["download SmolLM2-135M and its Instruct (0.5 GB), once"]
    else:
        steps = [f"{each} (once; kept in {cache_folder()})" for each in to_prepare(recipe)]
    if arguments.pair_only:
        steps.append("print where the pair is")
    else:
        minutes = _SWEEP * min(arguments.limit, RECIPE.test_documents) * len(arguments.lam) / 5
        steps.append(
            f"sweep {len(TASKS)} tasks × {len(arguments.lam)} λ, up to {arguments.limit} documents "
            f"each, then table and report: about {minutes + 0.5:.1f} minutes"
        )
    lines = [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join(
        [
            "To do (times on two idle cores, downloads apart):",
            *lines,
            "Ctrl-C loses nothing that is done; the same command goes on.",
        ]
    )


def main() -> int:
    """Run the demo; the exit code is 2 where something has to be mended first."""
    arguments = _parser().parse_args()
    started = time.monotonic()
    recipe = RECIPE if arguments.full else QUICK
    try:
        _say("Looking whether the model hub answers (at most 10 seconds) ...")
        pair = hub_pair()
        _say(_plan(pair, recipe, arguments))
        pair = pair or packaged_pair(recipe)
        _say(pair.description)
        if arguments.pair_only:
            places = {"base": pair.base, "instruct": pair.instruct, "adapter": pair.adapter}
            sys.stdout.writelines(f"{key}={place}\n" for key, place in places.items() if place)
        tasks = demo_tasks(pair, arguments.output_path / "tasks")
        if arguments.pair_only:
            sys.stdout.write(f"tasks={tasks}\n")
            return 0
        results, run = evaluate_lams(pair, tasks, arguments)
    except PAHarnessError as error:
        return tell(error)
    except KeyboardInterrupt:
        return stopped("What is done is kept; the same command goes on from there.")
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"\n{table(results)}\n\n{seconds:.0f} s in all. Report: {run / 'report.html'}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
