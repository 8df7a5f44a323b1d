"""The tokenizer of M_λ, and whether an id means the same token on both sides."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError, PairError, first_line, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import GenerationConfig, PretrainedConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "tokenizer_config.json",
)
_TOKENIZER_SETTINGS = (
    *("add_bos_token", "add_eos_token", "padding_side", "truncation_side", "model_max_length"),
    *("clean_up_tokenization_spaces", "split_special_tokens", "add_prefix_space"),
)
_ELSEWHERE = {  # places, the vocabulary's own, the template
    *("name_or_path", "is_local", "local_files_only", "added_tokens_decoder", "chat_template"),
    *("vocab", "merges", "tokenizer_object"),
}


def has_tokenizer(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint folder carries a tokenizer."""
    return any((checkpoint.folder / name).is_file() for name in _TOKENIZER_FILES)


def read_tokenizer(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> Any:
    """The checkpoint's tokenizer.

    Raises:
        CheckpointError: transformers cannot read it.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(
            f"{checkpoint}: its tokenizer cannot be read: {first_line(error)}. "
            "Pass tokenizer=FOLDER of one that can."
        ) from error


def tokenizer_checkpoint(*sides: Checkpoint) -> Checkpoint:
    """The first checkpoint that has a tokenizer.

    Raises:
        CheckpointError: none has.
    """
    for side in sides:
        if has_tokenizer(side):
            return side
    raise CheckpointError(
        f"None of {', '.join(map(str, sides))} has a tokenizer. Pass tokenizer=FOLDER."
    )


_PLACEHOLDER = re.compile(  # what the known families call tokens that were never trained
    r"[<>\[].*(reserved|unused|extra|dummy|place.?holder|(special|control)_\d).*[<>\]]",
    re.IGNORECASE,
)


def check_vocabulary(
    base: Checkpoint,
    instruct: Checkpoint,
    *,
    trust_remote_code: bool = False,
    renamed: str = "refuse",
) -> list[str]:
    """Refuse a pair in which one id means two tokens; interpolating such rows is meaningless.

    An id whose name is a placeholder on one side (`<|reserved_special_token_2|>`, `>>UNUSED_119<<`,
    `<|placeholder1|>`) was given its name by the other.

    Args:
        base: the checkpoint whose rows the ids address.
        instruct: the other side, or any checkpoint whose tokenizer is to be used.
        trust_remote_code: as in transformers.
        renamed: "refuse" ids that mean different tokens otherwise, or "accept" them: for control
            tokens that the instruct side gave other names and trained anew.

    Returns:
        What to warn of: ids of another name, or that only one side defines, a difference in
        automatic special tokens.

    Raises:
        PairError: an id that both sides define stands for different tokens.
    """
    if not (has_tokenizer(base) and has_tokenizer(instruct)):
        absent = base if not has_tokenizer(base) else instruct
        return [f"{absent} has no tokenizer: that ids mean the same tokens was not checked"]
    if _same_files(base, instruct):
        return []
    ours = read_tokenizer(base, trust_remote_code=trust_remote_code)
    theirs = read_tokenizer(instruct, trust_remote_code=trust_remote_code)
    base_tokens, instruct_tokens = (
        {index: token for token, index in side.get_vocab().items()} for side in (ours, theirs)
    )
    warnings = _renamings(base_tokens, instruct_tokens, instruct.role, renamed)
    for side, only in (
        ("base", base_tokens.keys() - instruct_tokens.keys()),
        ("instruct", instruct_tokens.keys() - base_tokens.keys()),
    ):
        if only:
            tokens = base_tokens if side == "base" else instruct_tokens
            names = listed(f"{index}: {tokens[index]!r}" for index in sorted(only))
            warnings.append(f"{len(only)} token ids are defined by the {side} only:\n{names}")
    return warnings + _special_tokens(ours, theirs)


def _renamings(
    base: dict[int, str], instruct: dict[int, str], role: str, renamed: str
) -> list[str]:
    """What to say of ids with two names (see `check_vocabulary`)."""
    clashes = {
        index: f"{index}: base {base[index]!r}, {role} {instruct[index]!r}"
        for index in sorted(base.keys() & instruct.keys())
        if base[index] != instruct[index]
    }
    serious = [
        line
        for index, line in clashes.items()
        if not any(_PLACEHOLDER.fullmatch(side[index]) for side in (base, instruct))
    ]
    if serious and renamed != "accept":
        raise PairError(
            f"{len(serious)} token ids mean different tokens in base and {role}:\n"
            f"{listed(serious)}\nExpected the vocabulary the base was trained with. Interpolating "
            "rows of different tokens is meaningless; check the pair. If these are control tokens "
            "that the instruct side named and trained anew, pass renamed_tokens=accept."
        )
    if not clashes:
        return []
    kind = "tokens" if serious else "reserved tokens"
    return [f"{role} renames {len(clashes)} {kind}:\n{listed(clashes.values())}"]


def ids_without_rows(tokenizer: Any, rows: int) -> list[str]:
    """What to warn of when the tokenizer has ids that the embedding has no row for."""
    beyond = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i >= rows)
    if not beyond:
        return []
    names = listed(f"{index}: {token!r}" for index, token in beyond)
    return [
        f"{len(beyond)} token ids have no embedding row ({rows} rows); a text that contains one "
        f"will fail:\n{names}"
    ]


def stop_ids(checkpoints: Iterable[Checkpoint], tokenizer: Any) -> list[int]:
    """Ids that end a generation at every λ: all checkpoints' eos lists and the tokenizer's eos.

    The same list at every λ, or curves would differ by where they stop; the instruct model's
    end-of-turn ids are in it, wherever λ stands.
    """
    ids: list[object] = []
    for checkpoint in checkpoints:
        for name in ("generation_config.json", "config.json"):
            eos = checkpoint.read_json(name).get("eos_token_id")
            ids += eos if isinstance(eos, list) else [eos]
    ids.append(tokenizer.eos_token_id)
    return sorted({index for index in ids if isinstance(index, int)})


def neutral_generation_config(
    stops: list[int], tokenizer: Any, config: PretrainedConfig
) -> GenerationConfig:
    """Greedy, with nothing of the checkpoints' sampling defaults (a repetition penalty, say).

    transformers honours a checkpoint's generation_config even under greedy decoding, and base and
    instruct ship different ones.
    """
    from transformers import GenerationConfig

    pad = tokenizer.pad_token_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stops or None,
        pad_token_id=stops[0] if pad is None and stops else pad,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )


def tokenizer_digest(tokenizer: Any) -> str:
    """A digest of what the tokenizer does: vocabulary, merges, automatic special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        content = backend.to_str().encode()
    else:  # its merges are in a file of its own
        file = getattr(tokenizer, "vocab_file", None)
        content = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False).encode()
        content += Path(file).read_bytes() if file and Path(file).is_file() else b""
    return hashlib.sha256(content).hexdigest()[:16]


def tokenizer_settings(tokenizer: Any) -> dict[str, str]:
    """What its files say beside the vocabulary, by name: special tokens, sides, limits."""
    given = dict(tokenizer.init_kwargs)
    given |= {name: getattr(tokenizer, name, None) for name in _TOKENIZER_SETTINGS}
    given |= tokenizer.special_tokens_map
    return {
        name: str(value)
        for name, value in sorted(given.items())
        if name not in _ELSEWHERE and not name.endswith("_file")
    }


def _same_files(base: Checkpoint, instruct: Checkpoint) -> bool:
    """Whether both carry one and the same tokenizer.json, which then settles every question."""
    files = [side.folder / "tokenizer.json" for side in (base, instruct)]
    return all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes()


def _special_tokens(base: Any, instruct: Any) -> list[str]:
    probes = [side("a").input_ids for side in (base, instruct)]
    plain = [side("a", add_special_tokens=False).input_ids for side in (base, instruct)]
    added = [
        [index for index in probe if index not in bare]
        for probe, bare in zip(probes, plain, strict=True)
    ]
    if added[0] == added[1]:
        return []
    return [
        f"the tokenizers add different special tokens by themselves: base {added[0]}, instruct "
        f"{added[1]}; M_λ uses the instruct's at every λ, so λ=0 sees other tokens than the base's "
        "own tokenizer gives (set add_bos_token=True or False to decide)"
    ]
