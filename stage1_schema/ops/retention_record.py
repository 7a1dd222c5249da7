"""The record of retention: what is being taken away, where it is archived, and what went."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from stage1_schema.errors import Stage1Error
from stage1_schema.servers.files import private_directory, private_opener

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

FILE = "retention.jsonl"
UNFINISHED = ".unfinished"
"""The directory of archives that are being written; what lies there is no archive yet."""


class State(StrEnum):
    """How far an entry came; the last line of its `id` counts."""

    BEGUN = "begun"
    ARCHIVED = "archived"
    GONE = "gone"
    KEPT = "kept"


@dataclass(frozen=True)
class Entry:
    """One line: what goes from where, and the archive that holds it.

    `begun`: it is being set aside. `archived`: the archive is whole and checked, and the rows are
    about to go. `gone`: they went. `kept`: they did not, `why` says why. Of `table`, the
    `partitions` by name go, the `runs` by id, or all of it (neither); `aside` is the table that
    holds the rows until they are dropped. `at` is UTC.
    """

    id: str
    state: State
    table: str
    why: str
    at: str = ""
    rows: int = 0
    archive: str = ""
    sha256: str = ""
    partitions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    aside: str = ""


class Record:
    """The record of one directory, and the only one who writes there; a context manager.

    Raises Stage1Error when another retention is at work there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gone: list[Entry] = []
        self._working = directory / UNFINISHED
        self._file = directory / FILE
        self._lines: list[Entry] = []

    def __enter__(self) -> Self:
        try:
            private_directory(self._working)
            self._stream = open(self._file, "a+b", opener=private_opener)
        except OSError as error:
            raise Stage1Error(
                f"{self.directory} cannot be written: {error.strerror}.",
                next_step="name a directory that can: stage1 retention apply --directory.",
            ) from None
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise Stage1Error(
                f"Another retention writes to {self.directory}.", next_step="wait for its end."
            ) from None
        # A line that a power failure cut stands for a step that was not taken yet.
        text = self._file.read_bytes()
        self._stream.truncate(text.rfind(b"\n") + 1)
        try:
            self._lines = read(self._file)
        except Stage1Error:
            self._stream.close()
            raise
        self._tidy()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def _tidy(self) -> None:
        archives = {entry.archive for entry in self.unfinished()}
        for path in self._working.iterdir():
            if path.name in archives:
                path.replace(self.directory / path.name)
            else:
                path.unlink()  # nothing went before a line of it was written

    def unfinished(self) -> list[Entry]:
        """Return what was begun or archived by a run that did not come to its end."""
        last = {entry.id: entry for entry in self._lines}
        return [e for e in last.values() if e.state in {State.BEGUN, State.ARCHIVED}]

    def new_id(self, table: str) -> str:
        """Return an id that no entry has."""
        taken = {entry.id for entry in self._lines}
        stem = name = f"{table}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        return name

    def working(self, archive: str) -> Path:
        """Return where an archive is written before it is recorded."""
        return self._working / archive

    def note(self, entry: Entry, state: State, why: str | None = None) -> Entry:
        """Append a line, safe on the disk when this returns, and return its entry."""
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        entry = replace(entry, state=state, at=at, why=why or entry.why)
        self._stream.write(json.dumps(asdict(entry)).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._lines.append(entry)
        if state is State.GONE:
            self.gone.append(entry)
        return entry

    def archived(self, entry: Entry, rows: int) -> Entry:
        """Record the archive of an entry and give it its place; from here on its rows may go."""
        path = self.working(entry.archive)
        with path.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = self.note(replace(entry, rows=rows, sha256=sha256), State.ARCHIVED)
        path.replace(self.directory / entry.archive)
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return entry


def read(path: Path) -> list[Entry]:
    """Return the lines of a record; those of an older Stage1 tell only what went.

    Raises Stage1Error for a line that is none: what it stood for cannot be told any more.
    """
    return [
        _entry(path, number, line) for number, line in enumerate(path.read_bytes().splitlines(), 1)
    ]


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        data = json.loads(line)
        for name in ("partitions", "runs"):
            data[name] = tuple(data.get(name, ()))
        data.setdefault("id", data["archive"])
        return Entry(**{**data, "state": State(data.get("state", State.GONE))})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Stage1Error(
            f"Line {number} of {path} is damaged, so what retention was doing is not known.",
            next_step="bring the file back from a backup, or name another --directory.",
        ) from None
