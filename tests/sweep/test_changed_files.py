"""Files of a run that are lost, edited or of something else: named by its readers, or mended."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from changed import Place, readers, said, stop
from fake_judge import FakeJudge
from toy import run

from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.judging.outputs import read_outputs
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import Judged, JudgeFolder, Judgement
from pa_harness.runs.seal import file_digest, read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    for verb, argv in readers(place.run, tmp_path).items() if reading else ():
        assert main(argv) == 2, verb
        assert re.search(reading, capsys.readouterr().err), verb
    found = said(lambda: run(place.settings, place.run))
    assert re.search(repeated, found, re.DOTALL), found
    if not repeated.startswith("refused") and "there" not in repeated:
        assert main(["summary", str(place.run)]) == 0, "mended"
    if resumed:
        change(stopped)
        stop(stopped)
        assert re.search(resumed, said(lambda: run(place.settings, stopped)), re.DOTALL)


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
    assert main(["judge", str(place.run), "--task", "options"]) == 2
    assert "samples_options_" in capsys.readouterr().err
    compared = main(readers(place.run, place.run)["compare two"])
    told = "".join(capsys.readouterr())
    if change == "a lost sample log":
        assert (compared, "@1: options is left out: it has no sample log" in told) == (0, True)
    else:
        assert (compared, "samples_options_" in told) == (2, True)
        with pytest.raises(RunError, match=r"samples_texts_.*: \w+ when it was written, \w+ now"):
            read_outputs(place.run, "texts")


def add_judge(run_: Path) -> Path:
    """A judge's folder, as `judge` writes it, of the answers that are there."""
    judged, rows = [], []
    for lam in (0.0, 1.0):
        wins = [{"preference": 1 + (n + lam) % 2} for n in range(8)]
        judged.append(Judged(lam, f"lam={lam:g}", wins))
        numbers = dict.fromkeys(Judgement.__dataclass_fields__, 0)
        texts = {"generator": "x", "lc_absent": "", "comparable": "", "subset": "all"}
        rows.append(Judgement(**{**numbers, **texts, "lam": lam}))
    record = {"task": "texts", "answers": RunFolder(run_).answers("texts")}
    folder = run_ / "judgements/somebody"
    JudgeFolder(folder).write(record, rows, judged, "texts")
    return folder


@pytest.mark.parametrize("name", ["annotations_lam=1.json", "judgements.parquet", "judge.json"])
def test_a_judges_changed_files_are_named(
    name: str, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = add_judge(place.run)
    choice = ["--instruction", "somebody"]
    assert main(["summary", str(place.run), *choice]) == 0
    file = folder / name
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    capsys.readouterr()
    commands = readers(place.run, tmp_path)
    for verb in ("summary", "choose", "plot", "report"):
        assert main([*commands.pop(verb), *choice]) == 2, verb
        assert re.search(rf"{name}(: \w+ when| was changed)", capsys.readouterr().err), verb
    del commands["judge"]  # which writes them, from the verdicts
    for verb, argv in commands.items():
        assert main(argv) == 2, verb
        assert re.search(rf"{name}(: \w+ when| was changed)", capsys.readouterr().err), verb


def test_verdicts_on_other_answers_are_left_out_with_a_word(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = add_judge(place.run)
    record = read_sealed(folder / "judge.json")
    record["answers"]["lam=1"] = "of-an-earlier-evaluation"
    write_sealed(folder / "judge.json", record)
    assert main(["summary", str(place.run)]) == 0
    told = capsys.readouterr()
    assert "The judge somebody is left out: it judged other answers at lam=1." in told.out
    assert main(["compare", str(place.run), "--to", "alpaca_eval_2"]) == 2
    assert "it judged other answers at lam=1" in capsys.readouterr().err


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
    said: dict[str, Any] = {}
    word = "was made by a version that kept no digests"
    commands = readers(place.run, tmp_path)
    del commands["compare with a table"]  # of what these tasks are not
    with FakeJudge() as fake:
        commands |= {"judge": readers(place.run, tmp_path, fake.url)["judge"]}
        codes = {}
        for verb, argv in commands.items():
            codes[verb] = main(argv)
            said[verb] = capsys.readouterr()
    for verb, code in codes.items():
        assert code == 0, said[verb].err
        told = said[verb]
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("settings", [1]), ("versions", "x"), ("stamps", [1]), ("started", {"a": 1})),
        *(("model_args", [1]), ("tasks", "texts"), ("knob", ["a"]), ("mine", "texts")),
    ],
)
def test_a_sealed_record_of_another_form_is_named(
    name: str, value: object, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes a run can compute digests: its form is somebody's, too."""
    record = read_sealed(place.run / "provenance.json")
    (record if name in record else record["settings"])[name] = value
    write_sealed(place.run / "provenance.json", record)
    files = read_sealed(place.run / "files.json")
    files["files"]["provenance.json"] = file_digest(place.run / "provenance.json")
    write_sealed(place.run / "files.json", files)
    commands = readers(place.run, tmp_path)
    for verb in ("summary", "choose", "report", "export"):
        assert main(commands[verb]) == 2, verb
        assert f"its {name} is a {type(value).__name__}" in capsys.readouterr().err, verb
