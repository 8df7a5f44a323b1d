"""One loaded model that evaluates units (a task at a λ) one after the other, in any order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pa_harness import processes
from pa_harness.errors import SweepError
from pa_harness.runs.settings import model_arguments, model_lam
from pa_harness.sweep.prompts import build_prompts
from pa_harness.sweep.sources import task_digests
from pa_harness.sweep.unit import Prepared, evaluate_unit
from pa_harness.sweep.workload import facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Unit
    from pa_harness.sweep.workload import Workload

_ASKED = ("loglikelihood", "loglikelihood_rolling", "generate_until")  # with a bar, unless told


class UnitWorker:
    """A model, and the tasks whose prompts it has rendered."""

    def __init__(
        self,
        settings: SweepSettings,
        workload: Workload,
        lam: float,
        started: str,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """Load the model.

        Args:
            settings: of the sweep.
            workload: its tasks.
            lam: the first λ.
            started: when the sweep began: today, to chat templates.
            answered: called for every answered request.

        Raises:
            SweepError: the model cannot be swept.
        """
        self._settings, self._tasks, self._started = settings, workload.tasks, started
        self._lm = _load_model(settings, lam)
        self._asked = _with_cache(QuietModel(self._lm, answered), settings)
        self._prepared: dict[str, Prepared] = {}
        self.info: dict[str, Any] = self._lm.get_model_info()
        stamps = getattr(self._lm, "file_stamps", dict)
        self.stamps: dict[str, Any] = stamps()

    def count_tokens(self) -> Callable[[], int] | None:
        """What gives the tokens that went through the model so far; None if it does not count."""
        if not hasattr(self._lm, "tokens_computed"):
            return None
        return lambda: int(self._lm.tokens_computed)

    def prompts(self, name: str) -> str:
        """Render a task's prompts, once; the digest of all of them."""
        return str(self._prepare(name).digests["prompts"])

    def distinct_tokens(self, name: str) -> int | None:
        """Of a task's prompts, at one λ; None where the model does not tell."""
        texts = getattr(self._lm, "texts", None)
        if texts is None or getattr(self._lm, "backend", "") != "causal":
            return None
        found: int | None = texts.distinct(self._lm, self._prepare(name).task.instances)
        return found

    def _prepare(self, name: str) -> Prepared:
        if name not in self._prepared:
            task = self._tasks[name]
            known = facts(name, task, self._settings)
            template = known["chat_template"]
            prompts = build_prompts(task, self._settings, self._lm, template, self._started)
            digests = {**task_digests(task, self._settings), "prompts": prompts}
            self._prepared[name] = Prepared(task, known, digests)
        return self._prepared[name]

    def evaluate(self, lam: float, name: str) -> tuple[Unit, str]:
        """The unit, and the text of its sample log."""
        prepared = self._prepare(name)
        wanted = model_lam(self._settings, lam)
        if self._lm.lam != wanted:
            self._lm.set_lam(wanted)
        return evaluate_unit(self._asked, prepared, self._settings, lam)


class QuietModel:
    """lm-eval's model object without its progress bars, counting answers."""

    def __init__(self, lm: Any, answered: Callable[[], None]) -> None:
        self._lm = lm
        lm.set_cache_hook(_Counter(getattr(lm, "cache_hook", None), answered))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lm, name)
        return partial(found, disable_tqdm=True) if name in _ASKED else found

    def set_cache_hook(self, hook: Any) -> None:
        """Put lm-eval's answer cache behind the counter."""
        self._lm.set_cache_hook(_Counter(hook, self._lm.cache_hook.answered))


class _Counter:
    """Stands where lm-eval's models report each answer to a cache."""

    def __init__(self, inner: Any, answered: Callable[[], None]) -> None:
        self._inner, self.answered = inner, answered

    @property
    def dbdict(self) -> Any:
        return getattr(self._inner, "dbdict", None)

    def add_partial(self, attribute: str, request: Any, result: Any) -> None:
        self.answered()
        if self._inner is not None:
            self._inner.add_partial(attribute, request, result)


def _load_model(settings: SweepSettings, lam: float) -> Any:
    """The model object at its first λ, through lm-eval's registry."""
    import lm_eval.models  # noqa: F401 -- fills the registry
    from lm_eval.api.registry import get_model
    from transformers.utils import logging

    bars: Any = logging
    bars.disable_progress_bar()  # a sweep has its own

    try:
        cls = get_model(settings.model)
    except (ValueError, KeyError) as error:
        raise SweepError(f"--model {settings.model}: {error}") from None
    if not hasattr(cls, "set_lam"):
        raise SweepError(
            f"--model {settings.model} has no λ to set ({cls.__name__} has no set_lam). Sweep "
            "partially_adapted, or a model class with set_lam(lam) and lam."
        )
    if processes.count() > 1 and not hasattr(cls, "shares_requests"):
        raise SweepError(
            f"--model {settings.model} was started as {processes.count()} processes, and does not "
            "divide its work among them. Start it in one, without accelerate or torchrun."
        )
    options = {
        "batch_size": settings.batch_size,
        "max_batch_size": settings.max_batch_size,
        "device": settings.device,
    }
    return cls.create_from_arg_obj(model_arguments(settings, lam), options)


def _with_cache(lm: QuietModel, settings: SweepSettings) -> Any:
    if settings.use_cache is None:
        return lm
    from lm_eval.api.model import CachingLM

    return CachingLM(lm, f"{settings.use_cache}_rank0.db")
