"""Exports that do not come to their end: interrupted, killed, without space, into no folder."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from exports import export
from killing import forked

from pa_harness.export import model as export_room

Pair = tuple[Path, Path]


class Stop(BaseException):
    """As Ctrl-C in the midst of writing."""


@pytest.mark.parametrize("after", [0, 5, 20])
def test_an_interrupted_export_leaves_nothing(
    after: int, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pa_harness.weights.adapted import AdaptedWeights

    whole, count = AdaptedWeights.tensor, iter(range(100))

    def tensor(*arguments: Any) -> torch.Tensor:
        if next(count) == after:
            raise Stop
        return whole(*arguments)

    monkeypatch.setattr(AdaptedWeights, "tensor", tensor)
    with pytest.raises(Stop):
        export(pair, tmp_path / "model", 0.5, "--max_shard_size", "20KB")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_is_said_in_a_line(
    swallowed: bool,
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where it comes while safetensors reads, which raises an error of its own then."""

    def stop(*_: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if swallowed:
                raise ValueError("could not determine the shape of a storage") from None
            raise

    monkeypatch.setattr(export_room, "write_checkpoint", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        assert export(pair, tmp_path / "model", 0.5) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert f"Stopped. Nothing was kept of {tmp_path / 'model'}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["hf", "mergekit"])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/model", "file/model could not be written, and nothing was kept of it: .*Not a dir"),
        ("file", "file is there already. Choose a new folder"),
        ("none/..", "is there already. Choose a new folder"),
        ("n" * 300, "could not be written, and nothing was kept of it: .*File name too long"),
    ],
)
def test_a_place_that_is_none(
    place: str,
    message: str,
    form: str,
    pair: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    assert export(pair, tmp_path / place, 0.5, "--format", form) == 2
    assert re.search(message, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_export_left_is_replaced(pair: Pair, tmp_path: Path) -> None:
    left = tmp_path / ".model.partial"
    (left / "figures").mkdir(parents=True)
    (left / "model-00009-of-00009.safetensors").write_bytes(b"half")
    assert export(pair, tmp_path / "model", 0.5) == 0
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert names == {
        *("README.md", "chat_template.jinja", "config.json", "generation_config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }


def test_a_full_disk_says_so(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export_room, "write_checkpoint", full)
        assert export(pair, tmp_path / "model", 0.5) == 2
    assert "No space left to write" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1_000_000))
    assert export(pair, tmp_path / "model", 0.5) == 2
    assert "has 0.00 GB free; the model needs 0.00 GB" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_broken_disk_is_noticed(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = export_room.write_checkpoint

    def broken(folder: Path, *arguments: Any) -> None:
        whole(folder, *arguments)
        file = folder / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))

    monkeypatch.setattr(export_room, "write_checkpoint", broken)
    assert export(pair, tmp_path / "model", 0.5) == 2
    assert "does not read back as it was written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_at_random_moments_it_is_whole_or_not_there(pair: Pair, tmp_path: Path) -> None:
    """12 kills with signal 9, in forks; the next one writes the bytes of one never stopped."""
    model = tmp_path / "model"
    assert export(pair, tmp_path / "whole", 0.5) == 0
    whole = contents(tmp_path / "whole")
    began = time.monotonic()
    assert not forked(lambda: export(pair, model, 0.5), None)
    seconds = time.monotonic() - began
    random, killed = Random(0), 0
    while killed < 12:
        shutil.rmtree(model)
        status = forked(lambda: export(pair, model, 0.5), random.uniform(0, 1.1 * seconds))
        killed += os.WIFSIGNALED(status)
        assert not model.exists() or contents(model) == whole
        assert model.exists() or not forked(lambda: export(pair, model, 0.5), None)
        assert contents(model) == whole
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "whole"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
