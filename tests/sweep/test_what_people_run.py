"""Troubles that people reported of evaluations: named before the first unit, or gone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from toy import run

from pa_harness.cli.main import main
from pa_harness.errors import PAHarnessError, RunError, SweepError
from pa_harness.runs.documents import Documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import resolve
from pa_harness.sweep import prompts as prompts_room

if TYPE_CHECKING:
    from pathlib import Path

    from changed import Place

    from pa_harness.runs.settings import SweepSettings


def with_task(site: Path, settings: SweepSettings, rows: list[Any], **task: Any) -> SweepSettings:
    """Settings of a sweep of one more task, `more`, alone."""
    data = site / "more.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    common = {
        "task": "more",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "num_fewshot": 0,
    }
    (site / "more.yaml").write_text(yaml.safe_dump({**common, **task}))
    return replace(settings, tasks=("more",))


CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "t",
    "doc_to_choice": "c",
    "doc_to_target": "a",
    "target_delimiter": "",
}
GENERATION = {
    "output_type": "generate_until",
    "doc_to_text": "t",
    "doc_to_target": "a",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.mark.parametrize("context", ["what", "Which of the tw"])
@pytest.mark.parametrize("sharing", [True, False])
def test_a_token_across_the_join_is_refused_with_its_texts(
    context: str, sharing: bool, place: Place, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(place.site / "base")
    word, answer = ("The quick brown fox", "")
    for end in range(1, len(word)):
        whole = tokenizer(word[: end + 1])["input_ids"]
        if len(whole) == len(tokenizer(word[:end])["input_ids"]) and word[end] != " ":
            word, answer = word[:end], word[end]
            break
    assert answer, "the tokenizer has a token of two letters"
    rows = [{"t": context, "c": [" a", " b"], "a": 0}, {"t": word, "c": [answer, " b"], "a": 0}]
    settings = with_task(place.site, place.settings, rows, **CHOICE)
    settings = replace(settings, model_args={**settings.model_args, "prefix_sharing": sharing})
    with pytest.raises(PAHarnessError, match=rf"more: The answer '{answer}' behind .* no token of"):
        run(settings, tmp_path / "new")
    assert not (tmp_path / "new/units").exists()


def test_an_answer_longer_than_the_model_is_refused(place: Place, tmp_path: Path) -> None:
    rows = [{"t": "Long:", "c": [" x" * 400, " b"], "a": 0}]
    settings = with_task(place.site, place.settings, rows, **CHOICE)
    short = replace(settings, model_args={**settings.model_args, "max_length": 50})
    with pytest.raises(PAHarnessError, match=r"more: The answer .* has \d+ tokens; at most 50"):
        run(short, tmp_path / "new")


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens", "max_tokens"])
def test_no_room_for_the_prompt_is_said_before_the_first_unit(
    name: str, place: Place, tmp_path: Path
) -> None:
    more = {**GENERATION, "generation_kwargs": {"until": ["?"], name: 64}}
    settings = with_task(place.site, place.settings, [{"t": "Say", "a": "x"}] * 3, **more)
    both = replace(settings, tasks=("options", "more"))
    both = replace(both, model_args={**both.model_args, "max_length": 64})
    with pytest.raises(PAHarnessError, match=r"more: max_gen_toks=64 leaves no room .* 64 tokens"):
        run(both, tmp_path / "new")
    assert not (tmp_path / "new/units").exists(), "not even of the task before it"


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens", "max_tokens"])
def test_an_answer_that_ran_into_the_limit_has_not_ended(
    name: str, place: Place, tmp_path: Path
) -> None:
    """Whatever the limit is called, and whatever the text's tokens would be."""
    more = {**GENERATION, "generation_kwargs": {"until": ["<never>"], name: 7}}
    rows = [{"t": f"Say {n}", "a": "x"} for n in range(5)]
    run(with_task(place.site, place.settings, rows, **more), tmp_path / "new")
    found = Documents(tmp_path / "new/documents.parquet").paired("more")
    lengths, ended = (found[key].values for key in ("length,answer", "ended,answer"))
    assert lengths.max() <= 7
    assert ((lengths == 7) | (ended == 1)).all()
    assert (ended[lengths < 7] == 1).all()


@pytest.mark.parametrize("sampler", ["default", "first_n"])
def test_more_shots_than_there_are_is_said_with_the_task(
    sampler: str, place: Place, tmp_path: Path
) -> None:
    file = place.site / "options.yaml"
    file.write_text(file.read_text().replace("sampler: first_n", f"sampler: {sampler}"))
    many = replace(place.settings, num_fewshot=9)
    with pytest.raises(SweepError, match=r"options: its prompts cannot be made with num_fewshot=9"):
        run(many, tmp_path / "new")
    assert not (tmp_path / "new/units").exists()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"optoins": [1]}, r"samples names optoins, which is not swept"),
        ({"options": [1, 99]}, r"--samples names documents 1 to 99 of options, which has 8"),
        ({"options": []}, r"samples: options has \[\]\. Expected the numbers"),
        ({"options": ["2"]}, r"samples: options has \['2'\]"),
        ({"options": [2, 2]}, r"samples: options has \[2, 2\]"),
        ({"options": [-1]}, r"samples: options has \[-1\]"),
        ({}, r"samples: no task has"),
    ],
)
def test_documents_that_cannot_be_meant_are_refused(
    samples: dict[str, Any], message: str, place: Place, tmp_path: Path
) -> None:
    with pytest.raises(SweepError, match=message):
        run(resolve({**as_given(place.settings), "samples": samples}), tmp_path / "new")


def as_given(settings: SweepSettings) -> dict[str, Any]:
    names = ("model_args", "lam", "tasks", "include_path", "device")
    return {name: getattr(settings, name) for name in names}


def test_documents_in_any_order_are_logged_by_their_own_numbers(
    place: Place, tmp_path: Path
) -> None:
    given = {**as_given(place.settings), "tasks": ["options"]}
    run(resolve({**given, "samples": {"options": [6, 1, 4]}}), tmp_path / "new")
    (log,) = (tmp_path / "new/lam=1").glob("samples_options_*")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    asked = [(each["doc_id"], each["doc"]["question"]) for each in samples]
    assert asked == [(n, f"which? {n}") for n in (1, 4, 6)]
    with pytest.raises(SweepError, match=r"limit=2 and samples: both say which documents"):
        resolve({**given, "samples": {"options": [1]}, "limit": 2})


def test_a_task_without_documents_is_said(place: Place, tmp_path: Path) -> None:
    settings = with_task(place.site, place.settings, [], **CHOICE)
    with pytest.raises(SweepError, match=r"more"):
        run(settings, tmp_path / "new")


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
)
SILENT = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"


@pytest.mark.parametrize("template", [TEMPLATE, SILENT])
def test_a_system_message_that_the_template_drops_is_not_reported_as_given(
    template: str, place: Place, tmp_path: Path
) -> None:
    (place.site / "instruct/chat_template.jinja").write_text(template)
    asked = replace(place.settings, tasks=("texts",), system_instruction="Answer as a pirate.")
    with pytest.raises(SweepError, match=r"texts: the chat template drops the system message"):
        run(asked, tmp_path / "new")


def test_what_lm_eval_warns_of_is_said(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A description that the template has no place for goes unseen else."""
    (place.site / "instruct/chat_template.jinja").write_text(TEMPLATE)
    file = place.site / "texts.yaml"
    file.write_text(file.read_text() + "description: 'Be kind.'\n")
    run(replace(place.settings, tasks=("texts",)), tmp_path / "new")
    told = capsys.readouterr().err
    assert told.count("removing the system role") == 1


def test_a_template_with_todays_date_is_the_same_tomorrow(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dated = "{{ strftime_now('%Y %H:%M:%S') }} {% for m in messages %}{{ m.content }}{% endfor %}"
    (place.site / "instruct/chat_template.jinja").write_text(dated)
    chat = replace(place.settings, tasks=("texts",))
    run(chat, tmp_path / "new")
    folder = RunFolder(tmp_path / "new")
    (log,) = (tmp_path / "new/lam=0").glob("samples_texts_*")
    prompt = json.loads(log.read_text().splitlines()[0])["arguments"]["gen_args_0"]["arg_0"]
    year, clock = folder.started[:4], folder.started[11:19]
    assert prompt.startswith(f"{year} {clock} ")
    (tmp_path / "new/units/lam=1/texts.json").unlink()
    run(chat, tmp_path / "new")
    assert (tmp_path / "new/units/lam=1/texts.json").exists()
    # were the date not kept, the message would show where the prompts begin to differ
    (tmp_path / "new/units/lam=1/texts.json").unlink()
    given = prompts_room.build_prompts
    monkeypatch.setattr(
        "pa_harness.sweep.worker.build_prompts", lambda *of: given(*of[:4], "1999-01-01T01:02:03")
    )
    message = rf'texts: its prompts: document 0: "{year} {clock} .* there, "1999 01:02:03 .* here'
    with pytest.raises(RunError, match=message):
        run(chat, tmp_path / "new")


def test_a_perplexity_beside_others_is_left_out_with_a_word(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rolling = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "t",
        "metric_list": [
            {"metric": "word_perplexity", "aggregation": "weighted_perplexity"},
            {"metric": "bits_per_byte", "aggregation": "bits_per_byte"},
        ],
    }
    rows = [{"t": f"The quick brown fox {n}"} for n in range(6)]
    settings = with_task(place.site, place.settings, rows, **rolling)
    run(replace(settings, tasks=("options", "more")), tmp_path / "new")
    for verb in ("summary", "choose", "report", "plot"):
        assert main([verb, str(tmp_path / "new")]) == 0, verb
        told = capsys.readouterr()
        if verb != "report":
            assert "more is left out" in told.out + told.err, verb
    assert "more is left out" in (tmp_path / "new/report.html").read_text()


def test_equal_answers_pass_ifevals_language_checks_alike() -> None:
    from langdetect import detect

    from pa_harness.sweep.unit import _seed

    _seed(resolve({"model_args": {"pretrained": "b"}, "lam": "0", "tasks": ["t"]}))
    text = "hello world"
    assert len({detect(text) for _ in range(40)}) == 1


def test_f1_of_more_than_two_options_is_refused_before_the_first_unit(
    place: Place, tmp_path: Path
) -> None:
    metric = [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}]
    rows = [
        {"t": "Which?", "c": [" a", " b"], "a": 0},
        {"t": "Which?", "c": [" a", " b", " c"], "a": 1},
    ]
    more = with_task(place.site, place.settings, rows, **CHOICE, metric_list=metric)
    with pytest.raises(SweepError, match=r"^more has up to 3 options; lm-eval's f1 is that of two"):
        run(more, tmp_path / "new")
    two = with_task(
        place.site, place.settings, [rows[0], {**rows[0], "a": 1}], **CHOICE, metric_list=metric
    )
    run(two, tmp_path / "new")
    assert RunFolder(tmp_path / "new").scores()


def test_data_without_documents_are_told(place: Place, tmp_path: Path) -> None:
    with pytest.raises(
        SweepError, match=r"^The tasks more cannot be loaded: the data of one holds"
    ):
        run(with_task(place.site, place.settings, [], **CHOICE), tmp_path / "new")


def test_two_files_of_one_name_are_refused(place: Place, tmp_path: Path) -> None:
    more = with_task(
        place.site, place.settings, [{"t": "Which?", "c": [" a", " b"], "a": 0}], **CHOICE
    )
    (place.site / "again.yaml").write_text((place.site / "more.yaml").read_text())
    names = (
        rf"'more' is the name in 2 files:\n +{place.site}/again\.yaml\n +{place.site}/more\.yaml\n"
    )
    with pytest.raises(SweepError, match=names):
        run(more, tmp_path / "new")
    with pytest.raises(SweepError, match="'more' is the"):
        run(replace(more, tasks=("[m]ore",)), tmp_path / "new")
