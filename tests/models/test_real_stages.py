"""Three real stages: base, instruct, and one that was tuned on the spot to think. Slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from stages import on_path
from toy import timeless

from pa_harness.cli.main import main
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.samples import COSTS

pytestmark = pytest.mark.slow

LAMS, DOCUMENTS, TOKENS = "0:2:0.5", 3, 48
TASK = """\
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["<start_of_turn>"], max_gen_toks: {tokens}}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
filter_list:
  - name: number
    filter:
      - {{function: regex, regex_pattern: "(\\\\d+)"}}
      - {{function: take_first}}
metadata: {{version: 1.0, category: reasoning, scoring: gen, metric: "exact_match,number"}}
"""


@pytest.fixture(scope="module")
def stages() -> list[str]:
    from benchmarks.demo.thinking import thinking_stages  # the extra [demo]

    return thinking_stages()


@pytest.fixture(scope="module")
def config(stages: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``--config`` file of a sweep along the path, on sums that were not tuned on."""
    from benchmarks.demo.thinking import question, sums

    folder = tmp_path_factory.mktemp("sums")
    rows = [{"question": question(a, b), "answer": str(a + b)} for a, b in sums(DOCUMENTS, 99)]
    data = folder / "sums.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "sums.yaml").write_text(TASK.format(data=data, tokens=TOKENS))
    model_args = {"path": stages, "dtype": "float32", "think_end_token": "</think>"}
    settings = {
        **{"model_args": model_args, "lam": LAMS, "tasks": ["sums"], "device": "cpu"},
        **{"include_path": [str(folder / "tasks")], "batch_size": DOCUMENTS},
    }
    file = folder / "sweep.json"
    file.write_text(json.dumps(settings))
    return file


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "run"
    assert main(["sweep", "--config", str(config), "--output_path", str(folder)]) == 0
    return folder


def tensors(folder: str | Path) -> dict[str, torch.Tensor]:
    with safe_open(Path(folder) / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 -- no dict


def test_knots_legs_and_no_drift(stages: list[str]) -> None:
    """λ = 0, 1, 2 bit for bit, 0.5 and 1.5 as an independent lerp, 20 changes across the knots."""
    lm = on_path(stages, 1.5, dtype="float32")
    first = lm.get_model_info()["weights"]
    for lam in (0, 2, 0.5, 1, 1.75, 0.25, 2, 1, 0, 1.25, 0.75, 2, 0.1, 1.9, 1, 0.6, 1.4, 0, 1):
        lm.set_lam(lam)
    held = lm.model.state_dict()
    ends = [tensors(stage) for stage in stages]
    assert all(torch.equal(held[name], value) for name, value in ends[1].items())
    for lam, leg in ((0, 0), (2, 2)):
        lm.set_lam(lam)
        assert all(torch.equal(held[name], value) for name, value in ends[leg].items())
    for lam, leg in ((0.5, 0), (1.5, 1)):
        lm.set_lam(lam)
        for name, value in ends[leg].items():
            wanted = value.double() + 0.5 * (ends[leg + 1][name].double() - value.double())
            assert torch.allclose(held[name].double(), wanted, rtol=2e-7, atol=1e-9), name
    assert lm.get_model_info()["weights"] == first


def test_thinking_is_counted_where_it_is_generated(run: Path, stages: list[str]) -> None:
    """λ = 2 against transformers' own generation, counted one token after the other."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    paired = RunFolder(run).documents().paired("sums")
    found = {name: paired[key].values[-1] for name, key in COSTS.items()}
    model = AutoModelForCausalLM.from_pretrained(stages[2], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(stages[2])
    ends = model.generation_config.eos_token_id
    (log,) = run.glob("lam=2/samples_sums_*.jsonl")
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines()):
        prompt = json.loads(line)["arguments"]["gen_args_0"]["arg_0"]
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        made = model.generate(ids, do_sample=False, max_new_tokens=TOKENS)[0, ids.shape[1] :]
        tokens = made.tolist()
        length = next((n for n, token in enumerate(tokens) if token in ends), len(tokens))
        texts = [tokenizer.decode(tokens[: n + 1]) for n in range(length)]
        closed = any("</think>" in text for text in texts)
        most = texts[-1].count("</think>")
        until = next(n for n, text in enumerate(texts, 1) if text.count("</think>") == most)
        thinking = until if closed else length * ("<think>" in texts[-1])
        wanted = (length, thinking, closed, length < len(tokens))
        assert tuple(values[number] for values in found.values()) == wanted
    assert found["closed"].mean() > 0.5, "it learnt to think"
    assert 0 < found["thinking_tokens"].mean() < found["answer_tokens"].mean()
    assert paired[COSTS["closed"]].values[0].mean() == 0, "the base does not"


def test_summary_report_and_picture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", str(run), "--against", "2"]) == 0
    text = capsys.readouterr().out
    for words in ("score per 1000 tokens", "thinking closed", "λ − 2", "2 is thinking/instruct"):
        assert words in text, words
    picture = (run / "figures" / "cost.svg").read_text(encoding="utf-8")
    assert "tokens of an answer" in picture


def test_a_killed_sweep_goes_on(run: Path, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "pa_harness", "sweep", "--config", str(config)]
    with subprocess.Popen([*command, "--output_path", str(folder)], stderr=subprocess.DEVNULL) as p:
        while not list(folder.glob("units/*/sums.json")):
            assert p.poll() is None
            time.sleep(0.05)
        os.kill(p.pid, signal.SIGKILL)
    assert 1 <= len(list(folder.glob("units/*/sums.json"))) < 5
    assert main(["sweep", "--config", str(config), "--output_path", str(folder)]) == 0
    tables = [RunFolder(each).documents().paired("sums") for each in (folder, run)]
    for name, values in tables[0].items():
        np.testing.assert_array_equal(values.values, tables[1][name].values)
    units = [{k: v for k, v in timeless(each).items() if "units" in k} for each in (folder, run)]
    assert units[0] == units[1]


def test_an_export_is_read_by_transformers(run: Path, stages: list[str], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "model"
    assert main(["export", str(run), "--lam", "1.5", "--output_path", str(folder)]) == 0
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    before, after = tensors(stages[1]), tensors(stages[2])
    for name, value in before.items():
        wanted = value.double() + 0.5 * (after[name].double() - value.double())
        assert torch.allclose(loaded[name].double(), wanted, rtol=2e-7, atol=1e-9), name
