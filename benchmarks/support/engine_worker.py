"""One model of lm-eval in a process of its own: its start, its changes of λ, its answers, timed.

    python -m benchmarks.support.engine_worker SPEC.json OUT.json

SPEC has `model`, `arguments`, `lams` (values to set, one after the other; empty: answer as started)
and `requests` ([kind, arguments] each). Times are [wall, CPU] seconds, CPU of this process and of
all that it started; imports are left out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from pa_harness.registration import install

Times = list[float]
_FIRST = ["loglikelihood", ["What the first question alone costs", " is left out."]]


def clock() -> Times:
    """Wall and CPU seconds."""
    spent = time.process_time()
    for child in psutil.Process().children(recursive=True):
        spent += sum(child.cpu_times()[:2])
    return [time.perf_counter(), spent]


def since(began: Times) -> Times:
    """Seconds since then."""
    return [now - then for now, then in zip(clock(), began, strict=True)]


def answered(lm: Any, requests: list[Any]) -> tuple[list[Any], Times]:
    """The answers in the order of the requests, and how long they took."""
    found: list[Any] = [None] * len(requests)
    began = clock()
    for kind in sorted({kind for kind, _ in requests}):
        own = [n for n, (each, _) in enumerate(requests) if each == kind]
        asked = [Instance(kind, {}, tuple(requests[n][1]), n) for n in own]
        for n, answer in zip(own, getattr(lm, kind)(asked, disable_tqdm=True), strict=True):
            found[n] = answer
    return found, since(began)


def main(spec_file: str, out_file: str) -> None:
    """Do what the specification says."""
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    install(switchable=False)
    import lm_eval.models  # noqa: F401 -- fills the registry

    cls = get_model(spec["model"])
    began = clock()
    lm = cls(**spec["arguments"])
    record: dict[str, Any] = {"start": since(began), "lams": []}
    answered(lm, [_FIRST])  # shares nothing with the requests: no cache holds their beginning yet
    for lam in spec["lams"] or [None]:
        began = clock()
        if lam is not None:
            lm.set_lam(lam)
        change = since(began)
        answers, seconds = answered(lm, spec["requests"])
        cached = [getattr(lm, name, 0) for name in ("tokens_cached", "tokens_asked")]
        record["lams"].append(
            {"lam": lam, "change": change, "seconds": seconds, "answers": answers, "cached": cached}
        )
    if hasattr(lm, "sharing_info"):
        counts = lm.sharing_info()["prefix_sharing"]
        record["distinct"] = counts.get("loglikelihood", {}).get("distinct")
    Path(out_file).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
