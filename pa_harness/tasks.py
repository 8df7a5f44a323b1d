"""Where the shipped task YAMLs are."""

from __future__ import annotations

from pathlib import Path


def tasks_folder() -> Path:
    """The folder of the shipped task YAMLs.

    A wheel carries them inside the package; an editable install or a checkout has them beside it
    (no build backend can map a top-level folder into an editable package).

    Returns:
        The folder. It may be missing in a half-removed installation; callers that index it
        (lm-eval's task manager) then simply find nothing.
    """
    package = Path(__file__).parent
    inside = package / "task_configs"
    return inside if inside.is_dir() else package.parent / "task_configs"
