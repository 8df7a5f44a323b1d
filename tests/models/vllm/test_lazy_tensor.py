"""θ_λ computed where it is copied to, against the whole tensor computed first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pa_harness.checkpoints.slices import TensorSlice
from pa_harness.models.vllm.lazy_tensor import LazyTensor, Origin
from pa_harness.weights.effective_lam import moments
from pa_harness.weights.interpolation import interpolate_, tensor_seed

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (12, 10)
GENERATOR = torch.Generator().manual_seed(0)
BASE, INSTRUCT = (torch.randn(SHAPE, generator=GENERATOR) for _ in range(2))


class Counted(TensorSlice):
    """A slice that counts the elements read of it."""

    read = 0

    def __getitem__(self, index: Any) -> torch.Tensor:
        part = super().__getitem__(index)
        self.read += part.numel()
        return part


def lazy(lam: float = 0.3, **more: Any) -> LazyTensor:
    ends = TensorSlice(BASE), TensorSlice(INSTRUCT)
    return LazyTensor(Origin("x", ends, lam, torch.float32, **more))


def whole(lam: float = 0.3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    out = torch.empty(SHAPE, dtype=dtype)
    interpolate_(out, TensorSlice(BASE), TensorSlice(INSTRUCT), lam)
    return out


@settings(deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(1, 6)), max_size=4),
    lam=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_any_box_of_boxes(cuts: list[tuple[int, int, int]], lam: float) -> None:
    found: torch.Tensor = lazy(lam)
    expected = whole(lam)
    for dim, start, length in cuts:
        start = min(start, expected.shape[dim])
        length = min(length, expected.shape[dim] - start)
        found, expected = found.narrow(dim, start, length), expected.narrow(dim, start, length)
    assert isinstance(found, LazyTensor)
    target = torch.full(expected.shape, torch.nan)
    target.copy_(found)
    assert torch.equal(target, expected)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t[3],
        lambda t: t[::2],
        lambda t: t[-4:, 2:5],
        lambda t: t.t(),
        lambda t: t.reshape(-1),
        lambda t: torch.stack([t, t]),
        lambda t: t.chunk(3, dim=0)[1].contiguous(),
        lambda t: t.to(torch.float64),
        lambda t: t[...].data + 0,
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_else_a_loader_may_do(view: Callable[..., torch.Tensor], mode: Any) -> None:
    with mode():
        assert torch.equal(view(lazy()) + 0, view(whole()) + 0)


def test_only_what_is_copied_is_read_and_a_target_without_storage_reads_nothing() -> None:
    ends = Counted(BASE), Counted(INSTRUCT)
    names: list[str] = []
    tensor = LazyTensor(Origin("x", ends, 0.5, torch.float32, on_read=names.append))
    torch.empty(SHAPE, device="meta").copy_(tensor)
    assert (ends[0].read, names) == (0, [])
    torch.empty(4, 10).copy_(tensor.narrow(0, 2, 4))
    assert (ends[0].read, ends[1].read, names) == (40, 40, ["x"])


def test_it_is_rounded_once_to_the_targets_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        target = torch.empty(SHAPE, dtype=dtype)
        target.copy_(lazy())
        assert torch.equal(target, whole(dtype=dtype))
    strided = torch.empty(10, 12).t()
    strided.copy_(lazy())
    assert torch.equal(strided, whole())


def test_stochastic_rounding_is_that_of_the_whole_tensor() -> None:
    ends = TensorSlice(BASE), TensorSlice(INSTRUCT)
    tensor = LazyTensor(Origin("x", ends, 0.3, torch.bfloat16, seed=7))
    expected = torch.empty(SHAPE, dtype=torch.bfloat16)
    interpolate_(expected, *ends, 0.3, seed=tensor_seed(7, "x"))
    target = torch.empty(5, 10, dtype=torch.bfloat16)
    target.copy_(tensor[3:8])
    assert torch.equal(target, expected[3:8])


def test_scalars_and_moments() -> None:
    ends = TensorSlice(torch.tensor(1.0)), TensorSlice(torch.tensor(3.0))
    target = torch.zeros(())
    target.copy_(LazyTensor(Origin("x", ends, 0.25, torch.float32)))
    assert target == 1.5
    pair = TensorSlice(BASE), TensorSlice(INSTRUCT)
    assert moments(lazy(), *pair, 0.3) == moments(whole(), *pair, 0.3)
    assert "LazyTensor('x', [12, 10], lam=0.3)" in repr(lazy())
