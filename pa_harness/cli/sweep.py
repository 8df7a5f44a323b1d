"""The verb that makes a run: sweep."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from pa_harness.cli.cluster_options import OPTIONS, add_cluster_options, wanted_cluster
from pa_harness.cli.search import STOPPED, search
from pa_harness.cli.verb import INTERRUPTED, Verbs, add_verb
from pa_harness.errors import RunError, SweepError
from pa_harness.registration import install
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.tables import FORMATS

_OURS = ("verb", "act", "no_report", "format", "budget", *OPTIONS)


def add_sweep(verbs: Verbs) -> None:
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
        metavar="λ,λ,…|start:stop:step|auto",
        help="values, both ends included; auto (or auto:start:stop:step): search the best for ICL",
    )
    new.add_argument("--budget", type=float, metavar="SHARE", help="of auto (default: 0.4)")
    new.add_argument("--knob", metavar="NAME", help="λ is this knob of the schedule lam=")
    new.add_argument("--output_path", "-o", type=Path, required=True, metavar="RUN")
    new.add_argument("--config", "-C", type=Path, metavar="YAML", help="settings, by these names")
    new.add_argument(
        "--categories",
        nargs="+",
        metavar="TASK=CATEGORY",
        help="of tasks that carry none (instruction: asked in chat format, counted in IF)",
    )
    new.add_argument(
        "--metrics",
        nargs="+",
        metavar="TASK=METRIC,FILTER",
        help="that stand for tasks in averages (default: the task's own, else its first)",
    )
    new.add_argument("--format", choices=FORMATS, help="write the table of scores so, too")
    new.add_argument("--no_report", action="store_true", help="no figures and page at the end")
    add_cluster_options(parser.add_argument_group("where (docs/which-way.md)"))
    _add_lm_eval_options(parser.add_argument_group("as in lm-eval run"))


def _add_lm_eval_options(group: Any) -> None:
    """lm-eval's run options by their own names; what is not given stays None."""
    for flags, metavar in (
        (("--model", "-M"), "NAME"),
        (("--batch_size", "-b"), "N|auto"),
        (("--device",), "DEVICE"),
        (("--system_instruction",), "TEXT"),
        (("--include_path",), "FOLDER"),
        (("--use_cache", "-c"), "FILE"),
        (("--seed",), "N|N,N,N,N"),
        (("--samples", "-E"), "JSON"),
    ):
        group.add_argument(*flags, metavar=metavar)
    for flags in (("--model_args", "-a"), ("--gen_kwargs",), ("--metadata",)):
        group.add_argument(*flags, nargs="+", metavar="KEY=VALUE,…")
    group.add_argument("--tasks", "-t", nargs="+", metavar="TASK,…")
    group.add_argument("--num_fewshot", "-f", type=int, metavar="N")
    group.add_argument("--max_batch_size", type=int, metavar="N")
    group.add_argument("--bootstrap_iters", type=int, metavar="N", help="for metrics like f1")
    group.add_argument("--limit", "-L", type=float, metavar="N", help="documents per task")
    group.add_argument(
        "--apply_chat_template",
        nargs="?",
        const=True,
        type=_template,
        metavar="true|false|NAME",
        help="for all tasks or none; default: for tasks of the category instruction",
    )
    group.add_argument("--fewshot_as_multiturn", nargs="?", const=True, type=_yes, metavar="BOOL")
    for flag in ("--trust_remote_code", "--confirm_run_unsafe_code"):
        group.add_argument(flag, action="store_true", default=None)
    group.add_argument("--log_samples", "-s", action="store_true", help="always so in a sweep")


def _yes(text: str) -> bool:
    return text.lower() in ("true", "1", "yes")


def _template(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def sweep(options: argparse.Namespace) -> int:
    """Run or complete a sweep; print its scores."""
    install(switchable=False)
    from pa_harness.runs.settings import resolve
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.sweep import sweep as run_sweep

    given = {name: value for name, value in vars(options).items() if name not in _OURS}
    if str(options.lam).split(":")[0] == "auto":
        return search(given, options)
    if options.budget is not None:
        raise SweepError("--budget belongs to --lam auto. Leave it out, or give that.")
    settings = resolve(given, options.config)
    try:
        command = shlex.join(["pa-harness", *sys.argv[1:]])
        cluster = wanted_cluster(settings, options)
        scores = run_sweep(settings, options.output_path, Progress(sys.stderr), command, cluster)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED
    if not scores:  # a process beside the first
        return 0
    for score in scores:
        if score.main:
            print(f"λ = {score.lam:<5g} {score.task}  {score.key}  {score.value:.4f}")
    if options.format:
        RunFolder(options.output_path).write_scores(scores, options.format)
    if len(settings.lam) > 1 and not options.no_report:
        _publish(options.output_path)
    print(f"Results: {options.output_path}")
    return 0


def _publish(run: Path) -> None:
    """Figures and the report of a run, as far as its tasks allow them."""
    from pa_harness.report.publish import publish

    try:
        sentences = publish(run)
    except RunError as error:  # the results are there all the same
        print(f"No report: {error}", file=sys.stderr)
        return
    print("\n".join(["", *sentences]))
    print(f"Report: {run / 'report.html'}")
