"""Names of others as parts of paths; which files belong to a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pa_harness.foreign.naming import belongs, file_name

if TYPE_CHECKING:
    from pathlib import Path


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_a_name_is_one_part_of_a_path_and_its_own(texts: list[str]) -> None:
    names = [file_name(text) for text in texts]
    assert names[0] != names[1]
    for name in names:
        assert 0 < len(name.encode()) <= 180
        assert not set('/\\\0:*?"<>|\n\r\x1b') & set(name)
        assert name[0] not in ". "
        assert name[-1] not in ". "


@pytest.mark.parametrize("name", ["arc_easy", "pa_mmlu_cf", "lam=0.5", "vs-λ=1", "問題", "a b"])
def test_a_plain_name_stays(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("..", "%2E%2E"), ("a/b", "a%2Fb"), ("../../victim/.", "%2E.%2F..%2Fvictim%2F%2E"), ("", "%")],
)
def test_a_path_is_none(text: str, name: str) -> None:
    assert file_name(text) == name


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    names = [file_name(letter * 300 + end) for letter in ("x", "日", "😀") for end in "ab"]
    assert len(set(names)) == 6
    for name in names:
        (tmp_path / f"annotations_{name}.json").touch()


def test_only_what_lies_there_belongs_to_a_folder(tmp_path: Path) -> None:
    folder, secret = tmp_path / "checkpoint", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("key")
    (folder / "LICENSE").write_text("MIT")
    (folder / "NOTICE").symlink_to("LICENSE")
    (folder / "COPYING").symlink_to(secret)
    (folder / "USE_POLICY").symlink_to("../secret")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "README.md")
    found = [path.name for path in sorted(folder.iterdir()) if belongs(path, folder)]
    assert found == ["LICENSE", "NOTICE"]


def test_the_hubs_cache_is_made_of_links(tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "abc"
    (snapshot / "sub").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "123").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/123")
    (snapshot / "sub" / "config.json").symlink_to("../../../blobs/123")
    (tmp_path / "secret").write_text("key")
    (snapshot / "LICENSE").symlink_to("../../../secret")
    assert belongs(snapshot / "config.json", snapshot)
    assert belongs(snapshot / "sub" / "config.json", snapshot / "sub")
    assert not belongs(snapshot / "LICENSE", snapshot)
