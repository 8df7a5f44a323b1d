"""The export verb on a pair."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pa_harness.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from through_lm_eval import Pair

SCHEDULE = '{"base": 0.5, "rules": [{"module": "mlp", "lam": {"linear": [0.1, 0.6]}}]}'


def export(
    pair: Pair, folder: Path, lam: Any, *options: str, side: str = "instruct", **more: Any
) -> int:
    arguments = json.dumps({"pretrained": str(pair[0]), side: str(pair[1]), "lam": lam, **more})
    return main(["export", "--model_args", arguments, "--output_dir", str(folder), *options])
