"""The judge's configuration: one of alpaca-eval's own, or a YAML file of the same form.

Prompts, parsers and sampling parameters are the configuration's. Where it is sent to, with which
key, how fast and how often again is not: that is said on the command line and in the environment.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pa_harness.errors import JudgeError, first_line, listed
from pa_harness.foreign.naming import belongs
from pa_harness.foreign.reading import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI_URL = "https://api.openai.com/v1"
OFFICIAL = "weighted_alpaca_eval_gpt4_turbo"  # the leaderboard's judge
OFFICIAL_MODEL = "gpt-4-1106-preview"
# Of completions_kwargs: how upstream's client works, nothing that the judge sees.
_CLIENT = {
    *("num_procs", "batch_size", "price_per_token", "client_kwargs", "openai_api_base"),
    *("is_strip", "n_retries", "sleep_time", "openai_organization_ids"),
}
_MAY_HOLD_KEYS = {"client_config_path", "extra_headers", "extra_query"}
_DEFAULTS = {"max_tokens": 2048, "temperature": 0.7, "top_p": 1.0}  # upstream's, where not given
_INSTEAD = "max_completion_tokens"  # models that take this take none of the three


@dataclass(frozen=True)
class Annotator:
    """A judge: what it is asked and where. `configs` has one entry, or more for a pool."""

    name: str
    configs: Mapping[str, Mapping[str, Any]]  # templates as text, parameters as the API has them
    base_url: str
    model: str  # several of a pool joined by ", "
    shipped: bool  # one of alpaca-eval's own, only the model may be another
    price_per_token: float | None = None  # dollars, if the configuration says so

    @property
    def official(self) -> bool:
        """Whether it is the leaderboard's judge, at its own address."""
        return (self.name, self.model, self.base_url, self.shipped) == (
            *(OFFICIAL, OFFICIAL_MODEL, OPENAI_URL, True),
        )

    @property
    def template_digest(self) -> str:
        """sha256 of the prompt templates."""
        texts = "\0".join(str(each["prompt_template"]) for each in self.configs.values())
        return hashlib.sha256(texts.encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Of all that can change a verdict."""
        text = json.dumps([self.configs, self.base_url], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def find_annotator(
    asked: str, shipped: Path, base_url: str | None = None, model: str | None = None
) -> Annotator:
    """Read a configuration.

    Args:
        asked: the name of one of alpaca-eval's, or a YAML file.
        shipped: alpaca-eval's folder of configurations.
        base_url: of the server; None is the configuration's, else OpenAI's.
        model: in place of the configuration's.

    Raises:
        JudgeError: there is no such configuration, or it cannot be used here.
    """
    own = asked.endswith((".yaml", ".yml"))
    file = Path(asked) if own else shipped / asked / "configs.yaml"
    configs = _read(file, asked, shipped)
    found: dict[str, dict[str, Any]] = {}
    urls, prices = set(), set()
    for name, config in configs.items():
        kwargs = dict(config.get("completions_kwargs") or {})
        urls.add(_url_of(kwargs))
        prices.add(kwargs.get("price_per_token"))
        found[name] = _usable(name, config, file, shipped, model)
    written = urls.pop() if len(urls) == 1 else None
    url = _checked_url(base_url or written or OPENAI_URL)
    if base_url and url != OPENAI_URL and model is None and not own:
        raise JudgeError(
            f"--base_url {url}: say which model judges there, by --judge_model. {asked} names "
            f"{_models(found)}, which is OpenAI's."
        )
    price = prices.pop() if len(prices) == 1 and model is None else None
    return Annotator(
        *(Path(asked).stem if own else asked, found, url, _models(found), not own),
        price_per_token=None if price is None else float(price),
    )


def _models(configs: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(c["completions_kwargs"]["model_name"] for c in configs.values()))


def _read(file: Path, asked: str, shipped: Path) -> dict[str, dict[str, Any]]:
    try:
        content = parse_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = sorted(each.parent.name for each in shipped.glob("*/configs.yaml"))
        raise JudgeError(
            f"--annotator {asked}: no such file or configuration. Expected a YAML file, or one of "
            f"alpaca-eval's:\n{listed(names)}"
        ) from None
    except (OSError, ValueError) as error:
        raise JudgeError(f"--annotator {file} cannot be read: {first_line(error)}") from None
    if (
        not isinstance(content, dict)
        or not content
        or not all(
            isinstance(each, dict) and "prompt_template" in each for each in content.values()
        )
    ):
        raise JudgeError(
            f"--annotator {file}: expected alpaca-eval's form, a name and under it "
            "prompt_template, completions_kwargs and fn_completion_parser."
        )
    return content


def _usable(
    name: str, config: Mapping[str, Any], file: Path, shipped: Path, model: str | None
) -> dict[str, Any]:
    """The configuration with its template as text, without what concerns the client only."""
    usable = copy.deepcopy(dict(config))
    through = usable.pop("fn_completions", "openai_completions")
    if through != "openai_completions":
        raise JudgeError(
            f"The annotator {name} asks through {through}; only OpenAI-compatible servers can be "
            "asked. Choose one with fn_completions: openai_completions, such as "
            f"--annotator {OFFICIAL} --base_url URL --judge_model MODEL."
        )
    kwargs = dict(usable.get("completions_kwargs") or {})
    secret = [key for key in kwargs if "api_key" in key or key in _MAY_HOLD_KEYS]
    if secret or set(kwargs.get("client_kwargs") or ()) - {"base_url"}:
        where = ", ".join(secret) or "more than base_url in client_kwargs"
        raise JudgeError(
            f"The annotator {name} sets {where}, where keys are kept. They do not belong into "
            "files: take it out, and put the key into the environment variable OPENAI_API_KEY "
            "(or name another by --api_key_env)."
        )
    for key in ("tokens_to_avoid", "tokens_to_favor"):
        if kwargs.get(key):
            raise JudgeError(
                f"The annotator {name} uses {key}, which needs the judge's tokenizer. Write the "
                "token ids as logit_bias in a YAML file of your own."
            )
    defaults = {} if kwargs.get(_INSTEAD) else _DEFAULTS
    kwargs = {**defaults, **{key: kwargs[key] for key in kwargs if key not in _CLIENT}}
    kwargs["model_name"] = model or kwargs.get("model_name")
    if not kwargs["model_name"]:
        raise JudgeError(f"The annotator {name} names no model: give --judge_model.")
    usable["completions_kwargs"] = kwargs
    usable["prompt_template"] = _template(str(usable["prompt_template"]), file, shipped)
    return usable


def _template(written: str, file: Path, shipped: Path) -> str:
    """The template's text: inline, or a file beside the YAML file or among alpaca-eval's."""
    if "{instruction}" in written:
        return written
    for folder in (file.parent, shipped):
        if belongs(folder / written, folder):  # or anybody's file would be sent to a judge
            return (folder / written).read_text(encoding="utf-8")
    raise JudgeError(
        f"The prompt template {written} of {file} is neither beside it nor in {shipped}. Expected "
        "a file, or the text itself, with {instruction}, {output_1} and {output_2} in it."
    )


def _url_of(kwargs: Mapping[str, Any]) -> str | None:
    url = (kwargs.get("client_kwargs") or {}).get("base_url") or kwargs.get("openai_api_base")
    return None if url is None else str(url)


def _checked_url(url: str) -> str:
    shown = "…" if "@" in url else re.split("[?#]", url)[0]  # the rest may be a key
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        known = named and not parts.query
    except ValueError:  # of urlsplit, or of the port
        known = False
    if not known:
        raise JudgeError(
            f"--base_url {shown}: expected the address of an OpenAI-compatible server, as in "
            "http://localhost:8000/v1."
        )
    if parts.username or parts.password:
        raise JudgeError(
            f"--base_url holds a name or password for {parts.hostname}, which would be written "
            "into the results. Put a key into an environment variable, and name it by "
            "--api_key_env."
        )
    return url.rstrip("/")
