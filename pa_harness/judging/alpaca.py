"""The only room that touches the package alpaca-eval (0.6.6), and all that must be known of it.

Wrapped, not changed on disk. What would go wrong, and what is done here about it:

    import needs pkg_resources, which setuptools 82 dropped     a stand-in while it is imported
    import asks for the user's name, which a container lacks    LOGNAME is set
    import sets the root logger to INFO; parsers log whole      the root logger is put back, and is
    completions                                                 silent while it works
    annotators_config, prompt_template: paths only, broken      given as dict and text: subclasses
    caches and weights are written into site-packages           the classes without a cache are
                                                                used; save_weights_dir=None
    reading its cache breaks under pandas 3                      not read: every verdict comes
                                                                through `Request`, from our cache
    a text with ``<|im_end|>`` or ``{output_2}`` in it breaks   such marks are replaced before
    the prompt                                                  formatting and put back after it
    scikit-learn 1.10 lacks what the length control uses        refused, with the reason
    length control finds γ by row, wrong for other orders        given the published positions, of
    and parts                                                   complete sets only
"""

from __future__ import annotations

import contextlib
import copy
import getpass
import logging
import os
import sys
import types
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import missing_extra
from pa_harness.judging.asking.reply import are_probabilities
from pa_harness.judging.asking.request import make_request, marked, unmarked, verdict_of
from pa_harness.judging.length_control import contributions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.judging.annotator import Annotator
    from pa_harness.judging.asking.request import Request

SEED = 0  # upstream's; it decides which output is shown first
_CHUNK = 128  # upstream's; with a batch_size above 1 it decides what is asked together
_SKLEARN = (1, 10)  # the first release without LogisticRegressionCV(penalty=…)


@dataclass(frozen=True)
class Compared:
    """An instruction and two outputs."""

    instruction: str
    output_1: str  # the reference's
    output_2: str  # the model's


class AlpacaEval:
    """The imported package.

    Raises:
        ExtraError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            self._package = _imported()
        except ImportError as error:
            raise missing_extra("alpaca", "Judging", error) from None

    @property
    def configurations(self) -> Path:
        """Its folder of annotator configurations."""
        folder: Path = self._package.constants.EVALUATORS_CONFIG_DIR
        return folder

    def annotate(
        self,
        annotator: Annotator,
        pairs: Sequence[Compared],
        answer: Callable[[Request], Mapping[str, Any] | None],
    ) -> list[float | None]:
        """The preference for each pair: 1 for output_1, 2 for output_2, between where unsure.

        Equal outputs are 1.5 without being asked.

        Args:
            annotator: the judge.
            pairs: what to compare; an instruction with the same outputs twice is asked once.
            answer: the completion to a request, as `completion_of` makes it; None where there is
                none, which leaves its pairs None. It sees every request there is.
        """
        import pandas as pd

        def completions(prompts: Sequence[str], **kwargs: Any) -> dict[str, list[Any]]:
            asked = [unmarked(text) for text in kwargs.pop("instructions")]
            size = len(asked) // len(prompts)
            batches = [tuple(asked[at : at + size]) for at in range(0, len(asked), size)]
            made = map(make_request, prompts, [kwargs] * len(prompts), batches)
            found = [answer(request) or {"text": ""} for request in made]
            zeros = [0.0] * len(prompts)
            return {
                "completions": [each["text"] for each in found],
                "completions_all": found,
                "price_per_example": zeros,
                "time_per_example": zeros,
            }

        rows = [[marked(t) for t in (p.instruction, p.output_1, p.output_2)] for p in pairs]
        frame = pd.DataFrame(rows, columns=["instruction", "output_1", "output_2"], dtype=object)
        frame["place"] = range(len(pairs))
        with _quiet():
            pool = self._pool(annotator, completions)
            batches = any(each.batch_size > 1 for each in pool.annotators.values())
            done = pool(frame, chunksize=_CHUNK if batches else None)
        by_place = {int(row["place"]): row["preference"] for row in done}
        return [verdict_of(by_place.get(place)) for place in range(len(pairs))]

    def parser(self, annotator: Annotator) -> Callable[[Request, Mapping[str, Any]], bool]:
        """Tells whether a completion is a verdict: parsed, one for each pair, each in [1, 2]."""
        with _quiet():
            pool = self._pool(annotator, lambda **_: {})

        def is_verdict(request: Request, completion: Mapping[str, Any]) -> bool:
            single = pool.annotators[request.annotator]
            whole = single.completion_key == "completions_all"
            if whole and not are_probabilities(completion):
                return False
            try:
                with _quiet():
                    found = single.preferences(completion if whole else completion["text"])
            except Exception:  # noqa: BLE001 -- upstream's parsers trust what a judge says
                return False
            return bool(found) and all(verdict_of(each) is not None for each in found)

        return is_verdict

    def length_controlled(
        self, preferences: Sequence[float], pairs: Sequence[Compared], gamed: Path
    ) -> NDArray[np.float64]:
        """Each pair's part in the length-controlled win rate, percent: their mean is the rate.

        The rate is of upstream's own fit; `length_control` has what each pair adds to it.

        Args:
            preferences: of all 805 pairs, in the published order.
            pairs: in the same order.
            gamed: the file df_gamed.csv.
        """
        import pandas as pd
        import sklearn

        frame = pd.DataFrame(
            {
                "preference": list(preferences),
                "output_1": [pair.output_1 for pair in pairs],
                "output_2": [pair.output_2 for pair in pairs],
                "generator_1": "reference",
                "generator_2": "model",
            }
        )
        glm = self._package.metrics.glm_winrate
        download, fit = glm.hf_hub_download, glm.fit_LogisticRegressionCV
        seen: list[tuple[Any, Any, Any]] = []

        def fitting(data: Any, target: str, **how: Any) -> Any:
            model = fit(data, target, **how)
            seen.append((data, how["sample_weight"], model))
            return model

        glm.hf_hub_download, glm.fit_LogisticRegressionCV = lambda **_: str(gamed), fitting
        try:
            with _quiet(), sklearn.config_context():
                glm.get_length_controlled_winrate(frame, save_weights_dir=None)
        finally:
            glm.hf_hub_download, glm.fit_LogisticRegressionCV = download, fit
        ((data, weights, model),) = seen
        features = data.drop(columns=["preference"])
        gaming = features["not_gamed_baseline.astype(float)"].to_numpy() == 0
        numbers = pd.read_csv(gamed)["index"].to_numpy()  # gamed rows: by their place in the file
        places = data.index.to_numpy()
        testing = features[~gaming].assign(**{"np.tanh(std_delta_len)": 0.0})
        return contributions(
            features.to_numpy(dtype=np.float64),
            np.where(gaming, numbers[np.where(gaming, places, 0)], places),
            (data["preference"].to_numpy(), weights.to_numpy(dtype=np.float64), model.coef_[0]),
            testing.to_numpy(dtype=np.float64),
        )

    def _pool(self, annotator: Annotator, completions: Callable[..., Any]) -> Any:
        """Upstream's annotator, asking through a function of ours."""
        configs = {}
        for name, config in annotator.configs.items():
            mine = copy.deepcopy(dict(config))  # upstream changes what it is given
            mine["completions_kwargs"] = {**mine["completions_kwargs"], "annotator_name": name}
            configs[name] = {**mine, "fn_completions": completions}
        pool, given = _classes(self._package)
        return pool(annotators_config=given(configs), seed=SEED, is_avoid_reannotations=False)


def length_control_refusal() -> str:
    """Why the installed packages cannot do length control; empty if they can."""
    try:
        version("alpaca-eval")
        installed = version("scikit-learn")
    except PackageNotFoundError as error:
        return f"{error.name} is not installed (pip install 'pa-harness[alpaca]')"
    if tuple(int(part) for part in installed.split(".")[:2]) >= _SKLEARN:
        return f"alpaca-eval needs scikit-learn below 1.10, {installed} is installed"
    return ""


def _classes(package: Any) -> tuple[Any, type]:
    """Upstream's annotator for configurations given as dict, and the dict."""
    module = package.annotators.pairwise_evaluator

    class Given(dict[str, Any]):
        def exists(self) -> bool:
            return True

    class Single(module.SinglePairwiseAnnotator):  # type: ignore[misc, name-defined]
        def _get_prompt_template(self, prompt_template: str) -> str:
            return prompt_template

        def _make_prompts(self, df_to_annotate: Any, prompt_template: Any = None) -> Any:
            prompts, frame = super()._make_prompts(df_to_annotate, prompt_template)
            self.completions_kwargs["instructions"] = list(frame["instruction"])
            return prompts, frame

        def preferences(self, completion: Any) -> list[Any]:
            found: list[Any] = self._parse_completions([completion])[0]
            return found

    class Pool(module.PairwiseAnnotatorLocal):  # type: ignore[misc, name-defined]
        SingleAnnotator = Single

        def _initialize_annotators_config(self, annotators_config: Given) -> Given:
            return annotators_config

        def __call__(self, frame: Any, chunksize: int | None) -> list[dict[str, Any]]:
            done = []  # as upstream's, without a progress bar of its own
            for chunk in package.utils.dataframe_chunk_generator(frame, chunksize):
                annotated = self._annotate(self._preprocess(chunk))
                done += self._postprocess_and_store_(annotated, chunk)
            return done

    return Pool, Given


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Upstream logs through the root logger: every request, and completions that do not parse."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of what a judge says
            yield
    finally:
        root.setLevel(level)


def _imported() -> Any:
    if sys.modules.get("alpaca_eval"):
        return sys.modules["alpaca_eval"]
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "user"
    missing = "pkg_resources" not in sys.modules
    if missing:
        sys.modules["pkg_resources"] = _pkg_resources()
    try:
        with _quiet():
            import alpaca_eval
            import alpaca_eval.annotators.pairwise_evaluator
            import alpaca_eval.metrics.glm_winrate
    finally:
        if missing:
            del sys.modules["pkg_resources"]
    return alpaca_eval


def _pkg_resources() -> types.ModuleType:
    """As much of setuptools' old module as alpaca-eval asks of it."""
    module = types.ModuleType("pkg_resources")

    def get_distribution(name: str) -> Any:
        return types.SimpleNamespace(version=version(name))

    vars(module).update(get_distribution=get_distribution)
    return module
