"""Ways along the path: against numpy in fp64, at the ends, in place, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from families import make_instruct, make_model, save
from loras import CASES, lora, make_adapter
from through_lm_eval import adapted, assert_same_weights, stock, weights

from pa_harness.checkpoints.slices import TensorSlice
from pa_harness.errors import ModelArgsError
from pa_harness.weights.methods import Method, Setting, angle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Pair = tuple["Path", "Path"]


def slerp(a: Array, b: Array, lam: float) -> Array:
    cosine = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    omega = np.arccos(np.clip(cosine, -1, 1))
    if cosine > 1 - 1e-12:
        return a + lam * (b - a)
    return (np.sin((1 - lam) * omega) * a + np.sin(lam * omega) * b) / np.sin(omega)


def low_rank(a: Array, b: Array, lam: float, *, rank: int = 0, energy: float = 0.0) -> Array:
    if a.ndim < 2:
        return a + lam * (b - a)
    u, s, v = np.linalg.svd(b - a, full_matrices=False)
    if energy:
        shares = np.cumsum(s**2) / np.sum(s**2)
        rank = next(r for r, share in enumerate(shares, 1) if share >= energy - 1e-12)
    return a + lam * (u[:, :rank] * s[:rank]) @ v[:rank]


def trim(a: Array, b: Array, lam: float, *, density: float) -> Array:
    # The magnitudes as fp32 has them, so that ties are the same.
    size = np.abs((b.astype(np.float32) - a.astype(np.float32)).ravel())
    kept = int(density * size.size)
    limit = np.sort(size)[::-1][kept - 1] if kept else np.inf
    return a + lam * np.where(size.reshape(a.shape) >= limit, b - a, 0)


METHODS: dict[str, tuple[dict[str, Any], Callable[..., Array]]] = {
    "slerp": ({"method": "slerp"}, slerp),
    "rank": (
        {"method": "low_rank", "rank": 3},
        lambda a, b, lam: low_rank(a, b, lam, rank=3),
    ),
    "energy": (
        {"method": "low_rank", "energy": 0.5},
        lambda a, b, lam: low_rank(a, b, lam, energy=0.5),
    ),
    "trim": (
        {"method": "trim", "density": 0.2},
        lambda a, b, lam: trim(a, b, lam, density=0.2),
    ),
}


@pytest.fixture(scope="module")
def far_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two models at an angle that a lerp would not follow."""
    folder = tmp_path_factory.mktemp("far")
    base = make_model("llama", seed=1)
    instruct = make_instruct(base, seed=2, size=1.0)
    return save(base, folder / "base"), save(instruct, folder / "instruct", chat=True)


@pytest.mark.parametrize("lam", [0.3, 1, 1.2])
@pytest.mark.parametrize("family", ["llama", "llama-tied", "gpt-2"])
@pytest.mark.parametrize("name", METHODS)
def test_against_numpy(name: str, family: str, lam: float, pair_of: Callable[..., Pair]) -> None:
    pair = pair_of(family)
    arguments, reference = METHODS[name]
    base, instruct = (weights(stock(folder, tokenizer=str(pair[1]))) for folder in pair)
    loaded, changed = adapted(pair, lam, **arguments), adapted(pair, 0, **arguments)
    changed.set_lam(lam)
    assert_same_weights(loaded, changed)
    for key, value in weights(loaded).items():
        ends = base[key].double().numpy(), instruct[key].double().numpy()
        assert np.allclose(value.numpy(), reference(*ends, lam), rtol=0, atol=2e-6), key


@pytest.mark.parametrize("name", METHODS)
def test_far_apart(name: str, far_pair: Pair) -> None:
    arguments, reference = METHODS[name]
    base, instruct = (weights(stock(folder, tokenizer=str(far_pair[1]))) for folder in far_pair)
    ours, line = weights(adapted(far_pair, 0.5, **arguments)), weights(adapted(far_pair, 0.5))
    apart = 0.0
    for key, value in ours.items():
        ends = base[key].double().numpy(), instruct[key].double().numpy()
        assert np.allclose(value.numpy(), reference(*ends, 0.5), rtol=0, atol=2e-6), key
        apart = max(apart, float((value - line[key]).abs().max()))
    assert apart > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", METHODS)
def test_ends(name: str, dtype: torch.dtype, pair_of: Callable[..., Pair]) -> None:
    """λ = 0 is the base bit for bit; of slerp, λ = 1 is the instruct model."""
    pair = pair_of("mixtral", dtype)
    arguments, _ = METHODS[name]
    lm = adapted(pair, 0.4, **arguments)
    lm.set_lam(0)
    assert_same_weights(lm, stock(pair[0], tokenizer=str(pair[1])))
    lm.set_lam(1)
    instruct = weights(stock(pair[1]))
    same = [torch.equal(value, instruct[key]) for key, value in weights(lm).items()]
    assert all(same) == (name == "slerp")


@pytest.mark.parametrize(
    ("whole", "atol"),
    [
        ({"method": "trim", "density": 1.0}, 0.0),
        ({"method": "low_rank", "energy": 1.0}, 1e-6),
        ({"method": "low_rank", "rank": 10**6}, 1e-6),
    ],
)
def test_all_of_the_delta_is_linear(whole: dict[str, Any], atol: float, pair: Pair) -> None:
    line = weights(adapted(pair, 0.3))
    for key, value in weights(adapted(pair, 0.3, **whole)).items():
        assert torch.allclose(value, line[key], rtol=0, atol=atol), key


def test_trimmed_values_are_the_instruct_models_own(pair_of: Callable[..., Pair]) -> None:
    pair = pair_of("llama", torch.bfloat16)
    base, instruct = (weights(stock(folder, tokenizer=str(pair[1]))) for folder in pair)
    for key, value in weights(adapted(pair, 1, method="trim", density=0.3)).items():
        kept = value == instruct[key]
        assert torch.equal(value[~kept], base[key][~kept])
        assert float(kept.double().mean()) + 1 / kept.numel() >= 0.3


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (3, 8, 6), (3, 6, 8)])
@pytest.mark.parametrize("setting", [Setting("low_rank", rank=2), Setting("low_rank", energy=0.6)])
def test_stacks_and_parts_of_matrices(shape: tuple[int, ...], setting: Setting) -> None:
    """Each matrix of a stack by itself; rows and single elements as the whole has them."""
    random = torch.Generator().manual_seed(0)
    base, instruct = (torch.randn(shape, generator=random) for _ in range(2))
    end = Method(setting).end("t", TensorSlice(base), TensorSlice(instruct), 0.5)
    whole = end[...]
    flat = (-1, *shape[-2:])
    for one, a, b in zip(
        whole.reshape(flat), base.reshape(flat), instruct.reshape(flat), strict=True
    ):
        options = {"rank": setting.rank or 0, "energy": setting.energy or 0.0}
        expected = low_rank(a.double().numpy(), b.double().numpy(), 1, **options)
        assert np.allclose(one.numpy(), expected, atol=1e-5)
    assert torch.allclose(end[1:3], whole[1:3], atol=1e-6)
    assert torch.equal(end[1, 2], whole[1, 2])


def test_angles_of_nearly_equal_and_opposite_tensors() -> None:
    a = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for omega in (1e-7, 0.3, 3.0):
        b = 5 * torch.tensor([np.cos(omega), np.sin(omega)], dtype=torch.float64)
        assert angle(TensorSlice(a), TensorSlice(b)) == pytest.approx(omega, rel=1e-8)
    assert angle(TensorSlice(a), TensorSlice(0 * a)) == 0
    for other in (a, -a, 0 * a):  # no arc: linear
        end = Method(Setting("slerp")).end("t", TensorSlice(a), TensorSlice(other), 0.5)
        assert torch.equal(end[...], other)


def test_a_lora_pair_with_a_method(tmp_path: Path) -> None:
    """ΔW of rank 4 is whole at rank 4, and the best of rank 2 at 2."""
    pair = make_adapter(tmp_path, *CASES["plain"])
    line, whole = (weights(lora(pair, 0.5, **o)) for o in ({}, {"method": "low_rank", "rank": 4}))
    base, two = weights(lora(pair, 0)), weights(lora(pair, 0.5, method="low_rank", rank=2))
    for key, value in whole.items():
        assert torch.allclose(value, line[key], atol=1e-5), key
        if value.dim() == 2:
            assert torch.linalg.matrix_rank(two[key] - base[key], atol=1e-4) <= 2
    key = "model.layers.0.self_attn.q_proj.weight"
    expected = low_rank(base[key].double().numpy(), line[key].double().numpy(), 1, rank=2)
    assert np.allclose(two[key].numpy(), expected, atol=1e-5)


def test_results_name_the_method(pair: Pair) -> None:
    infos = [adapted(pair, 0.5, **arguments).get_model_info() for arguments, _ in METHODS.values()]
    assert len({info["identity"] for info in infos}) == len(METHODS)
    assert infos[1]["method"] == {"name": "low_rank", "rank": 3, "energy": None, "density": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "low_rank"}, r"method=low_rank with none of rank.* Expected rank= or energy="),
        ({"method": "low_rank", "rank": 2, "energy": 0.5}, r"with rank, energy of rank"),
        ({"method": "trim", "rank": 2}, r"method=trim with rank of .* Expected density="),
        ({"method": "slerp", "density": 0.5}, r"method=slerp with density of .* Expected none"),
        ({"rank": 4}, r"method=linear with rank"),
        ({"method": "trim", "density": 0.0}, r"density=0.0 is not possible. Expected above 0"),
        ({"method": "low_rank", "energy": 1.5}, r"energy=1.5 is not possible"),
        ({"method": "low_rank", "rank": 0}, r"rank=0 is not possible. Expected 1 or more"),
        ({"method": "dare"}, r"method='dare' should be 'linear' or 'slerp'"),
    ],
)
def test_what_is_no_method(arguments: dict[str, Any], message: str, pair: Pair) -> None:
    with pytest.raises(ModelArgsError, match=message):
        adapted(pair, 0.5, **arguments)
