"""Results of any program: read whole, or refused with one message that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from as_published import results_of, run_of

from pa_harness.boards import BOARDS
from pa_harness.errors import DataFileError, PAHarnessError, RunError
from pa_harness.result_files import read_results
from pa_harness.side_by_side import named_references, sections

V1, V2 = BOARDS[:2]
GEMMA = run_of(V1, "google/gemma-2b", "bfloat16")
TABLE = """\
model,task,metric,value,unit,source,num_fewshot,leaderboard,precision
me/mine-2b,hellaswag,acc_norm,71.5,percent,my paper,10,,
me/mine-2b,winogrande,acc,0.66,fraction,my paper,5,,
"""


def lm_eval_file(folder: Path, name: str = "results_1.json", **config: Any) -> Path:
    file = folder / name
    file.write_text(json.dumps(results_of(V1, GEMMA, **config)), encoding="utf-8")
    return file


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


def test_a_table_is_read_and_compared(tmp_path: Path) -> None:
    """As results, in both units."""
    table = tmp_path / "mine.csv"
    table.write_text(TABLE)
    first, second = read_results([table])
    assert (first.value, second.value) == (0.715, 0.66)
    assert (first.num_fewshot, first.n, first.source) == (10, 0, "my paper")
    (section,) = sections([first, second], ["open_llm_v1"])
    assert [row.task for row in section.rows] == ["HellaSwag", "WinoGrande"]


def test_yaml_is_a_table_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "- {model: m, task: t, metric: a, value: 50, unit: percent, source: s, chat_template: no}"
    )
    (number,) = read_results([tmp_path / "mine.yaml"])
    assert (number.value, number.chat_template) == (0.5, "no")


def test_rows_of_a_leaderboard_join_it(tmp_path: Path) -> None:
    """A user's own model is published for the comparison, and ranked against."""
    table = tmp_path / "more.csv"
    rows = [
        f"me/mine-2b,{row.task},{row.metric},{row.value + 0.1},fraction,mine,"
        f"{'' if row.num_fewshot is None else row.num_fewshot},open_llm_v1,bfloat16"
        for row in GEMMA
    ]
    table.write_text("\n".join([TABLE.splitlines()[0], *rows]))
    numbers = read_results([lm_eval_file(tmp_path)])
    (alone,) = sections(numbers, ["open_llm_v1"])
    boards, references = named_references([str(table)])
    assert boards == []
    (section,) = sections(numbers, boards, references)
    pairs = zip(alone.standings, section.standings, strict=True)
    assert all((b.rank, b.of) == (a.rank + 1, a.of + 1) for a, b in pairs)


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


def test_numbers_in_several_settings_stand_side_by_side(tmp_path: Path) -> None:
    """Of a table to compare with, none is taken for another's repetition."""
    table = tmp_path / "theirs.csv"
    table.write_text(
        "model,task,metric,value,unit,source,num_fewshot,leaderboard,snapshot\n"
        "google/gemma-2b,hellaswag,acc_norm,71.65,percent,s,10,,\n"
        "google/gemma-2b,hellaswag,acc_norm,70,percent,s,0,,\n"
        "me/mine,leaderboard_gpqa,acc_norm,30,percent,s,0,open_llm_v2,final\n"
        "me/mine,leaderboard_gpqa,acc_norm,7,percent,s,0,open_llm_v2,2024-08\n"
    )
    boards, references = named_references([str(table)])
    assert len(references) == 4
    numbers = read_results([lm_eval_file(tmp_path)])
    found = sections(numbers, boards, references)[-1]
    shots = [[r for r in row.reasons if r.startswith("shots")] for row in found.rows]
    assert shots == [[], ["shots: 10, not 0"]]


def test_a_file_that_shares_nothing_says_what_it_has(tmp_path: Path) -> None:
    numbers = read_results([lm_eval_file(tmp_path)])
    (tmp_path / "mine.csv").write_text(TABLE.replace("hellaswag", "x").replace("winogrande", "y"))
    references = named_references([str(tmp_path / "mine.csv")])
    with pytest.raises(RunError, match=r"shares no model and task.*\n  me/mine-2b\n.*\n  x\n  y"):
        sections(numbers, *references)


WHOLE = json.dumps(results_of(V1, GEMMA))
BROKEN = {
    "cut": (WHOLE[: len(WHOLE) // 2], r"r.json is not whole JSON \(.*\): it was cut off"),
    "empty": ("", "r.json is not whole JSON"),
    "binary": (b"\xff\xfe\x00\x01", "r.json is not a text file"),
    "list": ("[1, 2]", "r.json is of another kind: list. Expected a results file of lm-eval"),
    "foreign": ('{"loss": 1, "epoch": 2}', "another kind: dict with loss, epoch. Expected"),
    "deep": ("[" * 100_000, "r.json cannot be read: "),
    "no numbers": ('{"results": {}, "configs": {}}', "r.json holds no task's numbers"),
    "wrong types": ('{"results": [1], "configs": {}}', "r.json holds no task's numbers"),
    "results null": ('{"results": null, "configs": {}}', "r.json is damaged: .*TypeError"),
    "task null": (
        '{"results": {"a": {"acc,none": 1}}, "configs": {"a": null}}',
        "r.json is damaged: .*AttributeError",
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


TABLES = {
    "model,task\nm,t\n": r"line 2: lacks metric, value, unit, source. Every row needs model",
    TABLE.replace("percent", "permille"): "line 2: unit 'permille'. Expected percent or fraction",
    TABLE.replace("71.5", "high"): "line 2: value 'high' is no number",
    TABLE.replace("precision", "colour"): "line 2: has colour. Every row needs",
    TABLE.replace("71.5", "nan"): "line 2: value 'nan' is no number",
    TABLE.replace("71.5", "inf"): "line 2: value 'inf' is no number",
    TABLE.replace("71.5", "-1"): r"line 2: value -1 with unit percent. Expected 0 to 100\.$",
    TABLE.replace("0.66", "66"): "line 3: value 66 with unit fraction. Expected 0 to 1. Is it perc",
    TABLE.replace("paper,10", "paper,2.5"): "line 2: num_fewshot '2.5'. Expected a whole number",
    TABLE.replace("paper,10", "paper,-1"): "line 2: num_fewshot '-1'. Expected a whole number",
    TABLE.replace("paper,10", "paper,inf"): "line 2: num_fewshot 'inf' is no number",
    TABLE.replace("10,,", "10,open_llm_v3,"): (
        "line 2: leaderboard 'open_llm_v3'. Expected nothing, or open_llm_v1, open_llm_v2, alpaca"
    ),
    TABLE.replace("precision", "scale").replace("10,,", "10,,normalised"): (
        "line 2: scale 'normalised'. Expected nothing, or raw, normalized"
    ),
    TABLE.replace("precision", "snapshot").replace("10,,", "10,open_llm_v2,2023"): (
        "line 2: snapshot '2023'. Expected nothing, or 2024-08, final"
    ),
    TABLE + TABLE.splitlines()[1].replace("71.5", "72"): (
        r"line 2 and line 4 are of one thing \(me/mine-2b, hellaswag, acc_norm\)"
    ),
    TABLE.replace("precision", "chat_template").replace("10,,", "10,,maybe"): (
        "chat_template 'maybe'. Expected yes, no or nothing"
    ),
}


@pytest.mark.parametrize("text", TABLES)
def test_a_malformed_table_gets_one_clear_message(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataFileError, match=TABLES[text]):
        read_results([tmp_path / "t.csv"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "t.yaml holds no rows"),
        ("a: b", "expected a list of mappings with model, task"),
        ("- [", "cannot be read as YAML"),
    ],
)
def test_a_malformed_yaml_gets_one_clear_message(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(PAHarnessError, match=message):
        read_results([tmp_path / "t.yaml"])
    with pytest.raises(DataFileError, match="There is no file"):
        read_results([tmp_path / "none.yaml"])


def test_the_archives_own_records_are_read() -> None:
    """As the archive of the Open LLM Leaderboard v2 writes them (evaleval/every_eval_ever)."""
    from pa_harness.every_eval_ever import read_record

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
