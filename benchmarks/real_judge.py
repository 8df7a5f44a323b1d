"""A real judge for real answers: ``python -m benchmarks.real_judge --data FOLDER``.

Sweeps the real pair over λ on AlpacaEval's instructions (evenly from all five sets) and a few-shot
task; starts a small instruct model behind llama.cpp's server on this machine; has it compare every
answer with GPT-4's, and with λ = 1's, by `pa-harness judge` (the first time killed on the way and
started again); and takes the verdicts through `summary`, `choose` and `report`. A sweep that is
there already, or a part of it, is gone on with; ``--run RUN`` judges another one. FOLDER has the
data sets in it by their hub names; without one they come from the hub. It needs
``pip install 'pa-harness[alpaca]'``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.support.llama_server import LLAMA, MODEL, answered, judge_server
from benchmarks.support.places import REPOSITORY, add_data, working_directory
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish

if TYPE_CHECKING:
    from benchmarks.demo.pair import Pair

_LAMS = [0, 0.5, 1]
_SAMPLES = {  # document numbers, evenly from the whole sets
    "pa_alpaca_eval": list(range(12, 805, 25)),
    "pa_sst2_cf": list(range(20)),
}
_TOKENS = 48  # of an answer, at most: the judge is small, and the CPU slow
_AT_ONCE = 2  # requests; llama.cpp's server answers one after the other
_KILLED_AFTER = 10  # verdicts
_OWN = "own_judge"  # an annotator of one's own: the official one, with more of the likely tokens


@dataclass
class Asked:
    """One `judge` command."""

    text: str  # what it printed
    seconds: float
    requests: int  # that the server answered meanwhile


def main(given: argparse.Namespace) -> None:
    """Sweep, judge, and publish what came out."""
    pair = real_pair(given)
    run = (given.run or given.output_path).absolute()
    if (run / "judgements").exists():
        sys.exit(f"{run} is judged already: choose another --output_path, or move judgements away.")
    with working_directory(given.data):
        if not given.run:
            sweep(pair.base, pair.instruct, run)
        with judge_server(run / "server.log", given.threads) as url:
            at = ["--base_url", url, "--judge_model", MODEL, "--price", "0", "--yes"]
            at += ["--concurrency", str(_AT_ONCE)]
            first = killed(run, at)
            rest = ask(run, at)
            again = ask(run, at)
            own = ask(run, [*at, "--reference", "1", "--annotator", str(own_annotator(run))])
        words = ["--instruction", "weighted_alpaca_eval"]
        command("report", run, *words)
        text = [
            *(setting(run, pair, given.threads), against_gpt4(first, rest, again)),
            *(against_instruct(own), "`summary --instruction weighted_alpaca_eval`, on IF:"),
            section(command("summary", run, *words), "IF ("),
            "`choose`, where IF is the judge's win rate against GPT-4's answers:",
            command("choose", run, *words),
            "And where it is that against λ = 1:",
            command("choose", run, "--instruction", _OWN),
        ]
    typed = "python -m benchmarks.real_judge" + (" --run RUN" if given.run else "")
    publish("real_judge", "\n\n".join(text), command=typed)


def setting(run: Path, pair: Pair, threads: int) -> str:
    """What was judged, and by whom."""
    swept = yaml.safe_load((run / "sweep.yaml").read_text(encoding="utf-8"))
    ends = tuple(swept["model_args"].get(name) for name in ("pretrained", "instruct"))
    known = ends == (pair.base, pair.instruct)
    about = pair.description if known else f"base: {ends[0]}\ninstruct: {ends[1]}"
    lams = ", ".join(f"{lam:g}" for lam in swept["lam"])
    return f"""{about}

{len(swept["samples"]["pa_alpaca_eval"])} of AlpacaEval's 805 instructions, from all five sets,
answered greedily in at most {swept["gen_kwargs"]["max_gen_toks"]} tokens at each of λ = {lams} by
`pa-harness sweep`, in {swept["model_args"]["dtype"]}. Judge: {MODEL} (Q4_1), served on 127.0.0.1 by
llama.cpp's OpenAI-compatible server (llama-cpp-python {LLAMA}), threads: {threads}. A judge of this
size has poor opinions: what is shown is that the pipeline is real, not which answers are better."""


def against_gpt4(first: Killed, rest: Asked, again: Asked) -> str:
    """The official annotator: killed, gone on with, and once more."""
    requests, seconds = first.requests + rest.requests, first.seconds + rest.seconds
    return f"""**Against GPT-4's published answers**, by `weighted_alpaca_eval_gpt4_turbo`:

{numbers(rest.text)}

The command was killed (SIGKILL) with {first.kept} verdicts on the disk, and given again. For
{verdicts(rest.text)} verdicts the server gave {requests} answers in {seconds:.0f} s; of those under
way at the kill, at most {_AT_ONCE}, the answer may be lost. Given once more: {again.requests}
requests, {again.seconds:.1f} s."""


def against_instruct(own: Asked) -> str:
    """A configuration of one's own, and no GPT-4."""
    return f"""**Against λ = 1 of the same run**, by an annotator in a YAML file, which is the
official one with `top_logprobs: 20`:

{numbers(own.text)}

{own.requests} requests, {own.seconds:.0f} s. λ = 1 against itself is a draw, not asked for."""


def sweep(base: str, instruct: str, run: Path) -> None:
    """Answers at every λ; goes on with what is there."""
    settings = {
        "model_args": {"pretrained": base, "instruct": instruct, "dtype": "float32"},
        "lam": _LAMS,
        "tasks": list(_SAMPLES),
        "samples": _SAMPLES,
        "gen_kwargs": {"max_gen_toks": _TOKENS},
        "batch_size": 8,
        "device": "cpu",
    }
    run.mkdir(parents=True, exist_ok=True)
    file = run.with_name(f"{run.name}.yaml")
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command("sweep", "--config", file, "--output_path", run)


def own_annotator(run: Path) -> Path:
    """The official configuration with 20 of the likely first tokens, where its 5 lack m or M."""
    from pa_harness.judging.alpaca import AlpacaEval
    from pa_harness.judging.annotator import OFFICIAL

    shipped = AlpacaEval().configurations
    config = yaml.safe_load((shipped / OFFICIAL / "configs.yaml").read_text(encoding="utf-8"))
    mine: dict[str, Any] = config[OFFICIAL]
    mine["completions_kwargs"]["top_logprobs"] = 20
    mine["prompt_template"] = (shipped / mine["prompt_template"]).read_text(encoding="utf-8")
    file = run / f"{_OWN}.yaml"
    file.write_text(yaml.safe_dump({_OWN: mine}), encoding="utf-8")
    return file


@dataclass
class Killed(Asked):
    """One that was killed."""

    kept: int  # verdicts on the disk


def killed(run: Path, at: list[str]) -> Killed:
    """Judge until some verdicts are there, and kill it."""
    began, before = time.monotonic(), answered(run / "server.log")
    asking = subprocess.Popen([*_COMMAND, "judge", str(run), *at], env=_environment())
    while count(run) < _KILLED_AFTER and asking.poll() is None:
        time.sleep(0.2)
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    kept, seconds = count(run), time.monotonic() - began
    return Killed("", seconds, answered(run / "server.log") - before, kept)


def ask(run: Path, at: list[str]) -> Asked:
    """Judge, and see what it took."""
    began, before = time.monotonic(), answered(run / "server.log")
    text = command("judge", run, *at)
    return Asked(text, time.monotonic() - began, answered(run / "server.log") - before)


def count(run: Path) -> int:
    """Verdicts on the disk."""
    file = run / "judgements" / "verdicts.sqlite"
    if not file.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
            return int(opened.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])
    except sqlite3.Error:  # its tables are being made
        return 0


_COMMAND = [sys.executable, "-m", "pa_harness"]


def command(*words: Any) -> str:
    """What a command of pa-harness prints."""
    print("pa-harness", *words, flush=True)
    done = subprocess.run(
        [*_COMMAND, *map(str, words)], env=_environment(), stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"pa-harness {words[0]}: exit code {done.returncode}")
    return done.stdout


def _environment() -> dict[str, str]:
    """This checkout's package, wherever the command runs."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [known])])}


def numbers(text: str) -> str:
    """The tables of `judge` and what is said below them."""
    start, end = text.index("| λ"), text.index("Judgements: ")
    return text[start:end].strip()


def verdicts(text: str) -> int:
    """How many were asked for in all, by this session and those before it."""
    found = re.findall(r"(\d+) requests are answered|To ask: (\d+) calls", text)
    return sum(int(number) for pair in found for number in pair if number)


def section(text: str, title: str) -> str:
    """One table of `summary`, with its title."""
    start = text.index(title)
    return text[start : text.index("\n\n", text.index("\n\n", start) + 2)].strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    add_data(parser)
    parser.add_argument("--run", type=Path, help="a sweep with --samples of pa_alpaca_eval")
    parser.add_argument("--output_path", type=Path, default=Path("runs/real_judge"))
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of the judge's server")
    main(parser.parse_args())
