"""Exported models: reloaded by transformers and by `hf`, of a run, refused, uploaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from breakage import copy
from exports import SCHEDULE, export
from families import FAMILIES
from safetensors import safe_open
from safetensors.torch import load_file
from through_lm_eval import WHOLE, adapted, assert_same_weights, scores, stock, weights
from toy import run, toy_settings
from transformers import AutoModelForCausalLM

from pa_harness.cli.main import main
from pa_harness.export.shards import Spec, plan_shards
from pa_harness.runs.seal import read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[Path, Path]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_reloaded_weights_are_those_in_memory(
    family: str, dtype: torch.dtype, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    pair, folder = pair_of(family, dtype), tmp_path / "model"
    assert export(pair, folder, 0.3, "--max_shard_size", "30KB") == 0
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    model = AutoModelForCausalLM.from_pretrained(folder)
    lm = adapted(pair, 0.3)
    assert model.dtype == dtype
    ours = weights(lm)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in ours.items():
        assert torch.equal(value, state[name]), name
        assert value.dtype == state[name].dtype
    assert lm.get_model_info()["weights"] in (folder / "README.md").read_text()


@pytest.mark.parametrize("lam", [0, 1, 0.7, SCHEDULE])
def test_hf_answers_as_in_memory(lam: Any, tied_pair: Pair, tmp_path: Path) -> None:
    """Tokenizer, template, stops and answers of `--model hf` on the export, with nothing else."""
    assert export(tied_pair, tmp_path / "model", lam) == 0
    theirs, ours = stock(tmp_path / "model"), adapted(tied_pair, lam, dtype="float32")
    assert_same_weights(ours, theirs)
    assert scores(theirs) == scores(ours)
    assert theirs.tokenizer.chat_template == ours.tokenizer.chat_template
    assert theirs.tokenizer("It is blue").input_ids == ours.tokenizer("It is blue").input_ids
    generation = json.loads((tmp_path / "model/generation_config.json").read_text())
    assert generation["eos_token_id"] == ours.get_model_info()["stop_token_ids"]
    assert generation["repetition_penalty"] == 1.3  # the instruct side's own settings


def test_another_dtype(pair: Pair, tmp_path: Path) -> None:
    assert export(pair, tmp_path / "model", 0.3, "--dtype", "bfloat16") == 0
    ours = adapted(pair, 0.3, dtype="bfloat16")
    assert_same_weights(ours, stock(tmp_path / "model", dtype="auto"))
    assert json.loads((tmp_path / "model/config.json").read_text())["dtype"] == "bfloat16"


def test_of_a_run_with_its_scores_and_terms(
    pair: Pair, toy_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, instruct = copy(pair, tmp_path)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\nBase")
    (instruct / "README.md").write_text("---\nlicense: gemma\nlicense_link: here\n---\nTuned")
    (instruct / "LICENSE").write_text("Terms of the tuned one")
    folder = tmp_path / "run"
    run(toy_settings((base, instruct), toy_tasks, limit=4), folder)
    (folder / "figures").mkdir()
    (folder / "figures/curve.png").write_bytes(b"drawing")
    assert main(["export", str(folder), "--lam", "0.5", "-o", str(tmp_path / "model")]) == 0
    assert "bit for bit the weights that the run evaluated" in capsys.readouterr().out
    text = (tmp_path / "model/README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "other"
    assert "base_model" not in front  # folders are no ids of the hub
    unit = json.loads((folder / "units/lam=0.5/toy_kind.json").read_text())
    for part in ("λ = 0.5", "θ_base + λ", "apache-2.0", "gemma, here", unit["model"]["weights"]):
        assert part in text
    assert unit["model"]["base"]["sha"] in text
    assert f"| {unit['results']['acc,none']:.4f} ± " in text
    cells = [cell.strip() for line in text.split("\n") for cell in line.split("|")]
    at = cells.index("`toy_kind`")
    assert cells[at : at + 3] == ["`toy_kind`", "`acc,none`", "4"]
    assert "![figures/curve.png]" in text
    assert (tmp_path / "model/figures/curve.png").read_bytes() == b"drawing"
    licence = tmp_path / "model/licences/instruct/LICENSE"
    assert licence.read_text() == "Terms of the tuned one"
    assert main(["export", str(folder), "--lam", "0.3", "-o", str(tmp_path / "other")]) == 0
    assert "did not evaluate this λ" in (tmp_path / "other/README.md").read_text()


def test_weights_that_the_run_did_not_evaluate(
    whole: Path, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    for name in ("files.json", "scores.parquet"):  # as of a sweep that is not finished
        (tmp_path / "run" / name).unlink()
    for file in (tmp_path / "run/units/lam=0.5").iterdir():
        unit = read_sealed(file)
        unit["model"]["weights"] += "-other"
        write_sealed(file, unit)
    assert main(["export", str(tmp_path / "run"), "--lam", "0.5", "-o", str(tmp_path / "m")]) == 2
    assert "The checkpoints or the versions of torch have changed" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_parent_with_nan_is_refused(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    broken = copy(pair, tmp_path / "pair")
    tensors = load_file(broken[0] / "model.safetensors")
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, broken[0] / "model.safetensors", {"format": "pt"})
    assert export(broken, tmp_path / "model", 0.5) == 2
    assert "1 tensors hold NaN or Inf" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "adapter"], "--format adapter is for LoRA pairs"),
        (["--max_shard_size", "1KB", "--dtype", "int8"], "dtype='int8' is not a floating dtype"),
        (["--lam", "2x"], "lam='2x' is not a number"),
    ],
)
def test_what_cannot_be_exported(
    options: list[str],
    message: str,
    pair: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export(pair, tmp_path / "model", 0.5, *options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_asked_must_be_one_thing(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "model")
    for arguments, message in (
        ([], "either RUN, the folder of a sweep, or --model_args"),
        ([str(whole)], "--lam None: of a run, one λ is exported"),
        ([str(whole), "--lam", "0,1"], "--lam 0,1: of a run, one λ is exported"),
        ([str(tmp_path), "--lam", "1"], "is no folder of a sweep"),
    ):
        assert main(["export", *arguments, "-o", folder]) == 2
        assert message in capsys.readouterr().err
    Path(folder).mkdir()
    (Path(folder) / "mine").touch()
    assert main(["export", str(whole), "--lam", "1", "-o", folder]) == 2
    assert "is there already. Choose a new folder" in capsys.readouterr().err


def test_upload_only_when_asked(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    calls: list[Any] = []

    class Api:
        def create_repo(self, name: str, **options: Any) -> str:
            calls.append((name, options))
            if name == "taken/name":
                raise OSError("409 Conflict")
            return f"https://hub/{name}"

        def upload_folder(self, **options: Any) -> None:
            calls.append(options)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert export(pair, tmp_path / "one", 0.5) == 0
    assert calls == []
    assert export(pair, tmp_path / "two", 0.5, "--push_to_hub", "me/mine") == 0
    assert calls[0] == ("me/mine", {"private": True, "exist_ok": False})
    assert calls[1] == {"repo_id": "me/mine", "folder_path": tmp_path / "two"}
    assert export(pair, tmp_path / "three", 0.5, "--push_to_hub", "taken/name") == 2
    assert "could not be uploaded to taken/name: 409 Conflict" in capsys.readouterr().err
    assert (tmp_path / "three/config.json").exists()


def test_shards_hold_what_fits() -> None:
    specs = {name: Spec(torch.bfloat16, (size,)) for name, size in zip("abcd", (3, 2, 9, 1))}  # noqa: B905 -- ends with the sizes
    assert plan_shards(specs, 10) == [["a", "b"], ["c"], ["d"]]


def test_the_files_are_aligned(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    pair = pair_of("glm-4-moe", torch.bfloat16)  # with a router bias in fp32
    assert export(pair, tmp_path / "model", 0.5) == 0
    file = tmp_path / "model/model.safetensors"
    with safe_open(file, "pt") as opened:
        assert {opened.get_tensor(key).dtype for key in opened.keys()} == {  # noqa: SIM118
            *(torch.float32, torch.bfloat16),
        }
    content = file.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_prefix_sharing_is_no_part_of_the_weights(pair: Pair) -> None:
    info = [adapted(pair, 0.5, **WHOLE | {"prefix_sharing": on}) for on in (True, False)]
    assert len({lm.get_model_info()["weights"] for lm in info}) == 1
