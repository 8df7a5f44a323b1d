r"""Documents and scoring of `pa_reasoning`: what the model says behind its thinking.

Mathematics is asked for in \boxed{} (the wording of DeepSeek-R1 and Qwen3 reports), multiple choice
as a line `Answer: LETTER` (OpenAI's simple-evals). Of an answer the last \boxed{} counts; where
there is none, the last number (of GSM8K and AIME) or nothing. Mathematical texts are equal by the
normalisation of Hendrycks et al. 2021 (arXiv 2103.03874), as lm-eval has it; numbers by value.
"""

from __future__ import annotations

import hashlib
import random
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_LETTER = re.compile(r"(?i)answer[ \t]*:[ \t]*\**[ \t]*\$?\(?([A-D])\b")
_CHOICES = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def boxed(text: str) -> str | None:
    r"""What the last \boxed{} of a text holds; None without a whole one."""
    start = text.rfind("\\boxed{")
    depth = 0
    for place in range(start + len("\\boxed"), len(text)) if start >= 0 else ():
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start + len("\\boxed{") : place].strip()
    return None


def number(text: str) -> Fraction | None:
    """The last number of a text, thousands separated or not; None without one."""
    found = re.findall(_NUMBER, text)
    return Fraction(found[-1].replace(",", "").rstrip(".")) if found else None


def gsm8k_target(doc: Mapping[str, Any]) -> str:
    """The number behind ``####``."""
    return str(doc["answer"]).rpartition("####")[2].strip().replace(",", "")


def aime_target(doc: Mapping[str, Any]) -> str:
    """The whole number from 0 to 999, whatever the data set calls its column."""
    return str(next(value for name, value in doc.items() if name.lower() == "answer")).strip()


def score_number(doc: Mapping[str, Any], target: str, results: Sequence[str]) -> dict[str, float]:
    """1 where an answer's number is the target's, else 0."""
    del doc
    found = boxed(results[0])
    given = number(results[0] if found is None else found)
    return {"exact_match": float(given is not None and given == number(target))}


def gsm8k(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """`score_number` of GSM8K (Cobbe et al. 2021, arXiv 2110.14168)."""
    return score_number(doc, gsm8k_target(doc), results)


def aime(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """`score_number` of AIME."""
    return score_number(doc, aime_target(doc), results)


def math500(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 where the boxed answer is the reference's (Lightman et al. 2023, arXiv 2305.20050)."""
    from lm_eval.tasks.hendrycks_math.utils import is_equiv

    found = boxed(results[0])
    return {"exact_match": float(found is not None and is_equiv(found, str(doc["answer"])))}


def gpqa_documents(dataset: Any) -> Any:
    """Questions with their four options in an order that depends on the question alone."""
    return dataset.map(_gpqa_document)


def _gpqa_document(doc: dict[str, Any]) -> dict[str, Any]:
    options = [" ".join(str(doc[name]).split()) for name in _CHOICES]
    order = list(range(4))
    seed = hashlib.sha256(str(doc["Question"]).encode()).hexdigest()
    random.Random(seed).shuffle(order)
    return {
        "question": str(doc["Question"]).strip(),
        "options": [options[place] for place in order],
        "answer": "ABCD"[order.index(0)],
    }


def gpqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 where the last `Answer: LETTER` (or boxed letter) is right (Rein et al. 2023)."""
    letters = _LETTER.findall(results[0])
    found = boxed(results[0]) or ""
    given = letters[-1].upper() if letters else found.strip("() .")[-1:].upper()
    return {"exact_match": float(given == doc["answer"])}
