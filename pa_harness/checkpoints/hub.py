"""Find a checkpoint: a local folder, the hub's cache, or the hub."""

from __future__ import annotations

from pa_harness.checkpoints.checkpoint import LAYOUTS, Checkpoint
from pa_harness.checkpoints.location import find_root, from_hub, local_folder
from pa_harness.errors import CheckpointError


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
    root, commit = find_root(name, role, revision)
    if commit is not None and weights:
        _fetch_weights(Checkpoint(name, role, root / subfolder, None, commit, subfolder))
    folder = local_folder(str(root / subfolder), f"{role} {name!r}: subfolder {subfolder!r:.200}")
    if folder is None:
        raise CheckpointError(
            f"{role} {name!r} has no subfolder {subfolder!r:.200} (in {root}). Check its name."
        )
    return Checkpoint(name, role, folder, revision if commit else None, commit, subfolder)


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
                from_hub(metadata.name, metadata.role, metadata.commit, files)
