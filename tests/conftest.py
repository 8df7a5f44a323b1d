"""Shared checkpoints, made once per run. Offline, on the CPU.

Tiers:
    pytest               what `make test` and CI run: minutes
    pytest -m slow       the real command many times, and the real demo pair
    HF_HUB_OFFLINE=0 pytest -m network    reaches the model hub
    pytest -m gpu        needs an accelerator
    PA_HARNESS_HUB=FOLDER pytest tests/tasks/test_suite.py    the tasks on a copy of their real data
"""

from __future__ import annotations

import io
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pytest
import torch
from families import make_pair
from lm_eval.tasks import TaskManager
from suite_data import REAL, all_names, write_hub

from pa_harness.tasks.shipped import tasks_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pa_harness.runs.settings import SweepSettings

Pair = tuple[Path, Path]


@pytest.fixture(scope="session")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """Folders of a random base and instruct checkpoint of a family; do not write to them."""
    made: dict[tuple[Any, ...], Pair] = {}

    def make(family: str, dtype: torch.dtype = torch.float32, **options: Any) -> Pair:
        key = (family, dtype, *sorted(options.items()))
        if key not in made:
            made[key] = make_pair(family, tmp_path_factory.mktemp(family), dtype, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def pair(pair_of: Callable[..., Pair]) -> Pair:
    """A Llama pair in fp32, untied."""
    return pair_of("llama")


@pytest.fixture(scope="session")
def tied_pair(pair_of: Callable[..., Pair]) -> Pair:
    """A Llama pair in fp32 with tied embeddings."""
    return pair_of("llama-tied")


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up rows under the hub's ids, or the real ones in the folder PA_HARNESS_HUB."""
    if REAL in os.environ:
        return Path(os.environ[REAL])
    folder = tmp_path_factory.mktemp("hub")
    write_hub(folder)
    return folder


@pytest.fixture
def in_hub(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The hub's folder as working directory, with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.chdir(hub)
        yield hub


@pytest.fixture(scope="session")
def suite(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All shipped tasks, as lm-eval's task manager returns them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.chdir(hub)
        manager = TaskManager(include_defaults=False, include_path=str(tasks_folder()))
        return manager.load(all_names())


@pytest.fixture(scope="session")
def tasks(suite: Any) -> dict[str, Any]:
    """Task by name; of the tasks with parts, one part."""
    seen_once = ("::abstract_algebra", "::navigate")
    return {n: t for n, t in suite["tasks"].items() if "::" not in n or n.endswith(seen_once)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty, with a cache of data sets of its own, and no terminal."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def toy_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the toy tasks."""
    import toy

    return toy.write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="session")
def settings(pair: Pair, toy_tasks: Path) -> SweepSettings:
    """A sweep of the toy tasks over λ = 0, ½, 1."""
    import toy

    return toy.toy_settings(pair, toy_tasks)


@pytest.fixture(scope="session")
def whole(settings: SweepSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that ran without a stop; do not write to it."""
    import toy

    folder = tmp_path_factory.mktemp("whole") / "run"
    toy.run(settings, folder)
    return folder


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The demo's pair, made and cached first, and the folder of its tasks. For slow tests."""
    from benchmarks.demo.data import demo_tasks  # the extra [demo]: not in every environment
    from benchmarks.demo.pair import demo_pair

    pair = demo_pair()
    return pair, demo_tasks(pair, tmp_path_factory.mktemp("tasks"))
