"""θ_λ through lm-eval's registry, on small random checkpoints of every family."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import FAMILIES, make_instruct, make_model, save
from lm_eval.api.instance import Instance
from safetensors.torch import load_file
from through_lm_eval import TEXTS, Pair, adapted, assert_same_weights, scores, stock, weights

from pa_harness.errors import PAHarnessError
from pa_harness.models.loading import fits_beside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_ends_are_what_hf_loads_and_lam_comes_back(
    family: str, dtype: torch.dtype, pair_of: Callable[..., Pair]
) -> None:
    """λ = 0 and 1 bit for bit; between them the definition; ten changes in place and back."""
    pair = pair_of(family, dtype)
    base, instruct = (stock(folder, tokenizer=str(pair[1])) for folder in pair)
    lm = adapted(pair, 0)
    assert_same_weights(lm, base)
    if dtype is torch.float32:
        assert scores(lm) == scores(base)
    fresh = adapted(pair, 0.3)
    for lam in (1, 0.7, 0, -0.25, 0.5, 1.25, 0.1, 0.9, 1, 0.3):
        lm.set_lam(lam)
        if lam == 1:
            assert_same_weights(lm, instruct)
    assert_same_weights(lm, fresh)
    for name, value in weights(lm).items():
        ends = weights(base)[name].double(), weights(instruct)[name].double()
        exact = ends[0] + 0.3 * (ends[1] - ends[0])
        bound = 0.51 * torch.finfo(dtype).eps * exact.abs() + 3e-7
        assert ((value.double() - exact).abs() <= bound).all(), name


@pytest.mark.parametrize("family", ["llama-tied", "mixtral"])
@pytest.mark.parametrize("options", [{"max_shard_size": "20KB"}, {}])
def test_sharded_and_single_files(
    family: str, options: dict[str, Any], pair_of: Callable[..., Pair]
) -> None:
    pair = pair_of(family, torch.float32, **options)
    assert (len(list(pair[0].glob("*.safetensors"))) > 1) == bool(options)
    assert_same_weights(adapted(pair, 0.4), adapted(pair_of(family, torch.float32), 0.4))


def test_pytorch_bin_checkpoints(tied_pair: Pair, tmp_path: Path) -> None:
    folders = []
    for side in tied_pair:
        folder = tmp_path / side.name
        folder.mkdir()
        for file in side.iterdir():
            if file.suffix != ".safetensors":
                (folder / file.name).write_bytes(file.read_bytes())
        torch.save(load_file(side / "model.safetensors"), folder / "pytorch_model.bin")
        folders.append(folder)
    assert_same_weights(adapted((folders[0], folders[1]), 0.4), adapted(tied_pair, 0.4))


def test_different_dtypes_keep_both_ends_exact(tmp_path: Path) -> None:
    """A base in fp32 and an instruct in bf16, as Gemma-2 ships them."""
    base = make_model("gemma-2", seed=1)
    instruct = make_instruct(base, seed=2).bfloat16()
    pair = save(base, tmp_path / "base"), save(instruct, tmp_path / "instruct", chat=True)
    lm = adapted(pair, 0)
    assert_same_weights(lm, stock(pair[0]))
    lm.set_lam(1)
    assert_same_weights(lm, stock(pair[1], dtype="float32"))
    assert lm.get_model_info()["model_dtype"] == "torch.float32"


def test_float32_from_bf16_checkpoints_is_not_rounded_to_bf16(
    pair_of: Callable[..., Pair],
) -> None:
    pair = pair_of("llama", torch.bfloat16)
    lm = adapted(pair, 0.3, dtype="float32")
    ends = [weights(stock(folder, dtype="float32")) for folder in pair]
    for name, value in weights(lm).items():
        assert torch.equal(value, torch.lerp(ends[0][name], ends[1][name], 0.3))
    assert lm.get_model_info()["lam_eff"] == pytest.approx(0.3, abs=1e-6)


def test_tied_embedding_is_moved_once_and_stays_tied(tied_pair: Pair) -> None:
    lm = adapted(tied_pair, 0.5)
    assert lm.model.lm_head.weight is lm.model.model.embed_tokens.weight
    lm.set_lam(0.25)
    ends = [load_file(folder / "model.safetensors") for folder in tied_pair]
    expected = torch.lerp(*(end["model.embed_tokens.weight"] for end in ends), 0.25)
    assert torch.equal(lm.model.lm_head.weight, expected)


def test_set_lam_changes_the_parameters_themselves(pair_of: Callable[..., Pair]) -> None:
    """Compiled graphs and hooks hold on to them."""
    lm = adapted(pair_of("mixtral", torch.float32), 0.5)
    before = {name: (id(p), p.data_ptr()) for name, p in lm.model.named_parameters()}
    lm.set_lam(0.1)
    after = {name: (id(p), p.data_ptr()) for name, p in lm.model.named_parameters()}
    assert before == after


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_originals_in_memory_give_the_same_weights(
    family: str, pair_of: Callable[..., Pair]
) -> None:
    pair = pair_of(family, torch.bfloat16)
    lm = adapted(pair, 0, keep="memory")
    for lam in (0.6, 1, 0.2):
        lm.set_lam(lam)
    assert_same_weights(lm, adapted(pair, 0.2))


@pytest.mark.parametrize("family", ["llama-tied", "mixtral", "gemma-3"])
def test_placement_by_device_map_gives_the_same_scores(
    family: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """`parallelize` with room for everything, for a part, and for nothing but the disk."""
    pair = pair_of(family, torch.float32)
    expected = scores(adapted(pair, 0.3))
    for number, placement in enumerate(
        ({"max_cpu_memory": "1GB"}, {"max_cpu_memory": "60KB"}, {}, {"device_map": "auto"})
    ):
        folder = str(tmp_path / str(number))
        lm = adapted(pair, 0.3, parallelize=True, offload_folder=folder, **placement)
        assert scores(lm) == expected
    lm = adapted(pair, 0.3, parallelize=True, offload_folder=str(tmp_path / "disk"))
    with pytest.raises(
        PAHarnessError, match=r"λ cannot change in place: .* weights are off-loaded"
    ):
        lm.set_lam(0.4)


def test_greedy_generation_stops_at_the_turns_end_and_ignores_sampling_defaults(
    pair: Pair,
) -> None:
    """The instruct checkpoint ships do_sample and a repetition penalty; λ must not inherit them."""
    for lam in (0, 0.5, 1):
        config = adapted(pair, lam).model.generation_config
        assert config.eos_token_id == [1, 3]  # </s> of the base, <end> of the instruct's turns
        assert not config.do_sample
        assert config.repetition_penalty in (None, 1.0)
    request = {"until": ["@@"], "max_gen_toks": 12, "do_sample": False}
    requests = [Instance("generate_until", {}, (text, request), 0) for text, _ in TEXTS[:2]]
    lm, reference = adapted(pair, 0), stock(pair[0], tokenizer=str(pair[1]))
    reference.model.generation_config.eos_token_id = [1, 3]
    assert lm.generate_until(requests, disable_tqdm=True) == reference.generate_until(
        requests, disable_tqdm=True
    )


def test_tokenizer_and_template_are_the_instruct_models_at_every_lam(pair: Pair) -> None:
    for lam in (0, 1):
        lm = adapted(pair, lam)
        chat = lm.apply_chat_template([{"role": "user", "content": "Hi"}])
        assert chat == "<s><turn>user\nHi<end>\n<turn>assistant\n"
        assert lm.tok_encode("Hi")[0] == lm.tokenizer.bos_token_id == 0


def test_extra_rows_are_copied_from_the_longer_side_when_asked(tmp_path: Path) -> None:
    base = make_model("llama-tied", seed=1)
    instruct = make_instruct(base, seed=2)
    instruct.resize_token_embeddings(330)
    pair = save(base, tmp_path / "base"), save(instruct, tmp_path / "instruct", chat=True)
    lm = adapted(pair, 0.5, extra_rows="copy")
    rows = lm.model.get_input_embeddings().weight
    ends = [load_file(folder / "model.safetensors")["model.embed_tokens.weight"] for folder in pair]
    assert torch.equal(rows[:320], torch.lerp(ends[0], ends[1][:320], 0.5))
    assert torch.equal(rows[320:], ends[1][320:])
    assert any("10 extra embedding rows copied" in note for note in lm.get_model_info()["notes"])


def test_overflow_beyond_the_ends_is_an_error_and_the_next_lam_is_right(tmp_path: Path) -> None:
    base = make_model("llama", seed=1).half()
    instruct = make_instruct(base, seed=2)
    with torch.no_grad():
        instruct.lm_head.weight[0, 0] = 60000
    pair = save(base, tmp_path / "base"), save(instruct, tmp_path / "instruct", chat=True)
    lm = adapted(pair, 1)
    with pytest.raises(PAHarnessError, match=r"λ=1.5 takes 1 tensors out of the range of torch.f"):
        lm.set_lam(1.5)
    assert lm.lam is None
    lm.set_lam(0)
    assert_same_weights(lm, stock(pair[0]))


def test_effective_lam_per_tensor_on_request(pair_of: Callable[..., Pair]) -> None:
    pair = pair_of("llama", torch.bfloat16)
    tensors = adapted(pair, 0.3, lam_eff="tensors").get_model_info()["lam_eff_tensors"]
    assert tensors.keys() == load_file(pair[0] / "model.safetensors").keys()
    ends = [load_file(folder / "model.safetensors")["lm_head.weight"].double() for folder in pair]
    moved = weights(adapted(pair, 0.3))["lm_head.weight"].double() - ends[0]
    delta = ends[1] - ends[0]
    expected = float((moved * delta).sum() / (delta * delta).sum())
    assert tensors["lm_head.weight"]["lam_eff"] == pytest.approx(expected, rel=1e-9)


def test_both_originals_are_kept_where_they_fit(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three models in three quarters of every accelerator; on the CPU the files are enough."""
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(total_memory=100 + device.index),
    )

    def model(*parts: tuple[str, int]) -> Any:
        made = [SimpleNamespace(device=torch.device(at), nbytes=size) for at, size in parts]
        return SimpleNamespace(parameters=lambda: made)

    assert fits_beside(model(("cuda:0", 20), ("cuda:0", 5), ("cuda:1", 25)))
    assert not fits_beside(model(("cuda:0", 20), ("cuda:0", 6)))
    assert not fits_beside(model(("cuda:0", 20), ("cpu", 1)))
    lm = adapted(pair, 0.5)
    lm.set_lam(0.3)
    assert lm.get_model_info()["keep"] == "files"
    assert adapted(pair, 0.5, keep="memory").get_model_info()["keep"] == "memory"
