"""One loaded model that evaluates units (a task at a λ) one after the other, in any order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pa_harness import processes
from pa_harness.errors import SweepError
from pa_harness.runs.settings import model_lam
from pa_harness.sweep.unit import evaluate_unit
from pa_harness.sweep.workload import build_prompts, facts

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
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """Load the model.

        Args:
            settings: of the sweep.
            workload: its tasks.
            lam: the first λ.
            answered: called for every answered request.

        Raises:
            SweepError: the model cannot be swept.
        """
        self._settings, self._tasks = settings, workload.tasks
        self._lm = _load_model(settings, lam)
        self._asked = _with_cache(QuietModel(self._lm, answered), settings)
        self._digests: dict[str, str] = {}
        self.info: dict[str, Any] = self._lm.get_model_info()

    def count_tokens(self) -> Callable[[], int] | None:
        """Count the tokens that go through the model from now on, padding included.

        Returns:
            What gives the count so far; None for a model that is no torch module.
        """
        model = getattr(self._lm, "model", None)
        register = getattr(model, "register_forward_pre_hook", None)
        if register is None:
            return None
        sizes: list[int] = [0]

        def count(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            tokens = named.get("input_ids", given[0] if given else None)
            sizes[0] += 0 if tokens is None else tokens.numel()

        register(count, with_kwargs=True)
        return lambda: sizes[0]

    def prompts(self, name: str) -> str:
        """Render a task's prompts, once; the digest of all of them."""
        if name not in self._digests:
            task = self._tasks[name]
            template = facts(name, task, self._settings)["chat_template"]
            self._digests[name] = build_prompts(task, self._settings, self._lm, template)
        return self._digests[name]

    def evaluate(self, lam: float, name: str) -> tuple[Unit, str]:
        """The unit, and the text of its sample log."""
        self.prompts(name)
        wanted = model_lam(self._settings, lam)
        if self._lm.lam != wanted:
            self._lm.set_lam(wanted)
        task = self._tasks[name]
        known = facts(name, task, self._settings)
        return evaluate_unit(self._asked, task, known, self._settings)


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
    extra = {"trust_remote_code": True} if settings.trust_remote_code else {}
    return cls.create_from_arg_obj(
        {**settings.model_args, **extra, "lam": model_lam(settings, lam)}, options
    )


def _with_cache(lm: QuietModel, settings: SweepSettings) -> Any:
    if settings.use_cache is None:
        return lm
    from lm_eval.api.model import CachingLM

    return CachingLM(lm, f"{settings.use_cache}_rank0.db")
