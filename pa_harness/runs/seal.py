"""Files that carry a digest of themselves, and lists of the digests of other files.

A digest tells what happened to a file by accident or by hand; it protects against nobody who
computes it anew.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line, listed
from pa_harness.foreign.naming import belongs
from pa_harness.foreign.reading import parse_json
from pa_harness.storage import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MARK = ',\n  "digest": "'  # what the last entry of a sealed file begins with
_END = '"\n}\n'
_DIGITS = 32  # of SHA-256 in hexadecimal
_CHUNK = 1 << 20  # bytes
_CURE = "Restore it, or have the command that wrote it write it again."


def text_digest(text: str) -> str:
    """Of a text as `write_text` writes it."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGITS]


def file_digest(path: Path) -> str:
    """Of a file's bytes, as `text_digest`."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()[:_DIGITS]


def write_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON atomically, indented, with its own digest as the last entry.

    Args:
        path: the file.
        record: not empty; an entry ``digest`` is replaced.
    """
    content = {name: value for name, value in record.items() if name != "digest"}
    head = json.dumps(content, indent=2, ensure_ascii=False).removesuffix("\n}")
    write_text(path, f"{head}{_MARK}{text_digest(head)}{_END}")


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote, or JSON of a run that was made before there were digests.

    Returns:
        The record; with an entry ``digest`` where it has one.

    Raises:
        RunError: it is missing, no JSON object, or changed since it was written.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        record = parse_json(text)
    except FileNotFoundError:
        raise RunError(f"{path} is missing. {_CURE}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {first_line(error)}. {_CURE}") from None
    if not isinstance(record, dict):
        raise RunError(f"{path} holds a {type(record).__name__}, no record by name. {_CURE}")
    head, _, tail = text.rpartition(_MARK)
    if "digest" in record and tail != text_digest(head) + _END:
        content = text_digest(head) if head else "is in another form"
        raise RunError(
            f"{path} was changed after it was written: its digest says {record['digest']}, its "
            f"content {content}. {_CURE}"
        )
    return record


def digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Of files below a folder, by their names from there."""
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def differing(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """A line for each file that is missing, or has another digest."""
    wrong = []
    for name, digest in wanted.items():
        found = _digest_of(folder / name, folder)
        if found != digest:
            wrong.append(f"{name}: {digest} when it was written, {found} now")
    return wrong


def _digest_of(file: Path, folder: Path) -> str:
    """The digest, or why there is none; a list may name what is nowhere in its folder."""
    try:
        if file.exists() and not belongs(file, folder):
            return "no file of the folder"
        return file_digest(file)
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError) as error:  # a name that is none
        return f"unreadable ({first_line(error)})"


def check_digests(folder: Path, wanted: Mapping[str, str]) -> None:
    """Refuse files that are not what they were.

    Raises:
        RunError: some are missing, or have another digest.
    """
    wrong = differing(folder, wanted)
    if wrong:
        raise RunError(
            f"{folder} holds {len(wrong)} files that are not what was written there:\n"
            f"{listed(wrong)}\nRestore them, or repeat the command that wrote them: it says what "
            "does not belong there, and writes again what can be."
        )
