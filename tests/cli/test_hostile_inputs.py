"""Files of strangers, sound ones spoiled by Hypothesis, through the verbs that read them.

Each ends in an answer or one message, within seconds and a gigabyte; nothing is read or written
outside the folders that were named, nothing is started or called. The ordinary tests try a few of
each kind, the slow ones all: 300 in the sum.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from as_published import results_of, run_of
from breakage import copy
from fake_judge import FakeJudge, chat_answer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from own_tasks import OWN, ROWS, SHOTS, TASK
from spoiling import as_text, patched
from watching import watched

from pa_harness.cli.main import main
from pa_harness.leaderboards.boards import BOARDS

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK, ALL = 4, 30  # examples of each of the ten kinds
SECONDS, WAITED, BYTES = 10.0, 60.0, 1 << 30  # of a processor; of the clock, beside other load
SOUND = results_of(BOARDS[0], run_of(BOARDS[0], "google/gemma-2b", "bfloat16"))
SOUND["results"] = {name: SOUND["results"][name] for name in list(SOUND["results"])[:3]}
BETWEEN = SOUND | {
    "config": SOUND["config"]
    | {"model_args": {"pretrained": "me/base", "instruct": "me/it", "lam": 0.5, "method": "trim"}}
    | {"base": {"name": "me/base"}, "instruct": {"name": "me/it"}, "lam": 0.5}
}
FORMATS = ("every_eval_ever", "model_index", "eval_results")
TABLE = [
    {"model": "a", "task": "hellaswag", "metric": "acc_norm", "value": 70.1, "unit": "percent"},
    {"model": "b", "task": "hellaswag", "metric": "acc_norm", "value": 0.5, "unit": "fraction"},
]
SWEEP = {"tasks": ["a"], "lam": "0,1", "model_args": {"pretrained": "a", "instruct": "b"}}
SCHEDULE = {"base": 0.5, "knobs": {"mlp": 0.2}, "rules": [{"match": "mlp", "lam": "mlp"}]}
CSV = "question,a,b,answer\n" + "\n".join(f"Q{n}?,x{n},y{n},{'ab'[n % 2]}" for n in range(9))
NEW = ["new-task", "d", "--scoring", "cf", "--choices", "a,b", "--answer", "answer", "--force"]


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the inputs are: beside another's folder, with a file that must not be opened."""
    import pa_harness.export.model
    import pa_harness.tasks.authoring.check  # noqa: F401 -- the seconds of imports are not counted

    (folder / "victim").mkdir()
    (folder / "victim" / "README.md").write_text("precious")
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    return folder / "work"


def _processor_seconds() -> float:
    """Of all threads, and of processes that ended: another's load on the machine does not count."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def ends_well(
    place: Path, capsys: pytest.CaptureFixture[str], *argv: str, codes: tuple[int, ...] = (0, 2)
) -> None:
    """The verb ends in time with an answer or one message, and touches nothing but its place."""
    gc.collect()
    capsys.readouterr()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, used = time.monotonic(), _processor_seconds()
    with watched() as seen:
        try:
            code = main(list(argv))
        except SystemExit as left:  # argparse
            code = left.code if isinstance(left.code, int) else 1
    assert _processor_seconds() - used < SECONDS
    assert time.monotonic() - began < WAITED
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) < BYTES
    said = capsys.readouterr()
    assert code in codes, said.err
    assert "Traceback" not in said.err
    assert "\x1b" not in (said.out + said.err).replace("\x1b[A", "")
    if code == 2 and argv[0] != "check-task":
        assert len(re.findall(r"^\w+Error: ", said.err, re.MULTILINE)) == 1, said.err
    caches = [
        Path.home() / ".cache",
        Path.home() / ".config" / "matplotlib",
        place.parent / "cache",
    ]
    caches += Path(tempfile.gettempdir()).glob("torchinductor_*")  # torch makes it when imported
    strange = seen.strangers(place, *caches)
    assert [each for each in strange if not (argv[0] == "judge" and "127.0.0.1" in each)] == []
    assert (place.parent / "victim" / "README.md").read_text() == "precious"
    assert not Path("ran").exists()


def results(place: Path, say: Any, draw: Any) -> None:
    file = place / "results_1.json"
    file.write_bytes(draw(as_text(draw(st.sampled_from([SOUND, BETWEEN])))))
    verb = draw(st.sampled_from(["compare", *FORMATS]))
    if verb == "compare":
        ends_well(place, say, "compare", str(file), "--to", "open_llm_v1", "--format", "csv")
    else:
        ends_well(place, say, "export-results", str(file), "--format", verb, "-o", str(place / "o"))


def tables(place: Path, say: Any, draw: Any) -> None:
    (place / "results_1.json").write_text(json.dumps(SOUND))
    file = place / "table.yaml"
    file.write_bytes(draw(as_text(TABLE, "yaml")))
    ends_well(place, say, "compare", str(place / "results_1.json"), "--to", str(file))


def configs(place: Path, say: Any, draw: Any) -> None:
    file = place / "theirs.yaml"
    file.write_bytes(draw(as_text(SWEEP | {"trust_remote_code": True}, "yaml")))
    out = str(place / "out")
    ends_well(place, say, "sweep", "--config", str(file), "--output_path", out, codes=(2,))


def schedules(place: Path, say: Any, draw: Any) -> None:
    file = place / "schedule.yaml"
    file.write_bytes(draw(as_text(SCHEDULE, "yaml")))
    args = json.dumps({"pretrained": str(place / "no"), "instruct": "no", "lam": str(file)})
    ends_well(place, say, "show-lam", "--model_args", args)


def yamls(place: Path, say: Any, draw: Any) -> None:
    (place / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (place / "shots.jsonl").write_text("\n".join(map(json.dumps, SHOTS)))
    data = {name: str(place / f"{name}.jsonl") for name in ("test", "shots")}
    task = TASK | {"dataset_kwargs": {"data_files": data}}
    (place / "odd.yaml").write_bytes(draw(as_text(task, "yaml")))
    ends_well(place, say, "check-task", str(place / "odd.yaml"))


def csvs(place: Path, say: Any, draw: Any) -> None:
    file = place / draw(st.sampled_from(["d.csv", "d.tsv", "d.jsonl"]))
    file.write_bytes(draw(patched(CSV.replace(",", draw(st.sampled_from([",", ";", "\t", "\0"]))))))
    ends_well(place, say, "new-task", str(file), *NEW[2:], "--output", str(place / "t.yaml"))


def lines(place: Path, say: Any, draw: Any) -> None:
    file = place / draw(st.sampled_from(["d.jsonl", "d.json"]))
    rows = [{**row, "answer": row["options"][row["label"]]} for row in OWN]
    file.write_bytes(draw(as_text(rows, file.suffix[1:])))
    more = ["--scoring", "mcf", "--choices", "options", "--answer", "answer", "--force"]
    ends_well(place, say, "new-task", str(file), *more, "--output", str(place / "t.yaml"))


def parquets(place: Path, say: Any, draw: Any) -> None:
    file = place / "d.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    content = bytearray(file.read_bytes())
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    file.write_bytes(content[: draw(st.integers(0, len(content)))] or content)
    more = ["--scoring", "cf", "--labels", "no,yes", "--answer", "label", "--force"]
    ends_well(place, say, "new-task", str(file), *more, "--output", str(place / "t.yaml"))


KINDS: dict[str, Callable[[Path, Any, Any], None]] = {
    "results": results,
    "tables": tables,
    "configs": configs,
    "schedules": schedules,
    "yamls": yamls,
    "csv": csvs,
    "lines": lines,
    "parquet": parquets,
}


def _try(count: int, act: Callable[[Any], None]) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),  # a spoilt file need not be the smallest
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def each(data: st.DataObject) -> None:
        act(data.draw)

    each()


def _clear(place: Path) -> None:
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_files_of_strangers(
    kind: str, count: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(draw: Any) -> None:
        _clear(place)
        KINDS[kind](place, capsys, draw)

    _try(count, act)


CHECKPOINT = ("config.json", "generation_config.json", "tokenizer_config.json", "README.md")


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_checkpoints_of_strangers(
    count: int, pair: tuple[Path, Path], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(draw: Any) -> None:
        _clear(place)
        base, instruct = copy(pair, place)
        file = draw(st.sampled_from([base, instruct])) / draw(st.sampled_from(CHECKPOINT))
        sound = json.loads(file.read_text()) if file.suffix == ".json" and file.exists() else {}
        if file.suffix == ".md":
            text = draw(as_text({"license": "mit", "license_link": "x"}, "yaml"))
            file.write_bytes(b"---\n" + text + b"\n---\n")
        else:
            file.write_bytes(draw(as_text(sound)))
        args = json.dumps({"pretrained": str(base), "instruct": str(instruct), "lam": 0.5})
        asked = ["export", "--model_args", args, "-o", str(place / "model")]
        ends_well(place, capsys, *asked)

    _try(count, act)


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_replies_of_strangers(count: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One reply in three is spoiled: the others' verdicts are kept, and never asked for again."""
    rows = [{"instruction": f"Say {n}.", "dataset": "koala", "generator": "g"} for n in range(9)]
    sound = chat_answer("", "fake")

    def act(draw: Any) -> None:
        _clear(place)
        bodies = [draw(as_text(sound)) for _ in range(3)]

        def script(number: int, prompt: str) -> Any:
            hit = sum(map(ord, prompt)) % 3 == 0
            return (200, {}, bodies[number % 3]) if hit else None

        for name in ("m", "r"):
            told = [{**row, "output": f"{name} {row['instruction']}"} for row in rows]
            (place / f"{name}.json").write_text(json.dumps(told))
        with FakeJudge(script) as fake:
            asked = ["judge", str(place / "m.json"), "--reference", str(place / "r.json")]
            asked += ["--base_url", fake.url, "--judge_model", "f", "--price", "0", "--yes"]
            asked += ["--attempts", "1", "-o", str(place / "out")]
            ends_well(place, capsys, *asked, codes=(0, 2, 3))
            first = dict(fake.answered)
            ends_well(place, capsys, *asked, codes=(0, 2, 3))
        again = [prompt for prompt in first if fake.answered[prompt] > first[prompt]]
        assert all(sum(map(ord, prompt)) % 3 == 0 for prompt in again)

    _try(count, act)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_the_watch_sees(place: Path, tmp_path: Path) -> None:
    """What is asserted above can fail: files read, written, moved; processes."""
    (tmp_path / "secret").write_text("key")
    with watched() as seen:
        (tmp_path / "secret").read_text()
        (tmp_path / "new").write_text("x")
        (tmp_path / "new").rename(tmp_path / "other")
        (place / "mine").write_text("x")
    found = seen.strangers(place)
    assert f"read {tmp_path / 'secret'}" in found
    assert f"wrote {tmp_path / 'new'}" in found
    assert f"wrote {tmp_path / 'other'}" in found
    assert not [each for each in found if "mine" in each]
