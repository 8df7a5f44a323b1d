"""The verb export: a model to ship."""

from __future__ import annotations

import argparse
import re
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.cli.verb import (
    Verbs,
    add_model_args,
    add_output,
    add_verb,
    say,
    stopped,
)
from pa_harness.errors import ExportError
from pa_harness.runs.settings import read_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    about = "write θ_λ as a Hugging Face checkpoint (or its recipe), verified against the run"
    example = "export runs/first --lam 0.6 --output_path models/mine"
    parser = add_verb(verbs, "export", export, about, example)
    parser.add_argument(
        "run_folder", type=Path, nargs="?", metavar="RUN", help="of a sweep; or give --model_args"
    )
    add_model_args(parser)
    parser.add_argument("--lam", metavar="λ", help="a number; of a sweep over a knob, the knob's")
    add_output(parser, "a new one", "--output_dir", required=True)
    parser.add_argument(
        "--format",
        choices=("hf", "mergekit", "adapter"),
        default="hf",
        help="a checkpoint; mergekit's YAML for the same weights; of a LoRA pair, the adapter at λ",
    )
    parser.add_argument(
        "--like",
        choices=("instruct", "base"),
        default="instruct",
        help="whose form it has where one side is a wrapper of images (default: instruct)",
    )
    parser.add_argument("--dtype", help="of the weights (default: as evaluated)")
    parser.add_argument(
        "--max_shard_size", type=_size, default="5GB", metavar="SIZE", help="default: 5GB"
    )
    parser.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run the checkpoints' own code; what a RUN says of it does not count",
    )
    parser.add_argument(
        "--push_to_hub", metavar="OWNER/NAME", help="upload it when it is done, to a private one"
    )


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)(KB|MB|GB)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"expected a size such as 5GB or 500MB, not {text!r}")
    return int(found[1]) * {"KB": 10**3, "MB": 10**6, "GB": 10**9}[found[2]]


def export(options: argparse.Namespace) -> int:
    """Write the model, say what was checked, and upload it if asked."""
    from pa_harness.export.evaluated import (
        Evaluated,
        check_same_model,
        model_args_of,
        read_evaluated,
    )
    from pa_harness.export.model import export_model
    from pa_harness.export.recipes import write_adapter, write_mergekit
    from pa_harness.lam.grid import parse_lams
    from pa_harness.weights.opening import open_weights

    run: Path | None = options.run_folder
    named = [each for each in (run, options.model_args) if each is not None]
    if len(named) == 2 or not (named or options.lam):
        raise ExportError(
            "export needs either RUN, the folder of a sweep, or --model_args; with --lam alone it "
            "exports the small pair."
        )
    evaluated = Evaluated()
    if run is not None:
        if options.lam is None or len(lams := parse_lams(options.lam)) != 1:
            raise ExportError(f"--lam {options.lam}: of a run, one λ is exported, as in --lam 0.6.")
        arguments = model_args_of(run, lams[0], trust_remote_code=options.trust_remote_code)
        evaluated = read_evaluated(run, lams[0])
    else:
        arguments = read_mapping("model_args", options.model_args or {})
        if options.lam is not None:
            number = re.fullmatch(r"[-+.\deE]+", options.lam)
            arguments["lam"] = parse_lams(options.lam)[0] if number else options.lam
        if options.trust_remote_code:
            arguments["trust_remote_code"] = True
    if options.dtype:
        arguments["dtype"] = options.dtype
    opened = open_weights(arguments)
    check_same_model(opened, evaluated, as_evaluated=not options.dtype)
    say(evaluated.notes)
    if options.format == "hf":
        try:
            with _ctrl_c():
                size, like = options.max_shard_size, options.like
                done = export_model(opened, options.output_path, size, evaluated, like)
        except KeyboardInterrupt:
            return stopped(f"Nothing was kept of {options.output_path}.")
        print(f"{done.checked}\nWeights: {done.fingerprint}")
    else:
        write = write_mergekit if options.format == "mergekit" else write_adapter
        print(write(opened, options.output_path))
    if options.push_to_hub:
        print(f"Uploaded: {_push(options.output_path, options.push_to_hub)}")
    print(f"Written: {options.output_path}")
    return 0


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C is KeyboardInterrupt, also where safetensors reads and makes a ValueError of it."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, as under nohup, or somebody else's
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception:
        if asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _push(folder: Path, name: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        url = HfApi().create_repo(name, private=True, exist_ok=False)
        HfApi().upload_folder(repo_id=name, folder_path=folder)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ExportError(
            f"{folder} was written, and could not be uploaded to {name}: {error}. Log in "
            "(HF_TOKEN) and choose a name that is free, or upload the folder yourself."
        ) from error
    return str(url)
