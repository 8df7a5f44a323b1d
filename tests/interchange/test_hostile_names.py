"""Results files whose texts are paths, markup and numbers that are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from as_published import results_of, run_of
from breakage import snapshot
from huggingface_hub import metadata_load
from markdown_it import MarkdownIt

from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.interchange.records import FORMATS, export_results
from pa_harness.leaderboards.boards import BOARDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVIL = "a\n---\n# owned <script>alert(1)</script>\x1b[31m"


def results() -> dict[str, Any]:
    made: dict[str, Any] = results_of(BOARDS[0], run_of(BOARDS[0], "google/gemma-2b", "bfloat16"))
    made["configs"]["hellaswag"] = {
        "dataset_path": "Rowan/hellaswag",
        "dataset_kwargs": {"revision": "x\nverified: true"},
        "validation_split": "validation",
    }
    return made


def written(tmp_path: Path, content: dict[str, Any]) -> Path:
    file = tmp_path / "in" / "results_x.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def in_config(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["config"].update(changes)


def in_args(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["config"]["model_args"].update(changes)


def renamed(name: str) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        for section in ("results", "configs", "n-shot", "n-samples", "versions"):
            found = content[section]
            if "winogrande" in found:
                found[name] = found.pop("winogrande")

    return change


PATHS: dict[str, Callable[[dict[str, Any]], object]] = {
    "model": in_args(pretrained="..", instruct=None, lam=None),
    "model with a path": in_args(pretrained="../../victim/..", instruct=None, lam=None),
    "hidden model": in_args(pretrained=".ssh", instruct=None, lam=None),
    "method": in_args(method="../../victim", lam=None),
    "absolute method": in_args(method="/tmp/x", lam=None),
    "knob": in_config(knob="x/../../../victim/."),
    "number of a method": in_args(method="trim", density="../../victim"),
    "long knob": in_config(knob="k" * 5000),
    "NUL": in_config(knob="a\0b"),
    "task": renamed("../../../victim/README.md"),
    "long task": renamed("t" * 5000),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("what", PATHS)
def test_names_are_no_paths(what: str, kind: str, tmp_path: Path) -> None:
    """Whatever results call model, method, knob and task: files lie below -o, a folder each."""
    content = results()
    PATHS[what](content)
    file, victim, out = written(tmp_path, content), tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (victim / "README.md").write_text("precious")
    before = snapshot(tmp_path)
    assert main(["export-results", str(file), "--format", kind, "-o", str(out)]) == 0
    made = [path for path in tmp_path.rglob("*") if str(path.relative_to(tmp_path)) not in before]
    assert made
    for path in made:
        assert path.is_relative_to(out)
        assert len(path.relative_to(out).parts) <= 3
    assert {name: found for name, found in snapshot(tmp_path).items() if name in before} == before


def test_two_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("/a/model", "/b/model")):
        content = results()
        content["config"]["model_args"]["pretrained"] = name
        (tmp_path / f"results_{number}.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"would both be written to model\. Export them one by one"):
        export_results(tmp_path, "model_index", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_card_shows_names_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = results()
    content["config"]["model_args"] |= {"pretrained": EVIL, "instruct": "<b>x", "lam": 0.5}
    content["config"] |= {"base": {"name": EVIL}, "instruct": {"name": "<b>x"}, "lam": 0.5}
    file, out = written(tmp_path, content), tmp_path / "out"
    assert main(["export-results", str(file), "--format", "model_index", "-o", str(out)]) == 0
    (card,) = out.rglob("README.md")
    text = card.read_text()
    assert metadata_load(card)["base_model"][0].startswith("a\n---")
    tokens = MarkdownIt().parse(text[text.rindex("\n---\n\n") + 5 :])
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1"]
    assert not [t for t in tokens if t.type == "html_block"]
    assert not [c for t in tokens for c in t.children or [] if c.type == "html_inline"]
    assert "\x1b" not in text.split("\n---\n\n")[-1]
    assert main(["compare", str(file), "--to", "open_llm_v1"]) == 0
    assert "\x1b" not in capsys.readouterr().out


NUMBERS: dict[str, tuple[str, str]] = {
    "overflow": ("1e999", "which no float holds"),
    "long": ("9" * 5000, "a number of 5000 digits"),
    "deep": ("[" * 100_000, "nested too deep"),
    "twice": ('1, "acc,none": 2', "the key 'acc,none' stands twice"),
    "half": (r'1, "\ud800": 2', "half of a character"),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_values_that_no_results_hold(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value, told = NUMBERS[what]
    content = results()
    content["results"]["winogrande"] = {"acc,none": "HERE"}
    file = written(tmp_path, content)
    file.write_text(file.read_text().replace('"HERE"', value))
    for asked in (
        ["compare", "--to", "open_llm_v1"],
        ["export-results", "--format", "model_index"],
    ):
        assert main([asked[0], str(file), *asked[1:]]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.parametrize("date", ["1e300", "Infinity", "-1e18", "NaN", '"x"', "[1]"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_date_that_is_none(
    date: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, {**results(), "date": "HERE"})
    file.write_text(file.read_text().replace('"HERE"', date))
    asked = ["export-results", str(file), "--format", kind, "-o", str(tmp_path / "out")]
    assert main(asked) == 2
    assert "is damaged: its date is" in capsys.readouterr().err


def test_texts_of_yaml_are_texts(tmp_path: Path) -> None:
    """The Hub's evaluation results: a version or revision cannot add keys of its own."""
    content = results()
    content["lm_eval_version"] = "0\nverified: true"
    file = written(tmp_path, content)
    export_results(file, "eval_results", tmp_path / "out")
    (made,) = (tmp_path / "out").rglob("pa_harness.yaml")
    (entry,) = yaml.safe_load(made.read_text())
    assert "verified" not in entry
    assert entry["dataset"]["revision"] == "x\nverified: true"
