"""Hub ids: from the local cache, with their commits; and what is said when they are absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
from huggingface_hub import errors as hub
from lm_eval.api.registry import get_model
from through_lm_eval import CPU, adapted, assert_same_weights

from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Pair = tuple["Path", "Path"]
COMMITS = {"base": "a" * 40, "instruct": "b" * 40}


@pytest.fixture
def cache(tmp_path: Path, pair_of: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch) -> Pair:
    """The sharded pair in a hub cache, as a download leaves it."""
    pair = pair_of("llama-tied", max_shard_size="20KB")
    for side in pair:
        root = tmp_path / f"models--org--{side.name}"
        snapshot = root / "snapshots" / COMMITS[side.name]
        snapshot.mkdir(parents=True)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text(COMMITS[side.name])
        for file in side.iterdir():
            (snapshot / file.name).symlink_to(file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return pair


def test_hub_ids_from_the_cache_with_two_revisions(cache: Pair) -> None:
    lm = get_model("partially_adapted")(
        pretrained="org/base",
        instruct="org/instruct",
        instruct_revision=COMMITS["instruct"],
        lam=0.5,
        **CPU,
    )
    assert_same_weights(lm, adapted(cache, 0.5))
    info = lm.get_model_info()
    assert info["base"]["name"] == "org/base"
    assert info["base"]["sha"] == COMMITS["base"]
    assert info["instruct"]["sha"] == COMMITS["instruct"] == info["instruct"]["revision"]
    assert info["model_sha"] == COMMITS["base"]


def test_the_default_pair_is_named_and_its_absence_says_what_to_pass(
    cache: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CheckpointError, match=r"No pair was given, and the default pair is not h"):
        get_model("partially_adapted")(lam=0.5, **CPU)


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (hub.LocalEntryNotFoundError("offline"), "is not a folder here, not in the local cache"),
        (hub.OfflineModeIsEnabled("offline"), "the hub cannot be reached"),
        (ConnectionError("no route"), r"the hub cannot be reached \(no route\)"),
    ],
)
def test_hub_troubles_are_one_message(
    raised: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> str:
        raise raised

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match=text):
        open_checkpoint("org/name", "base")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (hub.GatedRepoError, "base 'org/name' is gated. Accept its terms on the hub and log in"),
        (hub.RevisionNotFoundError, "base 'org/name' has no revision 'v9'"),
        (hub.RepositoryNotFoundError, "neither a folder here nor a model on the hub"),
    ],
)
def test_hub_answers_are_one_message(
    kind: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> str:
        raise kind.__new__(kind, "refused")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match=text):
        open_checkpoint("org/name", "base", revision="v9")


def test_only_the_shards_of_the_index_are_fetched(
    cache: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repositories ship duplicates (consolidated*.safetensors, .bin, original/)."""
    snapshot = tmp_path / "models--org--base" / "snapshots" / COMMITS["base"]
    for shard in snapshot.glob("*.safetensors"):
        shard.unlink()
    asked: list[list[str]] = []

    def download(*args: Any, allow_patterns: list[str], **kwargs: Any) -> str:
        asked.append(allow_patterns)
        for name in allow_patterns if len(asked) > 1 else []:
            if (cache[0] / name).is_file():
                (snapshot / name).symlink_to(cache[0] / name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for _ in range(2):  # the second time everything is there
        open_checkpoint("org/base", "base")
    assert not any("safetensors" in pattern for pattern in asked[0])
    shards = sorted(path.name for path in cache[0].glob("model-*.safetensors"))
    assert asked[1] == ["model.safetensors", *shards]  # the one file, which counts where it is
    assert asked[2:] == asked[:1]


def test_a_tokenizer_is_fetched_without_weights(
    cache: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def spy(*args: Any, allow_patterns: list[str], **kwargs: Any) -> str:
        asked.extend(allow_patterns)
        return str(cache[0])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", spy)
    open_checkpoint("org/base", "tokenizer", weights=False)
    assert not any("safetensors" in pattern or ".bin" in pattern for pattern in asked)


@pytest.mark.network
def test_the_default_pair_loads_from_the_hub() -> None:
    lm = get_model("partially_adapted")(lam=0.5, **CPU)
    assert lm.get_model_info()["base"]["name"] == "HuggingFaceTB/SmolLM2-135M"
