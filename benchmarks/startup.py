"""What the start-up hook costs every Python start, and lm_eval: ``python -m benchmarks.startup``.

Two virtual environments, one with nothing in it and one with the package and its .pth file as a
wheel installs them; lm_eval here, with the hook and with it switched off; and how soon a sweep says
its first word, or what is wrong with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.support.first_word import first_words
from benchmarks.support.places import REPOSITORY
from benchmarks.support.report import publish, table
from benchmarks.support.synthetic import tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterable

_PASS = "python -c pass"
_OFF = {"PA_HARNESS_HOOK": "0"}
_TASK = """
task: benchmark_tiny
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}}"
doc_to_choice: [" w4", " w5"]
doc_to_target: 0
metric_list: [{metric: acc}]
"""


@dataclass
class Arm:
    """A command that is started again and again.

    Attributes:
        label: for the table.
        command: what is started.
        environment: added to the environment.
        wall: seconds per start.
        cpu: CPU seconds per start, user and system.
    """

    label: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def start(self, *, count: bool = True) -> None:
        """Run it once."""
        environment = {**os.environ, **self.environment}
        started = time.perf_counter()
        with subprocess.Popen(
            self.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            sys.exit(f"{' '.join(self.command)} ended with {process.returncode}")
        if count:
            self.wall.append(wall)
            self.cpu.append(usage.ru_utime + usage.ru_stime)


def main(starts: int, evaluations: int, before: Path | None = None) -> None:
    """Measure, and publish the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare, hooked = _environment(folder / "bare"), _environment(folder / "hooked", hook=True)
        python = [
            Arm(f"`{_PASS}`, not installed", [bare, "-c", "pass"]),
            Arm(f"`{_PASS}`, installed", [hooked, "-c", "pass"]),
            Arm(f"`{_PASS}`, installed, `PA_HARNESS_HOOK=0`", [hooked, "-c", "pass"], _OFF),
        ]
        _interleave(python, starts)
        own = median(_own_cost(hooked) for _ in range(starts))
        parts = _imports(hooked, starts)
        evaluate = _evaluation(folder)
        lm_eval = [
            Arm("`lm_eval --model hf`, hook off", evaluate, _OFF),
            Arm("`lm_eval --model hf`, hook on", evaluate),
        ]
        _interleave(lm_eval, evaluations)
        words = first_words(before, folder / "tasks")
    text = "\n\n".join(
        [
            f"Medians of {starts} starts (`python`) and {evaluations} (`lm_eval`, a two-layer "
            "random model, one task of four documents), interleaved.",
            _table(python, lm_eval),
            f"The hook's own time inside the interpreter (the line of the .pth file): "
            f"**{own * 1e3:.2f} ms**. Of it, by `python -X importtime`, {parts}.",
            words,
        ]
    )
    options = f"--starts {starts} --evaluations {evaluations}"
    options += " --before CHECKOUT" if before else ""
    publish("startup", text, command=f"python -m benchmarks.startup {options}")


def _environment(folder: Path, *, hook: bool = False) -> str:
    """A virtual environment's interpreter; with the package in it as a wheel lays it out."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    if hook:
        query = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(subprocess.check_output([python, "-c", query], text=True).strip())
        shutil.copytree(
            REPOSITORY / "pa_harness",
            site / "pa_harness",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.move(site / "pa_harness" / "pa_harness.pth", site)
        subprocess.run([python, "-m", "compileall", "-q", site], check=True)
    return str(python)


def _interleave(arms: list[Arm], starts: int) -> None:
    for arm in arms:
        arm.start(count=False)  # files into the page cache
    for number in range(starts):
        for arm in arms if number % 2 else reversed(arms):
            arm.start()


def _own_cost(python: str) -> float:
    """Seconds that the .pth file's line takes, in an interpreter that has not run it yet."""
    [hook] = Path(python).parent.parent.glob("lib/python*/site-packages/pa_harness.pth")
    code = (
        "import sys, time; folder = sys.argv[1]; sys.path.append(folder);"
        "line = open(folder + '/pa_harness.pth').read(); before = len(sys.meta_path);"
        "start = time.perf_counter(); exec(line); print(time.perf_counter() - start);"
        "assert len(sys.meta_path) == before + 1"
    )
    # -S: site has not run any .pth file; os is there, as it is when site runs them.
    command = [python, "-S", "-c", f"import os; {code}", str(hook.parent)]
    return float(subprocess.check_output(command, text=True))


def _imports(python: str, starts: int) -> str:
    """What `-X importtime` says of our modules: medians of self time."""
    found: dict[str, list[int]] = {}
    for _ in range(starts):
        run = subprocess.run(
            [python, "-X", "importtime", "-c", "pass"], capture_output=True, text=True, check=True
        )
        for line in run.stderr.splitlines():
            if "pa_harness" in line:
                own, _, module = line.removeprefix("import time:").split("|")
                found.setdefault(module.strip(), []).append(int(own))
    return ", ".join(f"`{name}` {median(own) / 1e3:.2f} ms" for name, own in found.items())


def _evaluation(folder: Path) -> list[str]:
    """An lm_eval command on a tiny model and a local task."""
    documents = folder / "documents.jsonl"
    documents.write_text("".join(json.dumps({"text": f"w{i}"}) + "\n" for i in range(4)))
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "tiny.yaml").write_text(_TASK.replace("FILE", str(documents)))
    lm_eval = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
    model = ["--model_args", f"pretrained={tiny_model()}"]
    return [*lm_eval, *model, "--tasks", "benchmark_tiny", "--include_path", str(tasks)]


def _table(*groups: Iterable[Arm]) -> str:
    rows = []
    for group in map(list, groups):
        first = group[0]
        for arm in group:
            wall, cpu = median(arm.wall), median(arm.cpu)
            differences = [b - a for a, b in zip(first.wall, arm.wall, strict=True)]
            rows.append(
                (
                    arm.label,
                    f"{wall * 1e3:.1f}",
                    f"{min(arm.wall) * 1e3:.1f}",
                    f"{cpu * 1e3:.1f}",
                    f"{wall / median(first.wall):.3f}",
                    f"{median(differences) * 1e3:+.2f}",
                )
            )
    head = ("", "wall ms", "min ms", "CPU ms", "ratio", "median difference of a round, ms")
    return table(head, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--evaluations", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    given = parser.parse_args()
    main(given.starts, given.evaluations, given.before)
