"""Names that somebody else gave, as parts of paths, and files that belong to a folder."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ALSO = frozenset("-_.=+@,(){}~ ")  # in a name, beside letters and digits
_MOST = 180  # bytes; file systems allow 255, and what stands around a name needs some


def file_name(text: str) -> str:
    """The text as one part of a path, on every system; other texts, other names.

    What may not stand there is written as in URLs (``/`` is ``%2F``); so a name is never a path,
    and never hidden. A long one ends in a digest of the whole.
    """
    name = "".join(map(_kept, text)) or "%"
    if name[0] in ". ":
        name = _quoted(name[0]) + name[1:]
    if name[-1] in ". ":
        name = name[:-1] + _quoted(name[-1])
    if len(name.encode()) <= _MOST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: _MOST - len(digest) - 1].decode(errors="ignore") + f"-{digest}"


def _kept(sign: str) -> str:
    # of letters also the marks, of which some scripts make theirs
    plain = unicodedata.category(sign)[0] in "LMN" or sign in _ALSO
    return sign if plain else _quoted(sign)


def _quoted(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))


def belongs(file: Path, folder: Path) -> bool:
    """Whether it is a regular file of the folder, not one that a link of the folder leads to.

    The hub's cache is made of links: there a snapshot's files lie in the ``blobs`` of its own
    repository.
    """
    if not file.is_file():  # a pipe or a device would be waited for without an end
        return False
    real, home = file.resolve(), folder.resolve()
    if real.is_relative_to(home):
        return True
    snapshots = (each.parent for each in (home, *home.parents) if each.parent.name == "snapshots")
    return any(real.is_relative_to(each.parent / "blobs") for each in snapshots)
