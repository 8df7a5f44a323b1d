"""What judges have answered, kept so that nothing is paid for twice.

One SQLite file for all judges of a run. A row is a judge's completion to one request, by the
request's key: instruction, both outputs, their order, template, model, parameters and server (see
`request.Request.key`). Only completions that parse are there. Beside them are answers as they came,
until a verdict is made of them, and why there is none; neither is ever an answer. A row is on the
disk before anything else is done.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (
    key TEXT PRIMARY KEY, completion TEXT NOT NULL, answered_by TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, date TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS failures (key TEXT, reason TEXT NOT NULL, date TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, date TEXT NOT NULL);
"""
_PATIENCE = 60  # seconds to wait for another process that writes


@dataclass(frozen=True)
class Verdict:
    """A completion that parses, and what it took."""

    completion: Mapping[str, Any]  # as `pa_harness.judging.asking.request.completion_of` makes it
    answered_by: str  # the model's name in the server's answer
    prompt_tokens: int
    completion_tokens: int


class Verdicts:
    """The file, open; several processes may have it open."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            RunError: it is something else, or cannot be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self._check_strangers()
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.executescript(_TABLES)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be used to keep verdicts ({first_line(error)}). Expected a file "
                "that `pa-harness judge` made, or a place to make one: name another by --cache."
            ) from None

    def _check_strangers(self) -> None:
        """In somebody's file a view could stand where our tables should, or a trigger behind."""
        self._file.execute("PRAGMA trusted_schema=OFF")
        kinds = "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        for kind, name in self._file.execute(kinds):
            raise ValueError(f"it holds the {kind} {name}")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def get(self, key: str) -> Verdict | None:
        """The answer to a request, if there is one.

        Raises:
            RunError: what is there is none.
        """
        columns = "completion, answered_by, prompt_tokens, completion_tokens"
        found = self._read(f"SELECT {columns} FROM verdicts WHERE key = ?", key)
        if found is None:
            return None
        try:
            completion = json.loads(found[0])
            return Verdict({**completion}, str(found[1]), int(found[2]), int(found[3]))
        except MALFORMED as error:
            raise self._damaged(error) from None

    def answer(self, key: str) -> str | None:
        """The body of an answer of which no verdict was made yet."""
        found = self._read("SELECT body FROM answers WHERE key = ?", key)
        return None if found is None else str(found[0])

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep an answer that parses; its text is then needed no more."""
        completion = json.dumps(verdict.completion)  # ASCII: half of a character has no UTF-8
        counts = (verdict.prompt_tokens, verdict.completion_tokens)
        self._write(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)",
            (key, completion, verdict.answered_by, *counts, _now()),
        )
        self._write("DELETE FROM answers WHERE key = ?", (key,))

    def put_answer(self, key: str, body: str) -> None:
        """Keep an answer as it came, whatever it is; the last one to each request."""
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, body, _now()))

    def put_failure(self, key: str, reason: str) -> None:
        """Keep why a request has no answer."""
        self._write("INSERT INTO failures VALUES (?, ?, ?)", (key, reason, _now()))

    def _read(self, statement: str, key: str) -> tuple[Any, ...] | None:
        try:
            found: tuple[Any, ...] | None = self._file.execute(statement, (key,)).fetchone()
        except (sqlite3.Error, ValueError) as error:
            raise self._damaged(error) from None
        return found

    def _damaged(self, error: BaseException) -> RunError:
        return RunError(
            f"{self.path} is damaged ({type(error).__name__}: {first_line(error)}). Restore it, or "
            "name another file by --cache; verdicts that it held are then asked again."
        )

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._file.execute(statement, values)  # commits by itself
        except sqlite3.Error as error:
            raise RunError(
                f"{self.path}: a verdict could not be kept ({first_line(error)}). Those before it "
                "are kept: make room, and run the same command again."
            ) from None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
