"""The verb show-lam: the λ of every tensor."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import Verbs, add_model_args, add_verb
from pa_harness.runs.settings import read_mapping


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    about = "print the λ of every tensor, before anything is run"
    example = "show-lam --model_args pretrained=BASE,instruct=INSTRUCT,lam=schedule.yaml"
    parser = add_verb(verbs, "show-lam", show_lam, about, example)
    add_model_args(parser)


def show_lam(options: argparse.Namespace) -> int:
    """Print λ and name of every tensor."""
    from pa_harness.weights.opening import open_weights

    opened = open_weights(read_mapping("model_args", options.model_args or {}))
    for key, lam in opened.weights.per_tensor(opened.args.lam).items():
        print(f"{lam:<8.6g} {key}")
    return 0
