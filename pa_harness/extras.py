"""Optional parts of an installation, and what to say where one is missing."""

from __future__ import annotations

from pa_harness.errors import ExtraError, first_line


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
