"""The verb sweep, which makes a run; with --lam auto it searches."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.cli.report import published
from pa_harness.cli.verb import Options, Verbs, add_output, add_verb, stopped
from pa_harness.errors import RunError, SweepError
from pa_harness.registration import install
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.tables import FORMATS

if TYPE_CHECKING:
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.cluster import Cluster

_OF_RAY = ("address", "gpus_per_lam", "workers")
# By their names in a namespace; all others are settings, which can change a number.
_OURS = ("verb", "act", "no_report", "format", "budget", "redo", "executor", *_OF_RAY)
_PAIR = "the pair, how it is loaded; default: a small one"
_MORE = """--model --device --system_instruction --use_cache --seed --samples --gen_kwargs
  --metadata --max_batch_size --bootstrap_iters (default: 1000) --fewshot_as_multiturn
  --trust_remote_code --confirm_run_unsafe_code (lm-eval run --help)"""
_LEFT = "Finished units are kept; the same command goes on from there."


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "sweep",
        sweep,
        "evaluate tasks at many λ with one model load; the same command goes on after a stop",
        "sweep --model_args pretrained=BASE,instruct=INSTRUCT --lam 0:1:0.1 \\\n"
        "    --tasks arc_easy,ifeval --output_path runs/first",
    )
    new = parser.add_argument_group("the sweep")
    new.add_argument(
        "--lam",
        metavar="λ,…|0:1:0.1|auto",
        help="auto (or auto:0:1:0.1) searches the best for ICL",
    )
    new.add_argument("--budget", type=float, metavar="SHARE", help="of auto (default: 0.4)")
    new.add_argument("--knob", metavar="NAME", help="λ is this knob of the schedule lam=")
    add_output(
        new, "the run; of one that was stopped, the rest is done", metavar="RUN", required=True
    )
    _add_configured(new)
    new.add_argument(
        "--categories",
        nargs="+",
        metavar="TASK=NAME",
        help="instruction: asked in chat format, in IF",
    )
    new.add_argument(
        "--metrics",
        nargs="+",
        metavar="TASK=KEY",
        help="METRIC,FILTER that averages take",
    )
    new.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"the scores as {', '.join(FORMATS)}, too",
    )
    new.add_argument(
        "--redo",
        nargs="*",
        metavar="TASK|λ",
        help="do again what changed since, or all of these",
    )
    for flag, about in (
        ("--fewshot_draws", "draws of the shots, in intervals; K times the work"),
        ("--repeats", "sampled answers to each document"),
    ):
        new.add_argument(flag, type=int, metavar="K", help=about)
    new.add_argument("--no_report", action="store_true", help="no figures and page at the end")
    _add_cluster_options(parser.add_argument_group("where (docs/which-way.md)"))
    _add_usual_options(parser.add_argument_group("as in lm-eval run"))
    _add_lm_eval_options(parser.add_argument_group("and", _MORE))


def _add_configured(group: Options) -> None:
    group.add_argument(
        "--config",
        "-C",
        type=Path,
        metavar="YAML|PRESET",
        help="settings by name (pa-harness presets)",
    )
    group.add_argument("--mine", nargs="+", metavar="TASK", help="what your fine-tune is for")


def _add_cluster_options(group: Options) -> None:
    group.add_argument(
        "--executor",
        choices=("local", "ray"),
        default="local",
        help="ray: the workers of a cluster, several λ at a time",
    )
    group.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster")
    group.add_argument("--gpus_per_lam", type=float, metavar="N", help="of one Ray worker")
    group.add_argument("--workers", type=int, metavar="N", help="the most at one time, under Ray")


def _add_lm_eval_options(group: Options) -> None:
    """lm-eval's run options by their own names; what is not given stays None."""
    for flags, metavar in (
        (("--model", "-M"), "NAME"),
        (("--device",), "DEVICE"),
        (("--system_instruction",), "TEXT"),
        (("--use_cache", "-c"), "FILE"),
        (("--seed",), "N|N,N,N,N"),
        (("--samples", "-E"), "JSON"),
    ):
        group.add_argument(*flags, metavar=metavar, help=argparse.SUPPRESS)
    for flags in (("--gen_kwargs",), ("--metadata",)):
        group.add_argument(*flags, nargs="+", metavar="KEY=VALUE,…", help=argparse.SUPPRESS)
    for flag in ("--max_batch_size", "--bootstrap_iters"):
        group.add_argument(flag, type=int, metavar="N", help=argparse.SUPPRESS)
    group.add_argument(
        "--fewshot_as_multiturn", nargs="?", const=True, type=_yes, help=argparse.SUPPRESS
    )
    for flag in ("--trust_remote_code", "--confirm_run_unsafe_code"):
        group.add_argument(flag, action="store_true", default=None, help=argparse.SUPPRESS)
    group.add_argument("--log_samples", "-s", action="store_true", help=argparse.SUPPRESS)


def _add_usual_options(group: Options) -> None:
    """lm-eval's options that most sweeps are given."""
    group.add_argument("--model_args", "-a", nargs="+", metavar="KEY=VALUE", help=_PAIR)
    group.add_argument("--tasks", "-t", nargs="+", metavar="TASK", help="names, tags, patterns")
    group.add_argument("--num_fewshot", "-f", type=int, metavar="N", help="default: the task's own")
    group.add_argument("--limit", "-L", type=float, metavar="N", help="documents per task")
    group.add_argument("--batch_size", "-b", metavar="N|auto", help="default: 1")
    group.add_argument("--include_path", metavar="FOLDER", help="with your own tasks' YAMLs")
    group.add_argument(
        "--apply_chat_template",
        nargs="?",
        const=True,
        type=_template,
        metavar="BOOL|NAME",
        help="for all tasks or none; default: of category instruction",
    )


def _yes(text: str) -> bool:
    return text.lower() in ("true", "1", "yes")


def _template(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def sweep(options: argparse.Namespace) -> int:
    """Run or complete a sweep; print its scores."""
    install(switchable=False)
    from pa_harness.runs.settings import resolve
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.sweep import Terms
    from pa_harness.sweep.sweep import sweep as run_sweep

    given = {name: value for name, value in vars(options).items() if name not in _OURS}
    if str(options.lam).split(":")[0] == "auto":
        return _search(given, options)
    if options.budget is not None:
        raise SweepError("--budget belongs to --lam auto. Leave it out, or give that.")
    from pa_harness.report.table import scores_table

    settings = resolve(given, options.config)
    try:
        command = shlex.join(["pa-harness", *sys.argv[1:]])
        terms = Terms(command, wanted_cluster(settings, options), options.redo)
        scores = run_sweep(settings, options.output_path, Progress(sys.stderr), terms)
    except KeyboardInterrupt:
        return stopped(_LEFT)
    if not scores:  # a process beside the first
        return 0
    print(f"\n{scores_table(scores)}")
    if options.format:
        RunFolder(options.output_path).write_scores(scores, options.format)
    if len(settings.lam) > 1 and not options.no_report:
        _publish(options.output_path)
    print(f"Results: {options.output_path}")
    return 0


def wanted_cluster(settings: SweepSettings, options: argparse.Namespace) -> Cluster | None:
    """The cluster that the options ask for; None for this process.

    Raises:
        SweepError: an option that needs another, or makes no sense.
    """
    given = {name: getattr(options, name) for name in _OF_RAY}
    if options.executor == "ray":
        from pa_harness.sweep.cluster import Cluster

        for name in ("gpus_per_lam", "workers"):
            if given[name] is not None and given[name] < (name == "workers"):
                raise SweepError(
                    f"--{name} {given[name]:g} is too few. Leave it out, or give more."
                )
        return Cluster(settings, **given)
    for name, value in given.items():
        if value is not None:
            raise SweepError(f"--{name} {value} is an option of --executor ray. Add that.")
    return None


def _search(given: dict[str, Any], options: argparse.Namespace) -> int:
    """Search instead of sweeping all; print what was chosen.

    Args:
        given: settings of the command line, by name.
        options: of the verb.
    """
    from pa_harness.runs.settings import resolve
    from pa_harness.sweep.auto import BUDGET, GRID, auto_sweep
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.sweep import Terms

    if options.redo:
        raise SweepError("--lam auto chooses the λ itself: give --redo without names.")
    settings = resolve({**given, "lam": options.lam.partition(":")[2] or GRID}, options.config)
    budget = BUDGET if options.budget is None else options.budget
    terms = Terms(shlex.join(["pa-harness", *sys.argv[1:]]), redo=options.redo)
    try:
        found = auto_sweep(settings, options.output_path, budget, Progress(sys.stderr), terms)
    except KeyboardInterrupt:
        return stopped(_LEFT)
    for lam, share, mean in zip(found.lams, found.best, found.mean, strict=True):
        print(f"λ = {lam:<5g} ICL about {mean:.4f}, the best with {share:.0%}")
    print("\n".join([*found.notes, found.sentence, f"Results: {options.output_path}"]))
    return 0


def _publish(run: Path) -> None:
    """Figures and the report of a run, as far as its tasks allow them."""
    try:
        print(f"\n{published(run)}")
    except RunError as error:  # the results are there all the same
        print(f"No report: {error}", file=sys.stderr)
