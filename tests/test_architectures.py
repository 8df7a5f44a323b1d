"""Model types against plain transformers: the most used each time, all of them when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.architectures import MOST_USED, cases, compute, is_good

if TYPE_CHECKING:
    from pathlib import Path

_RARE = [case for case in cases() if case[0] not in MOST_USED]


@pytest.mark.parametrize("name", MOST_USED)
def test_the_most_used_types(name: str, tmp_path: Path) -> None:
    kind = dict(cases())[name] if name not in ("gemma3", "qwen3_5", "qwen2_5_vl") else "mixed"
    found = compute(name, kind, tmp_path)
    assert "note" not in found
    assert is_good(found), found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), _RARE)
def test_every_other_type(name: str, kind: str, tmp_path: Path) -> None:
    found = compute(name, kind, tmp_path)
    assert is_good(found), found
