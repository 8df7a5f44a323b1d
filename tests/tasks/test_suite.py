"""The shipped tasks: what they render, what they must never render, what they say of themselves."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from suite_data import REAL, members

from pa_harness.tasks import documents
from pa_harness.tasks.authoring.check import check_task
from pa_harness.tasks.authoring.source import LoadedTask
from pa_harness.tasks.documents import Lite
from pa_harness.tasks.shipped import (
    CATEGORIES,
    read_yaml,
    shipped_tasks,
    task_table,
    tasks_folder,
)

GOLDEN = Path(__file__).parent / "golden"


def shots(task: Any) -> list[dict[str, Any]]:
    return list(task.sampler.sample(task.config.num_fewshot))


def prompt(task: Any, doc: dict[str, Any]) -> str:
    context = task.fewshot_context(doc, num_fewshot=task.config.num_fewshot)
    return context if isinstance(context, str) else "\n====\n".join(context)


def rendered(task: Any) -> str:
    """First prompt, its continuations and its target, so that every blank shows."""
    doc = task.eval_docs[0]
    task.build_all_requests(limit=1)
    wanted = [i.args[1] for i in task.instances if i.request_type == "loglikelihood"]
    shown = prompt(task, doc)
    own = f"{task.doc_to_text(doc)}"
    before = shown.removesuffix(own)
    for published in texts_of_others(task):
        digest = hashlib.sha256(published.encode()).hexdigest()[:12]
        before = before.replace(published, f"<{digest}>")
    assert not any(len(text) > 20 and text in before for text in texts_of_others(task))
    lines = [
        before + shown[len(shown.removesuffix(own)) :] + "¶",
        *(f"option{text!r}" for text in wanted),
    ]
    return "\n".join([*lines, f"target {task.doc_to_target(doc)!r}", ""])


def texts_of_others(task: Any) -> list[str]:
    """BBH's published instruction and demonstrations: kept as digests, they are not ours."""
    if not callable(task.fewshot_cfg.samples):
        return []
    demonstrations = task.fewshot_cfg.samples()
    texts = [task.config.description.strip(), *(d[f] for d in demonstrations for f in d if d[f])]
    return sorted(texts, key=len, reverse=True)  # a short answer may be part of a long text


@pytest.mark.skipif(REAL in os.environ, reason="the golden prompts are of the made-up rows")
def test_prompts_are_golden(tasks: dict[str, Any]) -> None:
    """Byte for byte; PA_HARNESS_GOLDEN=write rewrites them, for a reader of the diff."""
    for name, task in tasks.items():
        file = GOLDEN / f"{name.replace('::', '.')}.txt"
        if os.environ.get("PA_HARNESS_GOLDEN") == "write":
            file.write_text(rendered(task), encoding="utf-8")
        assert rendered(task) == file.read_text(encoding="utf-8"), name
    assert {f.stem for f in GOLDEN.glob("*.txt")} == {n.replace("::", ".") for n in tasks}


def test_no_document_is_among_its_shots(suite: Any) -> None:
    for name, task in suite["tasks"].items():
        assert len(shots(task)) == task.config.num_fewshot > 0, name
        demonstrations = {content(task, doc) for doc in shots(task)}
        for doc in task.eval_docs:
            assert content(task, doc) not in demonstrations, f"{name}: {doc}"


def content(task: Any, doc: dict[str, Any]) -> str:
    """What the prompt shows of a document, whatever its ids, blanks and capitals."""
    text = task.doc_to_text(doc)
    options = task.doc_to_choice(doc) if task.config.doc_to_choice else ""
    return " ".join(f"{options if isinstance(text, int) else text}".split()).lower()


def test_shots_are_the_same_for_every_document_and_number_of_processes(
    tasks: dict[str, Any],
) -> None:
    for name, task in tasks.items():
        task.build_all_requests(limit=4)
        alone = [(i.doc_id, i.idx, i.args) for i in task.instances]
        spread = []
        for rank in range(2):
            task.build_all_requests(limit=4, rank=rank, world_size=2)
            spread += [(i.doc_id, i.idx, i.args) for i in task.instances]
        assert sorted(spread, key=str) == sorted(alone, key=str), name
        starts = {prompt(task, doc)[:40] for doc in task.eval_docs.select(range(4))}
        assert len(starts) == 1, name


def test_the_checks_find_no_error(suite: Any) -> None:
    """`pa-harness check-task` on every task: golds, metadata, baselines, leaks, blanks."""
    for name, task in suite["tasks"].items():
        if "::" not in name or name.endswith(("::abstract_algebra", "::navigate")):
            loaded = LoadedTask(name, task.config.to_dict(keep_callable=True), task)
            found = check_task(loaded, []).findings
            # The rows are made up, as few as they may be: their clusters are not the split's.
            found = (
                found if REAL in os.environ else [f for f in found if "says clusters" not in f.what]
            )
            errors = [each for each in found if each.level == "error"]
            assert not errors, (name, errors)


def test_every_gold_is_an_option(suite: Any) -> None:
    for name, task in suite["tasks"].items():
        if task.OUTPUT_TYPE == "multiple_choice":
            asked = task.doc_to_text if task.multiple_input else task.doc_to_target
            for doc in task.eval_docs:
                assert asked(doc) in range(len(task.doc_to_choice(doc))), name


def test_labels_are_balanced_among_the_shots(tasks: dict[str, Any]) -> None:
    for name, task in tasks.items():
        if task.OUTPUT_TYPE == "multiple_choice" and "mmlu" not in name:
            asked = task.doc_to_text if task.multiple_input else task.doc_to_target
            classes = Counter(asked(doc) for doc in shots(task))
            # A small pool may lack a rare class (of 100 real gold headlines none is neutral).
            assert set(classes) == {asked(doc) for doc in task.fewshot_docs()}, (name, classes)
            if REAL not in os.environ:
                assert len(classes) == len(task.doc_to_choice(task.eval_docs[0])), name
            assert max(classes.values()) - min(classes.values()) <= 1, (name, classes)


def test_nothing_trails_before_the_answer(tasks: dict[str, Any]) -> None:
    for name, task in tasks.items():
        task.build_all_requests(limit=2)
        for request in task.instances:
            context = request.args[0]
            if request.request_type == "loglikelihood":
                continuation = request.args[1]
                assert continuation[0] == " ", name
                assert continuation[1] != " ", name
                assert context[-1:] not in (" ", "\n", "\t"), name
            else:
                # The chain of thought begins on a line of its own, as BBH publishes it.
                assert context[-1] not in " \t", name
                assert context[-1] != "\n" or "cot" in name, name
            if REAL not in os.environ:
                assert "  " not in context, name


def test_lite_is_the_same_sample_in_any_order() -> None:
    rows = datasets.Dataset.from_list([{"text": f"row {i}"} for i in range(500)])
    sample = Lite(20)(rows)["text"]
    assert len(sample) == 20
    assert sample == sorted(sample, key=lambda text: int(text.split()[1]))
    assert set(Lite(20)(rows.shuffle(seed=3))["text"]) == set(sample)
    assert Lite(501)(rows)["text"] == rows["text"]


def test_lite_has_the_sizes_that_the_readme_states() -> None:
    sizes = {name: thing.size for name, thing in vars(documents).items() if name[:4] == "lite"}
    assert sizes.pop("lite_mmlu") * 57 == 228
    assert sizes.pop("lite_bbh") * 27 == 216
    assert set(sizes.values()) == {200}
    readme = (tasks_folder() / "README.md").read_text(encoding="utf-8")
    for text in ("200 documents a task", "MMLU 4 a subject (228)", "BIG-Bench Hard 8 a task (216)"):
        assert text in readme


def test_lite_asks_the_full_tasks_questions(suite: Any) -> None:
    loaded = suite["tasks"]
    for name, task in loaded.items():
        if "_lite" in name:
            full = loaded[name.replace("_lite", "")]
            asked = {json.dumps(doc, default=str) for doc in full.eval_docs}
            assert {json.dumps(doc, default=str) for doc in task.eval_docs} <= asked
            assert prompt(task, task.eval_docs[0]) == prompt(full, task.eval_docs[0]), name


def test_the_suite_has_21_tasks_once_each() -> None:
    chosen = [task for task in shipped_tasks() if task.suite]
    assert len(chosen) == 21
    per_category = Counter(task.category for task in chosen)
    assert per_category == dict(zip(CATEGORIES, (3, 6, 4, 2, 3, 3), strict=True))
    grouped = members(read_yaml(tasks_folder() / "pa_icl.yaml"))
    assert sorted(grouped) == sorted(task.name for task in chosen)
    lite = read_yaml(tasks_folder() / "pa_icl_lite.yaml")["task"]
    assert [f"{name}_lite" for name in grouped] == lite


def test_every_multiple_choice_task_has_both_scorings() -> None:
    shipped = {task.name: task for task in shipped_tasks()}
    for name, task in shipped.items():
        assert name.endswith(f"_{task.scoring}")
        if task.scoring == "mcf":
            assert f"{name.removesuffix('mcf')}cf" in shipped
        if task.scoring == "cf":
            other = shipped[f"{name.removesuffix('cf')}mcf"]
            same = ("category", "num_fewshot", "split", "documents", "source", "licence")
            assert [getattr(task, f) for f in same] == [getattr(other, f) for f in same]


def test_metadata_is_complete(suite: Any) -> None:
    for name, task in suite["tasks"].items():
        metadata = task.config.metadata
        assert metadata["category"] in CATEGORIES, name
        assert 0 <= metadata["random_baseline"] < 1, name
        assert {"version", "scoring", "source", "licence", "splits", "matches"} <= set(metadata)
        names = {entry["metric"] for entry in task.config.metric_list}
        filters = {filtered.name for filtered in task._filters}
        metric, _, filtered = metadata["metric"].partition(",")
        assert metric in names, name
        assert filtered in filters, name
        pinned = task.config.dataset_kwargs
        assert len(pinned.get("revision") or pinned["hub_commit"]) == 40, name


def test_the_table_in_the_readme_is_current() -> None:
    readme = (tasks_folder() / "README.md").read_text(encoding="utf-8")
    assert task_table() in readme
