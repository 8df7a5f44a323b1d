"""Toy tasks and a toy sweep, small enough to run many times."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

from pa_harness.registration import install
from pa_harness.runs.settings import SweepSettings, resolve
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.sweep import Terms, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

install()

CHOICE = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{{{question}}}} Answer:"
doc_to_choice: [" blue", " film"]
doc_to_target: label
num_fewshot: {shots}
metadata: {{version: 1.0, category: {category}, scoring: cf, metric: "acc,none",
  random_baseline: 0.5{more}}}
"""
ANSWER = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "blue"
generation_kwargs: {{until: ["?"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 2.0, category: instruction, scoring: gen}}
"""
GROUP = """\
group: toy_group
task: [toy_colour, toy_kind]
aggregate_metric_list: [{metric: acc, weight_by_size: false}]
"""


def write_tasks(folder: Path, documents: int = 12) -> Path:
    """A folder with tasks toy_colour, toy_kind (2-shot), toy_answer and toy_group."""
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    for name, template, facts in (
        ("toy_colour", CHOICE, {"shots": 0, "category": "knowledge", "more": ""}),
        ("toy_kind", CHOICE, {"shots": 2, "category": "reading", "more": ", counts_as: toy"}),
        ("toy_answer", ANSWER, {}),
    ):
        rows = [{"question": f"{name} which? {n}", "label": n % 2} for n in range(documents)]
        data = folder / f"{name}.jsonl"
        data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        (tasks / f"{name}.yaml").write_text(template.format(name=name, data=data, **facts))
    (tasks / "toy_group.yaml").write_text(GROUP)
    return tasks


def toy_settings(pair: tuple[Path, Path], tasks: Path, **more: object) -> SweepSettings:
    """A sweep of λ = 0, ½, 1 over the group and the generation."""
    given = {
        "model_args": {"pretrained": str(pair[0]), "instruct": str(pair[1]), "dtype": "float32"},
        "lam": "0:1:0.5",
        "tasks": ["toy_group", "toy_answer"],
        "include_path": [str(tasks)],
        "device": "cpu",
    }
    return resolve({**given, **more})


def timeless(folder: Path) -> dict[str, str]:
    """Every file of a run by its name, without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = re.sub(r"_\d{4}-\d\d-\d\dT[\d.-]+", "_DATE", str(path.relative_to(folder)))
        text = path.read_bytes().decode("latin-1")
        text = re.sub(r'"(seconds|date|started|total_\w+_seconds)": "?[\d.:T-]+"?', "TIME", text)
        text = re.sub(r'\n  "digest": "\w+"\n', "SEAL", text)  # of times, too
        if path.name == "files.json":
            text = re.sub(
                r'(.json": )"\w+"', "\\1SEAL", re.sub(r"_\d{4}-\d\d-\d\dT[\d-]+.\d+", "", text)
            )
        found[name] = re.sub(r'"pretty_env_info": ".*"', "MACHINE", text)  # it has clock speeds
    return found


def run(settings: SweepSettings, folder: Path, redo: Sequence[str] | None = None) -> str:
    """Sweep, and return what was written on progress."""
    stream = io.StringIO()
    sweep(settings, folder, Progress(stream), Terms(redo=redo))
    return stream.getvalue()
