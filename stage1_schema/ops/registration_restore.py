"""Bring a dropped dataset back: its rows from the file of the drop, its kept tables by renaming.

All of it or nothing. The file is somebody else's word until it is checked: it may only hold rows of
one dataset, and each has to come back exactly as the file has it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from questdb_ddl import Kind, QuestDBDDLError, live_tables
from questdb_ddl.diff import RETIRED
from questdb_ddl.dropping import retired_name
from questdb_ddl.render import rename_table
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.locks import alone_with_series
from stage1_schema.ops import owned, trees
from stage1_schema.ops.registration_drop import RECORDS, rows
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from questdb_ddl import Client
    from stage1_schema.settings import Settings

MOST_BYTES = 2**30
_PARENTS = {
    "datasets": ("", ""),
    "walkforward_runs": ("dataset_id", "datasets"),
    "walkforward_folds": ("run_id", "walkforward_runs"),
    "simulation_runs": ("dataset_id", "datasets"),
    "simulation_trade_buckets": ("simulation_id", "simulation_runs"),
    "simulation_trades": ("simulation_id", "simulation_runs"),
}
_KEYS = {
    "datasets": "dataset_id",
    "walkforward_runs": "run_id",
    "simulation_runs": "simulation_id",
    "simulation_trades": "trade_id",
}
_SERIES = ("ohlcv_measurement", "indicator_measurement", "prediction_measurement",
           "questdb_namespace")  # fmt: skip
_COLUMNS = text("""
SELECT attname FROM pg_attribute
 WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
""")
_STORED = text("""
SELECT attname FROM pg_attribute
 WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
   AND attgenerated = ''
""")


# What the server made of the other columns it makes again, and marks so.
_ROW = """(CAST(:line AS jsonb) -> 'row') || CAST(CASE
    WHEN CAST(:line AS jsonb) #>> '{row,serialized_config_generated}' = 'true'
    THEN '{"serialized_config"\\: null}' ELSE '{}' END AS jsonb)"""


@dataclass(frozen=True)
class Archive:
    """The rows of one dataset by table, as text of JSON and as values."""

    path: Path
    dataset_id: UUID
    slug: str
    lines: dict[str, list[str]] = field(repr=False)
    values: dict[str, list[dict[str, Any]]] = field(repr=False)


@dataclass(frozen=True)
class Restored:
    """Rows by table, and QuestDB's tables by the name that they were kept under."""

    slug: str
    rows: dict[str, int]
    renamed: dict[str, str]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


def restore(
    settings: Settings,
    path: Path,
    *,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring the dataset of an archive back, or with `dry_run` try all of it and undo that.

    Raises Stage1Error where the file is not what `dataset drop` writes, or something is in the way:
    then nothing was changed. Run again after a failure it does the rest.
    """
    archive = _read(path)
    try:
        with (
            alone_with_series(settings.postgres),
            plain_errors(settings.postgres),
            engine(settings.postgres).connect() as connection,
            connection.begin() as transaction,
            plain_questdb_errors(),
            client(settings.questdb) as questdb,
        ):
            _refuse_existing(connection, archive)
            _insert(connection, archive)
            _refuse_changed(connection, archive)
            on_step("rows checked")
            renamed = _kept_tables(connection, questdb, archive)
            if dry_run:
                transaction.rollback()
            else:
                for kept, name in renamed.items():
                    questdb.execute(rename_table(kept, name))
                    questdb.wait_for(name)
                on_step("QuestDB done")
    except QuestDBDDLError as error:
        raise QuestDBError(str(error)) from error
    return Restored(archive.slug, {t: len(each) for t, each in archive.lines.items()}, renamed)


def _read(path: Path) -> Archive:
    """Return an archive that holds rows of one dataset and nothing else. Raises Stage1Error."""
    lines = _lines(path)
    try:
        first = json.loads(lines[0], parse_float=Decimal)["row"]
        slug, dataset_id = str(first["dataset_slug"]), UUID(first["dataset_id"])
        archive = Archive(path, dataset_id, slug, {}, {})
        ids: dict[str, set[str]] = {table: set() for table in RECORDS}
        for number, line in enumerate(lines, 1):
            record = json.loads(line, parse_float=Decimal)
            table, row = record["table"], record["row"]
            if record.keys() != {"table", "row"} or (number == 1) is not (table == "datasets"):
                raise _refused(path, f"line {number} is no row of the dataset")
            key, parent = _PARENTS[table]
            if parent and row[key] not in ids[parent]:
                raise _refused(path, f"line {number} belongs to something else")
            if table in _KEYS:
                ids[table].add(str(UUID(row[_KEYS[table]])))
            archive.lines.setdefault(table, []).append(line)
            archive.values.setdefault(table, []).append(dict(row))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise _refused(path, "it cannot be read as one") from None
    return archive


def _lines(path: Path) -> list[str]:
    try:
        stream = trees.open_file(path)
        if stream is None:
            raise _refused(path, "it is not a regular file")
        with stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _refused(path, f"it has more than {MOST_BYTES:,} bytes")
        return data.decode().split("\n")[:-1]
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _refused(path, "it is not text") from None


def _refused(path: Path, why: str) -> Stage1Error:
    return Stage1Error(
        f"{path} is no file of stage1 dataset drop: {why}. Nothing was changed.",
        next_step="name a file <slug>_retired_<time>.jsonl that it wrote.",
    )


def _in_the_way(what: list[str], next_step: str) -> Stage1Error:
    more = f" and {len(what) - 3:,} more" if len(what) > 3 else ""  # noqa: PLR2004
    return Stage1Error(
        f"In the way: {', '.join(what[:3])}{more}. Nothing was changed.", next_step=next_step
    )


def _refuse_existing(connection: Connection, archive: Archive) -> None:
    found = connection.execute(
        text("SELECT dataset_slug FROM datasets WHERE dataset_slug = :slug"),
        {"slug": archive.slug},
    ).scalars()
    taken = [f"dataset {slug}" for slug in found]
    for table, key in _KEYS.items():
        query = text(f"SELECT {key} FROM {table} WHERE {key} = ANY(CAST(:ids AS uuid[]))")
        ids = [row[key] for row in archive.values.get(table, ())]
        taken += [
            f"{table} {each}" for each in connection.execute(query, {"ids": ids}).scalars().all()
        ]
    if taken:
        raise _in_the_way(taken, "drop or rename what has its place, then run it again.")


def _insert(connection: Connection, archive: Archive) -> None:
    for table, lines in archive.lines.items():
        known = set(connection.execute(_COLUMNS, {"table": table}).scalars())
        if strange := set().union(*archive.values[table]) - known:
            raise _refused(archive.path, f"{table} has no column {min(strange)}")
        stored = connection.execute(_STORED, {"table": table}).scalars().all()
        names = ", ".join(connection.dialect.identifier_preparer.quote(each) for each in stored)
        statement = text(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM"
            f" jsonb_populate_record(NULL::{table}, {_ROW})"
        )
        connection.execute(statement, [{"line": line} for line in lines])


def _refuse_changed(connection: Connection, archive: Archive) -> None:
    """Raise Stage1Error unless every row is as the file has it, whatever triggers did."""
    for table in RECORDS:
        found = rows(connection, table, archive.dataset_id)
        there = [json.loads(row, parse_float=Decimal) for row in found]
        wanted = archive.values.get(table, [])
        if Counter(map(_comparable, there)) != Counter(map(_comparable, wanted)):
            raise _refused(
                archive.path, f"rows of {table} would not come back as the file has them"
            )


def _comparable(row: dict[str, Any]) -> str:
    if row.get("serialized_config_generated") is True:
        row = {key: value for key, value in row.items() if key != "serialized_config"}
    return json.dumps(row, sort_keys=True, default=lambda number: str(number.normalize()))


def _kept_tables(connection: Connection, questdb: Client, archive: Archive) -> dict[str, str]:
    """Return the tables of this dataset alone that were kept aside, with their own names."""
    named = {
        str(row[key]) for each in archive.values.values() for row in each
        for key in _SERIES if row.get(key)
    }  # fmt: skip
    mine = owned.read(connection, standing=named).of_dataset(archive.slug)
    names = {each.table.name for each in mine if each.datasets == (archive.slug,)}
    live = live_tables(questdb)
    found, trouble = {}, []
    for name in sorted(names):
        kept = list(_kept(live, name))
        if not kept:
            continue
        if len(kept) > 1:
            trouble.append(f"{' and '.join(kept)}, of which one can be {name}")
        elif name.lower() in live:
            trouble.append(f"the table {name} of QuestDB, beside {kept[0]}")
        elif live[kept[0].lower()].suspended:
            trouble.append(f"{kept[0]}, which is suspended")
        found[kept[0]] = name
    if trouble:
        raise _in_the_way(trouble, "drop or rename what is not wanted: stage1 questdb drop TABLE.")
    return found


def _kept(live: dict[str, Any], name: str) -> Iterator[str]:
    stem = RETIRED.sub("", retired_name(name, datetime.now(UTC))).lower()
    for table in live.values():
        own = RETIRED.sub("", table.name).lower()
        if table.kind is Kind.TABLE and own == stem != table.name.lower():
            yield table.name
