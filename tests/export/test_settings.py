"""What an export says of itself beside its weights, for transformers 4 as for 5."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import transformers
from breakage import copied, settings
from exports import export
from families import make_tokenizer

from benchmarks.support.architecture_row import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
Settings = dict[str, Any]
_LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
_OF_GEMMA = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
# what: (family, settings of both sides, names of transformers 4 and their values)
OLD: dict[str, tuple[str, Settings, Settings]] = {
    "theta": (
        *("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
        {"rope_theta": 5e5, "torch_dtype": "float32"},
    ),
    "scaling": (
        *("qwen-3", {"rope_parameters": _LINEAR}),
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    ),
    "theta of two kinds of layers": (
        *("gemma-3", {"rope_parameters": _OF_GEMMA}),
        {
            **{"rope_theta": 1e6, "rope_local_base_freq": 1e4},
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    ),
    "a part that is rotated": (
        *("gpt-neox", {}),
        {"rotary_pct": 0.25, "rotary_emb_base": 10000},
    ),
    "experts": (
        *("mixtral", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
        {"rope_theta": 1e6},
    ),
    "no positions of this kind": ("gpt-2", {}, {"torch_dtype": "float32"}),
}


@pytest.mark.parametrize("what", OLD)
def test_names_of_transformers_4_stand_beside_todays(
    what: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """And transformers 5 reads what was evaluated."""
    family, given, old = OLD[what]
    pair = copied(pair_of(family), tmp_path)
    for side in pair:
        settings(**given)(side)
    assert export(pair, tmp_path / "out", 0.5) == 0
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert {name: written.get(name) for name in old} == old
    ours, theirs = (
        transformers.AutoConfig.from_pretrained(folder).to_dict()
        for folder in (tmp_path / "out", pair[1])
    )
    for name in ("rope_parameters", "dtype", "architectures", "num_hidden_layers"):
        assert ours.get(name) == theirs.get(name), name


@pytest.mark.parametrize("kind", ["gemma4_text", "lfm3"])
def test_old_names_that_todays_would_read_otherwise_are_left_out(kind: str, tmp_path: Path) -> None:
    """Of types with positions that transformers 4 has no words for."""
    pair = make(kind, tmp_path, make_tokenizer())
    assert export(pair, tmp_path / "out", 0.5) == 0
    ours, theirs = (
        transformers.AutoConfig.from_pretrained(folder).rope_parameters
        for folder in (tmp_path / "out", pair[1])
    )
    assert ours == theirs
    assert "rope_scaling" not in json.loads((tmp_path / "out/config.json").read_text())


@pytest.mark.parametrize(
    "file", ["tiktoken.model", "tekken.json", "sentencepiece.bpe.model", "qwen.tiktoken"]
)
def test_every_kind_of_tokenizer_file_goes_along(file: str, pair: Pair, tmp_path: Path) -> None:
    pair = copied(pair, tmp_path)
    (pair[1] / file).write_bytes(b"{}")
    assert export(pair, tmp_path / "out", 0.5) == 0
    assert (tmp_path / "out" / file).read_bytes() == b"{}"
    transformers.AutoTokenizer.from_pretrained(tmp_path / "out")


def test_what_cannot_be_opened_is_not_kept(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is part of "written": here a file of the tokenizer does not come along."""
    monkeypatch.setattr("pa_harness.export.model._TOKENIZER_FILES", ("tokenizer_config.json",))
    assert export(pair, tmp_path / "out", 0.5) == 2
    said = capsys.readouterr().err
    assert "transformers cannot open what was written: " in said
    assert "Nothing was kept." in said
    assert not (tmp_path / "out").exists()
