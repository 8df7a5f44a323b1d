"""vLLM on the CPU against our own model: needs the extra [vllm] (make test-scale).

Every prompt of these tests is longer than the model may read, so what is cut is compared, too.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from families import make_instruct, make_model, save
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from toy import run, toy_settings
from wrappers import make_pair

from pa_harness.cli.main import main
from pa_harness.errors import PAHarnessError, PairError
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("vllm", reason="the extra [vllm] is not installed (make test-scale)")
SIZES = {
    **{"hidden_size": 64, "head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1},
    "max_position_embeddings": 512,
}
ENGINE = {"max_model_len": 256, "enforce_eager": True, "kv_cache_memory_bytes": 64 << 20}
SHOTS = "Question: which film is good? Answer: blue. It is a great film, human. " * 6
QUESTIONS = [f"{SHOTS}Question: number {n}? Answer:" for n in range(6)]
OPTIONS = (" blue", " a great film", " entity")


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """The engine in the test's own process: a second one starts in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        yield


@pytest.fixture(autouse=True)
def engines_end_with_their_test() -> Iterator[None]:
    """An engine that is collected later, during the next test, would take its process groups.

    vLLM hides an engine from the garbage collector, and a failed test holds its own.
    """
    yield
    from vllm.v1.engine.core_client import InprocClient

    for engine in [each for each in gc.get_objects() if type(each) is InprocClient]:
        engine._finalizer()  # once: it does nothing when it is called again


@pytest.fixture(scope="module", params=["llama-tied", "mixtral"])
def two_sides(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tied family, and one with experts of a size that vLLM pads."""
    folder = tmp_path_factory.mktemp(request.param)
    base = make_model(request.param, seed=1, **SIZES)
    instruct = make_instruct(base, seed=2, size=0.5)
    return save(base, folder / "base"), save(instruct, folder / "instruct", chat=True)


def model(name: str, pair: tuple[Path, Path], **more: Any) -> Any:
    sides = {"pretrained": str(pair[0]), "instruct": str(pair[1])}
    return get_model(name)(**{**sides, "dtype": "float32", "lam": 0, **more})


def asked(kind: str, *arguments: Any) -> list[Instance]:
    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def test_answers_are_those_of_our_own_model_at_every_lam(two_sides: tuple[Path, Path]) -> None:
    """Log-likelihoods, greedy flags and texts, with prefixes read from the engine's cache."""
    ours = model("partially_adapted", two_sides, max_length=256, device="cpu")
    theirs = model("partially_adapted_vllm", two_sides, block_size=32, **ENGINE)
    scored = asked("loglikelihood", *((q, o) for q in QUESTIONS for o in OPTIONS), ("", " blue"))
    written = asked(
        "generate_until", *((q, {"until": ["?"], "max_gen_toks": 9}) for q in QUESTIONS)
    )
    rolled = asked("loglikelihood_rolling", (SHOTS * 2,))
    assert len(ours.tok_encode(QUESTIONS[0])) > 257, "what is cut has to be the same, too"
    seen = []
    for lam in (0.0, 0.3, 1.0, 0.0):
        ours.set_lam(lam)
        theirs.set_lam(lam)
        expected = ours.loglikelihood(scored, disable_tqdm=True)
        found = theirs.loglikelihood(scored, disable_tqdm=True)
        assert [x[0] for x in found] == pytest.approx([x[0] for x in expected], abs=2e-5)
        assert [x[1] for x in found] == [x[1] for x in expected]
        assert theirs.tokens_cached > 0.5 * theirs.tokens_asked
        texts = theirs.generate_until(written, disable_tqdm=True)
        assert texts == ours.generate_until(written, disable_tqdm=True)
        assert theirs.loglikelihood_rolling(rolled, disable_tqdm=True) == pytest.approx(
            ours.loglikelihood_rolling(rolled, disable_tqdm=True), rel=1e-6
        )
        seen.append(found)
        left, right = ours.get_model_info(), theirs.get_model_info()
        for name in ("lam", "lam_eff", "relative_delta", "base", "instruct", "arithmetic"):
            assert left[name] == right[name], name
        for name in ("tokenizer_digest", "model_config", "stop_token_ids", "notes"):
            assert left[name] == right[name], name
    assert seen[0] == seen[3] != seen[1], "back at the base, bit for bit"
    assert seen[1] != seen[2]


RULES = [
    {"module": ["q", "k"], "lam": 0.2},
    {"module": "mlp", "layers": "1", "lam": 1.3},
    {"module": "embed", "lam": 0},
]


@pytest.mark.parametrize(
    ("first", "then", "method"),
    [
        (0.5, {"base": 0.7, "rules": RULES}, {}),
        ({"base": 0.7, "rules": RULES}, 0.6, {"method": "slerp"}),
        (0.6, {"base": 0.5, "rules": [{"lam": {"linear": [0.3, 0.4]}}]}, {"method": "slerp"}),
        (0.5, 1.0, {"method": "trim", "density": 0.2}),
        (0.5, 1.0, {"method": "low_rank", "rank": 2}),
    ],
)
def test_schedules_and_methods_are_those_of_our_own_model(
    two_sides: tuple[Path, Path], first: Any, then: Any, method: dict[str, Any]
) -> None:
    """λ by tensor, and other paths between the ends, at the start and set in place."""
    more = {**method, "lam": first}
    if method and "mixtral" in str(two_sides[0]):  # whose experts vLLM reads one by one
        with pytest.raises(
            PairError, match=r"goes over model\..* as a whole, and vLLM reads it in"
        ):
            model("partially_adapted_vllm", two_sides, block_size=32, **ENGINE, **more)
        return
    ours = model("partially_adapted", two_sides, max_length=256, device="cpu", **more)
    theirs = model("partially_adapted_vllm", two_sides, block_size=32, **ENGINE, **more)
    scored = asked("loglikelihood", *((q, o) for q in QUESTIONS[:2] for o in OPTIONS))
    seen = []
    for lam in (first, then, 0.6):
        ours.set_lam(lam)
        theirs.set_lam(lam)
        expected = [x[0] for x in ours.loglikelihood(scored, disable_tqdm=True)]
        found = [x[0] for x in theirs.loglikelihood(scored, disable_tqdm=True)]
        assert found == pytest.approx(expected, abs=2e-5)
        seen.append(found)
        left, right = ours.get_model_info(), theirs.get_model_info()
        for name in ("lam", "lam_eff", "relative_delta", "method", "arithmetic"):
            assert left.get(name) == right.get(name), name
    assert seen[0] != seen[1]


@pytest.mark.parametrize("base", ["wrapper", "text"])
def test_the_text_of_a_wrapper(base: str, tmp_path: Path) -> None:
    """A wrapper of images beside its text model alone: the engine runs the text model."""
    other = "text" if base == "wrapper" else "wrapper"
    pair = make_pair("llava", tmp_path, base=base, instruct=other, **SIZES)
    ours = model("partially_adapted", pair, max_length=256, device="cpu")
    theirs = model("partially_adapted_vllm", pair, **ENGINE)
    asked_of = asked("loglikelihood", *((QUESTIONS[0], option) for option in OPTIONS))
    for lam in (0.3, 1.0, 0.0):
        ours.set_lam(lam)
        theirs.set_lam(lam)
        expected = [x[0] for x in ours.loglikelihood(asked_of, disable_tqdm=True)]
        found = [x[0] for x in theirs.loglikelihood(asked_of, disable_tqdm=True)]
        assert found == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("two_sides", ["llama-tied"], indirect=True)
def test_what_the_engine_does_not_take_is_said(two_sides: tuple[Path, Path]) -> None:
    with pytest.raises(PAHarnessError, match=r"vLLM cannot start with this LlamaFor.*max_model_l"):
        model("partially_adapted_vllm", two_sides, **ENGINE | {"max_model_len": 100_000})


def test_an_adapter_is_scaled_in_the_engine(two_sides: tuple[Path, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(two_sides[0])
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(tmp_path)
    sides = {"instruct": None, "peft": str(tmp_path)}
    ours = model("partially_adapted", two_sides, max_length=256, device="cpu", **sides)
    theirs = model("partially_adapted_vllm", two_sides, **ENGINE, **sides)
    scored = asked("loglikelihood", *((q, o) for q in QUESTIONS[:2] for o in OPTIONS))
    seen = []
    for lam in (0.0, 0.3, 1.0):
        ours.set_lam(lam)
        theirs.set_lam(lam)
        seen.append([x[0] for x in theirs.loglikelihood(scored, disable_tqdm=True)])
        expected = [x[0] for x in ours.loglikelihood(scored, disable_tqdm=True)]
        assert seen[-1] == pytest.approx(expected, abs=2e-5)
    assert seen[0] != seen[1] != seen[2]


def test_two_workers_hold_the_halves_of_what_one_holds(two_sides: tuple[Path, Path]) -> None:
    """Tensor parallel: every worker reads the pair by itself and takes its shards of θ_λ."""
    ours = model("partially_adapted", two_sides, max_length=256, device="cpu")
    theirs = model("partially_adapted_vllm", two_sides, tensor_parallel_size=2, **ENGINE)
    scored = asked("loglikelihood", *((q, o) for q in QUESTIONS[:2] for o in OPTIONS))
    for lam in (0.0, 0.3, 1.0):
        ours.set_lam(lam)
        theirs.set_lam(lam)
        expected = [x[0] for x in ours.loglikelihood(scored, disable_tqdm=True)]
        found = [x[0] for x in theirs.loglikelihood(scored, disable_tqdm=True)]
        assert found == pytest.approx(expected, abs=2e-5)
    assert ours.get_model_info()["lam_eff"] == theirs.get_model_info()["lam_eff"]


@pytest.mark.parametrize("two_sides", ["llama-tied"], indirect=True)
def test_vllm_alone_answers_as_ours_from_an_exported_folder(
    two_sides: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = f"pretrained={two_sides[0]},instruct={two_sides[1]},lam=0.3"
    assert main(["export", "--model_args", arguments, "-o", str(tmp_path / "mine")]) == 0
    ours = model("partially_adapted", two_sides, max_length=256, device="cpu")
    ours.set_lam(0.3)
    # lm-eval's class leaves out the BOS that this tokenizer adds by itself, unless told to.
    common = {"dtype": "float32", "add_bos_token": True, **ENGINE}
    stock = get_model("vllm")(pretrained=str(tmp_path / "mine"), **common)
    short = [question[-140:] for question in QUESTIONS]  # the two cut long prompts in other places
    scored = asked("loglikelihood", *((q, o) for q in short for o in OPTIONS))
    expected = ours.loglikelihood(scored, disable_tqdm=True)
    found = stock.loglikelihood(scored, disable_tqdm=True)
    assert [x[0] for x in found] == pytest.approx([x[0] for x in expected], abs=2e-5)
    assert [x[1] for x in found] == [x[1] for x in expected]


def test_without_emptying_the_prefix_cache_two_lams_would_mix(
    two_sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the test above would notice."""
    lm = model("partially_adapted_vllm", two_sides, block_size=32, **ENGINE)
    whole = [question[-400:] for question in QUESTIONS]  # not cut: its last blocks are asked again
    scored = asked("loglikelihood", *((q, OPTIONS[0]) for q in whole))
    lm.set_lam(1.0)
    expected = lm.loglikelihood(scored, disable_tqdm=True)
    lm.set_lam(0.0)
    lm.loglikelihood(scored, disable_tqdm=True)
    monkeypatch.setattr(lm.model, "reset_prefix_cache", lambda: True)
    lm.set_lam(1.0)
    assert lm.loglikelihood(scored, disable_tqdm=True) != expected
    from pa_harness.errors import PAHarnessError

    monkeypatch.setattr(lm.model, "reset_prefix_cache", lambda: False)
    with pytest.raises(PAHarnessError, match="did not empty its prefix cache"):
        lm.set_lam(0.5)
    with pytest.raises(PAHarnessError, match="did not finish"):
        lm.loglikelihood(scored, disable_tqdm=True)


def scores_of(folder: Path) -> list[str]:
    """As texts: a score's undefined numbers are NaN, which is equal to nothing."""
    return list(map(repr, RunFolder(folder).scores()))


def test_a_sweep_has_the_scores_of_our_own_model(
    two_sides: tuple[Path, Path], toy_tasks: Path, tmp_path: Path
) -> None:
    common = {"lam": "0,1", "limit": 4}
    ours = toy_settings(two_sides, toy_tasks, **common)
    arguments = {**ours.model_args, **ENGINE}
    theirs = toy_settings(
        two_sides,
        toy_tasks,
        model="partially_adapted_vllm",
        **common,
        model_args=arguments,
    )
    run(ours, tmp_path / "ours")
    run(theirs, tmp_path / "theirs")
    left, right = (scores_of(tmp_path / name) for name in ("ours", "theirs"))
    assert left == right
    (tmp_path / "theirs/scores.parquet").unlink()
    (tmp_path / "theirs/units/lam=1/toy_kind.json").unlink()
    assert run(theirs, tmp_path / "theirs").count("λ = 1") == 1, "the rest was kept"
    assert scores_of(tmp_path / "theirs") == right
