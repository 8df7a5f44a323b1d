"""A user's own tables: read, compared with, or refused with one message."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_published import lm_eval_file, run_of

from pa_harness.errors import DataFileError, PAHarnessError, RunError
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import named_references, sections

V1 = BOARDS[0]
GEMMA = run_of(V1, "google/gemma-2b", "bfloat16")
TABLE = """\
model,task,metric,value,unit,source,num_fewshot,leaderboard,precision
me/mine-2b,hellaswag,acc_norm,71.5,percent,my paper,10,,
me/mine-2b,winogrande,acc,0.66,fraction,my paper,5,,
"""


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


def test_a_table_that_counts_as_many_documents_has_the_limit(tmp_path: Path) -> None:
    numbers = read_results([lm_eval_file(tmp_path, limit=10042.0)])
    for n, reasons in (("10042", ()), ("", ("limit: 10042, not 0 (0 is none)",))):
        (tmp_path / "t.csv").write_text(
            "model,task,metric,value,unit,source,num_fewshot,n\n"
            f"google/gemma-2b,hellaswag,acc_norm,71,percent,s,10,{n}\n"
        )
        (section,) = sections(numbers, *named_references([str(tmp_path / "t.csv")]))
        assert section.rows[0].reasons == reasons


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
    assert not any("limit" in reason for row in found.rows for reason in row.reasons)
    shots = [[r for r in row.reasons if r.startswith("shots")] for row in found.rows]
    assert shots == [[], ["shots: 10, not 0"]]


def test_a_file_that_shares_nothing_says_what_it_has(tmp_path: Path) -> None:
    numbers = read_results([lm_eval_file(tmp_path)])
    (tmp_path / "mine.csv").write_text(TABLE.replace("hellaswag", "x").replace("winogrande", "y"))
    references = named_references([str(tmp_path / "mine.csv")])
    with pytest.raises(RunError, match=r"shares no model and task.*\n  me/mine-2b\n.*\n  x\n  y"):
        sections(numbers, *references)


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
