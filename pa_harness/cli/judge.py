"""The verb judge: win rates of a run's answers, by a judge of the user's choice."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.cli.verb import INTERRUPTED, Options, Verbs, add_output, add_verb, say, stopped
from pa_harness.errors import JudgeError
from pa_harness.foreign.showing import bare
from pa_harness.judging.annotator import OFFICIAL, OPENAI_URL
from pa_harness.judging.asking.key import KEY, find_key
from pa_harness.judging.outputs import TASK
from pa_harness.judging.reference import GPT4

if TYPE_CHECKING:
    from pa_harness.judging.asking.session import Tally
    from pa_harness.judging.plan import Plan

INCOMPLETE = 3  # the table is there, but not every verdict


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    about = "win rates of the answers to AlpacaEval at every λ; asks only what is not answered yet"
    example = (
        "judge runs/first --base_url http://localhost:8000/v1 \\\n"
        "      --judge_model Qwen/Qwen3-8B --reference 1 --price 0 --yes"
    )
    parser = add_verb(verbs, "judge", judge, about, example)
    parser.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN",
        help="--output_path of a sweep or of lm_eval --log_samples; or a JSON file as "
        "AlpacaEval's model_outputs.json or annotations.json",
    )
    parser.add_argument("--task", default=TASK, help=f"whose sample logs (default: {TASK})")
    add_output(parser, "default: RUN/judgements")
    _add_judge_options(parser.add_argument_group("the judge"))
    _add_asking_options(parser.add_argument_group("how it is asked"))


def _add_judge_options(group: Options) -> None:
    group.add_argument(
        "--annotator",
        default=OFFICIAL,
        metavar="NAME|FILE.yaml",
        help=f"one of alpaca-eval's, or your own in its form (default: {OFFICIAL})",
    )
    group.add_argument("--base_url", metavar="URL", help=f"default: {OPENAI_URL}")
    group.add_argument("--judge_model", metavar="MODEL", help="default: the annotator's")
    group.add_argument(
        "--reference",
        default=GPT4,
        metavar="gpt4|λ|FILE.json",
        help="compare with gpt4_1106_preview, with a λ of the run, or with a file",
    )
    group.add_argument("--df_gamed", type=Path, metavar="FILE", help="for length control")


def _add_asking_options(group: Options) -> None:
    group.add_argument("--yes", action="store_true", help="ask without asking you first")
    group.add_argument("--max_cost", type=float, metavar="DOLLARS", help="of this session")
    group.add_argument(
        "--price", metavar="PROMPT,COMPLETION", help="dollars per million tokens; 0: your own"
    )
    group.add_argument(
        "--api_key_env",
        metavar="NAME",
        help=f"environment variable with the key (default: {KEY}, for OpenAI's server only)",
    )
    group.add_argument("--concurrency", type=int, default=16, metavar="N", help="at once")
    group.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="of a try")
    group.add_argument("--attempts", type=int, default=8, metavar="N", help="for each request")
    group.add_argument("--cache", type=Path, metavar="FILE", help="verdicts, shared by runs")


def judge(options: argparse.Namespace) -> int:
    """Print the price, ask, and print the table; exit code 3 if verdicts are lacking."""
    from pa_harness.judging.asking.session import AskingProgress
    from pa_harness.judging.judge import ask, judge
    from pa_harness.judging.plan import plan
    from pa_harness.judging.text import judgements_text

    with closing(plan(_settings(options))) as made:
        _announce(made)
        if made.missing and not options.yes:
            _confirm()
        key = find_key(options.api_key_env, made.annotator, made.missing)
        try:
            tally = ask(made, key, AskingProgress(bare(sys.stderr)))
        except KeyboardInterrupt:
            return stopped("Answers that came are kept; the same command goes on.")
        folder, rows = judge(made)
    print(judgements_text(rows))
    print(f"Judgements: {folder}")
    _tell_what_lacks(tally)
    return INCOMPLETE if any(row.n_parsed < row.n for row in rows) else 0


def _settings(options: argparse.Namespace) -> Any:
    from pa_harness.judging.asking.server import Patience
    from pa_harness.judging.plan import JudgeSettings

    if options.concurrency < 1 or options.attempts < 1 or not 0 < options.timeout < math.inf:
        raise JudgeError(
            f"--concurrency {options.concurrency} --attempts {options.attempts} --timeout "
            f"{options.timeout:g}: expected numbers above 0."
        )
    if options.max_cost is not None and not options.max_cost >= 0:  # nan would be no limit
        raise JudgeError(f"--max_cost {options.max_cost:g}: expected dollars, 0 or more.")
    same = (
        *("annotator", "base_url", "judge_model", "reference", "task", "output_path", "cache"),
        *("df_gamed", "price", "max_cost", "concurrency"),
    )
    return JudgeSettings(
        run=options.run_folder,
        patience=Patience(options.timeout, options.attempts),
        **{name: getattr(options, name) for name in same},
    )


def _announce(made: Plan) -> None:
    say(made.notes)
    if made.annotator is None:
        return
    answers = sum(len(outputs.answers) for outputs in made.outputs)
    print(
        f"{made.annotator.name}: {made.annotator.model} at {made.annotator.base_url} compares "
        f"{answers} answers ({len(made.outputs)} models) with {made.reference.name} "
        f"({made.reference.generator}). {made.answered} requests are answered."
    )
    if made.missing:
        print(f"To ask: {made.estimate}.", flush=True)


def _confirm() -> None:
    """Go on, or leave.

    Raises:
        JudgeError: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise JudgeError(
            "Nothing was asked: there is no terminal to confirm the price on. Give --yes, and "
            "--max_cost DOLLARS if there is to be a limit."
        )
    try:
        reply = input("Go on? [y/N] ")
    except (EOFError, KeyboardInterrupt):
        reply = ""
    if reply.strip().lower() not in ("y", "yes"):
        print("Nothing was asked.")
        raise SystemExit(INTERRUPTED)


def _tell_what_lacks(tally: Tally) -> None:
    if tally.stopped:
        print(
            f"Stopped: {tally.stopped} ({tally}). The same command goes on from here.",
            file=sys.stderr,
        )
    for reason in tally.reasons:
        print(f"Failed: {reason}", file=sys.stderr)
    if tally.failed:
        print(
            f"{tally.failed} requests have no verdict. The same command asks them again.",
            file=sys.stderr,
        )
