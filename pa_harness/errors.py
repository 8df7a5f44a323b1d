"""Errors a user can cause and cure. Everything else is a bug and keeps its traceback.

    PAHarnessError               any of the below; commands print the message and exit with 2
    ├── ModelArgsError           a model argument is missing, unknown, contradictory or malformed
    ├── CheckpointError          a checkpoint cannot be found, read or trusted
    ├── PairError                two checkpoints that do not belong together
    ├── AdapterError             a PEFT adapter that λ cannot scale
    ├── DataFileError            a data file is missing, malformed or lacks what it should hold
    ├── TaskError                a task YAML that cannot be written, read or run
    ├── ExtraError               an optional part is not installed
    ├── SweepError               what a sweep was asked for cannot be run
    ├── RunError                 a folder of results is in use, broken, or of something else
    ├── ExportError              a model cannot be written, or is not what was evaluated
    └── JudgeError               a judge that cannot be asked, or does not answer

A message says what is wrong, with names and values; what was expected; what to do.
"""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

from pa_harness.foreign.showing import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

EXIT_CODE = 2
_NAME = 200  # characters of a name that are compared with others
_LISTED = 100  # names spelled out in one message before "and N more"


class PAHarnessError(Exception):
    """A mistake the user can fix; its text is the whole report."""


class ModelArgsError(PAHarnessError):
    """A model argument is missing, unknown, contradictory or malformed."""


class CheckpointError(PAHarnessError):
    """A checkpoint cannot be found, read or trusted."""


class PairError(PAHarnessError):
    """Base and instruct do not belong together; no weight was moved."""


class AdapterError(PAHarnessError):
    """A PEFT adapter holds something that λ cannot scale."""


class DataFileError(PAHarnessError):
    """A user's data file is missing, malformed or lacks what it should hold."""


class TaskError(PAHarnessError):
    """A task YAML cannot be written, read or run."""


class ExtraError(PAHarnessError):
    """Something optional is asked for and not installed."""


class SweepError(PAHarnessError):
    """What a sweep was asked for cannot be run; nothing was evaluated."""


class RunError(PAHarnessError):
    """A folder of results is in use, incomplete, broken, or of another configuration."""


class ExportError(PAHarnessError):
    """A model cannot be written, or what was written is not what was evaluated."""


class JudgeError(PAHarnessError):
    """A judge is not configured, cannot be asked, or does not answer as it should."""


def listed(items: Iterable[object], indent: str = "  ") -> str:
    """The items, one per indented line, cut after a few with the number left out."""
    lines = [f"{indent}{item}" for item in items]
    if len(lines) > _LISTED:
        lines = [*lines[:_LISTED], f"{indent}and {len(lines) - _LISTED} more"]
    return "\n".join(lines)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``Did you mean X?`` with the known name that is most like this one; empty where none is."""
    near = {each.lower(): each for each in known}  # pretrained for Pretrained
    close = difflib.get_close_matches(name[:_NAME].lower(), near, 1, cutoff=0.7)
    return f"Did you mean {near[close[0]]}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, cut to a length fit for a message."""
    return str(error).strip().split("\n", 1)[0][:300] or type(error).__name__


def missing_extra(extra: str, what: str, error: ImportError) -> ExtraError:
    """The error that says what to install.

    Args:
        extra: of pyproject.toml.
        what: needs it.
        error: of the import.
    """
    return ExtraError(
        f"{what} needs the extra {extra!r}, which is not installed here ({first_line(error)}). "
        f"Install it: pip install 'pa-harness[{extra}]'."
    )


def tell(error: PAHarnessError) -> int:
    """Write the error to standard error as one message and return the exit code (2)."""
    sys.stderr.write(f"\n{type(error).__name__}: {printable(str(error))}\n")
    return EXIT_CODE


def install_excepthook() -> None:
    """Let an uncaught `PAHarnessError` end the process with its message and exit code 2.

    Needed because lm-eval's own command calls our model class: there is no frame of ours around
    it that could catch the error. Every other exception goes to the hook that was there before.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, PAHarnessError):
            previous(kind, error, trace)
            return
        code = tell(error)
        if not (hasattr(sys, "ps1") or sys.flags.interactive):  # a prompt must survive it
            raise SystemExit(code)

    sys.excepthook = hook
