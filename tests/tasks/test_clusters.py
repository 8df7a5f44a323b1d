"""Which documents stand together: named, told from shared text, or the same question."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pa_harness.errors import TaskError
from pa_harness.tasks.clusters import LONG, clusters
from pa_harness.tasks.shipped import read_yaml, suite_files, tasks_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSAGE = "The second chamber sat for longer than the first, " + "and longer " * 10
OTHER = "A bear and a hedgehog were shown a box full of pencils. " + "They chose one. " * 8


def task(cluster: Any = None, data: str = "quiz", **more: Any) -> Any:
    """As much of lm-eval's task as is asked."""
    config = SimpleNamespace(
        **{"task": "quiz", "metadata": {} if cluster is None else {"cluster": cluster}},
        **{"dataset_path": data, "dataset_name": None, "dataset_kwargs": {}},
    )
    asks = {"doc_to_text": lambda row: row["question"], "multiple_input": 0, **more}
    return SimpleNamespace(config=config, **asks)


def rows(*questions: str, **columns: Sequence[Any]) -> list[dict[str, Any]]:
    every = {"question": questions, **columns}
    return [dict(zip(every, values, strict=True)) for values in zip(*every.values(), strict=True)]


def parted(names: Sequence[str]) -> list[int]:
    """By first appearance: equal numbers, equal clusters."""
    seen = list(dict.fromkeys(names))
    return [seen.index(name) for name in names]


def test_a_named_column_parts_the_documents() -> None:
    found = clusters(task("story"), rows("a", "b", "c", "d", story=["x", "y", "x", None]))
    assert parted(found) == [0, 1, 0, 2]


def test_a_template_takes_several_columns() -> None:
    documents = rows("a", "b", "c", story=["x", "x", "y"], part=[1, 2, 1])
    assert parted(clusters(task("{{story}} {{part}}"), documents)) == [0, 1, 2]
    assert parted(clusters(task("{{story}}"), documents)) == [0, 0, 1]


def test_long_lines_in_common_are_found_without_a_name() -> None:
    questions = [
        f"{PASSAGE}\nWho sat?",
        f"Read:\n  {PASSAGE}\nHow long?",
        "Who?",
        f"{OTHER} Which?",
    ]
    assert parted(clusters(task(), rows(*questions))) == [0, 0, 1, 2]
    assert parted(clusters(task(), rows(*"abc", options=[[OTHER], ["x"], ["y", OTHER]]))) == [
        0,
        1,
        0,
    ]


def test_short_lines_and_the_tasks_own_wording_say_nothing() -> None:
    short = "x" * (LONG - 1)
    assert parted(clusters(task(), rows(f"a\n{short}", f"b\n{short}", "c", "d"))) == [0, 1, 2, 3]
    told = rows(*(f"{PASSAGE}\n{n}" for n in range(5)))
    assert parted(clusters(task(), told)) == [0, 1, 2, 3, 4]


def test_a_chain_of_shared_texts_is_one_cluster() -> None:
    documents = rows(PASSAGE, f"{PASSAGE}\n{OTHER}", OTHER, "x", "y", "z")
    assert parted(clusters(task(), documents)) == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("cluster", [None, "story"])
def test_the_same_prompt_is_one_cluster_whatever_else_differs(cluster: str | None) -> None:
    documents = rows("a", "b", "a", story=[1, 2, 3], id=[7, 8, 9])
    assert parted(clusters(task(cluster), documents)) == [0, 1, 0]
    blank = rows("", "", story=[1, 2])
    assert parted(clusters(task(cluster), blank)) == [0, 1]


def test_options_that_are_prompts_are_what_is_asked() -> None:
    choices = {"doc_to_text": lambda row: row["label"], "doc_to_choice": lambda row: row["options"]}
    documents = rows(*"abc", label=[0, 0, 1], options=[["she", "he"], ["I", "he"], ["she", "he"]])
    assert parted(clusters(task(multiple_input=2, **choices), documents)) == [0, 1, 0]


def test_other_tasks_on_the_same_documents_have_the_same_names() -> None:
    documents = rows(
        f"{PASSAGE}\nWho?", f"{PASSAGE}\nHow?", "Where?", passage=[PASSAGE] * 2 + [OTHER]
    )
    letters = task(doc_to_text=lambda row: f"{row['question']}\nA. I\nB. he")
    assert clusters(letters, documents) == clusters(task(), documents)
    by_name = clusters(task("passage"), documents)
    assert by_name == clusters(task("passage", data="another copy"), documents)
    assert by_name[0] == clusters(task(), documents)[0]  # the shared line is the passage


def test_a_short_name_is_one_data_sets_own() -> None:
    documents = rows("a", "b", story=["1", "2"])
    mine, others = clusters(task("story"), documents), clusters(task("story", "other"), documents)
    assert not set(mine) & set(others)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (
            "storey",
            r"quiz: metadata: cluster: storey: its documents have no such column. Columns: q",
        ),
        ("{{storey}}", r"quiz: metadata: cluster: '{{storey}}' cannot be rendered: .*storey"),
        ("{{story", r"cannot be rendered"),
        (3, r"metadata: cluster: 3: expected the name of a column, or a template"),
        ("  ", r"expected the name of a column"),
    ],
)
def test_what_cannot_be_read_is_an_error(cluster: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        clusters(task(cluster), rows("a", story=["x"]))


def test_the_shipped_passages_are_named() -> None:
    """By the column that holds them; the smaller copies include the same metadata."""
    said = {}
    for file in suite_files():
        config = read_yaml(file)
        said[file.stem] = (config.get("metadata") or {}).get("cluster")
    assert tasks_folder().is_dir()
    expected = {"squad": "context", "drop": "passage", "boolq": "passage", "rte": "sentence1"}
    expected |= {"fiqa": "sentence", "piqa": "goal", "commonsense_qa": "question_concept"}
    for stem, cluster in said.items():
        task_, *_ = (stem.rsplit("_gen", 1)[0].rsplit("_cf", 1)[0].rsplit("_mcf", 1)[0],)
        assert cluster == expected.get(task_), stem
