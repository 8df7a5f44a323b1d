"""The tasks of a sweep, loaded once, with their prompts rendered once and used at every λ.

lm-eval renders each prompt again in each `evaluate` call: milliseconds per document and shot, the
same text for every λ. Here a task builds its requests a single time; between two λ only the
answers are taken out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError, first_line, listed
from pa_harness.runs.scores import DRAW
from pa_harness.sweep.checks import IFEVAL_PACKAGES
from pa_harness.sweep.repeated import set_repeats
from pa_harness.sweep.shot_draws import with_draws
from pa_harness.tasks.choices import options_of_f1
from pa_harness.tasks.clusters import clusters, named
from pa_harness.tasks.index import index, text_of
from pa_harness.tasks.lookup import Lookup
from pa_harness.tasks.shipped import INSTRUCTION, REASONING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pa_harness.runs.settings import SweepSettings

# lm-eval's own instruction-following tasks, which carry no category, and their main metric.
_IFEVAL = "prompt_level_strict_acc,none"
_INSTRUCTION_TASKS = {"ifeval": _IFEVAL, "leaderboard_ifeval": _IFEVAL}
# What lm-eval raises of a task's file, data and code.
_OF_TASKS = (KeyError, ValueError, OSError, IndexError, TypeError, AssertionError, StopIteration)
_SENTENCES = "punkt_tab"  # NLTK's data that IFEval splits sentences and words with
_FACTS = ("category", "scoring", "metric", "counts_as", "random_baseline")


@dataclass
class Workload:
    """lm-eval's task and group objects by name."""

    tasks: dict[str, Any]
    groups: dict[str, Any]


def load_tasks(settings: SweepSettings) -> Workload:
    """Find and load the tasks, and set shots, generation and seeds as lm-eval's command does.

    Raises:
        SweepError: a name is unknown, a task is named twice, its data or a package that it
            needs is not there, or it has no such documents.
    """
    names = ", ".join(settings.tasks)
    try:
        with silence():
            loaded = _load(settings)
    except ImportError as error:
        package = "'pa-harness[ifeval]'" if error.name in IFEVAL_PACKAGES else error.name
        raise SweepError(
            f"The tasks {names} cannot be loaded without a package that is not installed: "
            f"{first_line(error)}. Do `pip install {package}`."
        ) from error
    except _OF_TASKS as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, StopIteration):
            why = "the data of one holds no documents"
        raise SweepError(f"The tasks {names} cannot be loaded: {why}") from error
    if any("ifeval" in name for name in loaded["tasks"]):
        _check_sentences()
    _check_names(loaded["tasks"], settings)
    _check_files([*loaded["tasks"], *(loaded.get("groups") or {})], settings)
    for task in loaded["tasks"].values():
        _override(task, settings)
        set_repeats(task, settings)
        _check_samples(task, settings)
        _check_f1(task)
        if named(task):
            clusters(task, [task.task_docs[0]])  # what is wrong is said before a model is loaded
    drawn = [task for task in loaded["tasks"].values() if (task.get_config("repeats") or 1) > 1]
    if settings.repeats and not drawn:
        raise SweepError(
            f"--repeats {settings.repeats}: none of {names} generates an answer. Leave it out."
        )
    tasks = with_draws(dict(loaded["tasks"]), settings)
    return Workload(tasks, dict(loaded.get("groups") or {}))


def _check_samples(task: Any, settings: SweepSettings) -> None:
    """lm-eval's own checks come after the model is loaded, as assertions and other exceptions."""
    if not documents(task, settings):
        raise SweepError(
            f"{task.task_name} has no documents to ask. Leave it out, or look into its data."
        )
    chosen = (settings.samples or {}).get(task.task_name)
    if chosen and not 0 <= min(chosen) <= max(chosen) < len(task.eval_docs):
        raise SweepError(
            f"--samples names documents {min(chosen)} to {max(chosen)} of {task.task_name}, which "
            f"has {len(task.eval_docs)}, numbered from 0."
        )


def _check_f1(task: Any) -> None:
    """Sklearn's f1_score would fail when every answer is there."""
    most = options_of_f1(task, (task.doc_to_choice(doc) for doc in task.eval_docs))
    if most:
        raise SweepError(
            f"{task.task_name} has up to {most} options; lm-eval's f1 is that of two, of which one "
            "is 1. Take acc, or an aggregation of your own (`pa-harness check-task` says how)."
        )


def _check_names(tasks: dict[str, Any], settings: SweepSettings) -> None:
    """Refuse what is given for a task that is not swept: it would go unseen."""
    given: dict[str, Any] = {"samples": settings.samples or {}}
    given |= {"categories": settings.categories, "metrics": settings.metrics}
    for option, by_task in given.items():
        unknown = [name for name in by_task if name not in tasks]
        if unknown:
            raise SweepError(
                f"{option} names {', '.join(unknown)}, which is not swept. The tasks are:\n"
                f"{listed(tasks)}"
            )
    for name, wanted in settings.metrics.items():
        filters = tasks[name].config.filter_list or [{"name": "none"}]
        keys = [f"{key},{each['name']}" for each in filters for key in tasks[name].aggregation()]
        if wanted not in keys:
            raise SweepError(f"metrics: {name} has no {wanted}. It has:\n{listed(keys)}")


def _check_files(names: Iterable[str], settings: SweepSettings) -> None:
    """Of two files with one name lm-eval takes one, and says so in a warning."""
    own = [index(Path(folder)) for folder in settings.include_path]
    for name in names:
        here = [folder[name] for folder in own if name in folder and folder[name].file]
        files = [file for each in here for file in (each.file, *each.again)]
        if len(files) > 1:
            raise SweepError(
                f"{name!r} is the name in {len(files)} files:\n{listed(map(str, files))}\nOne "
                "would be evaluated, the others not. Rename all but one (task:, or group:)."
            )


def facts(name: str, task: Any, settings: SweepSettings) -> dict[str, Any]:
    """What averages and prompts need to know of a task: metadata, overridden by the settings.

    Returns:
        Those of category, scoring, metric, counts_as and random_baseline that are known, and
        chat_template: "" for a raw prompt, "default", or the template's name.
    """
    metadata = task.get_config("metadata") or {}
    known = {key: metadata[key] for key in _FACTS if metadata.get(key) is not None}
    name = name.partition(DRAW)[0]
    if name in _INSTRUCTION_TASKS:
        known = {"category": INSTRUCTION, "metric": _INSTRUCTION_TASKS[name], **known}
    for key, given in (("category", settings.categories), ("metric", settings.metrics)):
        if name in given:
            known[key] = given[name]
    template = settings.apply_chat_template
    if template is None:
        template = known.get("category") in (INSTRUCTION, REASONING)
    known["chat_template"] = "default" if template is True else str(template or "")
    return known


def documents(task: Any, settings: SweepSettings) -> int:
    """How many documents of the task the settings leave."""
    from lm_eval.evaluator_utils import get_sample_size

    chosen = (settings.samples or {}).get(task.task_name)
    every = len(task.eval_docs) if chosen is None else len(set(chosen))
    limit = get_sample_size(task, settings.limit)
    return every if limit is None else min(every, limit)


def forget_answers(task: Any) -> None:
    """Make the task's requests as new, for the next λ."""
    for instance in task.instances:
        instance.resps = []
        instance.filtered_resps = {}


def _check_sentences() -> None:
    """IFEval's words and sentences need data of NLTK, which lm-eval has just tried to download.

    Where that failed it says so nowhere, and evaluation ends in a traceback after the answers.
    """
    import nltk

    try:
        nltk.data.find(f"tokenizers/{_SENTENCES}")
    except LookupError:
        raise SweepError(
            f"IFEval needs NLTK's {_SENTENCES}, which is not here and cannot be downloaded. Run "
            f"`python -m nltk.downloader {_SENTENCES}` once with network, or copy the folder "
            f"tokenizers/{_SENTENCES} of such a machine's nltk_data to one of these (NLTK_DATA "
            f"names another):\n{listed(nltk.data.path)}"
        ) from None


def _load(settings: SweepSettings) -> Any:
    """Load from the shipped and the user's own tasks; where that fails, from lm-eval's as well."""
    from lm_eval.utils import pattern_match

    found = Lookup(settings.include_path, settings.model_args | settings.metadata)
    files = {name for name in settings.tasks if Path(name).is_file()}
    for file in files:
        text_of(file)
    # A tag of ours may have members among lm-eval's tasks, a pattern may match some.
    if found.has(settings.tasks):
        with contextlib.suppress(KeyError):
            return found.manager.load(list(settings.tasks))
    found.add_lm_evals()
    known = sorted(found.manager.task_index)
    names = [[name] if name in files else pattern_match([name], known) for name in settings.tasks]
    return found.manager.load(list(dict.fromkeys(name for each in names for name in each)))


def _override(task: Any, settings: SweepSettings) -> None:
    """What lm-eval's simple_evaluate sets in a task before it is evaluated."""
    shots = task.get_config("num_fewshot")
    if settings.gen_kwargs and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value=settings.gen_kwargs, update=True)
    if shots is None:
        task.set_config(key="num_fewshot", value=settings.num_fewshot or 0)
    elif settings.num_fewshot is not None and shots != 0:
        task.set_config(key="num_fewshot", value=settings.num_fewshot)
    task.set_fewshot_seed(seed=settings.seed[3])


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep progress bars and notes from the terminal; lm-eval gives them no switch."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


class _Warnings(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


@contextlib.contextmanager
def silence_but_warnings() -> Iterator[None]:
    """`silence`, but say once what lm-eval warns of: an input that it does not use, perhaps."""
    kept, log = _Warnings(), logging.getLogger("lm_eval")
    log.addHandler(kept)
    try:
        with silence():
            yield
    finally:
        log.removeHandler(kept)
        for text in kept.texts:
            sys.stderr.write(f"lm-eval: {text}\n")
