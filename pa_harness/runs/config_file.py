"""A ``--config`` file: settings by name, in YAML; a user's own, or a preset of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pa_harness.errors import SweepError, first_line
from pa_harness.foreign.reading import parse_yaml


def presets() -> dict[str, Path]:
    """The presets by name: YAML files of the package, made to be read and copied."""
    folder = Path(__file__).parents[1] / "presets"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_config(file: Path) -> dict[str, Any]:
    """The settings of a file; a preset's where there is no file of that name.

    Raises:
        SweepError: it cannot be read, or holds something else.
    """
    known = presets()
    if not file.exists() and str(file) in known:
        file = known[str(file)]
    try:
        content = parse_yaml(file.read_text(encoding="utf-8"), _loader())
    except (OSError, ValueError) as error:
        raise SweepError(
            f"--config {file} cannot be read: {first_line(error)}. Expected a YAML file, or one of "
            f"the presets {', '.join(known)}."
        ) from None
    if not isinstance(content, dict):
        raise SweepError(
            f"--config {file} holds {type(content).__name__}, not settings by name. Write lines "
            "such as `tasks: [arc_easy]`."
        )
    return {str(name): value for name, value in content.items()}


def _loader() -> Any:
    """PyYAML's safe loader, but 0:1:0.1 is a text: YAML 1.1 has numbers to the base 60."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_yaml_int(self, node: Any) -> Any:
            return node.value if ":" in node.value else super().construct_yaml_int(node)

        def construct_yaml_float(self, node: Any) -> Any:
            return node.value if ":" in node.value else super().construct_yaml_float(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)
    return Loader
