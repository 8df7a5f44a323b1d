"""Whatever changes between start, resume and reading of a run is named, or harmless for a reason.

What changes, by what verbs do: a repeated sweep, one that goes on, export, and all that read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from changed import (
    ROWS,
    edited,
    make_site,
    replaced,
    restore,
    rows_changed,
    tensor,
    write_rows,
)
from toy import run, timeless

from pa_harness.cli.main import main
from pa_harness.errors import PAHarnessError, RunError, SweepError
from pa_harness.judging.outputs import read_outputs
from pa_harness.runs.seal import read_sealed, write_sealed
from pa_harness.sweep import sources
from pa_harness.sweep import sweep as sweep_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings

CONFIG, TOKENIZER = "*/config.json", "instruct/tokenizer_config.json"


@dataclass(frozen=True)
class Place:
    """What a sweep reads, that as it was, the sweep, its finished run."""

    site: Path
    kept: Path
    settings: SweepSettings
    run: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("changes")
    settings = make_site(folder / "site")
    shutil.copytree(folder / "site", folder / "kept")
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    run(settings, folder / "run")
    return Place(folder / "site", folder / "kept", settings, folder / "run")


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """With a run of its own; the site is restored before."""
    restore(finished.kept, finished.site)
    shutil.copytree(finished.run, tmp_path / "run")
    return replace(finished, run=tmp_path / "run")


def stop(folder: Path) -> None:
    """Make of a finished run one that was stopped before its last unit."""
    for name in ("files.json", "scores.parquet", "documents.parquet", "units/lam=1/texts.json"):
        (folder / name).unlink()


def said(act: Callable[[], object]) -> str:
    """What a verb refuses with; what it tells, where it does not."""
    try:
        return str(act())
    except PAHarnessError as error:
        return f"refused: {error}"


def roll(values: Any) -> Any:
    return values.roll(1, 0)


MODEL = "model changed"
TASK = "task changed"
CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "weights of the base, rows in another order": (tensor("base", roll), MODEL, "base.content: "),
    "weights of the instruct side": (
        tensor("instruct", lambda v: v + 1),
        MODEL,
        "instruct.content",
    ),
    "a setting of the configuration": (
        edited(CONFIG, lambda c: c.update(rms_norm_eps=0.5)),
        MODEL,
        r"model_config\.rms_norm_eps: 1e-06 there, 0\.5 here",
    ),
    "special tokens": (
        edited(TOKENIZER, lambda c: c.update(bos_token="<pad>")),
        MODEL,
        r'tokenizer_settings\.bos_token: "<s>" there, "<pad>" here',
    ),
    "vocabulary": (
        replaced(
            "instruct/tokenizer.json", '"add_prefix_space": false', '"add_prefix_space": true'
        ),
        MODEL,
        "tokenizer_digest: ",
    ),
    "chat template": (
        lambda site: (site / "instruct/chat_template.jinja").write_text("{{ messages }}"),
        MODEL,
        "chat_template_digest: ",
    ),
    "where generation stops": (
        edited("instruct/generation_config.json", lambda c: c.update(eos_token_id=[1, 3, 4])),
        MODEL,
        r"stop_token_ids: \[1, 3\] there, \[1, 3, 4\] here",
    ),
    "a prompt's text": (
        replaced("options.yaml", "Question:", "Asked:"),
        TASK,
        r'task_is\.config\.doc_to_text: "Question: .* there, "Asked: ',
    ),
    "gold answers": (
        rows_changed(lambda rows: rows[3].update(label=0)),
        TASK,
        r"task_is\.documents: ",
    ),
    "doc_to_target": (
        replaced("options.yaml", "doc_to_target: label", 'doc_to_target: "{{1 - label}}"'),
        TASK,
        r"config\.doc_to_target: ",
    ),
    "a metric": (replaced("options.yaml", "metric: acc", "metric: acc_norm"), TASK, "metric_list"),
    "a filter": (replaced("texts.yaml", "take_first", "lowercase"), TASK, r"filter_list: "),
    "code of a function": (
        replaced("score.py", "mark(results[0])", "1 - mark(results[0])"),
        TASK,
        r"functions\..*score\.py: ",
    ),
    "code that it imports": (replaced("marks.py", "% 2", "% 3"), TASK, r"functions\..*marks\.py: "),
    "the order of documents": (rows_changed(lambda rows: rows.reverse()), TASK, r"\.documents: "),
    "examples": (
        lambda site: write_rows(site / "shots.jsonl", ROWS[2:4]),
        TASK,
        r"task_is\.shots: ",
    ),
    "a task's version": (replaced("options.yaml", "version: 1.0", "version: 2.0"), TASK, "version"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_model_or_task_is_named(
    what: str, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, kind, message = CHANGES[what]
    change(place.site)
    before = timeless(place.run)
    assert re.search(message, said(lambda: run(place.settings, place.run))), "repeated"
    assert timeless(place.run) == before
    stopped = tmp_path / "stopped"
    shutil.copytree(place.run, stopped)
    stop(stopped)
    before = timeless(stopped)
    found = said(lambda: run(place.settings, stopped))
    assert found.startswith("refused: ")
    assert re.search(message, found), "stopped, and going on"
    assert timeless(stopped) == before, "nothing is lost by it"
    code = main(["export", str(place.run), "--lam", "1", "-o", str(tmp_path / "model")])
    if kind == MODEL:
        assert code == 2
        assert re.search(message, capsys.readouterr().err), "exported"
        assert not (tmp_path / "model").exists()
    else:
        assert code == 0, "a task is no part of the model"


@pytest.mark.parametrize("what", ["weights of the instruct side", "code of a function"])
def test_redo_evaluates_again_what_changed_and_nothing_else(what: str, place: Place) -> None:
    CHANGES[what][0](place.site)
    told = run(place.settings, place.run, redo=[])
    again = re.findall(r"λ = (\S+)  (\w+)  is evaluated again", told)
    of_model = [(lam, task) for lam in "01" for task in ("options", "texts")]
    assert again == (of_model if "weights" in what else [("0", "texts"), ("1", "texts")])
    fresh = place.run.with_name("fresh")
    run(place.settings, fresh)
    assert timeless(place.run) == timeless(fresh) | {
        "provenance.json": timeless(place.run)["provenance.json"]
    }
    assert run(place.settings, place.run) == "", "all belongs together"


def test_redo_of_a_task_or_a_lam(place: Place) -> None:
    told = run(place.settings, place.run, redo=["texts"])
    assert re.findall(r"λ = (\S+)  (\w+)  is", told) == [("0", "texts"), ("1", "texts")]
    told = run(place.settings, place.run, redo=["1.0"])
    assert re.findall(r"λ = (\S+)  (\w+)  is", told) == [("1", "options"), ("1", "texts")]
    with pytest.raises(SweepError, match=r"--redo 0\.3: expected a task or λ .*\n?.*0, 1"):
        run(place.settings, place.run, redo=["0.3"])


def test_files_that_were_only_touched_are_harmless(place: Place) -> None:
    """Their content is read again, and is what it was."""
    for side in ("base", "instruct"):
        os.utime(place.site / side / "model.safetensors")
    assert run(place.settings, place.run) == ""


def test_another_version_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_LIBRARIES", ("lm_eval", "torch"))
    monkeypatch.setattr(sources, "version", lambda name: {"torch": "0.1"}.get(name, "0.4.13"))
    for module in (sweep_room,):
        monkeypatch.setattr(module, "library_versions", sources.library_versions)
    with pytest.raises(RunError, match=r'versions\.torch: "[\d.+a-z]+" there, "0\.1" here'):
        run(place.settings, place.run)


def test_another_setting_is_named(place: Place) -> None:
    with pytest.raises(RunError, match=r"limit: null there, 3 here"):
        run(replace(place.settings, limit=3), place.run)


def swap(run_: Path) -> None:
    """A whole unit of λ = 0 in the place of that of λ = 1."""
    shutil.copy(run_ / "units/lam=0/options.json", run_ / "units/lam=1/options.json")


def as_other_task(run_: Path) -> None:
    shutil.copy(run_ / "units/lam=1/texts.json", run_ / "units/lam=1/options.json")


def of_other_model(run_: Path) -> None:
    """A sound unit, with its seal, that another model made."""
    file = run_ / "units/lam=1/options.json"
    unit = read_sealed(file)
    unit["model"]["base"]["content"] = "content-of-another"
    write_sealed(file, unit)


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(run_: Path) -> None:
        (file,) = run_.glob(name)
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


def lose(name: str) -> Callable[[Path], object]:
    def change(run_: Path) -> None:
        (file,) = run_.glob(name)
        file.unlink()

    return change


def table(run_: Path) -> None:
    """Bytes at the end of a parquet file, which readers do not see."""
    file = run_ / "documents.parquet"
    file.write_bytes(b"PAR1" + file.read_bytes()[4:-8] + b"\0\0\0\0PAR1")


UNIT = "units/lam=1/options.json"
LOG = "lam=1/samples_options_*.jsonl"
WRITTEN_AGAIN = "Written again, from the units"
# What, how the verbs that read name it, how a repeated sweep does, how one that goes on does.
FILES: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "a number in a unit": (
        edit(UNIT, '"acc,none": ', '"acc,none": 1'),
        r"units/lam=1/options\.json: \w+ when it was written, \w+ now",
        r"refused: .*options\.json was changed after it was written",
        r"refused: .*options\.json was changed after it was written",
    ),
    "a unit of another λ": (
        swap,
        "options.json: ",
        r"refused: .*lam: 0\.0 there, 1\.0 here",
        "lam:",
    ),
    "a unit of another task": (as_other_task, "options.json: ", 'task: "texts" there', "task: "),
    "a unit of another model": (
        of_other_model,
        "options.json: ",
        r'refused: .*model\.base\.content: "content-of-another" there',
        r"model\.base\.content",
    ),
    "a unit that is {}": (
        lambda run_: (run_ / UNIT).write_text("{}"),
        "options.json: ",
        "refused: .*it does not say what it is of",
        "it does not say what it is of",
    ),
    "a unit that is []": (
        lambda run_: (run_ / UNIT).write_text("[]"),
        "options.json: ",
        "refused: .*holds a list, no record by name",
        "holds a list",
    ),
    "a lost unit": (
        lose(UNIT),
        r"options\.json: \w+ when it was written, missing",
        "λ = 1",
        "λ = 1",
    ),
    "an answer in a sample log": (
        edit(LOG, '"doc_id": 0', '"doc_id": 1'),
        "",  # large, so read by those that need it: see below
        r"refused: .*its sample log: \w+ when it was written, \w+ now",
        "its sample log: ",
    ),
    "a lost sample log": (lose(LOG), "", "refused: .*its sample log: .*missing now", "missing now"),
    "a lost table": (
        lose("documents.parquet"),
        r"documents\.parquet: .* missing",
        WRITTEN_AGAIN,
        "",
    ),
    "another table": (table, r"documents\.parquet: ", WRITTEN_AGAIN, ""),
    "another results file": (
        edit("lam=1/results_*.json", '"acc,none": ', '"acc,none": 1'),
        r"lam=1/results_.*json: ",
        WRITTEN_AGAIN,
        "",
    ),
    "a lost list of files": (lose("files.json"), r"has no files\.json", WRITTEN_AGAIN, ""),
    "another list of files": (
        edit("files.json", ": ", ":  "),
        r"files\.json was changed",
        "again",
        "",
    ),
    "another record": (
        edit("provenance.json", '"started": "2', '"started": "1'),
        r"provenance\.json",
        r"refused: .*provenance\.json was changed after it was written",
        r"provenance\.json was changed",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_changed_file_of_a_run_is_named(
    what: str, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, reading, repeated, resumed = FILES[what]
    stopped = tmp_path / "stopped"
    shutil.copytree(place.run, stopped)
    change(place.run)
    capsys.readouterr()
    for verb in READERS if reading else ():
        assert main([verb, str(place.run), *READERS[verb], *out(verb, tmp_path)]) == 2, verb
        assert re.search(reading, capsys.readouterr().err), verb
    found = said(lambda: run(place.settings, place.run))
    assert re.search(repeated, found, re.DOTALL), found
    if not repeated.startswith("refused") and "there" not in repeated:
        assert main(["summary", str(place.run)]) == 0, "mended"
    if resumed:
        change(stopped)
        stop(stopped)
        assert re.search(resumed, said(lambda: run(place.settings, stopped)), re.DOTALL)


READERS = {
    "summary": [],
    "choose": [],
    "plot": [],
    "report": [],
    "compare": ["--to", "open_llm_v1"],
    "export-results": ["--format", "every_eval_ever"],
    "export": ["--lam", "1"],
}


def out(verb: str, folder: Path) -> list[str]:
    """Where a verb is to write, where it must not be the run itself."""
    names = {"plot": "figures", "export-results": "records", "export": "model"}
    return ["-o", str(folder / names[verb])] if verb in names else []


@pytest.mark.parametrize("change", ["an answer in a sample log", "a lost sample log"])
def test_verbs_that_read_sample_logs_check_them(
    change: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_outputs(place.run, "texts")
    FILES[change][0](place.run)
    for file in place.run.glob("lam=1/samples_options_*"):
        shutil.copy(file, str(file).replace("_options_", "_texts_"))
    assert main(["report", str(place.run)]) == 2
    assert "samples_options_" in capsys.readouterr().err
    if change == "an answer in a sample log":
        with pytest.raises(RunError, match=r"samples_texts_.*: \w+ when it was written, \w+ now"):
            read_outputs(place.run, "texts")


def test_who_reads_a_run_needs_nothing_beside_it(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So no change of model, task or versions can be in what these verbs say."""
    shutil.rmtree(place.site)
    try:
        for verb in ("summary", "choose", "plot", "report", "export-results"):
            assert main([verb, str(place.run), *READERS[verb], *out(verb, tmp_path)]) == 0, verb
        told = run(replace(place.settings), place.run)
    except SweepError as error:
        told = str(error)
    finally:
        restore(place.kept, place.site)
    assert "Unknown task: options, texts" in told, "the tasks are gone, and the sweep says so"


def old(run_: Path) -> None:
    """Make of a run what a version without digests would have left."""
    (run_ / "files.json").unlink()
    for file in [run_ / "provenance.json", *run_.glob("units/*/*.json")]:
        record = json.loads(file.read_text())
        for name in ("digest", "identity", "log", "stamps"):
            record.pop(name, None)
        file.write_text(json.dumps(record))


def test_runs_of_before_digests_are_read_with_a_word(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old(place.run)
    word = "was made by a version that kept no digests"
    for verb in ("summary", "choose", "report", "export-results", "export"):
        assert main([verb, str(place.run), *READERS[verb], *out(verb, tmp_path)]) == 0, verb
        told = capsys.readouterr()
        written = (place.run / "report.html").read_text() if verb == "report" else ""
        assert word in told.out + told.err + written, verb
    assert word in run(place.settings, place.run)
    stopped = tmp_path / "stopped"
    shutil.copytree(place.run, stopped)
    for name in ("scores.parquet", "units/lam=1/texts.json"):
        (stopped / name).unlink()
    with pytest.raises(RunError, match=r"(?s)3 units .*made before units did.*--redo"):
        run(place.settings, stopped)
    run(place.settings, stopped, redo=[])
    assert main(["summary", str(stopped)]) == 0
    assert word not in capsys.readouterr().out
