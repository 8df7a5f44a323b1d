"""Ship θ_λ: a complete Hugging Face checkpoint of the very weights that were evaluated.

Written into a hidden folder beside its place, tensor by tensor, read back and compared, and only
then given its name: a folder of that name is whole.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.checkpoint import Checkpoint, checksum
from pa_harness.checkpoints.pair import is_adapter
from pa_harness.errors import ExportError, listed
from pa_harness.export.card import LICENCE_FILES, Facts, Parent, card, read_terms
from pa_harness.export.contents import Contents
from pa_harness.export.settings import check_opens, write_settings
from pa_harness.export.shards import Spec, write_checkpoint
from pa_harness.foreign.naming import belongs
from pa_harness.lam.path import place
from pa_harness.lam.schedule import Schedule
from pa_harness.storage import new_folder
from pa_harness.weights.identity import sides

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.export.evaluated import Evaluated
    from pa_harness.weights.opening import Opened

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.tiktoken"),
    *("chat_template.jinja", "chat_template.json", "spiece.model", "additional_chat_templates"),
    *("tiktoken.model", "tekken.json", "sentencepiece.bpe.model", "spm.model", "*.tokenizer.json"),
)
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_ROOM = 50_000_000  # bytes left for everything beside the weights


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: the checkpoint.
        fingerprint: of its weights, as ``weights`` in results names them.
        checked: a sentence on what the weights were compared with.
    """

    folder: Path
    fingerprint: str
    checked: str


def export_model(
    opened: Opened, folder: Path, shard_size: int, evaluated: Evaluated, like: str = "instruct"
) -> Exported:
    """Write the model.

    Args:
        opened: the pair, λ and dtype.
        folder: the checkpoint's; it must not exist, or be empty.
        shard_size: bytes per file of weights.
        evaluated: what a run found of this λ.
        like: "instruct" or "base": whose form it has, where one is a wrapper of images or sounds.

    Raises:
        ExportError: the folder cannot be written, the disk is full, or the weights on the disk
            are not those that were computed, or not those that the run evaluated.
        CheckpointError, PairError, PAHarnessError: as when the model is evaluated.
    """
    contents = Contents(opened, like)
    for note in contents.notes:
        _log.warning("%s", note)
    with new_folder(folder) as working:
        specs = {key: Spec(*kind) for key, kind in sorted(contents.layout.keys.items())}
        _check_space(working, sum(spec.size for spec in specs.values()))
        fingerprint, checked = _write(opened, contents, working, specs, shard_size, evaluated)
    return Exported(folder, fingerprint, checked)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + _ROOM:
        raise ExportError(
            f"{folder.parent} has {free / 1e9:.2f} GB free; the model needs {size / 1e9:.2f} GB. "
            "Make room, or choose another folder or a narrower --dtype."
        )


def _write(
    opened: Opened,
    contents: Contents,
    folder: Path,
    specs: dict[str, Spec],
    shard_size: int,
    evaluated: Evaluated,
) -> tuple[str, str]:
    """Fill the folder; the fingerprint, and the sentence on what it was compared with."""
    weights = opened.weights
    sums: dict[str, int] = {}

    def made(key: str) -> torch.Tensor:
        tensor = contents.tensor(key)
        sums[key] = checksum(tensor)
        return tensor

    write_checkpoint(folder, specs, shard_size, made)
    weights.findings.check_read()
    contents.check()
    _read_back(folder, sums)
    fingerprint = weights.fingerprint()
    checked = _compared(opened, fingerprint, evaluated)
    trust, shape = opened.trust_remote_code, contents.model.checkpoint
    write_settings(opened, contents.model, folder)
    copy_files(shape.folder, folder, _PROCESSOR_FILES)
    if trust:
        copy_files(weights.pair.base.folder, folder, ("*.py",))
    copy_files(opened.tokenizer.folder, folder, _TOKENIZER_FILES + ("*.py",) * trust)
    check_opens(folder, trust_remote_code=trust)
    parents = parents_of(opened)
    for side in knots_of(opened):
        copy_files(side.folder, folder / "licences" / side.role, LICENCE_FILES)
    lam = opened.args.lam
    facts = Facts(
        parents=parents,
        lam=lam.as_dict() if isinstance(lam, Schedule) else lam,
        formula=formula(opened),
        arithmetic=arithmetic(opened),
        fingerprint=fingerprint,
        checked=checked,
        scores=evaluated.scores,
        figures=tuple(f"figures/{file.name}" for file in evaluated.figures),
        run=evaluated.name,
        notes=(*weights.pair.notes, *contents.notes),
    )
    (folder / "README.md").write_text(card(facts), encoding="utf-8")
    for file in evaluated.figures:
        copy_files(file.parent, folder / "figures", (file.name,))
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as written:
                os.fsync(written.fileno())
    return fingerprint, checked


def _read_back(folder: Path, sums: dict[str, int]) -> None:
    """Compare the files with what was computed."""
    tensors = Checkpoint(str(folder), "export", folder).tensors
    wrong = sorted(sums.keys() ^ tensors.keys())
    wrong += [key for key in sums if key in tensors and checksum(tensors[key][...]) != sums[key]]
    if wrong:
        raise ExportError(
            f"{folder} does not read back as it was written:\n{listed(wrong)}\n"
            "Is the disk sound? Try another folder."
        )


def _compared(opened: Opened, fingerprint: str, evaluated: Evaluated) -> str:
    if not evaluated.weights:
        return "The files were read back and are what was computed."
    if evaluated.dtype != str(opened.weights.dtype):
        return (
            f"The files were read back and are what was computed; the run evaluated "
            f"{evaluated.dtype}, these are {opened.weights.dtype}."
        )
    if evaluated.weights != fingerprint:
        raise ExportError(
            f"These weights are {fingerprint}; the run {evaluated.name} evaluated "
            f"{evaluated.weights}. The checkpoints or the versions of torch have changed since. "
            "Restore them (provenance.json has both), or export with --model_args, without the run."
        )
    return "The files were read back, and are bit for bit the weights that the run evaluated."


def arithmetic(opened: Opened) -> str:
    """How the weights were computed, in words."""
    seed = opened.weights.seed
    rounding = "to nearest even" if seed is None else f"stochastically with seed {seed}"
    lam_eff = opened.weights.effective_lam().lam_eff
    effective = "" if lam_eff != lam_eff else f"; λ_eff = {lam_eff:.6g} after rounding"
    method = opened.args.setting
    given = "".join(f", {name} {value}" for name, value in method.numbers.items())
    return (
        f"method {method.name}{given}; one fp32 lerp per element, rounded {rounding} to "
        f"{opened.weights.dtype}{effective} (torch {torch.__version__})"
    )


def formula(opened: Opened) -> str:
    """θ_λ of its checkpoints, as the card names them."""
    lam, pair = opened.args.lam, opened.weights.pair
    if pair.legs == 1:
        return "θ_λ = θ_base + λ (θ_instruct − θ_base)"
    if isinstance(lam, Schedule):
        return "θ_λ = θ_n + (λ − n) (θ_{n+1} − θ_n) for λ from n to n + 1"
    leg, _ = place(lam, pair.legs)
    base, other = (knot.role for knot in pair.knots[leg : leg + 2])
    return f"θ_λ = θ_{base} + {f'(λ − {leg})' if leg else 'λ'} (θ_{other} − θ_{base})"


def knots_of(opened: Opened) -> list[Checkpoint]:
    """The checkpoints that θ_λ is made of: of a path those of the legs that λ is on.

    The one that an adapter is on belongs to them.
    """
    weights, pair = opened.weights, opened.weights.pair
    legs = {place(lam, pair.legs)[0] for lam in weights.per_tensor(opened.args.lam).values()}
    numbers = {number for leg in legs for number in (leg, leg + 1)}
    numbers |= {number - 1 for number in numbers if is_adapter(pair.knots[number])}
    return [pair.knots[number] for number in sorted(numbers)]


def parents_of(opened: Opened) -> tuple[Parent, ...]:
    """What θ_λ is made of, for the card."""
    ends = sides(opened.weights.pair, opened.weights.findings.contents())
    return tuple(
        Parent(end.role, end.name, ends[end.role]["sha"], bool(end.commit), read_terms(end.folder))
        for end in knots_of(opened)
    )


def copy_files(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Copy the files (and folders) of these names, those that are there and are the source's own.

    A link that leads out of the source is not followed, and said: what it leads to would be
    shipped, and nobody asked for that.
    """
    found = {path for pattern in patterns for path in source.glob(pattern)}
    linked = {path for path in found if path.is_symlink() and path.is_dir()}
    files = {
        file
        for path in found - linked
        for file in (path.rglob("*") if path.is_dir() else (path,))
        if not file.is_dir() or file.is_symlink()
    }
    for file in sorted(files | linked):
        if not belongs(file, source):
            _log.warning("%s is not copied: it is no file of %s itself.", file, source)
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
