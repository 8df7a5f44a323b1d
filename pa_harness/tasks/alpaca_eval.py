"""The 805 instructions of AlpacaEval 2 as documents of an lm-eval task; a judge comes later.

The data (tatsu-lab/alpaca_eval on the hub, CC BY-NC 4.0) is fetched, never shipped: one file at one
commit, whose SHA-256 must be the known one. A document has

    dataset        which of the five source sets the instruction is from
    instruction    the prompt
    output         the reference's answer (gpt4_1106_preview)
    generator      whose answer that is
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import DataFileError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datasets import DatasetDict

_log = logging.getLogger(f"lm_eval.{__name__}")
_NEEDED = ("instruction", "output")
_FIELDS = ("dataset", "instruction", "output", "generator")
_INSTEAD = "give the file itself: --metadata alpaca_eval_file=PATH"


def load(
    hub_id: str,
    hub_file: str,
    hub_commit: str,
    sha256: str,
    **metadata: Any,
) -> DatasetDict:
    """The documents, as lm-eval's ``custom_dataset`` wants them.

    Args:
        hub_id: the dataset on the hub; a local folder of that relative path comes first, as in
            `datasets`.
        hub_file: its file of instructions and reference answers.
        hub_commit: the commit.
        sha256: of the file as published; the same entries laid out otherwise count as the same.
        metadata: what lm-eval adds: the task's metadata and ``--metadata``, of which
            ``alpaca_eval_file`` names another file in the same schema (instructions of one's own).

    Raises:
        DataFileError: the file cannot be had, is not the known one, or lacks what it should hold.
    """
    from datasets import Dataset, DatasetDict

    given = metadata.get("alpaca_eval_file")
    try:
        path = Path(str(given)).expanduser() if given else find_file(hub_id, hub_file, hub_commit)
    except OSError as error:
        raise DataFileError(
            f"{hub_file} of the dataset {hub_id} (commit {hub_commit}) is not in the local cache, "
            f"and the hub does not give it ({first_line(error)}).\nRun once with network, or "
            f"{_INSTEAD}."
        ) from error
    rows = _rows(path)
    digest = hashlib.sha256(_as_published(rows)).hexdigest()
    if digest != sha256 and not given:
        raise DataFileError(
            f"{path} is not the published {hub_file}: the SHA-256 of its entries is {digest}, "
            f"expected {sha256}. Remove it, so that it is fetched again; for instructions of your "
            f"own {_INSTEAD}."
        )
    if digest != sha256:
        _log.warning("%s is not the published set: no number is comparable with others'.", path)
    return DatasetDict(eval=Dataset.from_list(rows))


def find_file(hub_id: str, hub_file: str, hub_commit: str) -> Path:
    """A file of a dataset: below the working directory, in the hub's cache, or downloaded.

    Raises:
        OSError: it is at none of these; so are all of the hub's own errors.
    """
    from huggingface_hub import constants, hf_hub_download

    local = Path(hub_id) / hub_file  # as `datasets` finds a mirror
    if local.is_file():
        return local
    return Path(
        hf_hub_download(
            *(hub_id, hub_file),
            repo_type="dataset",
            revision=hub_commit,
            local_files_only=constants.HF_HUB_OFFLINE,
        )
    )


def measure(_doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, int]:
    """Length of one answer in characters, blanks around it apart, as AlpacaEval counts it."""
    return {"characters": len(results[0].strip())}


def _as_published(rows: list[dict[str, str]]) -> bytes:
    """The entries laid out as the hub's file is (by pandas' ``to_json(indent=2)``)."""
    text = json.dumps(rows, indent=2, separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def _rows(path: Path) -> list[dict[str, str]]:
    """The documents of a file, each with all of `_FIELDS`; absent ones are empty."""
    expected = f"Expected a JSON list of objects with {' and '.join(_NEEDED)}."
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path} cannot be read: {first_line(error)}. {expected}") from None
    if not isinstance(rows, list) or not rows:
        raise DataFileError(f"{path} holds no list of instructions. {expected}")
    for number, row in enumerate(rows):
        texts = row if isinstance(row, dict) else {}
        absent = [name for name in _NEEDED if not str(texts.get(name) or "").strip()]
        if absent:
            raise DataFileError(
                f"{path}: entry {number} (from 0) has no {' and no '.join(absent)}. {expected}"
            )
    return [{name: str(row.get(name, "")) for name in _FIELDS} for row in rows]
