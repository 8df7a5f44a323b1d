"""The verbs about the weights themselves: show-lam."""

from __future__ import annotations

import argparse
from typing import Any

from pa_harness.settings import read_mapping

Verbs = Any  # argparse has no public name for what add_subparsers returns


def add_weight_verbs(verbs: Verbs) -> None:
    """Add this module's verbs to the command's parser."""
    _add_show_lam(verbs)


def _add_show_lam(verbs: Verbs) -> None:
    about = "print the λ of every tensor, before anything is read or run"
    parser = verbs.add_parser("show-lam", help=about, description=about)
    parser.set_defaults(act=show_lam)
    _add_model_args(parser, required=True)


def _add_model_args(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--model_args",
        "-a",
        nargs="+",
        required=required,
        metavar="KEY=VALUE,…",
        help="as for `lm_eval --model partially_adapted`; JSON in braces, too",
    )


def show_lam(options: argparse.Namespace) -> int:
    """Print λ and name of every tensor."""
    from pa_harness.opening import open_weights

    args, weights = open_weights(read_mapping("model_args", options.model_args))
    for key, lam in weights.per_tensor(args.lam).items():
        print(f"{lam:<8.6g} {key}")
    return 0
