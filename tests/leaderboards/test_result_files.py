"""Results of any program: read whole, or refused with one message that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from as_published import lm_eval_file, results_of, run_of

from pa_harness.errors import RunError
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import named_references, sections

V1, V2 = BOARDS[:2]
GEMMA = run_of(V1, "google/gemma-2b", "bfloat16")


def test_of_files_in_a_folder_the_newest_number_counts(tmp_path: Path) -> None:
    for date, value in ((5.0, 0.5), (9.0, 0.9), (7.0, 0.7)):
        content = results_of(V1, GEMMA)
        content["results"] = {"hellaswag": {"acc_norm,none": value}}
        content["date"] = date
        (tmp_path / f"results_{10 - date}.json").write_text(json.dumps(content))
    (tmp_path / "summary.json").write_text('{"results": 1')  # no results file: not looked at
    (number,) = read_results([tmp_path])
    assert number.value == 0.9


def test_models_are_known_by_their_arguments(tmp_path: Path) -> None:
    for args, name in (
        ({"pretrained": "a/b"}, "a/b"),
        ("pretrained=a/b,dtype=float32", "a/b"),
        ({"pretrained": "a/b", "peft": "c/adapter"}, "c/adapter"),
        ({"model": "gpt"}, "gpt"),
    ):
        file = lm_eval_file(tmp_path, model_args=args)
        assert {number.model for number in read_results([file])} == {name}


def test_a_file_with_other_numbers(tmp_path: Path) -> None:
    """Shots, version, limit, documents, precision, template: each is named."""
    other = results_of(V1, GEMMA, limit=7.0, model_dtype="torch.float32")
    other["config"]["model_args"] = {"pretrained": "some/body"}
    other["n-shot"]["hellaswag"] = 0
    other["versions"]["hellaswag"] = 2.0
    other["chat_template"] = "{{ m }}"
    other["system_instruction"] = "Be nice."
    other["n-samples"]["hellaswag"]["effective"] = 7
    (tmp_path / "other.json").write_text(json.dumps(other))
    numbers = read_results([lm_eval_file(tmp_path)])
    (section,) = sections(numbers, *named_references([str(tmp_path / "other.json")]))
    (row,) = [row for row in section.rows if row.task == "hellaswag acc_norm,none"]
    assert row.difference == 0.0
    assert set(row.reasons) == {
        "precision: bfloat16, not float32",
        "chat template: not applied; published: applied",
        "shots: 10, not 0",
        "task version: 1.0, not 2.0",
        "documents: 10042, not 7",
        "limit: 0, not 7 (0 is none)",
        "only published: system instruction",
    }


def test_another_sweep_stands_beside_it_point_by_point(tmp_path: Path) -> None:
    """And a number between the ends is never taken for a parent's."""
    for name, values in (("one", (0.5, 0.6, 0.7)), ("two", (0.4, 0.5, 0.6))):
        (tmp_path / name).mkdir()
        for lam, value in zip((0.0, 0.5, 1.0), values, strict=True):
            args = {"pretrained": "/m/base", "instruct": "/m/it", "lam": lam}
            content = results_of(V1, GEMMA, model_args=args)
            content["results"] = {"hellaswag": {"acc_norm,none": value}}
            (tmp_path / name / f"results_{lam}.json").write_text(json.dumps(content))
    numbers = read_results([tmp_path / "one"])
    (section,) = sections(numbers, *named_references([str(tmp_path / "two")]))
    assert [(row.lam, row.published) for row in section.rows] == [(0, 0.4), (1, 0.6), (0.5, 0.5)]
    plain = read_results([lm_eval_file(tmp_path, model_args={"pretrained": "/m/base"})])
    (section,) = sections(plain, *named_references([str(tmp_path / "two")]))
    assert [row.published for row in section.rows] == [0.4]


WHOLE = json.dumps(results_of(V1, GEMMA))
BROKEN = {
    "cut": (WHOLE[: len(WHOLE) // 2], r"r.json is not whole JSON \(.*\): it was cut off"),
    "empty": ("", "r.json is not whole JSON"),
    "binary": (b"\xff\xfe\x00\x01", "r.json is not a text file"),
    "list": ("[1, 2]", "r.json is of another kind: list. Expected a results file of lm-eval"),
    "foreign": ('{"loss": 1, "epoch": 2}', "another kind: dict with loss, epoch. Expected"),
    "deep": ("[" * 100_000, "r.json is not whole JSON .it is nested too deep"),
    "no numbers": ('{"results": {}, "configs": {}}', "r.json holds no task's numbers"),
    "not a number": (
        '{"results": {"a": {"acc,none": "N/A"}}, "configs": {"a": {}}}',
        "r.json holds no task's numbers",
    ),
    "wrong types": ('{"results": [1], "configs": {}}', "r.json holds no task's numbers"),
    "results null": ('{"results": null, "configs": {}}', "r.json is damaged: .*TypeError"),
    "task null": (
        '{"results": {"a": {"acc,none": 1}}, "configs": {"a": null}}',
        "r.json is damaged: .*the configuration of a is no mapping",
    ),
    "config a text": (
        '{"results": {"a": {"acc,none": 1}}, "configs": {"a": {}}, "config": "x"}',
        "r.json is damaged: .*AttributeError",
    ),
    "record": (
        '{"schema_version": "0.3.0", "evaluation_results": [{"evaluation_name": "a"}]}',
        "r.json is no whole Every Eval Ever record .*KeyError.*Expected its schema 0.3.0",
    ),
    "no result": (
        '{"schema_version": "0.3.0", "evaluation_results": []}',
        "the Every Eval Ever record holds no result",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_gets_one_clear_message(kind: str, tmp_path: Path) -> None:
    content, message = BROKEN[kind]
    file = tmp_path / "r.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message):
        read_results([file])


def test_a_half_written_file_in_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    lm_eval_file(tmp_path)
    (tmp_path / "results_2.json").write_text(WHOLE[:1000])
    with pytest.raises(RunError, match=r"results_2.json is not whole JSON .*; 1000 bytes"):
        read_results([tmp_path])


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"There is no file .*nothing.json"):
        read_results([tmp_path / "nothing.json"])
    with pytest.raises(RunError, match=r"holds no results\. Expected a results file of lm-eval"):
        read_results([tmp_path])
    with pytest.raises(RunError, match=r"--to open_llm_v3 is neither.*Did you mean open_llm_v"):
        named_references(["open_llm_v3"])


def test_the_archives_own_records_are_read() -> None:
    """As the archive of the Open LLM Leaderboard v2 writes them (evaleval/every_eval_ever)."""
    from pa_harness.interchange.every_eval_ever import read_record

    metric = {"lower_is_better": False, "max_score": 1.0}
    record = {
        "source_metadata": {"source_name": "HF Open LLM v2"},
        "model_info": {
            "id": "google/gemma-7b",
            "additional_details": {"precision": "bfloat16", "params_billions": 8.538},
        },
        "evaluation_results": [
            {"evaluation_name": "BBH", "metric_config": metric, "score_details": {"score": 0.4362}},
            {
                "evaluation_name": "GPQA",
                "metric_config": {**metric, "max_score": 100},
                "score_details": {"score": 28.69},
            },
        ],
    }
    numbers = read_record(record, Path("x.json"))
    assert [number.value for number in numbers] == pytest.approx([0.4362, 0.2869])
    (_, final) = sections(numbers, ["open_llm_v2"])
    (bbh,) = [row for row in final.rows if row.task == "BBH"]
    assert (bbh.published, bbh.difference, bbh.reasons) == (0.4362, 0.0, ())
    (august, _) = sections(numbers, ["open_llm_v2"])
    (bbh,) = [row for row in august.rows if row.task == "BBH"]
    assert bbh.reasons == ("scale: raw, not normalized (needs the parts)",)
    (gpqa,) = [row for row in august.rows if row.task == "GPQA"]
    assert gpqa.value == pytest.approx((0.2869 - 0.25) / 0.75)
