"""Where a checkpoint's name leads: a local folder, the hub's cache, or the hub. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from pa_harness.errors import CheckpointError, first_line

METADATA = [
    *("*.json", "*.jinja", "*.model", "*.txt", "*.py", "*.tiktoken"),
    *("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*"),  # for exports
]


def find_root(name: str, role: str, revision: str | None = None) -> tuple[Path, str | None]:
    """The folder that a name stands for, with its configuration and tokenizer.

    Args:
        name: folder, or hub id "owner/name".
        role: "base", "instruct", "peft" or "tokenizer", for messages.
        revision: branch, tag or commit hash on the hub.

    Returns:
        The folder, and the commit's hash; None for a local folder.

    Raises:
        CheckpointError: no such folder or repository, or the hub cannot be reached.
    """
    local = local_folder(name, f"{role} {name!r:.200}")
    if local is not None:
        return local, None
    if not re.fullmatch(r"[\w.-]{1,96}(/[\w.-]{1,96})?", name) or Path(name).exists():
        raise CheckpointError(
            f"{role} {name!r:.200} is neither a folder nor a hub id. Expected a checkpoint folder "
            "with config.json and safetensors files, or an id like 'owner/name'."
        )
    root = from_hub(name, role, revision, METADATA)
    return root, root.name


def local_folder(name: str, what: str) -> Path | None:
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


def from_hub(name: str, role: str, revision: str | None, files: list[str]) -> Path:
    """The snapshot's folder with these files of a repository, downloaded where they lack.

    Raises:
        CheckpointError: as `find_root`.
    """
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
