"""lm-eval's results files, of any model type, as reported numbers; damaged ones refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.interchange.names import between
from pa_harness.interchange.reported import NO, UNKNOWN, YES, Reported
from pa_harness.runs.scores import from_lm_eval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pa_harness.runs.scores import Score

# AlpacaEval's own metrics are percentages wherever they are written.
_PERCENT = ("win_rate", "length_controlled_winrate", "discrete_win_rate")
_OF_METHODS = ("rank", "energy", "density")  # model arguments that say which end is meant


def read_json_file(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        RunError: it is missing, not text, or not whole JSON.
    """
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError:
        raise RunError(
            f"There is no file {path}. Name a results file, or a folder of them."
        ) from None
    except UnicodeDecodeError:
        raise RunError(f"{path} is not a text file. Name a results file (JSON).") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {first_line(error)}") from None
    except ValueError as error:
        size = path.stat().st_size
        raise RunError(
            f"{path} is not whole JSON ({first_line(error)}; {size} bytes): it was cut off or "
            "altered. Copy it again, or run the evaluation again."
        ) from None


def is_lm_eval(content: Any) -> bool:
    """Whether it looks like a results file of lm-eval."""
    return isinstance(content, dict) and "results" in content and "configs" in content


def from_results(content: Mapping[str, Any], path: Path) -> list[Reported]:
    """The numbers of all leaf tasks.

    Args:
        content: of the file.
        path: its place, for messages and as the numbers' source.

    Raises:
        RunError: the file is damaged, or holds no number.
    """
    try:
        for task, each in content["configs"].items():
            if not isinstance(each, dict):
                raise TypeError(f"the configuration of {task} is no mapping")
        scores = from_lm_eval(content)
        found = [_reported(score, content, path) for score in scores]
    except MALFORMED as error:
        raise RunError(
            f"{path} is damaged: lm-eval's results do not look so ({type(error).__name__}: "
            f"{first_line(error)}). Run the evaluation again."
        ) from None
    if all(math.isnan(number.value) for number in found):
        raise RunError(
            f"{path} holds no task's numbers (an evaluation with --predict_only, or one that was "
            "stopped). Name a results file of a finished evaluation."
        )
    return found


def _reported(score: Score, content: Mapping[str, Any], path: Path) -> Reported:
    config = content.get("config") or {}
    unit = 100 if score.task.startswith("alpaca_eval") and score.metric in _PERCENT else 1
    way = _way(config, score.lam)
    # `--model hf` with peft= has two models, but no λ.
    adapted = bool(way) or not math.isnan(score.lam)
    number = Reported(
        model=_model(content),
        base=score.base if adapted else "",
        instruct=score.instruct if adapted else "",
        lam=score.lam,
        way=way,
        task=score.task,
        metric=score.key,
        value=score.value / unit,
        stderr=score.stderr / unit,
        num_fewshot=score.num_fewshot if score.task in (content.get("n-shot") or {}) else None,
        version=score.task_version,
        precision=_precision(config),
        chat_template=_template(score, content),
        n=score.n,
        limit=float(config.get("limit") or 0),
        departures=_departures(config, content),
        parameters=float(config.get("model_num_parameters") or math.nan),
        main=score.main,
        higher_is_better=score.higher_is_better,
        date=str(content.get("date") or ""),
        source=str(path),
    )
    if not adapted:
        return number
    return replace(number, model=between(number.base, number.instruct, number.place))


def _way(config: Mapping[str, Any], lam: float) -> str:
    """What `Reported.way` says: the ends of a knob or of a shortened Δ are no parent."""
    model_args = config.get("model_args")
    given = model_args if isinstance(model_args, dict) else {}
    if config.get("knob"):
        return f"knob {config['knob']}"
    if isinstance(given.get("lam"), dict):
        schedule = json.dumps(given["lam"], sort_keys=True)
        return f"schedule {sha256(schedule.encode()).hexdigest()[:6]}"
    method = str(given.get("method") or "linear")
    if method == "linear" or lam == 0 or (method == "slerp" and lam == 1):
        return ""
    numbers = [f"{name}={given[name]}" for name in _OF_METHODS if given.get(name) is not None]
    return " ".join([method, *numbers])


def _model(content: Mapping[str, Any]) -> str:
    """The adapter or checkpoint of a model type that has no λ."""
    model_args = (content.get("config") or {}).get("model_args") or {}
    if isinstance(model_args, str):
        model_args = dict(part.split("=", 1) for part in model_args.split(",") if "=" in part)
    for name in ("peft", "delta", "pretrained", "model"):
        if model_args.get(name):
            return str(model_args[name])
    return str(content.get("model_name") or "")


def _precision(config: Mapping[str, Any]) -> str:
    return str(config.get("model_dtype") or "").removeprefix("torch.")


def _template(score: Score, content: Mapping[str, Any]) -> str:
    if "pa_harness" in content:  # a sweep decides task by task
        return YES if score.chat_template else NO
    if "chat_template" not in content:
        return UNKNOWN
    return YES if content["chat_template"] else NO


def _departures(config: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    if content.get("system_instruction"):
        found.append("system instruction")
    if config.get("gen_kwargs"):
        found.append(f"gen_kwargs {config['gen_kwargs']}")
    return tuple(found)
