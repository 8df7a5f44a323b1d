"""The mathematics of λ, against float64 and by its properties."""

from __future__ import annotations

import math

import pytest
import torch

from pa_harness.checkpoints.slices import TensorSlice
from pa_harness.weights.effective_lam import effective_lam, moments
from pa_harness.weights.interpolation import interpolate_, tensor_seed

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def interpolated(
    base: torch.Tensor,
    instruct: torch.Tensor,
    lam: float,
    dtype: torch.dtype | None = None,
    seed: int | None = None,
) -> torch.Tensor:
    out = torch.empty_like(base, dtype=dtype or base.dtype)
    interpolate_(out, TensorSlice(base), TensorSlice(instruct), lam, seed=seed)
    return out


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_are_the_given_tensors_bit_for_bit(dtype: torch.dtype) -> None:
    base = torch.randn(70, 33).to(dtype)
    instruct = torch.randn(70, 33).to(dtype)
    for row, (left, right) in enumerate([(-0.0, 1.0), (math.inf, 1.0), (-math.inf, math.inf)]):
        base[row, 0], instruct[row, 0] = left, right
        base[row, 1], instruct[row, 1] = right, left
    largest = torch.finfo(dtype).max
    base[5, 5], instruct[5, 5] = largest, -largest  # their difference overflows
    assert torch.equal(bits(interpolated(base, instruct, 0.0)), bits(base))
    assert torch.equal(bits(interpolated(base, instruct, 1.0)), bits(instruct))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lam", [0.1, 0.3, 0.5, 0.9, -0.5, 1.5])
def test_between_the_ends_one_rounding_from_the_exact_value(dtype: torch.dtype, lam: float) -> None:
    base = torch.randn(300, 70).to(dtype)
    instruct = (base.float() + 0.1 * torch.randn(300, 70)).to(dtype)
    exact = base.double() + lam * (instruct.double() - base.double())
    out = interpolated(base, instruct, lam)
    step = torch.finfo(dtype).eps * exact.abs().clamp(min=torch.finfo(dtype).tiny)
    assert ((out.double() - exact).abs() <= 0.51 * step + 2e-7).all()


def test_mixed_dtypes_are_interpolated_in_fp32_and_rounded_once() -> None:
    base, instruct = torch.randn(64, 64), torch.randn(64, 64).bfloat16()
    expected = torch.lerp(base, instruct.float(), 0.3)
    assert torch.equal(interpolated(base, instruct, 0.3, torch.float32), expected)
    assert torch.equal(interpolated(base, instruct, 0.3, torch.bfloat16), expected.bfloat16())


def test_fp32_weights_from_bf16_checkpoints_are_not_rounded_to_bf16() -> None:
    base, instruct = torch.randn(64, 64).bfloat16(), torch.randn(64, 64).bfloat16()
    expected = torch.lerp(base.float(), instruct.float(), 0.3)
    assert torch.equal(interpolated(base, instruct, 0.3, torch.float32), expected)


def test_chunks_do_not_show() -> None:
    base, instruct = torch.randn(3, 1 << 20), torch.randn(3, 1 << 20)
    assert torch.equal(
        interpolated(base, instruct, 0.4, torch.bfloat16),
        torch.lerp(base, instruct, 0.4).bfloat16(),
    )


def test_scalars_have_no_rows() -> None:
    base, instruct = torch.tensor(1.0), torch.tensor(2.0)
    assert interpolated(base, instruct, 0.5, torch.bfloat16) == 1.5


def test_stochastic_rounding_holds_lam_on_average_where_nearest_loses_it() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(512, 512, generator=generator).bfloat16()
    step = 0.01 * torch.randn(512, 512, generator=generator)
    instruct = (base.float() + step * base.float().std()).bfloat16()

    def lam_eff(seed: int | None) -> float:
        out = interpolated(base, instruct, 0.1, seed=seed)
        ends = TensorSlice(base), TensorSlice(instruct)
        return effective_lam([moments(out, *ends, 0.1, every_element=True)]).lam_eff

    assert abs(lam_eff(None) - 0.1) > 0.03
    assert abs(lam_eff(7) - 0.1) < 0.005


def test_the_noise_of_stochastic_rounding_is_a_hash_of_seed_and_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the blocks, against Python's own integers; another seed has another one."""

    def mixed(word: int) -> int:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            word = (word ^ word >> shift) * factor & 0xFFFFFFFF
        return word

    base, instruct = torch.zeros(40, 50).bfloat16(), torch.full((40, 50), 0.0171).bfloat16()
    seed = 0x9ABC_DEF0_1234_5678 >> 8
    exact = torch.lerp(base.float(), instruct.float(), 0.37).view(torch.int32)
    noise = [mixed(mixed(n ^ seed & 0xFFFFFFFF) ^ seed >> 32) & 0xFFFF for n in range(2000)]
    expected = (exact + torch.tensor(noise, dtype=torch.int32).view(40, 50)) & ~0xFFFF
    expected = expected.view(torch.float32).bfloat16()
    assert torch.equal(interpolated(base, instruct, 0.37, seed=seed), expected)
    monkeypatch.setattr("pa_harness.weights.interpolation.row_blocks.__defaults__", (150,))
    assert torch.equal(interpolated(base, instruct, 0.37, seed=seed), expected)
    assert not torch.equal(interpolated(base, instruct, 0.37, seed=seed + 1), expected)
    assert abs(sum(noise) / len(noise) / 0xFFFF - 0.5) < 0.02


def test_stochastic_rounding_is_reproducible_and_exact_at_the_ends() -> None:
    base, instruct = torch.randn(99, 9).bfloat16(), torch.randn(99, 9).bfloat16()
    once, again = (interpolated(base, instruct, 0.3, seed=5) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, interpolated(base, instruct, 0.3, seed=6))
    assert torch.equal(interpolated(base, instruct, 0.0, seed=5), base)
    assert torch.equal(interpolated(base, instruct, 1.0, seed=5), instruct)
    neighbours = (once.double() - torch.lerp(base.float(), instruct.float(), 0.3).double()).abs()
    assert (neighbours <= torch.finfo(torch.bfloat16).eps * once.double().abs() + 1e-30).all()


def test_each_tensor_has_its_own_seed() -> None:
    assert tensor_seed(0, "a") == tensor_seed(0, "a")
    assert len({tensor_seed(0, "a"), tensor_seed(0, "b"), tensor_seed(1, "a")}) == 3


@pytest.mark.parametrize("shape", [(40, 30), (5000, 300), (2_000_000,), (3, 400_000)])
def test_effective_lam_is_the_projection_on_the_difference(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(shape, generator=generator).bfloat16()
    instruct = (base.float() + 0.02 * torch.randn(shape, generator=generator)).bfloat16()
    out = interpolated(base, instruct, 0.3)
    delta = (instruct.double() - base.double()).flatten()
    moved = (out.double() - base.double()).flatten()
    ends = TensorSlice(base), TensorSlice(instruct)
    full = effective_lam([moments(out, *ends, 0.3, every_element=True)])
    assert full.lam_eff == pytest.approx(float(moved @ delta / (delta @ delta)), abs=1e-9)
    noise = (moved - 0.3 * delta).norm() / delta.norm()
    assert full.rounding_noise == pytest.approx(float(noise), rel=1e-9)
    assert full.relative_delta == pytest.approx(float(delta.norm() / base.double().norm()))
    sampled = effective_lam([moments(out, *ends, 0.3)])
    assert sampled.lam_eff == pytest.approx(full.lam_eff, abs=0.01)
    assert sampled.rounding_noise == pytest.approx(full.rounding_noise, rel=0.1)


def test_effective_lam_of_equal_tensors_is_undefined_not_zero() -> None:
    same = torch.randn(10)
    effective = effective_lam([moments(same, TensorSlice(same), TensorSlice(same), 0.5)])
    assert math.isnan(effective.lam_eff)
    assert math.isnan(effective.rounding_noise)


def test_a_large_tensor_weighs_as_much_as_its_elements() -> None:
    """The model's λ_eff must not depend on how much of each tensor was looked at."""
    small = torch.zeros(10), torch.ones(10)
    large = torch.zeros(400_000), torch.ones(400_000)
    parts = []
    for (base, instruct), lam in ((small, 1.0), (large, 0.5)):
        out = torch.lerp(base, instruct, lam)
        parts.append(moments(out, TensorSlice(base), TensorSlice(instruct), lam))
    expected = (10 * 1.0 + 400_000 * 0.5) / 400_010
    assert effective_lam(parts).lam_eff == pytest.approx(expected, rel=1e-12)
