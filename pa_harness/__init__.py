"""pa-harness: how much instruction tuning should I keep?

Partial adaptation moves an instruct model's weights part of the way back to its base model:

    θ_λ = θ_base + λ (θ_instruct − θ_base)

(İrsoy et al. 2025, "Improving Instruct Models for Free: A Study on Partial Adaptation",
arXiv 2504.11626). λ = 0 is the base model, λ = 1 the instruct model. λ is typed ``lam``
(``lambda`` is a Python keyword); wise-ft calls it α, mergekit's slerp calls it ``t``.

The house, from the ground up; a folder is a noun of the field, and imports only go down
(tests/test_house.py has the stairs):

    errors, storage, data_file, markdown, processes      the ground, open to all; foreign: what
                   others made, read strictly, named and shown harmlessly
    lam            λ as it is written and as it is meant, a sweep's grid
    checkpoints    what is on disk, and whether two of them belong together
    prefixes       prompts that begin alike, computed once
    weights        θ_λ made of a pair, tensor by tensor
    tasks          the shipped tasks, and a user's own (authoring)
    models         lm-eval's models of θ_λ (hf, vllm)
    registration   the startup hook: our models and tasks made known to lm-eval
    runs           a run's folder: what lies in it, how each file is read and written
    export         a model to ship: its files, its card, a check against the run
    analysis       what a run shows, with its uncertainty; interchange: reported numbers
    sweep          tasks × λ through lm-eval; judging: AlpacaEval of a run's answers
    leaderboards   our numbers beside published ones
    report         a run for people: tables, figures, one page
    cli            a file per verb; notebook: the same from Python

Two halves meet in a run's folder and in lm-eval's registry: tensors (checkpoints, weights,
prefixes, models, export) and tables (all else, which starts without torch). Nobody imports
models; lm-eval asks for them by name. Where to begin: a verb is ``cli/VERB.py`` (``-`` is ``_``;
``run`` is in ``cli/main.py``, ``presets`` in ``cli/shipped``); follow its imports.

From Python: `sweep` makes a run, `load` opens one (`pa_harness.notebook.run`; docs/python.md).
Until one of them is asked for this module imports nothing, so that the startup hook
(`pa_harness.registration`) stays cheap.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself costs milliseconds at interpreter start
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from pa_harness.notebook.run import Run, load, sweep
else:
    ModuleType = type(sys)

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load", "sweep"]


def __getattr__(name: str) -> object:
    """Import what is asked for; the package itself costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pa_harness.notebook import run

    return getattr(run, name)


def __dir__() -> list[str]:
    """The public names, as an interpreter completes them."""
    return sorted(__all__)


class _Wing(ModuleType):
    """The folder `pa_harness.sweep`, whose name is that of a call as well."""

    def __call__(self, *given: Any, **settings: Any) -> Run:
        from pa_harness.notebook import run

        return run.sweep(*given, **settings)


class _Package(ModuleType):
    """This module: whoever imports the folder `sweep` first, it can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "sweep":  # by the import system
            value.__class__ = _Wing
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
