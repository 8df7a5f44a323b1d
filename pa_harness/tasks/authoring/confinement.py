"""A task's templates and functions, run in bounded time, templates also without reach.

lm-eval renders Jinja in an environment that is not sandboxed: a template of plain text can open
files, and a loop in it never ends. While a task is checked its templates are rendered in Jinja's
sandbox, and what it runs is interrupted when it takes too long. Functions (``!function``) are code
and run as such; they are bounded in time only. Evaluating the task runs all of it unconfined.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from functools import wraps
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    F = TypeVar("F", bound=Callable[..., Any])

RENDERING, RUNNING = 5.0, 60.0  # seconds: one document's texts; a function over all of them
_MEMORY = 1 << 28  # bytes that one document's texts may take beside what is in use
_LENGTH, _ALL = 1 << 22, 1 << 28  # characters of one text, and of all that are rendered
_BITS = 10_000  # of a whole number: arithmetic with very long ones is more than an alarm can end
_FINDER = "_import_func_in_yml"  # lm-eval's for !function, the only place; private, so tested
_CAN_ALARM = hasattr(signal, "setitimer")  # not on Windows


class _OutOfTime(BaseException):
    """Not an Exception: nothing that runs in between may take it for its own."""


@contextmanager
def bounded(seconds: float, memory: int | None = None) -> Iterator[None]:
    """Let what runs in here take so long, and so much more memory; within another, that one holds.

    Bounds hold in the main thread of POSIX systems, those of memory on Linux.

    Args:
        seconds: of the clock.
        memory: bytes beside what is in use; None is no bound.

    Raises:
        TimeoutError: it took longer.
        MemoryError: it wanted more.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not (_CAN_ALARM and in_main) or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with _less_memory(memory):
            yield
    except _OutOfTime:
        raise TimeoutError(f"it takes longer than {seconds:g} seconds") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _less_memory(memory: int | None) -> Iterator[None]:
    used = Path("/proc/self/statm")
    if memory is None or not used.exists():
        yield
        return
    import resource

    size = int(used.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    least = min(each for each in (size + memory, soft, hard) if each != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class _Sandbox(SandboxedEnvironment):
    """Jinja's, and no product that would take the machine's memory or never end."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The product or power, if it is of a size that texts need."""
        if isinstance(left, int) and isinstance(right, int):
            power = operator == "**"
            bits = left.bit_length() * (right if power else 1) + right.bit_length() * (not power)
            if bits > _BITS:
                raise SecurityError(f"a number of {bits} bits is too large for a template")
        for many, times in ((left, right), (right, left)):
            is_sequence = isinstance(many, (str, list, tuple)) and isinstance(times, int)
            if is_sequence and len(many) * times > _LENGTH:
                raise SecurityError(f"a text of {len(many) * times} characters is too long")
        return super().call_binop(context, operator, left, right)


def sandbox() -> SandboxedEnvironment:
    """lm-eval's environment of templates, as a sandbox."""
    from lm_eval.utils import env

    made = _Sandbox(
        loader=env.loader,
        undefined=env.undefined,
        keep_trailing_newline=env.keep_trailing_newline,
    )
    made.filters.update(env.filters)
    return made


@contextmanager
def confined() -> Iterator[None]:
    """Render lm-eval's templates in a sandbox, bound its functions, and fetch no code.

    Of a metric that it does not know, lm-eval loads a module of that name from the Hub.
    """
    from lm_eval import utils
    from lm_eval.api import task as tasks
    from lm_eval.tasks import _yaml_loader as loader

    confining = sandbox()
    render, find, metric = utils.apply_template, getattr(loader, _FINDER), tasks.get_metric
    rendered = 0

    def confined_render(template: str, doc: dict[str, Any]) -> str:
        nonlocal rendered
        with bounded(RENDERING, _MEMORY):
            text: str = confining.from_string(template).render(**doc)
        rendered += len(text)
        if len(text) > _LENGTH or rendered > _ALL:
            raise SecurityError("it renders to more than a prompt can hold")
        return text

    def bounded_function(name: str, folder: Path) -> Any:
        with bounded(RUNNING):
            found = find(name, folder)
        return in_time(found) if isfunction(found) else found

    def own_metric(name: str, hf_evaluate_metric: bool = False) -> Any:
        from lm_eval.api.registry import metric_registry

        if hf_evaluate_metric or name not in metric_registry:
            raise ValueError(
                f"the metric {name[:100]!r} is none of lm-eval's: it would be fetched from the Hub "
                "and run (Hugging Face's evaluate). Name one of lm-eval's, or a !function"
            )
        return metric(name)

    utils.apply_template, tasks.get_metric = confined_render, own_metric
    setattr(loader, _FINDER, bounded_function)
    try:
        yield
    finally:
        utils.apply_template, tasks.get_metric = render, metric
        setattr(loader, _FINDER, find)


def in_time(function: F) -> F:
    """The function, interrupted when it runs for too long."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with bounded(RUNNING):
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]  # a function of the same arguments


@contextmanager
def one_document() -> Iterator[None]:
    """Bound all that makes the texts of one document."""
    with bounded(RENDERING, _MEMORY):
        yield
