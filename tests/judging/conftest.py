"""A run to judge, and a server that judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_judge import FakeJudge
from judge_data import COUNT, LAMS, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A sweep's folder with answers for a judge."""
    return write_run(tmp_path / "run", COUNT, LAMS)


@pytest.fixture
def fake() -> Iterator[FakeJudge]:
    """A judge's server on 127.0.0.1."""
    with FakeJudge() as judge:
        yield judge
