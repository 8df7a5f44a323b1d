"""The tasks that measure instruction following, in sweeps of a tiny pair on made-up rows."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
import pytest
import toy

from pa_harness.cli.main import main
from pa_harness.errors import DataFileError, SweepError
from pa_harness.runs.documents import Documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import resolve
from pa_harness.sweep.workload import load_tasks
from pa_harness.tasks import alpaca_eval as alpaca_task
from pa_harness.tasks.shipped import read_yaml, tasks_folder

if TYPE_CHECKING:
    from pa_harness.runs.settings import SweepSettings

ROWS = [
    {
        "dataset": ("koala", "oasst", "vicuna")[n % 3],
        "instruction": f"Name {n} birds of the harbor, please.",
        "output": f"A gull, a tern and {n} more.",
        "generator": "made up",
    }
    for n in range(4)
]
ASKED = {  # instruction of IFEval: its arguments, and whether an answer follows it
    "punctuation:no_comma": ({}, lambda text: "," not in text),
    "startend:quotation": ({}, lambda text: text.strip()[:1] == text.strip()[-1:] == '"'),
    "keywords:forbidden_words": (
        {"forbidden_words": ["river"]},
        lambda text: "river" not in text.lower().split(),
    ),
}
IFEVAL = Path(find_spec("lm_eval").submodule_search_locations[0], "tasks", "ifeval")
PUNKT = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")


@pytest.fixture
def alpaca_file(folder: Path) -> Path:
    file = folder / "mine.json"
    file.write_text(json.dumps(ROWS))
    return file


@pytest.fixture
def sentences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NLTK's data folder, with a sentence model that knows no abbreviation."""
    import nltk

    english = folder / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    english.mkdir(parents=True)
    for name in PUNKT:
        (english / name).touch()
    monkeypatch.setattr(nltk.data, "path", [str(folder / "nltk_data")])
    return folder / "nltk_data"


@pytest.fixture
def ifeval_rows(folder: Path) -> list[dict[str, Any]]:
    """Three rows of google/IFEval's schema, made up, under the working directory."""
    names = list(ASKED)
    rows: list[dict[str, Any]] = [
        {
            "key": number,
            "prompt": f"Write {number} lines about a kettle.",
            "instruction_id_list": (wanted := names[: number + 1]),
            "kwargs": [{"forbidden_words": None, **ASKED[name][0]} for name in wanted],
        }
        for number in range(len(names))
    ]
    place = folder / "google" / "IFEval"
    place.mkdir(parents=True)
    (place / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return rows


def settings_of(pair: tuple[Path, Path], task: str, **more: object) -> SweepSettings:
    """λ = 0, ½, 1; of lm-eval's own tasks only IFEval is looked at (indexing all takes long)."""
    given = {"tasks": [task], "include_path": [str(IFEVAL)], "gen_kwargs": "max_gen_toks=12"}
    return resolve(toy.toy_settings(pair, IFEVAL).as_dict() | given | more)


def samples(run: Path, lam: str) -> list[dict[str, Any]]:
    (log,) = run.glob(f"lam={lam}/samples_*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_alpaca_eval_in_a_sweep(pair: tuple[Path, Path], alpaca_file: Path, folder: Path) -> None:
    """Chat format at every λ; documents whole; lengths, and no score."""
    metadata = {"alpaca_eval_file": str(alpaca_file)}
    toy.run(settings_of(pair, "pa_alpaca_eval", metadata=metadata), folder / "run")
    lengths = Documents(folder / "run" / "documents.parquet").paired("pa_alpaca_eval")
    for row, lam in enumerate(("0", "0.5", "1")):
        found = samples(folder / "run", lam)
        assert [each["doc"] for each in found] == ROWS
        for column, each in enumerate(found):
            prompt = each["arguments"]["gen_args_0"]["arg_0"]
            assert f"<turn>user\n{each['doc']['instruction']}<end>\n<turn>assistant\n" in prompt
            answer = each["filtered_resps"][0].strip()
            assert lengths["characters,none"].values[row, column] == len(answer)
    assert {"length,answer", "ended,answer"} <= set(lengths)
    scores = RunFolder(folder / "run").scores()
    assert {(score.metric, score.main, score.category) for score in scores} == {
        ("characters", False, "instruction")
    }


def test_the_sampled_variant_differs_in_its_sampling_only() -> None:
    greedy, sampled = (
        read_yaml(tasks_folder() / "alpaca_eval" / f"alpaca_eval{name}.yaml")
        for name in ("", "_sampled")
    )
    differing = {key for key in greedy if greedy[key] != sampled[key]}
    assert differing == {"task", "generation_kwargs", "metadata"}
    settings = greedy["generation_kwargs"]
    assert settings["max_gen_toks"] == 2048
    assert sampled["generation_kwargs"] == {**settings, "do_sample": True, "temperature": 0.7}
    assert sampled["metadata"] == {
        **greedy["metadata"],
        "matches": "AlpacaEval 2 leaderboard's Hugging Face models (temperature 0.7)",
    }


@pytest.mark.usefixtures("sentences")
def test_ifeval_in_a_sweep(
    pair: tuple[Path, Path], ifeval_rows: list[dict[str, Any]], folder: Path
) -> None:
    """Its four metrics are counted from the logged answers; strict by prompt stands for it."""
    toy.run(settings_of(pair, "ifeval"), folder / "run")
    scores = RunFolder(folder / "run").scores()
    assert {score.metric for score in scores} == {
        *("prompt_level_strict_acc", "inst_level_strict_acc"),
        *("prompt_level_loose_acc", "inst_level_loose_acc"),
    }
    assert {score.metric for score in scores if score.main} == {"prompt_level_strict_acc"}
    assert {score.category for score in scores} == {"instruction"}
    values = {(score.lam, score.metric): score.value for score in scores}
    for lam in ("0", "0.5", "1"):
        followed = []
        for each, row in zip(samples(folder / "run", lam), ifeval_rows, strict=True):
            assert "<turn>user" in each["arguments"]["gen_args_0"]["arg_0"]
            text = each["resps"][0][0]
            names = row["instruction_id_list"]
            followed.append([bool(text.strip()) and ASKED[name][1](text) for name in names])
        flat = [each for part in followed for each in part]
        assert values[float(lam), "inst_level_strict_acc"] == sum(flat) / len(flat)
        whole = [all(each) for each in followed]
        assert values[float(lam), "prompt_level_strict_acc"] == sum(whole) / len(whole)


@pytest.mark.usefixtures("ifeval_rows")
def test_ifeval_without_its_sentences_is_refused_before_the_model(
    folder: Path,
    sentences: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The pair has no weights: nothing of it but that it is there has been looked at."""
    import nltk

    for side in ("base", "instruct"):
        (folder / side).mkdir()
        (folder / side / "config.json").write_text("{}")

    monkeypatch.setattr(nltk.data, "path", [str(folder / "elsewhere")])
    monkeypatch.setattr(nltk, "download", lambda *_: False)
    command = "sweep --model_args pretrained=base,instruct=instruct --lam 0,1 --tasks ifeval"
    assert main([*command.split(), "-o", "run", "--include_path", str(IFEVAL)]) == 2
    told = capsys.readouterr()
    assert "IFEval needs NLTK's punkt_tab, which is not here and cannot be downloaded" in told.err
    assert "python -m nltk.downloader punkt_tab" in told.err
    assert str(folder / "elsewhere") in told.err
    assert "Downloaded" not in told.out


def test_ifeval_without_its_packages_is_refused(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("lm_eval.tasks.ifeval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langdetect", None)
    with pytest.raises(SweepError, match=r"langdetect.* Do `pip install 'pa-harness\[ifeval\]'`"):
        load_tasks(settings_of(pair, "ifeval"))


def published(**changes: Any) -> Any:
    kwargs = read_yaml(tasks_folder() / "alpaca_eval" / "alpaca_eval.yaml")["dataset_kwargs"]
    return alpaca_task.load(**{**kwargs, **changes})["eval"]


def test_only_the_published_entries_pass_for_them(folder: Path) -> None:
    place = folder / "tatsu-lab" / "alpaca_eval"
    place.mkdir(parents=True)
    file = place / "alpaca_eval_gpt4_baseline.json"
    file.write_text(json.dumps(ROWS))
    with pytest.raises(DataFileError, match="is not the published alpaca_eval_gpt4_baseline"):
        published()
    layout = pandas.DataFrame(ROWS).to_json(orient="records", indent=2)  # the published file's
    digest = hashlib.sha256(layout.encode()).hexdigest()
    assert published(sha256=digest).to_list() == ROWS
    file.write_text(json.dumps(ROWS, indent=4))
    assert published(sha256=digest).to_list() == ROWS, "the layout does not matter"


def test_without_network_and_file_it_says_how_to_get_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    with pytest.raises(DataFileError, match="Run once with network, or give the file itself") as e:
        published()
    assert "--metadata alpaca_eval_file=PATH" in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "cannot be read: .*Expected a JSON list of objects with instruction and output"),
        ("{}", "holds no list of instructions"),
        ("[]", "holds no list of instructions"),
        (
            '[{"instruction": "a", "output": "b"}, {"instruction": " "}]',
            r"entry 1 \(from 0\) has no instruction and no output",
        ),
        ('["a"]', r"entry 0 \(from 0\) has no instruction"),
    ],
)
def test_a_file_of_ones_own_is_checked(folder: Path, content: str, message: str) -> None:
    file = folder / "mine.json"
    file.write_text(content)
    with pytest.raises(DataFileError, match=message):
        published(alpaca_eval_file=str(file))


def test_a_file_of_ones_own_that_is_absent(folder: Path) -> None:
    with pytest.raises(DataFileError, match=r"absent.json cannot be read: .*No such file"):
        published(alpaca_eval_file=str(folder / "absent.json"))
