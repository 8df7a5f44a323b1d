"""Whatever changes between start, resume and reading of a run is named, or harmless for a reason.

What changes, by what verbs do: a repeated sweep, one that goes on, export, and all that read.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from changed import (
    ROWS,
    Place,
    edited,
    replaced,
    rows_changed,
    said,
    stop,
    tensor,
    write_rows,
)
from loras import CASES, make_adapter
from safetensors.torch import load_file, save_file
from toy import run, timeless

from pa_harness.cli.main import main
from pa_harness.errors import CheckpointError, RunError, SweepError
from pa_harness.sweep import sources
from pa_harness.sweep import sweep as sweep_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CONFIG, TOKENIZER = "*/config.json", "instruct/tokenizer_config.json"


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


def test_a_changed_adapter_is_named(tmp_path: Path, place: Place) -> None:
    base, adapter = make_adapter(tmp_path, *CASES["patterns"])
    args = {"pretrained": str(base), "peft": str(adapter), "dtype": "float32"}
    settings = replace(place.settings, model_args=args, tasks=("options",))
    run(settings, tmp_path / "lora")
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name].roll(1, 0).contiguous()}, file)
    with pytest.raises(RunError, match=r"model\.peft\.content: .* there, .* here \(all units\)"):
        run(settings, tmp_path / "lora")


def write_in_place(file: Path) -> None:
    with file.open("r+b") as held:
        held.seek(-8, os.SEEK_END)
        held.write(b"\x01\x02\x03\x04" * 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (write_in_place, "instruct .* written to since it was opened"),
        (lambda file: os.truncate(file, 5000), "instruct .* cut off since it was opened"),
        (lambda file: tensor("instruct", roll)(file.parents[1]), ""),
    ],
)
def test_weights_that_change_while_it_runs_are_no_mixture(
    change: Callable[[Path], object],
    message: str,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a file that was replaced the old one is still open: no harm, but the next command says."""
    file = place.site / "instruct/model.safetensors"
    keep = sweep_room._keep

    def then_change(*given: Any) -> None:
        keep(*given)
        if not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            change(file)

    monkeypatch.setattr(sweep_room, "_keep", then_change)
    settings = replace(place.settings, tasks=("options",))
    if message:
        with pytest.raises(CheckpointError, match=message):
            run(settings, tmp_path / "new")
        assert [each.parent.name for each in (tmp_path / "new").glob("units/*/*")] == ["lam=1"]
    else:
        run(settings, tmp_path / "new")
        with pytest.raises(RunError, match=r"model\.instruct\.content: "):
            run(settings, tmp_path / "new")
