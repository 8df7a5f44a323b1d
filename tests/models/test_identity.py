"""What results say was run, and that no answer is given for another model's question."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from breakage import copied
from lm_eval.api.model import CachingLM
from lm_eval.tasks import TaskManager
from own_tasks import write_task
from through_lm_eval import TEXTS, adapted, scores

from pa_harness.checkpoints.checkpoint import checksum
from pa_harness.errors import PAHarnessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]


def test_cache_never_mixes_lam_or_pairs(
    pair: Pair, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """One --use_cache file through λ = 0, 1, 0 and another pair: right answers, and then hits."""
    other = pair_of("olmo", torch.float32)
    path = str(tmp_path / "cache.db")
    expected = {(which, lam): scores(adapted(p, lam)) for which, p, lam in _runs(pair, other)}
    for which, p, lam in [*_runs(pair, other), *_runs(pair, other)]:
        cached = CachingLM(adapted(p, lam), path)
        assert scores(cached) == expected[which, lam]
    lm = adapted(pair, 0)
    cached = CachingLM(lm, path)
    assert len(cached.dbdict) == len(TEXTS)  # λ = 0 of this pair only
    lm.set_lam(1)
    assert scores(cached) == expected["one", 1]


def _runs(one: Pair, other: Pair) -> list[tuple[str, Pair, float]]:
    return [("one", one, 0), ("one", one, 1), ("other", other, 1)]


def test_results_say_what_was_run(pair: Pair, pair_of: Callable[..., Pair]) -> None:
    info = adapted(pair, 0.5).get_model_info()
    assert (info["lam"], info["model_dtype"]) == (0.5, "torch.float32")
    assert info["lam_eff"] == pytest.approx(0.5, abs=1e-6)
    assert info["base"]["name"] == str(pair[0])
    assert info["instruct"]["sha"].startswith("content-")
    assert info["instruct"]["sha"] != info["base"]["sha"]
    assert info["tokenizer_source"] == str(pair[1])
    assert info["chat_template_digest"]
    assert set(info["versions"]) == {"pa_harness", "lm_eval", "transformers", "torch", "peft"}
    again = adapted(pair, 0.5).get_model_info()
    assert again == info
    identities = {
        info["identity"],
        adapted(pair, 0.4).identity,
        adapted(pair, 0.5, dtype="bfloat16").identity,
        adapted(pair, 0.5, max_length=64).identity,
        adapted(pair_of("olmo", torch.float32), 0.5).identity,
    }
    assert len(identities) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"dtype": "bfloat16"},
        {"max_length": 64},
        {"add_bos_token": False},
        {"softmax_dtype": "float64"},
        {"attn_implementation": "eager"},
        {"prefix_token_id": 4},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_that_change_answers_change_the_identity(
    pair: Pair, arguments: dict[str, object]
) -> None:
    assert adapted(pair, 0.5, **arguments).identity != adapted(pair, 0.5).identity


def test_where_it_runs_does_not_change_the_identity(pair: Pair) -> None:
    assert adapted(pair, 0.5, batch_size=7).identity == adapted(pair, 0.5).identity


def test_an_edited_configuration_is_another_model(pair: Pair, tmp_path: Path) -> None:
    other = copied(pair, tmp_path)
    for side in other:
        config = json.loads((side / "config.json").read_text())
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": 77.0}
        (side / "config.json").write_text(json.dumps(config))
    ours, theirs = (adapted(each, 0.5).get_model_info() for each in (pair, other))
    assert ours["base"]["sha"] == theirs["base"]["sha"]
    assert ours["model_config"] != theirs["model_config"]


def test_subfolders_are_part_of_the_identity(pair: Pair, tmp_path: Path) -> None:
    folders = copied(pair, tmp_path)
    lm = adapted((folders[0], tmp_path), 0.5, instruct_subfolder="instruct")
    assert lm.get_model_info()["instruct"]["subfolder"] == "instruct"
    assert lm.identity != adapted(folders, 0.5).identity


def test_an_interrupted_change_answers_nothing_and_caches_nothing(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = adapted(pair, 0)
    expected = scores(adapted(pair, 0))
    cached = CachingLM(lm, str(tmp_path / "cache.db"))
    original, calls = lm._weights.write_, []

    def interrupted(*args: object) -> None:
        calls.append(args)
        if len(calls) > 3:
            raise KeyboardInterrupt
        original(*args)

    monkeypatch.setattr(lm._weights, "write_", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lm.set_lam(1)
    assert lm.lam is None
    with pytest.raises(PAHarnessError, match="The last change of λ did not finish"):
        scores(cached)
    monkeypatch.undo()
    lm.set_lam(0)
    assert scores(cached) == expected


def test_checksums_tell_permuted_rows_apart() -> None:
    tensor = torch.randn(64, 1024).bfloat16()
    permuted = tensor.flip(0)
    assert checksum(tensor) == checksum(tensor.clone())
    assert checksum(tensor) != checksum(permuted)
    assert checksum(tensor[:3, :3]) != checksum(permuted[:3, :3])


def test_an_object_given_to_simple_evaluate_is_labelled_with_pair_and_lam(
    pair: Pair, tmp_path: Path
) -> None:
    """The README's loop; lm-eval itself names an object after its configuration's origin."""
    from lm_eval import simple_evaluate

    lm = adapted(pair, 0)
    lm.set_lam(0.5)
    folder = write_task(tmp_path)
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    config = simple_evaluate(model=lm, tasks=["two_colours"], task_manager=manager)["config"]
    assert config["model"] == "partially_adapted"
    assert config["model_args"]["pretrained"] == str(pair[0])
    assert config["model_args"]["lam"] == 0.5
