"""What a sweep is to do: lm-eval's own options by their own names, and λ.

The command line goes over a ``--config`` YAML file, that over the defaults. The result is written
beside the results and is itself such a file; a sweep goes on only under the very same settings.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError, did_you_mean, first_line, listed
from pa_harness.lam.grid import parse_lams
from pa_harness.lam.path import short_form
from pa_harness.lam.reading import read_schedule
from pa_harness.lam.schedule import Schedule
from pa_harness.runs.config_file import read_config
from pa_harness.runs.trust import check_trust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAPPINGS = ("model_args", "gen_kwargs", "metadata", "categories", "metrics")
_LISTS = ("tasks", "include_path", "mine")
_BY_TASK = ("categories", "metrics")
_WHOLE = ("num_fewshot", "bootstrap_iters")
_FLAGS = ("trust_remote_code", "confirm_run_unsafe_code", "fewshot_as_multiturn")
_TEXTS = ("model", "use_cache", "system_instruction", "knob")
_IGNORED = {"output_path", "log_samples", "config"}  # of lm-eval's; samples are always logged
_SEEDS = (0, 1234, 1234, 1234)  # lm-eval's: random, numpy, torch, few-shot


@dataclass(frozen=True)
class SweepSettings:
    """Everything that can change a number of the sweep. Names and defaults are lm-eval's."""

    model_args: dict[str, Any]
    lam: tuple[float, ...]
    tasks: tuple[str, ...]
    model: str = "partially_adapted"  # or another of lm-eval's registry that has set_lam
    num_fewshot: int | None = None
    fewshot_draws: int | None = None  # of the demonstrations, each with its own units; None: one
    repeats: int | None = None  # sampled answers to each document; None: the task's own
    batch_size: int | str = 1
    max_batch_size: int | None = None
    device: str | None = None
    limit: float | None = None
    samples: dict[str, list[int]] | None = None
    use_cache: str | None = None
    gen_kwargs: dict[str, Any] = field(default_factory=dict)
    system_instruction: str | None = None
    apply_chat_template: bool | str | None = None  # None: each task's category decides
    fewshot_as_multiturn: bool | None = None
    include_path: tuple[str, ...] = ()
    seed: tuple[int | None, ...] = _SEEDS
    trust_remote_code: bool = False
    confirm_run_unsafe_code: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    bootstrap_iters: int = 1000  # lm-eval's 100,000 cost minutes per metric and λ for f1
    categories: dict[str, str] = field(default_factory=dict)  # of tasks without such metadata
    metrics: dict[str, str] = field(default_factory=dict)  # the main one: "acc_norm,none"
    knob: str | None = None  # of the schedule in model_args: what the values of lam stand for
    mine: tuple[str, ...] | None = None  # tasks that the fine-tune was made for; None: unsaid

    def as_dict(self) -> dict[str, Any]:
        """The settings as YAML and JSON hold them."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def resolve(given: Mapping[str, Any], file: Path | None = None) -> SweepSettings:
    """The settings from the command line over those from a YAML file.

    Args:
        given: by name; None and absent mean "not given".
        file: the ``--config`` file, or the name of a preset.

    Raises:
        SweepError: unknown or malformed settings, no `lam` or no `tasks`, or a file that gives
            trust.
    """
    settings: dict[str, Any] = read_config(file) if file else {}
    check_trust(settings, given)
    settings.update({name: value for name, value in given.items() if value is not None})
    kept = {k: v for k, v in settings.items() if k not in _IGNORED}
    settings = {k: v for k, v in kept.items() if v is not None}  # null in the file: the default
    known = {each.name for each in fields(SweepSettings)}
    for name in settings.keys() - known:
        hint = did_you_mean(name, sorted(known)) or f"Known are:\n{listed(sorted(known))}"
        raise SweepError(f"Unknown setting {name}={settings[name]!r}. {hint}")
    settings.setdefault("model_args", {})  # the small pair
    settings["tasks"] = settings.get("tasks") or settings.get("mine")
    for name in ("tasks", "lam"):
        if not settings.get(name) and settings.get(name) != 0:
            raise SweepError(
                f"A sweep needs {name}: give --{name}, or {name}: in the --config file. Example: "
                "pa-harness sweep --model_args pretrained=BASE,instruct=INSTRUCT --lam 0:1:0.1 "
                "--tasks arc_easy --output_path runs/first"
            )
    if settings.get("samples") and settings.get("limit"):
        raise SweepError(
            f"limit={settings['limit']} and samples: both say which documents are asked. Leave "
            "one of them out."
        )
    typed = {name: _typed(name, value) for name, value in settings.items()}
    typed["tasks"] = tuple(dict.fromkeys([*typed["tasks"], *(typed.get("mine") or ())]))
    if typed.get("mine") and set(typed["tasks"]) == set(typed["mine"]):
        raise SweepError(
            f"--mine names every task of the sweep ({', '.join(typed['mine'])}): then nothing "
            "tells what was lost of the parent. Name other tasks, too: --tasks pa_icl_lite."
        )
    found = SweepSettings(**typed)
    ours = found.model.startswith("partially_adapted")
    model_args = short_form(found.model_args) if ours else found.model_args
    return _with_schedule(replace(found, model_args=model_args))


def model_lam(settings: SweepSettings, lam: float) -> float | Schedule:
    """What the model is to be told at one value of the sweep: λ, or a schedule with its knob so."""
    if settings.knob is None:
        return lam
    return read_schedule(settings.model_args["lam"]).with_knob(settings.knob, lam)


def model_arguments(settings: SweepSettings, lam: float = 0.0) -> dict[str, Any]:
    """What the model is made with at one value of the sweep."""
    extra = {"trust_remote_code": True} if settings.trust_remote_code else {}
    return {**settings.model_args, **extra, "lam": model_lam(settings, lam)}


def as_yaml(settings: SweepSettings) -> str:
    """The text of a ``--config`` file with these settings, all of them."""
    import yaml

    text: str = yaml.safe_dump(settings.as_dict(), sort_keys=False, allow_unicode=True)
    return text


def _with_schedule(settings: SweepSettings) -> SweepSettings:
    """The settings with the schedule itself in them, where a file of it was named."""
    given = settings.model_args.get("lam")
    if settings.knob is None:
        if given is None:
            return settings
        raise SweepError(
            f"lam={given} in --model_args: a sweep sets λ itself. Take it out, and give the values "
            "as --lam; or give a schedule there, and the name of the knob to vary as --knob."
        )
    schedule = None if given is None else read_schedule(given)
    knobs = dict(schedule.knobs) if schedule else {}
    if schedule is None or settings.knob not in knobs:
        raise SweepError(
            f"--knob {settings.knob}: the schedule lam= has the knobs {list(knobs)}. Expected "
            "one of a schedule's, such as lam: {base: 0.5, knobs: {mlp: 0.5}, rules: [...]}."
        )
    return replace(settings, model_args={**settings.model_args, "lam": schedule.as_dict()})


def _typed(name: str, value: Any) -> Any:
    if name == "lam":
        return parse_lams(value)
    if name == "metrics" and isinstance(value, (str, list, tuple)):
        return read_metrics(value)
    if name in _MAPPINGS:
        return _by_task(name, value) if name in _BY_TASK else read_mapping(name, value)
    if name in _LISTS:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise SweepError(f"{name}={value!r}: expected names, as in [first, second].")
        return tuple(piece for part in parts for piece in str(part).split(",") if piece)
    if name == "seed":
        return _seeds(value)
    if name == "samples":
        return _samples(read_mapping(name, value))
    if name == "limit":
        return _limit(value)
    if name == "batch_size":
        return int(value) if str(value).isdecimal() else str(value)
    _check_kind(name, value)
    return value


def _check_kind(name: str, value: Any) -> None:
    """Refuse what a YAML file can hold and the command line cannot."""
    if name in ("fewshot_draws", "repeats"):
        fits, kind = type(value) is int and value >= 2, "a whole number, 2 or more"
    elif name in _WHOLE:
        fits, kind = type(value) is int and value >= 0, "a whole number, 0 or more"
    elif name in _FLAGS:
        fits, kind = isinstance(value, bool), "true or false"
    elif name == "apply_chat_template":
        fits, kind = isinstance(value, (bool, str)), "true, false or a template's name"
    else:
        fits, kind = name not in _TEXTS or isinstance(value, str), "a text"
    if not fits:
        raise SweepError(f"{name}={value!r}: expected {kind}.")


def _by_task(name: str, value: Any) -> dict[str, Any]:
    found = read_mapping(name, value)
    if not all(isinstance(item, str) for item in found.values()):
        raise SweepError(f"{name}={value!r}: expected a text for each task.")
    return found


def _samples(given: dict[str, Any]) -> dict[str, list[int]]:
    """Numbers of documents by task, ascending as lm-eval goes through and names them."""
    found = {}
    for task, value in (given or {"no task": None}).items():
        numbers = value if isinstance(value, (list, tuple)) else []
        whole = all(type(each) is int and each >= 0 for each in numbers)
        if not numbers or not whole or len(set(numbers)) < len(numbers):
            raise SweepError(
                f"samples: {task} has {str(value)[:200]}. Expected the numbers of its documents "
                'from 0, each once, as in {"arc_easy": [0, 3, 7]}.'
            )
        found[task] = sorted(numbers)
    return found


def _limit(value: Any) -> float | None:
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if not number or not 0 < value < math.inf:
        raise SweepError(f"limit={value!r}: expected a number of documents, or a share below 1.")
    return int(value) if value >= 1 else float(value)


def read_mapping(name: str, value: Any) -> dict[str, Any]:
    """A mapping, or one or several texts ``key=value,...`` or JSON, as lm-eval's command reads."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    from lm_eval._cli.utils import key_val_to_dict

    merged: dict[str, Any] = {}
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise SweepError(f"{name}={value!r}: expected values by name, as in {{key: value}}.")
    for text in texts:
        try:
            merged |= json.loads(text) if text.lstrip().startswith("{") else key_val_to_dict(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise SweepError(
                f"{name}={text!r} cannot be read: {first_line(error)}. Expected key=value,... or "
                'JSON in braces, as in {"key": "value"}.'
            ) from None
    return merged


def read_metrics(value: Any) -> dict[str, str]:
    """TASK=METRIC,FILTER each; their commas are no separators."""
    texts = [value] if isinstance(value, str) else [str(text) for text in value]
    pairs = [text.partition("=") for text in texts]
    if any(not (task and "," in key) for task, _, key in pairs):
        raise SweepError(
            f"metrics={' '.join(texts)!r}: expected TASK=METRIC,FILTER, as in "
            "ifeval=prompt_level_strict_acc,none."
        )
    return {task: key for task, _, key in pairs}


def _seeds(value: Any) -> tuple[int | None, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    parts = parts if isinstance(parts, (list, tuple)) else [parts]
    try:
        seeds = [None if str(part).strip().lower() == "none" else int(part) for part in parts]
    except (TypeError, ValueError):
        seeds = []
    seeds = seeds * len(_SEEDS) if len(seeds) == 1 else seeds
    if len(seeds) == len(_SEEDS) - 1:
        seeds.append(_SEEDS[-1])
    if len(seeds) != len(_SEEDS):
        raise SweepError(
            f"seed={value!r}: expected one whole number or None, or one each for Python, numpy, "
            "torch and few-shot sampling, as in 0,1234,1234,1234."
        )
    return tuple(seeds)
