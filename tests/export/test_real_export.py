"""Schedules and exports of the real demo pair. Slow: the pair is made first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lm_eval.api.registry import get_model
from real_samples import samples
from through_lm_eval import weights

from pa_harness.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
SCHEDULE = {
    "base": 0.6,
    "rules": [{"module": "v", "lam": 0.9}, {"module": "mlp", "lam": {"linear": [0.2, 0.6]}}],
}
Form = tuple[dict[str, Any], "Callable[[str, int | None], float]"]


def forms(layers: int) -> list[Form]:
    """Schedules, and the same λ by hand: of a parameter's name and layer, None outside."""
    each = [round(0.1 + 0.8 * n / layers, 3) for n in range(layers)]
    return [
        ({"base": 0}, lambda _n, _i: 0.0),
        ({"base": 1}, lambda _n, _i: 1.0),
        ({"base": 0.3}, lambda _n, _i: 0.3),
        (
            {"base": 0.5, "rules": [{"lam": {"linear": [0.2, 0.6]}}]},
            lambda _n, i: 0.5 if i is None else 0.2 + 0.6 * i / (layers - 1),
        ),
        (
            {"base": 1, "rules": [{"lam": {"blocks": [0.4, 0.3, 0.2]}}]},
            lambda _n, i: 1.0 if i is None else (0.4, 0.3, 0.2)[i * 3 // layers],
        ),
        (
            {"base": 0, "rules": [{"lam": {"list": each}}]},
            lambda _n, i: 0.0 if i is None else each[i],
        ),
        (
            {"base": 0.5, "rules": [{"module": "attn", "lam": 1}, {"module": ["q"], "lam": 0.2}]},
            lambda n, _i: 0.2 if ".q_proj" in n else 1.0 if "self_attn" in n else 0.5,
        ),
        (
            {
                "base": "x",
                "knobs": {"x": 0.7},
                "rules": [{"layers": "0-4", "lam": 0}, {"pattern": "embed", "lam": 1.2}],
            },
            lambda n, i: 1.2 if "embed" in n else 0.0 if i is not None and i < 5 else 0.7,
        ),
    ]


def test_every_form_is_the_reference(real: tuple[Any, Path]) -> None:
    pair, _ = real
    common = {"dtype": "float32", "device": "cpu"}
    ends = [get_model("hf")(pretrained=side, **common) for side in (pair.base, pair.instruct)]
    base, instruct = map(weights, ends)
    ours = get_model("partially_adapted")(
        pretrained=pair.base, instruct=pair.instruct, lam=0.1, **common
    )
    for schedule, lam_of in forms(ours.model.config.num_hidden_layers):
        ours.set_lam(schedule)
        for name, value in weights(ours).items():
            layer = re.search(r"layers\.(\d+)\.", name)
            lam = lam_of(name, int(layer.group(1)) if layer else None)
            merged = torch.lerp(base[name], instruct[name], lam)
            expected = {0.0: base[name], 1.0: instruct[name]}.get(lam, merged)
            assert torch.equal(value, expected), (schedule, name)


@pytest.mark.parametrize("lam", [0.6, SCHEDULE], ids=["number", "schedule"])
def test_hf_on_the_export_answers_sample_by_sample(
    lam: Any, real: tuple[Any, Path], tmp_path: Path
) -> None:
    pair, tasks = real
    arguments = {"pretrained": pair.base, "instruct": pair.instruct, "lam": lam}
    given = json.dumps({**arguments, "dtype": "float32"})
    assert main(["export", "--model_args", given, "-o", str(tmp_path / "mine")]) == 0
    theirs = samples(tasks, "hf", pretrained=str(tmp_path / "mine"))
    assert samples(tasks, "partially_adapted", **arguments, prefix_sharing=False) == theirs
