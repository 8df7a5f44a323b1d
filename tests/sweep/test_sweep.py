"""Sweeps of toy tasks on a tiny pair: numbers, resuming, refusals."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toy import run, toy_settings, write_tasks

from pa_harness.cli import main as cli
from pa_harness.errors import SweepError
from pa_harness.runs.documents import Documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.scores import from_lm_eval
from pa_harness.runs.settings import SweepSettings, resolve
from pa_harness.sweep import sweep as sweep_room
from pa_harness.sweep import worker as worker_room
from pa_harness.sweep.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[Path, Path]


def separate(pair: Pair, tasks: Path, lam: float, name: str, template: bool) -> dict[str, Any]:
    """The same task at the same λ by lm-eval's own simple_evaluate."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found: dict[str, Any] = simple_evaluate(
        model="partially_adapted",
        model_args={"pretrained": str(pair[0]), "instruct": str(pair[1]), "dtype": "float32"}
        | {"lam": lam},
        tasks=[name],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        apply_chat_template=template,
        device="cpu",
    )
    return found


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_numbers_are_those_of_separate_runs(
    lam: float, whole: Path, pair: Pair, toy_tasks: Path
) -> None:
    (file,) = (whole / f"lam={lam:g}").glob("results_*.json")
    swept = json.loads(file.read_text())
    for name, template in (("toy_group", False), ("toy_answer", True)):
        alone = separate(pair, toy_tasks, lam, name, template)
        for each in alone["results"]:
            assert swept["results"][each] == alone["results"][each]
        for part in ("versions", "n-shot", "higher_is_better", "n-samples"):
            assert alone[part].items() <= swept[part].items()
        for each, samples in alone["samples"].items():
            (log,) = (whole / f"lam={lam:g}").glob(f"samples_{each}_*.jsonl")
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            hashes = [line["prompt_hash"] for line in lines]
            assert hashes == [sample["prompt_hash"] for sample in samples]
            found = [parts(line["filtered_resps"]) for line in lines]
            assert found == [parts(sample["filtered_resps"]) for sample in samples]


def parts(responses: list[Any]) -> list[Any]:
    """Texts as they are, log-likelihoods to 1e-5: other tasks in the call are packed beside."""
    flat = [
        part for each in responses for part in (each if isinstance(each, list | tuple) else [each])
    ]
    return [pytest.approx(float(p), abs=1e-5) if number(p) else str(p) for p in flat]


def number(part: Any) -> bool:
    """Whether it is a log-likelihood, as logged or as made."""
    return str(part).lstrip("-").replace(".", "").isdigit()


def test_lm_evals_own_table_reads_the_results(whole: Path) -> None:
    from lm_eval.utils import get_results_filenames, get_sample_results_filenames, make_table

    names = [str(path) for path in whole.rglob("*.json*")]
    assert len(get_results_filenames(names)) == 3
    assert len(get_sample_results_filenames(names)) == 9
    for name in get_results_filenames(names):
        table = make_table(json.loads(Path(name).read_text()))
        assert "toy_group" in table
        assert "exact_match" in table


def test_the_table_is_what_the_results_files_say(whole: Path) -> None:
    scores = RunFolder(whole).scores()
    files = [*whole.glob("lam=*/results_*.json")]
    from_files = [score for file in files for score in from_lm_eval(json.loads(file.read_text()))]
    assert sorted(map(repr, scores)) == sorted(map(repr, from_files))
    assert {(score.task, score.chat_template) for score in scores} == {
        *(("toy_colour", ""), ("toy_kind", ""), ("toy_answer", "default")),
    }
    assert {score.counts_as for score in scores} == {"toy_colour", "toy", "toy_answer"}


def test_values_by_document_have_the_scores_as_means(whole: Path) -> None:
    documents = Documents(whole / "documents.parquet")
    assert documents.tasks == ["toy_colour", "toy_kind", "toy_answer"]
    for score in RunFolder(whole).scores():
        paired = documents.paired(score.task)[score.key]
        (row,) = (paired.lams == score.lam).nonzero()[0]
        assert paired.values[row].mean() == pytest.approx(score.value, abs=1e-12)
        assert len(paired.ids) == score.n
    assert "confidence,options" in documents.paired("toy_kind")
    assert "ended,answer" in documents.paired("toy_answer")


def test_prompts_are_rendered_once_and_the_model_is_loaded_once(
    settings: SweepSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.api.task import ConfigurableTask

    calls = {"prompts": 0, "models": 0}

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    context = ConfigurableTask.fewshot_context
    monkeypatch.setattr(ConfigurableTask, "fewshot_context", counted("prompts", context))
    load = counted("models", worker_room._load_model)
    monkeypatch.setattr(worker_room, "_load_model", load)
    text = run(replace(settings, limit=4), tmp_path)
    assert calls == {"prompts": 3 * 4, "models": 1}
    assert "λ = 0.5  toy_kind  acc " in text
    assert "(9/9 units, " in text


class Watching(Progress):
    """Notes what the display is told: tokens of each unit, documents of each task."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.told: dict[tuple[float, str], int] = {}

    def plan(self, *given: Any) -> None:
        super().plan(*given)
        self.sizes, self.tokens, self.distinct = given[1], given[3], given[4]

    def start_unit(self, lam: float, task: str, requests: int) -> None:
        super().start_unit(lam, task, requests)
        self.unit = lam, task
        self.told[self.unit] = -self.tokens()

    def end_unit(self, value: str) -> None:
        super().end_unit(value)
        self.told[self.unit] += self.tokens()


def test_progress_is_told_what_the_results_say(settings: SweepSettings, tmp_path: Path) -> None:
    """Tokens that went through the model, and documents; in the results files, and again there."""
    progress = Watching()
    sweep_room.sweep(settings, tmp_path, progress)
    for lam in (0.0, 0.5, 1.0):
        (file,) = (tmp_path / f"lam={lam:g}").glob("results_*.json")
        results = json.loads(file.read_text())
        for task, shared in results["pa_harness"]["prefix_sharing"].items():
            (kind,) = shared
            assert kind == ("generate_until" if task == "toy_answer" else "loglikelihood")
            counts = shared[kind]
            assert 0 < counts["distinct"] <= counts["computed"] < counts["stock"]
            assert (counts["decoded"] > 0) == (task == "toy_answer")
            assert progress.distinct[task] == counts["distinct"]
            assert progress.sizes[task] == results["n-samples"][task]["effective"]
            assert progress.told[lam, task] == counts["computed"] + counts["decoded"]
    (tmp_path / "scores.parquet").unlink()
    (tmp_path / "units/lam=1/toy_kind.json").unlink()
    again = Watching()
    sweep_room.sweep(settings, tmp_path, again)
    assert again.sizes == progress.sizes
    assert again._stream.getvalue().splitlines()[2].endswith(" 8 of 9 units are done.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "hf"}, r"--model hf has no λ to set \(HFLM has no set_lam\)"),
        ({"model": "nothing"}, r"--model nothing: "),
        (
            {"tasks": ["no_such_task"]},
            r"Unknown task: no_such_task\. No name is like it\. `lm-eval ls tasks`",
        ),
        ({"tasks": ["toy_group", "toy_kind"]}, r"cannot be loaded: ValueError: Duplicate task"),
        (
            {"samples": {"toy_kind": [0, 900]}, "limit": None},
            r"--samples names documents 0 to 900 of toy_kind, which has \d+, numbered from 0",
        ),
    ],
)
def test_what_cannot_be_swept(
    changes: dict[str, Any], message: str, settings: SweepSettings, tmp_path: Path
) -> None:
    with pytest.raises(SweepError, match=message):
        run(replace(settings, **changes), tmp_path)


def test_lam_belongs_to_its_own_option(settings: SweepSettings) -> None:
    given = {**settings.as_dict(), "model_args": {**settings.model_args, "lam": 0.5}}
    with pytest.raises(SweepError, match=r"lam=0\.5 in --model_args: a sweep sets λ itself"):
        resolve(given)


def test_a_flag_decides_over_the_category(
    settings: SweepSettings, pair: Pair, toy_tasks: Path, tmp_path: Path
) -> None:
    raw = toy_settings(pair, toy_tasks, lam="1", limit=2, apply_chat_template=False)
    run(raw, tmp_path / "raw")
    scores = RunFolder(tmp_path / "raw").scores()
    assert {score.chat_template for score in scores} == {""}
    named = resolve({**raw.as_dict(), "categories": {"toy_kind": "instruction"}})
    run(replace(named, apply_chat_template=None), tmp_path / "named")
    chat = {s.task for s in RunFolder(tmp_path / "named").scores() if s.chat_template}
    assert chat == {"toy_kind", "toy_answer"}


def test_chat_format_needs_a_template(settings: SweepSettings, pair: Pair, tmp_path: Path) -> None:
    arguments = {**settings.model_args, "tokenizer": str(pair[0])}
    with pytest.raises(SweepError, match=r"toy_answer is asked in chat format, and the tokenizer"):
        run(replace(settings, model_args=arguments), tmp_path)


def test_an_answer_cache_keeps_lams_apart(
    settings: SweepSettings, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = replace(settings, use_cache=str(tmp_path / "answers"))
    run(cached, tmp_path / "first")

    def no_answer(*_: Any, **__: Any) -> Any:
        raise AssertionError("asked the model")

    monkeypatch.setattr("pa_harness.models.hf.PartiallyAdaptedLM._model_call", no_answer)
    monkeypatch.setattr("pa_harness.models.hf.PartiallyAdaptedLM._model_generate", no_answer)
    run(cached, tmp_path / "second")
    expected = sorted(map(repr, RunFolder(whole).scores()))
    for name in ("first", "second"):
        assert sorted(map(repr, RunFolder(tmp_path / name).scores())) == expected


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"metrics": {"toy_kind": "nope,none"}},
            r"toy_kind has no nope,none\. It has:\n  acc,none",
        ),
        ({"metrics": {"toy": "acc,none"}}, r"metrics names toy, which is not swept\. The tasks"),
        ({"categories": {"toy_group": "reading"}}, r"categories names toy_group, which is not"),
    ],
)
def test_what_is_said_of_a_task_must_find_it(
    named: dict[str, object], message: str, pair: Pair, tmp_path: Path
) -> None:
    settings = toy_settings(pair, write_tasks(tmp_path), **named)
    with pytest.raises(SweepError, match=message):
        run(settings, tmp_path / "run")


def test_runs_of_other_tasks_are_said_to_be_so(
    whole: Path, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(toy_settings(pair, write_tasks(tmp_path)), tasks=("toy_kind",))
    run(settings, tmp_path / "run")
    both = ["plot", str(whole), str(tmp_path / "run"), "-o", str(tmp_path / "both")]
    assert cli.main(both) == 0
    assert "The runs' tasks differ: so do those" in capsys.readouterr().err
