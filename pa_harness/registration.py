"""Make `partially_adapted` and the shipped tasks known to lm-eval.

lm-eval 0.4.13 reads no entry points, so a wheel must bring its own way in: `pa_harness.pth` in
site-packages calls `install()` at interpreter start. That only puts a finder on `sys.meta_path`;
the work is done when, and if, lm-eval itself is imported. Set ``PA_HARNESS_HOOK=0`` to switch it
off, ``=debug`` to see why it fails; ``pa-harness run ...`` is the same command without
the hook.

Standard library only, and nothing heavy: every Python start of the environment pays for it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself costs milliseconds at interpreter start
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

MODELS = {
    "partially_adapted": "pa_harness.models.hf:PartiallyAdaptedLM",
    "partially_adapted_vllm": "pa_harness.models.vllm.model:PartiallyAdaptedVLLM",
}
OFF_SWITCH = "PA_HARNESS_HOOK"


def _models(_module: ModuleType) -> None:
    """lm_eval.models is imported, its own names are registered: add ours after them.

    Before them would hide every built-in model (lm-eval fills its registry only while it is
    empty). A string placeholder loads nothing. A host that registered the entry point itself
    comes first.
    """
    from lm_eval.api.registry import model_registry

    from pa_harness.errors import install_excepthook

    for name, target in MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)
    install_excepthook()


def _task_manager(module: ModuleType) -> None:
    """Index our task folder before the user's own --include_path, which thereby stays free."""
    import inspect

    from pa_harness.tasks.shipped import tasks_folder

    manager: Any = module.TaskManager
    original = manager.__init__
    signature = inspect.signature(original)
    if "include_path" not in signature.parameters:
        raise RuntimeError("its TaskManager takes no include_path")

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        call = signature.bind(self, *args, **kwargs)
        given = call.arguments.get("include_path")
        users = given if isinstance(given, (list, tuple)) else [given]
        ours = tasks_folder()
        folders = [ours, *(folder for folder in users if folder not in (None, ours, str(ours)))]
        call.arguments["include_path"] = folders
        original(*call.args, **call.kwargs)
        self.include_path = given

    manager.__init__ = __init__


def _groups(module: ModuleType) -> None:
    """Average the suite's groups over tasks; lm-eval does over leaf tasks (MMLU's 57 subjects)."""
    from pa_harness.tasks.average import group_row

    group: Any = module.Group
    original = group.aggregate

    def aggregate(self: Any, task_metrics: Any) -> Any:
        if (self.metadata or {}).get("average") != "tasks":
            return original(self, task_metrics)
        leaves = {task.task_name: task.config.metadata or {} for task in self.get_all_tasks()}
        return group_row(self.name, leaves, task_metrics)

    group.aggregate = aggregate


def _results_folder(module: ModuleType) -> None:
    """Name the results folder after pair and λ; lm-eval has the first of peft, pretrained only."""
    from lm_eval.utils import sanitize_model_name

    tracker: Any = module.GeneralConfigTracker
    original = tracker.log_experiment_args

    def log_experiment_args(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.model_source in MODELS:
            model_args = kwargs.get("model_args", args[1] if len(args) > 1 else None)
            self.model_name = results_name(model_args)
            self.model_name_sanitized = sanitize_model_name(self.model_name)

    tracker.log_experiment_args = log_experiment_args


def _command_line(module: ModuleType) -> None:
    """Give malformed JSON in our --model_args an argparse message; lm-eval shows a traceback."""
    harness: Any = module.HarnessCLI
    original = harness.parse_args

    def parse_args(self: Any) -> Any:
        try:
            return original(self)
        except (ValueError, TypeError, RecursionError, MemoryError) as error:
            if not any(name in argument for argument in sys.argv for name in MODELS):
                raise
            self._parser.error(f"argument --model_args: {error}")

    harness.parse_args = parse_args


HOOKS: dict[str, Callable[[ModuleType], None]] = {
    "lm_eval.models": _models,
    "lm_eval.tasks.manager": _task_manager,
    "lm_eval.api.group": _groups,
    "lm_eval.loggers.evaluation_tracker": _results_folder,
    "lm_eval._cli.harness": _command_line,
}


def results_name(model_args: Any) -> str:
    """``BASE__INSTRUCT__lam=λ``: the pair and λ, as the name of a results folder.

    Args:
        model_args: lm-eval's model arguments, a dict or a ``key=value,...`` string.

    Returns:
        The name, at most 200 characters (a file name may have 255): longer ones keep their end
        and get a digest of the whole.
    """
    if isinstance(model_args, str):
        model_args = dict(item.split("=", 1) for item in model_args.split(",") if "=" in item)
    from pa_harness.lam.path import short_form, stages_of

    given = short_form(model_args or {})
    parts = [
        f"{each.name}{f'/{each.subfolder}' * bool(each.subfolder)}"
        f"{f'@{each.revision}' * bool(each.revision)}"
        for each in stages_of(given)
    ]
    name = "__".join([*(parts or ["default_pair"]), f"lam={given.get('lam')}"])
    if len(name) > 200:
        import hashlib

        name = f"{hashlib.sha256(name.encode()).hexdigest()[:12]}__{name[-180:]}"
    return name


class _Finder:
    """Runs a hook right after lm-eval's own module of that name has been executed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        hook = HOOKS.get(name)
        if hook is None:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _run(hook, module)

        # a loader object of this import alone: no other module's execution changes
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _run(hook: Callable[[ModuleType], None], module: ModuleType) -> None:
    try:
        hook(module)
    except Exception as error:  # noqa: BLE001 -- a broken plugin must not break lm-eval
        sys.stderr.write(f"pa_harness: could not extend {module.__name__}: {error!r}\n")


def install(*, switchable: bool = True) -> None:
    """Hook into lm-eval, whether it is imported already or will be. Safe to call twice.

    Args:
        switchable: obey ``PA_HARNESS_HOOK=0``. `pa-harness run` passes False: the user asked.
    """
    if switchable and os.environ.get(OFF_SWITCH) == "0":
        return
    if any(finder is _Finder for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder)
    for name, hook in HOOKS.items():
        if name in sys.modules:
            _run(hook, sys.modules[name])
