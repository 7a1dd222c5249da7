"""The state file `servers.json` of the local servers: where they are, and which processes.

Reading it is cheap, because every command without settings does. It is never trusted: a part
whose process is gone, or whose pid belongs to another process by now, is as good as absent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, TypeVar

import psutil

from stage1_schema.servers.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

STATE_FILE = "servers.json"
# Linux derives the start of a process from the time of boot, which moves when the clock is set.
START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class PostgresState:
    """The local PostgreSQL: `user` owns the database, `app_user` is the clients' role."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    app_user: str
    app_password: str = field(repr=False)
    pid: int
    started: float  # seconds since 1970, UTC


@dataclass(frozen=True)
class QuestDBState:
    """The local QuestDB; `url` is its REST interface, `user` is empty without a login."""

    url: str
    port: int
    pid: int
    started: float  # seconds since 1970, UTC
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class LocalState:
    """The local servers that run; None stands for one that does not."""

    postgres: PostgresState | None = None
    questdb: QuestDBState | None = None


Part = TypeVar("Part", PostgresState, QuestDBState)


def read(directory: Path) -> LocalState | None:
    """Return the servers recorded in `directory` that run at this moment, None if neither does."""
    try:
        found = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        postgres = _part(PostgresState, found["postgres"])
        questdb = _part(QuestDBState, found["questdb"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return LocalState(postgres, questdb) if postgres or questdb else None


def write(directory: Path, state: LocalState) -> None:
    """Record `state` with mode 0600, whole or not at all. Raises OSError."""
    write_private(directory / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n")


def _part(kind: type[Part], found: dict[str, object] | None) -> Part | None:
    if found is None:
        return None
    part = kind(**found)  # type: ignore[arg-type]  # checked in the next lines
    for each in fields(part):
        if type(getattr(part, each.name)).__name__ != each.type:
            raise TypeError(each.name)
    return part if _runs(part.pid, part.started) else None


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_TOLERANCE_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False
