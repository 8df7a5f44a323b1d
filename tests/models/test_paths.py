"""θ_λ on a path: knots bit for bit, legs as an independent lerp, changes in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import make_instruct, make_model, make_tokenizer, save
from loras import lora, make_adapter
from safetensors.torch import load_file, save_file
from stages import lerp, make_stages, on_path
from through_lm_eval import adapted, assert_same_weights, scores, stock, weights

from pa_harness.errors import CheckpointError, ModelArgsError, PairError
from pa_harness.lam.reading import warn_of_extrapolation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four stages."""
    return make_stages(tmp_path_factory.mktemp("stages"), 4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("keep", ["files", "memory"])
def test_knots_are_the_checkpoints_and_changes_do_not_drift(
    dtype: str, keep: str, stages: list[Path]
) -> None:
    lm = on_path(stages, 1, dtype=dtype, keep=keep)
    ends = [stock(stage, dtype=dtype) for stage in stages]
    fresh = on_path(stages, 1.3, dtype=dtype)
    for lam in (
        0,
        2.5,
        1,
        0.25,
        3,
        1.75,
        2,
        -0.5,
        1,
        3.5,
        0.5,
        2.25,
        0,
        3,
        2,
        1.1,
        0.9,
        2.9,
        0.1,
        1.3,
    ):
        lm.set_lam(lam)
        if lam in range(4):
            assert_same_weights(lm, ends[int(lam)])
    assert_same_weights(lm, fresh)
    assert lm.get_model_info()["weights"] == fresh.get_model_info()["weights"]


@pytest.mark.parametrize(
    ("lam", "leg", "there"),
    [(0.5, 0, 0.5), (1.5, 1, 0.5), (2.25, 2, 0.25), (-0.25, 0, -0.25), (3.5, 2, 1.5)],
)
def test_legs_are_lines_between_neighbours(
    lam: float, leg: int, there: float, stages: list[Path]
) -> None:
    lm = on_path(stages, lam)
    expected = lerp(stages[leg], stages[leg + 1], there)
    found = {name: value for name, value in weights(lm).items() if name in expected}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], rtol=2e-7, atol=1e-8), name
    assert lm.get_model_info()["lam_eff"] == pytest.approx(lam, abs=1e-4)


@pytest.mark.parametrize("method", [{}, {"method": "slerp"}, {"method": "trim", "density": 0.4}])
def test_a_place_on_a_leg_is_that_of_its_pair(method: dict[str, Any], stages: list[Path]) -> None:
    """λ = 1.3 is 0.3 of the second pair, in every bit, whatever the way along the leg."""
    lm = on_path(stages, 2.7, **method)
    lm.set_lam(1.3)
    assert_same_weights(lm, adapted((stages[1], stages[2]), 0.3, **method))


def test_a_path_of_two_says_what_its_pair_says(stages: list[Path]) -> None:
    ours, theirs = on_path(stages[:2], 0.4), adapted((stages[0], stages[1]), 0.4)
    assert ours.get_model_info() == theirs.get_model_info()
    assert scores(ours) == scores(theirs)


def test_a_schedule_goes_over_knots(stages: list[Path]) -> None:
    """Layers at other stages: λ of each tensor is a place on the path."""
    schedule = {"base": 1.5, "rules": [{"module": "mlp", "lam": {"linear": [0.25, 2.5]}}]}
    lm = on_path(stages, schedule)
    expected = lerp(stages[1], stages[2], 0.5)
    first, last = lerp(stages[0], stages[1], 0.25), lerp(stages[2], stages[3], 0.75)
    for name, value in weights(lm).items():
        layer = {"layers.0.mlp": first, "layers.1.mlp": last}
        wanted = next((of for part, of in layer.items() if part in name), expected)
        assert torch.allclose(value, wanted[name], rtol=2e-7, atol=1e-8), name
    assert lm.get_model_info()["lam"] is None


def test_an_adapter_is_a_leg(tmp_path: Path) -> None:
    """Base, a LoRA on it, a full model behind: knots and legs on both sides of the adapter."""
    base, adapter = make_adapter(tmp_path, "llama", {"target_modules": ["q_proj", "down_proj"]})
    full = save(
        make_instruct(make_model("llama", seed=1, vocab_size=300), seed=5), tmp_path / "full"
    )
    path = [base, {"peft": str(adapter)}, full]
    lm = on_path(path, 0.4)
    assert_same_weights(lm, lora((base, adapter), 0.4))
    lm.set_lam(1)
    merged = weights(lora((base, adapter), 1))
    assert_same_weights(lm, lora((base, adapter), 1))
    lm.set_lam(1.25)
    last = load_file(full / "model.safetensors")
    for name, value in weights(lm).items():
        start = merged[name].double()
        wanted = start + 0.25 * (last[name].double() - start)
        assert torch.allclose(value.double(), wanted, rtol=1e-6, atol=1e-7), name
    lm.set_lam(2)
    assert_same_weights(lm, stock(full))
    info = lm.get_model_info()
    assert [info[role]["name"] for role in ("base", "peft_1", "stage_2")] == [
        *(str(base), str(adapter), str(full))
    ]


def test_all_pairs_are_checked_before_any_weight_moves(
    stages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pa_harness.models.loading import LoadedWeights

    monkeypatch.setattr(LoadedWeights, "load", lambda *_, **__: pytest.fail("weights moved"))
    other = save(make_model("qwen-3", seed=1), tmp_path / "other")
    with pytest.raises(PairError, match=r"stage_3|instruct is a|architecture"):
        on_path([*stages[:3], other], 0.5)
    wide = make_model("llama-tied", seed=3, vocab_size=340)
    with pytest.raises(PairError, match="extra_rows=copy"):
        on_path([*stages[:2], save(wide, tmp_path / "wide")], 0.5)
    untied = save(make_model("llama", seed=1), tmp_path / "untied")
    more = [save(make_instruct(make_model("llama", seed=1), seed=3), tmp_path / "more"), untied]
    with pytest.raises(PairError, match="All checkpoints of a path must have one form"):
        on_path([stages[0], stages[1], *more], 0.5)


def test_what_is_wrong_with_a_later_stage_is_found_at_once(
    stages: list[Path], tmp_path: Path
) -> None:
    """λ = 0 reads the first leg; NaN in the last checkpoint, or equal neighbours, are said then."""
    model = make_model("llama-tied", seed=9)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    broken = save(model, tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"stage_2 model\.norm\.weight"):
        on_path([*stages[:2], broken], 0)
    with pytest.raises(PairError, match=r"stage_1 .* and stage_2 .* hold the same weights"):
        on_path([stages[0], stages[1], stages[1]], 0)
    with pytest.raises(CheckpointError, match="stage_2 '/nowhere/at/all'"):
        on_path([*stages[:2], "/nowhere/at/all"], 0)


def test_a_later_stage_that_is_written_to_has_no_lam(stages: list[Path], tmp_path: Path) -> None:
    import shutil

    last = tmp_path / "last"
    shutil.copytree(stages[2], last)
    lm = on_path([*stages[:2], last], 0.5)
    with (last / "model.safetensors").open("r+b") as file:  # as a trainer that goes on writing
        file.seek(-4, 2)
        file.write(b"\x00\x01\x02\x03")
    with pytest.raises(CheckpointError, match=r"stage_2 .* written to since it was opened"):
        lm.set_lam(0.6)
    assert lm.lam is None


def test_every_place_and_path_has_its_own_identity(stages: list[Path]) -> None:
    """What separates a --use_cache file's answers."""
    lm = on_path(stages[:3], 0.5)
    found = {lm.identity, adapted((stages[0], stages[1]), 0.5).identity}
    for lam in (1.5, 1, 2):
        lm.set_lam(lam)
        found.add(lm.identity)
    found.add(on_path([stages[0], stages[2], stages[1]], 0.5).identity)
    assert len(found) == 6
    assert make_tokenizer(chat=True).chat_template in str(lm.tokenizer.chat_template)


def test_only_beyond_the_last_stage_is_extrapolation(
    stages: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_extrapolation.cache_clear()
    lm = on_path(stages, 2.9)
    assert "extrapolates" not in caplog.text
    lm.set_lam(3.1)
    assert "λ outside [0, 3] extrapolates" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "a,b"}, "list of two or more"),
        ({"path": ["a", "b", "c"], "instruct": "d"}, "both name checkpoints"),
        ({"path": ["a", {"peft": "b"}, {"peft": "c"}]}, "merge one into its model"),
    ],
)
def test_malformed_paths_are_told(given: dict[str, Any], message: str) -> None:
    from pa_harness.weights.early import check_early

    with pytest.raises(ModelArgsError, match=message):
        check_early({**given, "lam": 0.5})


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_stages_of_two_dtypes_meet_in_fp32(odd: int, tmp_path: Path) -> None:
    """Whichever is the odd one, every knot is exact there."""
    stages = make_stages(tmp_path, 3)
    for number, stage in enumerate(stages):
        dtype = torch.float16 if number == odd else torch.bfloat16
        path = stage / "model.safetensors"
        narrow = {name: value.to(dtype) for name, value in load_file(path).items()}
        save_file(narrow, path, metadata={"format": "pt"})
    lm = on_path(stages, 0)
    assert lm.model.dtype == torch.float32
    for lam, stage in enumerate(stages):
        lm.set_lam(lam)
        assert_same_weights(lm, stock(stage, dtype="float32"))


def test_what_is_wider_than_the_bulk_is_said_of_every_stage(tmp_path: Path) -> None:
    stages = make_stages(tmp_path, 3)
    for stage in stages:
        path = stage / "model.safetensors"
        tensors = load_file(path)
        mixed = {n: v if "norm" in n else v.bfloat16() for n, v in tensors.items()}
        save_file(mixed, path, metadata={"format": "pt"})
    lm = on_path(stages, 1.5)
    assert lm.model.dtype == torch.bfloat16
    said = [note for note in lm._notes if "are rounded to torch.bfloat16 as with hf" in note]
    assert [note.split(" '")[0] for note in said] == ["base", "stage_1", "stage_2"]
