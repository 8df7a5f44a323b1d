"""Records for other programs: valid by their schemas, and the same numbers when read again."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from as_published import results_of, run_of
from huggingface_hub import ModelCard, parse_eval_result_entries

from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.interchange.records import export_results
from pa_harness.leaderboards.boards import BOARDS
from pa_harness.leaderboards.reading import read_results

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
BOUND = {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity"]}]}


def needs(*names: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(names), "properties": properties}


# The part of Every Eval Ever's schema 0.3.0 that our records use, put down anew from
# every_eval_ever/schemas/eval.schema.json in the package every-eval-ever 0.3.0 (MIT). The records
# were checked with the whole file as well.
RESULT = needs(
    *("evaluation_name", "source_data", "metric_config", "score_details"),
    source_data={
        "oneOf": [
            needs("dataset_name", "source_type", source_type={"const": "other"}),
            needs(
                *("dataset_name", "source_type"),
                source_type={"const": "hf_dataset"},
                hf_repo={"type": "string"},
                hf_split={"type": "string"},
                additional_details=TEXTS,
            ),
        ]
    },
    metric_config=needs(
        *("lower_is_better", "min_score", "max_score"),
        lower_is_better={"type": "boolean"},
        score_type={"const": "continuous"},
        min_score=BOUND,
        max_score=BOUND,
    ),
    score_details=needs(
        "score",
        score={"type": "number"},
        details=TEXTS,
        uncertainty=needs(
            standard_error=needs("value", value={"type": "number"}),
            num_samples={"type": "integer"},
        ),
    ),
)
SCHEMA = {
    **needs(
        *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata"),
        *("model_info", "eval_library", "evaluation_results"),
        schema_version={"const": "0.3.0"},
        evaluation_id={"type": "string"},
        evaluation_timestamp={"type": "string"},
        retrieved_timestamp={"type": "string"},
        source_metadata=needs(
            *("source_type", "source_organization_name", "evaluator_relationship"),
            source_type={"enum": ["documentation", "evaluation_run"]},
            evaluator_relationship={
                "enum": ["first_party", "third_party", "collaborative", "other"]
            },
        ),
        eval_library=needs("name", "version", version={"type": "string"}),
        model_info=needs(
            *("name", "id", "additional_details"),
            additional_details={
                **TEXTS,
                "required": ["deployment_type", "model_availability"],
                "properties": {
                    "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                    "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                },
            },
        ),
        evaluation_results={"type": "array", "items": RESULT},
    ),
    "additionalProperties": False,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """λ = 0, ½ and 1 of a pair on the Open LLM Leaderboard v1's tasks."""
    folder = tmp_path / "run"
    for lam in (0.0, 0.5, 1.0):
        args = {"pretrained": "me/base-2b", "instruct": "me/base-2b-it", "lam": lam}
        content = results_of(
            BOARDS[0],
            run_of(BOARDS[0], "google/gemma-2b", "bfloat16"),
            model_args=args,
            model_num_parameters=2_000_000_000,
        )
        content["lm_eval_version"] = "0.4.13"
        content["configs"]["hellaswag"] = {
            "dataset_path": "Rowan/hellaswag",
            "dataset_kwargs": {"revision": "218ec52e"},
            "validation_split": "validation",
            "metadata": {},
        }
        content["results"]["hellaswag"] |= {
            "acc_norm_stderr,none": 0.004,
            "perplexity,none": 12.5,
            "broken,none": "N/A",
        }
        content["higher_is_better"] = {"hellaswag": {"acc_norm": True, "perplexity": False}}
        (folder / f"lam={lam:g}").mkdir(parents=True)
        (folder / f"lam={lam:g}" / "results_1.json").write_text(json.dumps(content))
    return folder


def test_every_eval_ever_accepts_the_records(run: Path) -> None:
    files = export_results(run, "every_eval_ever", run / "out")
    assert [file.parents[1].name for file in files] == ["lam=0", "lam=0.5", "lam=1"]
    for file in files:
        assert uuid.UUID(file.stem).version == 4  # as the coalition's validator asks
        record = json.loads(file.read_text())
        jsonschema.validate(record, SCHEMA, jsonschema.Draft7Validator)
        numbers = {each["evaluation_result_id"]: each for each in record["evaluation_results"]}
        assert "hellaswag/broken,none" not in numbers
        perplexity = numbers["hellaswag/perplexity,none"]["metric_config"]
        assert (perplexity["lower_is_better"], perplexity["max_score"]) == (True, "Infinity")
        assert numbers["hellaswag/acc_norm,none"]["source_data"]["hf_repo"] == "Rowan/hellaswag"
    half = json.loads(files[1].read_text())["model_info"]
    assert half["id"] == "me_base-2b__me_base-2b-it__lam=0.5"
    details = half["additional_details"]
    assert (details["lam"], details["base"], details["instruct"]) == (
        *("0.5", "me/base-2b", "me/base-2b-it"),
    )


def test_the_schema_here_refuses_what_is_wrong(run: Path) -> None:
    (file, *_) = export_results(run, "every_eval_ever", run / "out")
    record = json.loads(file.read_text())
    for spoil in (
        lambda r: r.pop("eval_library"),
        lambda r: r.update(colour="blue"),
        lambda r: r["model_info"]["additional_details"].update(lam=0.5),
        lambda r: r["evaluation_results"][0]["score_details"].update(score=None),
        lambda r: r["evaluation_results"][0]["metric_config"].pop("max_score"),
    ):
        spoiled = json.loads(json.dumps(record))
        spoil(spoiled)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoiled, SCHEMA, jsonschema.Draft7Validator)


def test_records_read_again_are_the_same_numbers(run: Path, tmp_path: Path) -> None:
    export_results(run, "every_eval_ever", tmp_path / "out")
    fields = ("task", "metric", "value", "num_fewshot", "version", "n", "precision", "lam")
    more = ("base", "instruct", "chat_template", "limit", "main", "higher_is_better", "parameters")
    pairs = [
        {
            tuple(getattr(number, name) for name in (*fields, *more))
            for number in read_results([place])
            if not math.isnan(number.value)
        }
        for place in (run, tmp_path / "out")
    ]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 3 * (57 + 5 + 1)


def test_a_model_card_holds_them(run: Path) -> None:
    (_, file, _) = export_results(run, "model_index", run / "out", name="me/mine")
    assert file == run / "out" / "lam=0.5" / "README.md"
    card = ModelCard.load(file)
    assert card.data.model_name == "me/mine__lam=0.5"
    assert card.data.base_model == ["me/base-2b", "me/base-2b-it"]
    results = {(each.dataset_name, each.metric_name): each for each in card.data.eval_results}
    found = results["hellaswag", "acc_norm,none"]
    assert (found.dataset_type, found.dataset_revision) == ("Rowan/hellaswag", "218ec52e")
    assert found.dataset_args == {"num_few_shot": 10}
    assert found.metric_value == pytest.approx(0.7165, abs=0.01)
    assert "λ = 0.5, base me/base-2b, instruct me/base-2b-it" in card.text


def test_the_hubs_evaluation_results(run: Path) -> None:
    (file, *_) = export_results(run, "eval_results", run / "out")
    assert file == run / "out" / "lam=0" / ".eval_results" / "pa_harness.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert (entry.dataset_id, entry.task_id) == ("Rowan/hellaswag", "hellaswag")
    assert entry.value == pytest.approx(71.65, abs=1)
    assert entry.notes == (
        "acc_norm,none, percent; 10 shots; lm-eval 0.4.13, task version 1.0; "
        "λ = 0 between me/base-2b and me/base-2b-it (pa-harness)"
    )


def test_a_schedule_is_not_shared_as_the_base_model(run: Path) -> None:
    """Its records bear both parents and the schedule; those of a knob its name."""
    for name, change in (
        ("lam=0", {"lam": None, "model_args": {"lam": {"base": 0.5, "rules": []}}}),
        ("lam=1", {"lam": 1.0, "knob": "mlp"}),
    ):
        file = run / name / "results_1.json"
        content = json.loads(file.read_text())
        args = content["config"]["model_args"] | change.pop("model_args", {})
        content["config"] |= {**change, "model_args": args}
        file.write_text(json.dumps(content))
    files = export_results(run, "every_eval_ever", run / "out")
    models = {file.parents[1].name: json.loads(file.read_text())["model_info"] for file in files}
    (schedule,) = [name for name in models if name.startswith("schedule_")]
    assert set(models) == {schedule, "lam=0.5", "knob_mlp_lam=1"}
    details = models[schedule]["additional_details"]
    assert models[schedule]["id"] == f"me_base-2b__me_base-2b-it__{schedule}"
    assert (details["base"], details["instruct"]) == ("me/base-2b", "me/base-2b-it")
    assert details["way"] == schedule.replace("_", " ")
    assert "lam" not in details
    again = {number.strength for number in read_results([run / "out"])}
    assert again == {details["way"], "λ = 0.5", "knob mlp, λ = 1"}


def test_a_damaged_date_is_named(run: Path) -> None:
    file = run / "lam=0" / "results_1.json"
    file.write_text(file.read_text().replace('"date": 1.0', '"date": "yesterday"'))
    with pytest.raises(RunError, match=r"is damaged: its date is 'yesterday'\. Expected seconds"):
        export_results(run, "every_eval_ever", run / "out")


def test_what_a_format_cannot_hold_is_said(run: Path) -> None:
    for file in run.glob("*/results_1.json"):
        content = json.loads(file.read_text())
        content["configs"]["hellaswag"]["dataset_path"] = "json"
        file.write_text(json.dumps(content))
    with pytest.raises(RunError, match="no task of these results is on a dataset of the hub"):
        export_results(run, "eval_results", run / "out")


def test_only_lm_evals_results_can_be_exported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no results file of lm-eval"):
        export_results(tmp_path, "model_index", tmp_path)
    (tmp_path / "a.csv").write_text("task,value")
    with pytest.raises(RunError, match=r"a\.csv is no JSON file\. Expected lm-eval's results"):
        export_results(tmp_path / "a.csv", "model_index", tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(RunError, match="is no results file of lm-eval"):
        export_results(tmp_path, "model_index", tmp_path)


def test_the_verb_writes_the_same_bytes_twice(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = []
    for _ in range(2):
        for kind in ("every_eval_ever", "model_index", "eval_results"):
            assert main(["export-results", str(run), "--format", kind]) == 0
        files = sorted(path for path in (run / "export").rglob("*") if path.is_file())
        contents.append({path: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 9
    assert len(capsys.readouterr().out.splitlines()) == 18
    arguments = ["export-results", str(run), "--format", "model_index", "-o", str(run / "file")]
    (run / "file").write_text("")
    assert main(arguments) == 2
    assert "file cannot be written: Not a directory. Name another place." in capsys.readouterr().err
