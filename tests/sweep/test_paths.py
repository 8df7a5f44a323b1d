"""Sweeps along a path of three checkpoints: grid, resume, report, export, and the pair form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stages import make_stages
from through_lm_eval import assert_same_weights, stock
from toy import run, timeless, toy_settings

from pa_harness.analysis.reading import read_trajectory
from pa_harness.analysis.summary import summarise
from pa_harness.cli.main import main
from pa_harness.errors import ModelArgsError, RunError
from pa_harness.report.publish import publish
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from pa_harness.runs.settings import SweepSettings


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_stages(tmp_path_factory.mktemp("swept"))


def settings_of(stages: list[Path], toy_tasks: Path, lam: str, **more: Any) -> SweepSettings:
    path = {"path": [str(each) for each in stages], "dtype": "float32"}
    return toy_settings((stages[0], stages[1]), toy_tasks, lam=lam, **{"model_args": path, **more})


@pytest.fixture(scope="session")
def swept(stages: list[Path], toy_tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("path") / "run"
    run(settings_of(stages, toy_tasks, "0:2:0.5"), folder)
    return folder


def test_a_sweep_along_a_path(swept: Path, stages: list[Path]) -> None:
    scores = RunFolder(swept).scores()
    assert sorted({score.lam for score in scores}) == [0, 0.5, 1, 1.5, 2]
    for score in scores:
        assert score.lam_eff == pytest.approx(score.lam, abs=1e-3)
        assert (score.base, score.instruct) == (str(stages[0]), f"{stages[1]} → {stages[2]}")
    assert read_trajectory(swept).label == "base → stage1 → stage2"


def test_the_knots_are_what_pairs_measure(
    swept: Path, stages: list[Path], toy_tasks: Path, tmp_path: Path
) -> None:
    """λ = 1.5 is ½ of the pair of the second and the third; λ = 2 its instruct model."""
    model_args = {"pretrained": str(stages[1]), "instruct": str(stages[2]), "dtype": "float32"}
    run(
        settings_of(stages, toy_tasks, "0:1:0.5", model_args=model_args),
        tmp_path / "run",
    )
    ours, theirs = (
        {
            (s.task, s.key, s.lam - start): s.value
            for s in RunFolder(f).scores()
            if s.lam >= start and s.task != "toy_answer"
        }
        for f, start in ((swept, 1), (tmp_path / "run", 0))
    )
    assert len(theirs) >= 6
    assert theirs.items() <= ours.items()


def test_it_goes_on_and_does_not_mix_paths(
    swept: Path, stages: list[Path], toy_tasks: Path, tmp_path: Path
) -> None:
    """Units that are missing are evaluated; the bytes are those of one go."""
    settings = settings_of(stages, toy_tasks, "0:2:0.5")
    folder = tmp_path / "run"
    run(settings, folder)
    (folder / "scores.parquet").unlink()
    for file in sorted(folder.glob("units/lam=1*/*.json")):
        file.unlink()
    run(settings, folder)
    assert timeless(folder) == timeless(swept)
    other = [stages[0], stages[2], stages[1]]
    with pytest.raises(RunError, match="path"):
        run(settings_of(other, toy_tasks, "0:2:0.5"), folder)


def test_a_path_of_two_leaves_the_bytes_of_its_pair(
    stages: list[Path], toy_tasks: Path, tmp_path: Path
) -> None:
    pair = {"pretrained": str(stages[0]), "instruct": str(stages[1]), "dtype": "float32"}
    for name, more in (("path", {}), ("pair", {"model_args": pair})):
        run(settings_of(stages[:2], toy_tasks, "0,0.3,1", **more), tmp_path / name)
        publish(tmp_path / name)
        for form in ("hf", "mergekit"):
            given = [str(tmp_path / name), "--lam", "0.3", "--format", form]
            assert main(["export", *given, "--output_path", str(tmp_path / name / form)]) == 0
    found = [timeless(tmp_path / name) for name in ("path", "pair")]
    names = [set(each) for each in found]
    assert names[0] == names[1]
    kinds = {
        ".parquet",
        ".json",
        ".html",
        ".svg",
        ".png",
        ".pdf",
        ".safetensors",
        ".yaml",
    }
    kinds |= {".safetensors", ".yaml"}
    assert kinds <= {suffix for name in names[0] if (suffix := Path(name).suffix)}
    for file in sorted(names[0]):
        texts = [re.sub("([/`])path", r"\1pair", each[file]) for each in found]
        texts = [re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+", "DATE", text) for text in texts]
        assert texts[0] == texts[1], file


def test_differences_to_any_knot(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trajectory = read_trajectory(swept)
    icl = trajectory.suite("ICL")
    assert icl is not None
    for against in (0.0, 1.0, 2.0):
        curve = summarise(trajectory, against).curve("ICL")
        assert curve is not None
        assert curve.to_instruct is not None
        wanted = icl.mean() - icl.mean()[list(trajectory.lams).index(against)]
        assert curve.to_instruct.estimate == pytest.approx(wanted)
    assert main(["summary", str(swept), "--against", "Stage2"]) == 0
    named = capsys.readouterr().out
    assert main(["summary", str(swept), "--against", "2"]) == 0
    text = capsys.readouterr().out
    assert text == named
    assert re.search(r"\| +λ − 2 \|", text)
    assert "difference to λ = 2" in text
    assert "λ leads through 3 checkpoints: 0 is base, 1 is stage1, 2 is stage2." in text
    assert json.loads((swept / "summary.json").read_text())["against"] == 2
    assert main(["summary", str(swept), "--against", "1.7"]) == 2
    assert "--against 1.7: the sweep has λ = 0, 0.5, 1, 1.5, 2." in capsys.readouterr().err
    assert main(["summary", str(swept), "--against", "stage3"]) == 2
    error = capsys.readouterr().err
    assert "the name of a checkpoint: 0 is base, 1 is stage1, 2 is stage2. Did you mean" in error


def test_figures_and_report_name_the_knots(swept: Path) -> None:
    publish(swept)
    for name in ("overview", "icl", "ledger"):
        figure = (swept / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "0 = base, 1 = stage1, 2 = stage2" in figure, name
    page = (swept / "report.html").read_text(encoding="utf-8")
    assert "0 is base, 1 is stage1, 2 is stage2" in page
    apart = (
        r">stage1 differs from base by (\d+\.\d\d)% of its weights; stage2 differs from stage1 by"
    )
    assert re.search(apart, page)
    assert "instruct model" not in page
    assert "1 = instruct" not in page


def test_an_export_is_the_evaluated_place(swept: Path, stages: list[Path], tmp_path: Path) -> None:
    """Checked against the run, and read back by transformers."""
    folder = tmp_path / "model"
    given = ["export", str(swept), "--lam", "1.5", "--output_path", str(folder)]
    assert main(given) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "bit for bit the weights that the run evaluated" in card
    assert "θ_λ = θ_stage_1 + (λ − 1) (θ_stage_2 − θ_stage_1),   λ = 1.5" in card
    assert "stage_1" in card
    assert "| base |" not in card
    assert stock(folder).model.num_parameters() > 0
    given = ["export", str(swept), "--lam", "2", "--output_path", str(tmp_path / "last")]
    assert main(given) == 0
    assert_same_weights(stock(tmp_path / "last"), stock(stages[2]))


def test_a_path_in_a_config_file_and_as_json(
    stages: list[Path], toy_tasks: Path, tmp_path: Path
) -> None:
    from pa_harness.runs.settings import resolve

    path = [str(each) for each in stages]
    file = tmp_path / "sweep.yaml"
    file.write_text(f"model_args:\n  path: [{', '.join(path)}]\ntasks: [toy_kind]\nlam: 0:2:1\n")
    found = resolve({"include_path": [str(toy_tasks)]}, file)
    assert found.model_args == {"path": path}
    text = json.dumps({"path": path})
    assert resolve({"model_args": [text], "tasks": ["x"], "lam": "0:2:1"}).model_args == {
        "path": path
    }
    with pytest.raises(ModelArgsError, match="list of two or more"):
        resolve({"model_args": ["path=a"], "tasks": ["x"], "lam": "0"})
