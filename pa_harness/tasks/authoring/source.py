"""An lm-eval task by the path of its YAML or by its name, or one clear message why there is none.

lm-eval builds the task; where that fails, its configuration and data are gone through again, in the
order in which lm-eval uses them, to say what is wrong in the user's terms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.data_file import LOADERS, read_data_file
from pa_harness.errors import DataFileError, TaskError, did_you_mean
from pa_harness.foreign.reading import MALFORMED
from pa_harness.tasks.authoring.columns import columns_used
from pa_harness.tasks.authoring.yaml_file import cause, check_only, read_yaml
from pa_harness.tasks.index import passed_over
from pa_harness.tasks.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRUCTURE = {"group", "tag", "task_list", "class", "include"}  # keys that are not TaskConfig's


@dataclass(frozen=True)
class LoadedTask:
    """A task as lm-eval built it.

    Attributes:
        name: the task's name.
        config: its YAML, with includes, before lm-eval filled in defaults.
        task: lm-eval's ConfigurableTask.
        own: whether it is a file's, and not one of lm-eval's or ours.
    """

    name: str
    config: dict[str, Any]
    task: Any
    own: bool = False


@dataclass(frozen=True)
class Loaded:
    """A task, or the tasks of a group, and the groups themselves (lm-eval's Group by name)."""

    tasks: list[LoadedTask]
    groups: dict[str, Any] = field(default_factory=dict)


def load_tasks(spec: str) -> Loaded:
    """The task, or the tasks of the group; under `confinement.confined`.

    Args:
        spec: the path of a YAML, or a name: ours first, then lm-eval's own (indexed in seconds).

    Raises:
        TaskError: there is no such task, or its YAML is wrong.
        DataFileError: its data file is.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # its errors are told below
    is_path = spec.endswith((".yaml", ".yml")) or "/" in spec or Path(spec).is_file()
    manager, entry = _from_file(Path(spec).expanduser()) if is_path else _from_name(spec)
    if entry.kind.name == "TASK":
        return Loaded([_load(manager, entry, own=is_path)])
    if entry.kind.name == "PY_TASK":
        raise TaskError(f"{spec} is a Python class; only tasks written as YAML can be checked.")
    try:
        built = manager.load([entry.name])
    except Exception as error:  # whatever a member's YAML, data or functions raise
        raise TaskError(
            f"The group {entry.name} cannot be loaded: {cause(error)}. Check its tasks one by one."
        ) from error
    tasks = [
        LoadedTask(name, _raw(task, entry.yaml_path), task, is_path)
        for name, task in sorted(built["tasks"].items())
    ]
    return Loaded(tasks, dict(built["groups"]))


def _from_file(path: Path) -> tuple[Any, Any]:
    """A task manager, and its entry for the file.

    A group names other tasks: those of its folder and ours, or, if need be, lm-eval's own.
    """
    from lm_eval.tasks._index import TaskIndex

    if not path.is_file():
        raise TaskError(f"There is no file {path} (looked for from {Path.cwd()}).")
    config = read_yaml(path, functions=True)
    named = config.get("group", config.get("task"))
    if not (isinstance(named, str) and named.strip()):
        raise TaskError(f"{path} names neither task: nor group:. Name the task: 'task: my_task'.")
    if "group" not in config:
        check_only(path, config["task"])
        return Lookup().manager, TaskIndex.entry_from_path(path)
    members = config.get("task") or []
    wanted = {item for item in members if isinstance(item, str)} | {named}
    found = Lookup([path.resolve().parent])
    if not found.has(wanted):
        found.add_lm_evals()
    lacking = sorted(wanted - found.manager.task_index.keys())
    if lacking and found.unread:
        raise TaskError(f"There is no {', '.join(lacking)}.{passed_over(found.unread)}")
    return found.manager, found.manager.task_index[named]


def _from_name(name: str) -> tuple[Any, Any]:
    found = Lookup()
    if not found.has([name]):
        found.add_lm_evals()
    known = found.manager.task_index
    if name in known:
        return found.manager, known[name]
    close = get_close_matches(name, known, 3)
    hint = f"Did you mean {', '.join(close)}? " if close else ""
    raise TaskError(
        f"There is no task {name!r} among ours and lm-eval's. {hint}For your own, pass its YAML."
    )


def _load(manager: Any, entry: Any, *, own: bool) -> LoadedTask:
    config = read_yaml(entry.yaml_path, functions=True)
    if own:
        _check_patterns(config, entry.yaml_path)
    try:
        known = entry.name in manager.task_index
        built = manager.load([entry.name if known else str(entry.yaml_path)])
    except Exception as error:  # whatever its YAML, data or functions raise
        problem = _first_problem(config)
        if problem:
            raise problem from error
        raise TaskError(
            f"lm-eval cannot build {entry.name} ({entry.yaml_path}): {cause(error)}."
        ) from error
    return LoadedTask(entry.name, config, built["tasks"][entry.name], own)


def _raw(task: Any, path: Path) -> dict[str, Any]:
    """What the YAML of a group's member says; where the group says more, lm-eval's own record."""
    source = (task.config.metadata or {}).get("config_source", "")
    own = read_yaml(Path(source), functions=True) if Path(source).is_file() else {}
    built: dict[str, Any] = task.config.to_dict(keep_callable=True)
    if not own or Path(source) == path:
        return built
    return {key: built.get(key, value) for key, value in own.items()}


def _first_problem(config: dict[str, Any]) -> TaskError | DataFileError | None:
    try:
        return next(_problems(config), None)
    except MALFORMED:  # settings of another shape: what lm-eval says of them is all there is
        return None


def _problems(config: dict[str, Any]) -> Iterator[TaskError | DataFileError]:
    """What is wrong, if anything of this is."""
    from lm_eval.config.task import TaskConfig

    known = {field.name for field in fields(TaskConfig)}
    unknown = sorted(config.keys() - known - _STRUCTURE)
    if unknown:
        hint = f" {did_you_mean(unknown[0], known)}".rstrip()
        yield TaskError(f"lm-eval knows no key {', '.join(map(repr, unknown))} of a task.{hint}")
    if not (config.get("dataset_path") or config.get("custom_dataset")):
        yield TaskError("There is no dataset_path:. Expected json, csv, or a data set of the hub.")
    try:
        _check_data_files(config)
        _check_splits(config)
    except (TaskError, DataFileError) as error:
        yield error


def _check_data_files(config: dict[str, Any]) -> None:
    """Read the local files that lm-eval would, for an error with a line in it."""
    for name in _data_files(config):
        if "://" in name or config.get("dataset_path") not in LOADERS.values():
            continue
        if Path(name).suffix.lower() in LOADERS and not set("*?[") & set(name):
            read_data_file(name)


def _data_files(config: dict[str, Any]) -> list[str]:
    kwargs = config.get("dataset_kwargs")
    found = kwargs.get("data_files") if isinstance(kwargs, dict) else None
    values = list(found.values()) if isinstance(found, dict) else [found]
    names = [name for each in values for name in (each if isinstance(each, list) else [each])]
    return [name for name in names if isinstance(name, str)]


def _check_patterns(config: dict[str, Any], file: Path) -> None:
    """See that no pattern has a whole disk looked through, and strangers' files read.

    Raises:
        TaskError: one begins in neither the YAML's folder nor the working directory.
    """
    homes = [file.resolve().parent, Path.cwd().resolve()]
    for name in _data_files(config):
        begin = re.split(r"[*?\[]", name, maxsplit=1)[0]
        if begin == name or "://" in name:
            continue
        place = Path(f"{begin}_").resolve().parent
        if not any(place.is_relative_to(home) for home in homes):
            raise TaskError(
                f"{file}: the data files {name} are looked for in {place}, which is neither below "
                "the task's folder nor below the working directory. Name the files."
            )


def _check_splits(config: dict[str, Any]) -> None:
    """Load the data as lm-eval does; every split that is named exists and holds documents."""
    import datasets

    if config.get("custom_dataset"):
        return
    path, name = config["dataset_path"], config.get("dataset_name")
    kwargs = dict(config.get("dataset_kwargs") or {})
    kwargs.pop("trust_remote_code", None)  # as lm-eval does
    try:
        loaded = datasets.load_dataset(path, name, **kwargs)
    except Exception as error:  # the hub's, the file system's and pyarrow's errors
        raise TaskError(
            f"The data set {path}{f' ({name})' if name else ''} cannot be loaded: {cause(error)}."
        ) from error
    keys = ("test_split", "validation_split", "fewshot_split", "training_split")
    named = {key: config[key] for key in keys if config.get(key)}
    if not {"test_split", "validation_split"} & set(named):
        raise TaskError(
            f"There is no test_split: (nor validation_split:), so nothing is evaluated. Splits of "
            f"{path}: {', '.join(loaded)}."
        )
    for key, split in named.items():
        if split not in loaded:
            raise TaskError(
                f"{key}: {split}: {path} has no such split. Its splits: {', '.join(loaded)}."
            )
        documents = loaded[split]
        if len(documents) and config.get("process_docs"):
            try:
                documents = config["process_docs"](documents)
            except Exception as error:  # the user's own function
                raise TaskError(
                    f"process_docs fails on {key} {split!r}: {cause(error)}."
                ) from error
        if not len(documents):
            raise TaskError(f"{key}: {split} is empty: there are no documents in it.")
        columns_used(config, list(documents.features))
