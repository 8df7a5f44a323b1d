"""A shipped task with the built-in's shots and template is the built-in task.

Same requests, document by document, and the same metrics from the same answers: so the same
numbers, whatever the model.
"""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from pa_harness.tasks.shipped import tasks_folder

BUILT_IN = Path(find_spec("lm_eval").submodule_search_locations[0], "tasks")
# Built-in task: its folder, the shipped task, and what the template differs in.
LONGER = {"generation_kwargs": {"until": ["\n", ".", ","], "do_sample": False, "temperature": 0.0}}
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "arc_challenge": ("arc", "pa_arc_challenge_cf", {}),
    "hellaswag": ("hellaswag", "pa_hellaswag_cf", {}),
    "winogrande": ("winogrande", "pa_winogrande_cf", {}),
    "piqa": ("piqa", "pa_piqa_cf", {}),
    "openbookqa": ("openbookqa", "pa_openbookqa_cf", {}),
    "boolq": ("super_glue/boolq", "pa_boolq_cf", {}),
    "rte": ("glue/rte", "pa_rte_cf", {}),
    "sst2": (
        "glue/sst2",
        "pa_sst2_cf",
        {"doc_to_text": "{{sentence}}\nQuestion: Is this sentence positive or negative?\nAnswer:"},
    ),
    "commonsense_qa": (
        "commonsense_qa",
        "pa_commonsense_qa_mcf",
        {
            "doc_to_text": "Question: {{ question.strip() }}\n"
            "{% for c in choices.text %}{{ 'ABCDE'[loop.index0] }}. {{ c }}\n{% endfor %}Answer:"
        },
    ),
    "gsm8k": (
        "gsm8k",
        "pa_gsm8k_gen",
        {
            "generation_kwargs": {
                "until": ["Question:", "</s>", "<|im_end|>"],
                "do_sample": False,
                "temperature": 0.0,
            }
        },
    ),
    "triviaqa": (
        "triviaqa",
        "pa_triviaqa_gen",
        {"doc_to_text": "Question: {{question}}?\nAnswer:", **LONGER},
    ),
    "nq_open": ("nq_open", "pa_nq_open_gen", LONGER),
}
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


def load(folder: Path, name: str, **overrides: Any) -> Any:
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    group = {"group": "variant", "task": [{"task": name, **overrides}]}
    (only,) = manager.load([group])["tasks"].values()
    only.set_fewshot_seed(1234)
    only.build_all_requests()
    return only


@pytest.mark.usefixtures("in_hub")
@pytest.mark.parametrize("shots", [0, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_variant_is_the_built_in(name: str, shots: int) -> None:
    folder, ours_name, template = VARIANTS[name]
    theirs = load(BUILT_IN / folder, name, num_fewshot=shots)
    splits = {split: getattr(theirs.config, split) for split in SPLITS}
    variant = {**template, **splits, "fewshot_config": {"sampler": "default"}}
    ours = load(tasks_folder(), ours_name, num_fewshot=shots, **variant)
    asked = [(i.doc_id, i.request_type, i.args) for i in theirs.instances]
    shared = [(i.doc_id, i.request_type, i.args) for i in ours.instances if conditional(i)]
    assert shared == asked
    compare_scores(ours, theirs)


def conditional(instance: Any) -> bool:
    """Not one of the prompts without context that PMI adds."""
    return instance.request_type != "loglikelihood" or instance.args[0] != ""


def compare_scores(ours: Any, theirs: Any) -> None:
    """Random answers to both: every metric that the built-in has comes out the same."""
    for task in (ours, theirs):
        generator = random.Random(7)
        for instance in task.instances:
            if conditional(instance):
                instance.resps = [answer(instance, task, generator)]
            else:
                instance.resps = [(-1.0, False)]
        task.apply_filters()
    for filtered in {f.name for f in theirs._filters}:
        for doc_id, doc in enumerate(theirs.eval_docs):
            expected = theirs.process_results(doc, responses(theirs, doc_id, filtered))
            found = ours.process_results(ours.eval_docs[doc_id], responses(ours, doc_id, filtered))
            assert {k: found[k] for k in expected} == expected


def responses(task: Any, doc_id: int, filtered: str) -> list[Any]:
    of_doc = [i for i in task.instances if i.doc_id == doc_id]
    return [i.filtered_resps[filtered] for i in sorted(of_doc, key=lambda i: i.idx)]


def answer(instance: Any, task: Any, generator: random.Random) -> Any:
    """A log-likelihood, or a text that is right half of the time."""
    luck = generator.random()
    if instance.request_type == "loglikelihood":
        return (-10 * luck, luck > 0.5)
    target = task.doc_to_target(instance.doc)
    right = target[0] if isinstance(target, list) else target
    return f" The {right}" if luck > 0.5 else f"so #### {int(100 * luck)}"


@pytest.mark.usefixtures("in_hub")
@pytest.mark.parametrize(
    ("built_in", "file", "group", "part"),
    [
        ("mmlu_anatomy", "mmlu/default", "pa_mmlu_mcf", "anatomy"),
        ("mmlu_anatomy_continuation", "mmlu/continuation", "pa_mmlu_cf", "anatomy"),
        ("bbh_fewshot_navigate", "bbh/fewshot", "pa_bbh_gen", "navigate"),
        ("bbh_cot_fewshot_navigate", "bbh/cot_fewshot", "pa_bbh_cot_gen", "navigate"),
    ],
)
def test_parts_ask_what_the_built_in_asks(built_in: str, file: str, group: str, part: str) -> None:
    manager = TaskManager(include_defaults=False, include_path=str(tasks_folder()))
    ours = manager.load([group])["tasks"][f"{group}::{part}"]
    ours.build_all_requests()
    theirs = load(BUILT_IN / file, built_in, num_fewshot=ours.config.num_fewshot)
    assert [i.args[0] for i in ours.instances] == [i.args[0] for i in theirs.instances]
    if ours.OUTPUT_TYPE == "generate_until":
        ends = [task.config.generation_kwargs["until"] for task in (ours, theirs)]
        assert ends == [["\n\n", "Q:"], ["</s>", "Q", "\n\n"]], "the README says what differs"
    if ours.OUTPUT_TYPE == "multiple_choice":
        assert [i.args for i in ours.instances] == [i.args for i in theirs.instances]
