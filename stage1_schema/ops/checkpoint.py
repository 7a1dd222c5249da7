"""QuestDB's files, held still by a checkpoint while they are copied.

A checkpoint pins the version of every table; rows go on arriving, as new files or at the end of
old ones, and a restore cuts them off. What the checkpoint needs is in `.checkpoint/db/<table>/_txn`
of the root, so a copy can be checked against it without starting a server on it.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from questdb_ddl import QueryError, QuestDBDDLError, live_tables, untested
from questdb_ddl.spec import Kind
from stage1_schema.errors import QuestDBError, Stage1Error, VerificationError
from stage1_schema.servers.files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from questdb_ddl import Client

NOTE = "checkpoint.json"
"""Stands beside the copy while its checkpoint may stand, so that the next backup can release it."""
_CHECKPOINT = ".checkpoint"
_CREATE_MAY_LAST = timedelta(minutes=30)
_SKEW = timedelta(seconds=5)
_PARTITION = re.compile(r"\d{4}|default")
_ROWS = 0xFFF_FFFF_FFFF  # the higher bits of a partition's size are flags


@dataclass(frozen=True)
class Root:
    """The root of a server on this machine, and its directory of tables."""

    path: Path
    db: Path


def find_root(questdb: Client, given: Path | None) -> Root:
    """Return the root of the server that `questdb` talks to; `given` is where to look.

    Raises Stage1Error unless every table's directory (which carries its id) is there, and
    QuestDBError for a server newer than the newest tested one, whose files may be others.
    """
    _refuse_untested(questdb)
    rows = questdb.query("SHOW PARAMETERS")
    parameters = {row["property_path"]: str(row["value"]) for row in rows}
    db = Path(parameters.get("cairo.root") or "db")
    if given is not None:
        root = given.resolve()
    elif db.is_absolute():
        root = db.parent
    else:  # relative to the root, which only its directory for imports names
        root = Path(parameters.get("cairo.sql.copy.work.root") or "/nowhere").parent
    found = Root(root, root / db.name)
    try:
        there = found.db.is_dir() and all((found.db / d).is_dir() for d in _directories(questdb))
        why = "is not on this machine"
    except PermissionError:
        there, why = False, "may not be read by this user"
    if not there:
        raise Stage1Error(
            f"The root of QuestDB at {questdb.url} ({root}) {why}. Nothing was written.",
            next_step="run this on QuestDB's machine as its user, with --questdb-root if it is"
            " elsewhere, or use --skip-questdb.",
        )
    return found


def _refuse_untested(questdb: Client) -> None:
    if why := untested(questdb):
        raise QuestDBError(
            f"{why[0].upper()}{why[1:]}: its private files may have another form, so a copy of"
            " them could not be verified. Nothing was written.",
            next_step="update Stage1, or use --skip-questdb and copy QuestDB as its documentation"
            " says.",
        )


def _directories(questdb: Client) -> dict[str, str]:
    """Return every table by its directory's name."""
    rows = questdb.query("select table_name, directoryName from tables()")
    return {str(row["directoryName"]): str(row["table_name"]) for row in rows}


@dataclass(frozen=True)
class Counted:
    """The rows of every table as queries see them, and what they do not see.

    `detached` are partitions whose files are in the copy; `unread` says of tables without `rows`
    why they cannot be read, so that nothing of them can be verified.
    """

    rows: dict[str, int]
    suspended: tuple[str, ...]
    detached: dict[str, tuple[str, ...]]
    unread: dict[str, str]


def count(questdb: Client) -> Counted:
    """Return what the tables hold."""
    live = [t for t in live_tables(questdb, counts=True).values() if t.kind is Kind.TABLE]
    return Counted(
        {t.name: t.row_count or 0 for t in live if not t.unread},
        tuple(t.name for t in live if t.suspended),
        {t.name: tuple(map(str, t.detached)) for t in live if t.detached},
        {t.name: t.unread for t in live if t.unread},
    )


@contextmanager
def held(opened: Callable[[], Client], root: Root, note: Path) -> Iterator[None]:
    """Hold a checkpoint during the block; it is released however the block ends.

    `note` stays where that failed. Raises QuestDBError when another checkpoint stands, and
    Stage1Error when the checkpoint does not appear in `root`: then it is another server's.
    """
    mark = root.path / _CHECKPOINT / root.db.name / "_checkpoint_meta.d"
    before = _changed(mark)
    with opened() as questdb:
        if since := standing_since(questdb):
            raise _taken(f"stands since {since:%Y-%m-%d %H:%M} UTC and is not of this directory")
        at = datetime.now(UTC).isoformat()
        write_private(note, json.dumps({"url": questdb.url, "at": at}))
        try:
            try:
                questdb.execute("CHECKPOINT CREATE")
            except QueryError as error:
                note.unlink()
                raise _taken(f"could not be made: {error.message}") from error
            _refuse_other_server(questdb, root, before, _changed(mark))
            yield
        except BaseException:
            if note.exists():
                with suppress(QuestDBDDLError):
                    _release(opened, note)
            raise
        _release(opened, note)


def _refuse_other_server(
    questdb: Client, root: Root, before: int | None, after: int | None
) -> None:
    if after in (None, before):
        raise Stage1Error(
            f"{root.path} is the root of another QuestDB than {questdb.url}.",
            next_step="name the right one with --questdb-root, or use --skip-questdb.",
        )


def _taken(what: str) -> QuestDBError:
    return QuestDBError(
        f"A checkpoint of QuestDB {what}.",
        next_step="when nobody else copies QuestDB, run CHECKPOINT RELEASE there, then this again.",
    )


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _release(opened: Callable[[], Client], note: Path) -> None:
    with opened() as questdb:  # a connection of its own: the other may be in mid-answer
        questdb.execute("CHECKPOINT RELEASE")
    note.unlink()


def standing_since(questdb: Client) -> datetime | None:
    """Return when the checkpoint that stands was made, None when none does."""
    row = questdb.query("select * from checkpoint_status()")[0]
    return datetime.fromisoformat(row["started_at"]) if row["in_progress"] else None


def release_left(opened: Callable[[], Client], note: Path) -> None:
    """Release the checkpoint that a killed backup left, known by the time in its `note`.

    A checkpoint of another time is another program's and stays.
    """
    with opened() as questdb:
        since = standing_since(questdb)
        try:
            left = json.loads(note.read_text())
            at, same = datetime.fromisoformat(left["at"]), left["url"] == questdb.url
        except (ValueError, KeyError, TypeError):  # killed while it was written: before CREATE
            return
    if same and since and at - _SKEW <= since <= at + _CREATE_MAY_LAST:
        _release(opened, note)


def rows_in_copy(
    questdb: Client, copy: Root, low: dict[str, int], high: dict[str, int]
) -> dict[str, int]:
    """Return the rows of each table at the checkpoint, as the copy's own records have them.

    Raises VerificationError when a table or a partition that they name is missing, or when the
    rows are not from `low` (counted before the checkpoint) to `high` (counted after it), and
    QuestDBError for a server newer than the newest tested one.
    """
    _refuse_untested(questdb)
    result, wrong = {}, []
    for directory, name in _directories(questdb).items():
        if name not in high:
            continue
        record = copy.path / _CHECKPOINT / copy.db.name / directory / "_txn"
        if not record.exists():
            wrong += [f"{name} is missing"] if name in low else []
            continue
        rows, needed = _read_txn(record)
        names = (path.name for path in (copy.db / directory).glob("*/"))
        present = Counter(n.partition(".")[2] for n in names if _PARTITION.match(n))
        if lacking := needed - present:
            wrong.append(f"{name} lacks {lacking.total()} partitions")
        bounds = sorted((low.get(name, 0), high[name]))
        if not bounds[0] <= rows <= bounds[1]:
            wrong.append(f"{name} has {rows:,} rows and not {bounds[0]:,} to {bounds[1]:,}")
        result[name] = rows
    if wrong:
        raise VerificationError(
            f"The copy of QuestDB is not whole: {'; '.join(wrong[:3])}.",
            next_step="run the backup again while no table is dropped or trimmed.",
        )
    return result


def _read_txn(path: Path) -> tuple[int, Counter[str]]:
    """Return a table's rows and the versions of its partitions, the suffixes of their names."""
    data = path.read_bytes()
    (version,) = struct.unpack_from("<q", data)
    base, symbols, size = struct.unpack_from("<3i", data, 8 if version % 2 == 0 else 32)
    _, last, others = struct.unpack_from("<3q", data, base)
    partitions = struct.iter_unpack("<4q", data[(at := base + 136 + symbols) : at + size])
    needed = [(rows & _ROWS, "" if txn < 0 else str(txn)) for _, rows, txn, _ in partitions]
    if needed:
        needed[-1] = (last, needed[-1][1])
    return last + others, Counter(suffix for rows, suffix in needed if rows)
