"""What a vLLM worker streams into an engine on a path: the same bits that `hf` is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from stages import make_stages, on_path

from pa_harness.checkpoints.pair import Rules
from pa_harness.checkpoints.parameters import AssembledSlice
from pa_harness.errors import PairError
from pa_harness.models.vllm.weights import EngineWeights, as_in_files
from pa_harness.models.vllm.worker import LamWorker
from pa_harness.weights.arguments import ModelArgs
from pa_harness.weights.opening import open_pair

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("family", ["llama-tied", "mixtral"])
@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_streamed_tensors_are_what_hf_gets(family: str, method: str, tmp_path: Path) -> None:
    stages = make_stages(tmp_path, 3, family)
    args = ModelArgs(0.5, str(stages[0]), path=[str(each) for each in stages], method=method)
    worker = LamWorker()
    worker.pa_open(vars(args), "float32", trust_remote_code=False)
    weights = worker.pa_weights
    fused = {n for n, s in weights.pair.sources[0].items() if isinstance(s.slice, AssembledSlice)}
    assert bool(fused) == (family == "mixtral")
    for lam in (1.3, 0, 1, 2, 0.4, 2.5):
        held = on_path(stages, lam, method=method).model.state_dict()
        tensors = dict(worker._tensors(weights.per_tensor(lam), lambda _: None))
        streamed: dict[str, list[torch.Tensor]] = {}
        for each in as_in_files(weights.pair):
            streamed.setdefault(each.parameter, []).append(tensors[each.key].compute())
        assert streamed.keys() == weights.pair.base_slices.keys()
        for name, parts in streamed.items():
            if name not in fused:
                assert torch.equal(parts[0], held[name]), (lam, name)
            elif method == "linear":
                values = [
                    torch.cat([each.flatten() for each in of]) for of in (parts, [held[name]])
                ]
                assert torch.equal(*(each.sort().values for each in values)), (lam, name)


def test_a_method_over_parts_is_refused(tmp_path: Path) -> None:
    """A slerp of parts has angles of its own."""
    stages = make_stages(tmp_path, 2, "mixtral")
    args = ModelArgs(0.5, str(stages[0]), instruct=str(stages[1]), method="slerp")
    opened = EngineWeights(open_pair(args, Rules()), method=args.setting)
    with pytest.raises(PairError, match=r"^method=slerp goes over model\.layers\.0.* as a whole"):
        opened.examine_all()


def test_an_engine_is_measured_along_the_path(tmp_path: Path) -> None:
    stages = make_stages(tmp_path)
    args = ModelArgs(0.5, str(stages[0]), path=[str(each) for each in stages])
    weights = EngineWeights(open_pair(args, Rules()))
    weights.examine_all()
    keys = sorted(weights.pair.base_slices)
    for lam in (1.6, 0.3, 2.0):
        weights.send(lam, lambda _: [{"read": keys, "missing": []}])
        assert weights.lam == lam
        assert weights.effective_lam().lam_eff == pytest.approx(lam, abs=1e-5)
