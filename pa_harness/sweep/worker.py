"""One loaded model that evaluates units (a task at a λ) one after the other, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness import processes
from pa_harness.errors import SweepError
from pa_harness.runs.settings import model_lam
from pa_harness.sweep.unit import QuietModel, count_tokens, evaluate_unit
from pa_harness.sweep.workload import build_prompts, facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.workload import Workload


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
        """Count the model's tokens from now on (`evaluation.count_tokens`)."""
        return count_tokens(self._lm)

    def prompts(self, name: str) -> str:
        """Render a task's prompts, once; the digest of all of them."""
        if name not in self._digests:
            task = self._tasks[name]
            template = facts(name, task, self._settings)["chat_template"]
            self._digests[name] = build_prompts(task, self._settings, self._lm, template)
        return self._digests[name]

    def evaluate(self, lam: float, name: str) -> tuple[dict[str, Any], str]:
        """The unit, and the text of its sample log."""
        self.prompts(name)
        wanted = model_lam(self._settings, lam)
        if self._lm.lam != wanted:
            self._lm.set_lam(wanted)
        task = self._tasks[name]
        known = facts(name, task, self._settings)
        return evaluate_unit(self._asked, task, known, self._settings)


def _load_model(settings: SweepSettings, lam: float) -> Any:
    """The model object at its first λ, through lm-eval's registry."""
    import lm_eval.models  # noqa: F401 -- fills the registry
    from lm_eval.api.registry import get_model

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
