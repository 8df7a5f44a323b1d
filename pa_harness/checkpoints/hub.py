"""Find a checkpoint: a local folder, the hub's cache, or the hub."""

from __future__ import annotations

import re
from pathlib import Path

from pa_harness.checkpoints.checkpoint import LAYOUTS, Checkpoint
from pa_harness.errors import CheckpointError, first_line

_METADATA = [
    *("*.json", "*.jinja", "*.model", "*.txt", "*.py", "*.tiktoken"),
    *("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*"),  # for exports
]


def open_checkpoint(
    name: str,
    role: str,
    *,
    revision: str | None = None,
    subfolder: str = "",
    weights: bool = True,
) -> Checkpoint:
    """Find a local folder, or download (or find in the cache) a hub repository.

    Args:
        name: folder, or hub id "owner/name".
        role: "base", "instruct", "peft" or "tokenizer", for messages.
        revision: branch, tag or commit hash on the hub.
        subfolder: folder inside the repository that holds the checkpoint.
        weights: whether the weights are wanted too, or only configuration and tokenizer.

    Raises:
        CheckpointError: no such folder or repository, or the hub cannot be reached.
    """
    local = _folder(name, f"{role} {name!r:.200}")
    if local is not None:
        root, commit = local, None
    elif not re.fullmatch(r"[\w.-]{1,96}(/[\w.-]{1,96})?", name) or Path(name).exists():
        raise CheckpointError(
            f"{role} {name!r:.200} is neither a folder nor a hub id. Expected a checkpoint folder "
            "with config.json and safetensors files, or an id like 'owner/name'."
        )
    else:
        root = _from_hub(name, role, revision, _METADATA)
        commit = root.name
        if weights:
            _fetch_weights(Checkpoint(name, role, root / subfolder, None, commit, subfolder))
    folder = _folder(str(root / subfolder), f"{role} {name!r}: subfolder {subfolder!r:.200}")
    if folder is None:
        raise CheckpointError(
            f"{role} {name!r} has no subfolder {subfolder!r:.200} (in {root}). Check its name."
        )
    return Checkpoint(name, role, folder, revision if commit else None, commit, subfolder)


def _folder(name: str, what: str) -> Path | None:
    """The local folder of that name, None where there is none; `what` is for messages."""
    try:
        path = Path(name).expanduser()
        if not path.is_dir():
            return None
        any(file.is_file() for file in path.iterdir())  # both fail without permission
    except (OSError, RuntimeError, ValueError) as error:  # too long, forbidden, no such user
        raise CheckpointError(
            f"{what} cannot be looked up: {first_line(error)}. Check the name and its permissions."
        ) from error
    return path


def _fetch_weights(metadata: Checkpoint) -> None:
    """Download the weights of a snapshot whose JSON files are here: one layout, and no other."""
    prefix = f"{metadata.subfolder}/" if metadata.subfolder else ""
    is_adapter = (metadata.folder / "adapter_config.json").is_file()
    singles = [name for name, is_index in LAYOUTS if not is_index]
    for single in ("adapter_model.safetensors", "adapter_model.bin") if is_adapter else singles:
        weight_map = metadata.read_json(f"{single}.index.json").get("weight_map")
        shards = sorted({str(f) for f in weight_map.values()}) if weight_map else []
        wanted = [metadata.folder / each for each in (single, *shards)]
        for attempt in range(2):
            if wanted[0].is_file() or (shards and all(path.is_file() for path in wanted[1:])):
                return
            if not attempt:
                files = [prefix + each for each in (single, *shards)]
                _from_hub(metadata.name, metadata.role, metadata.commit, files)


def _from_hub(name: str, role: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub import errors as hub

    cause: Exception
    try:
        offline = constants.HF_HUB_OFFLINE
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=files, local_files_only=offline
            )
        )
    except hub.GatedRepoError as error:
        cause, why = error, "is gated. Accept its terms on the hub and log in (HF_TOKEN)."
    except hub.RevisionNotFoundError as error:
        cause, why = error, f"has no revision {revision!r} on the hub. Pass one that it has."
    except (hub.RepositoryNotFoundError, hub.HFValidationError) as error:
        cause, why = error, "is neither a folder here nor a model on the hub (or set HF_TOKEN)."
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, OSError) as error:
        cause, why = error, "is not a folder here, not in the local cache, and the hub cannot be "
        why += f"reached ({first_line(error)}).\nPass a folder, or run once with network."
    raise CheckpointError(f"{role} {name!r} {why}") from cause
