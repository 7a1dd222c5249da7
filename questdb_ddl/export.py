"""Export the rows of a query to a Parquet or CSV file, and compare what the file then holds."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from questdb_ddl.errors import QuestDBDDLError, VerificationFailed
from questdb_ddl.names import quote
from questdb_ddl.types import (
    Byte,
    Date,
    Double,
    Float,
    Int,
    Long,
    Short,
    String,
    Symbol,
    Timestamp,
    TimestampNs,
    Varchar,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveColumn

_NUMBERS = Byte | Short | Int | Long | Date | Timestamp | TimestampNs | Double | Float
_TEXTS = Symbol | String | Varchar
_COLUMNS_PER_QUERY = 40
"""A query holds some 23 kB."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one column holds: how many values that are not null, and of numbers their bounds.

    Times are integers since 1970 UTC in the column's own unit. `total` is the sum of integers,
    modulo 2**64 as QuestDB adds; fractions have none, because their sum depends on the order.
    """

    values: int
    low: float | None = None
    high: float | None = None
    total: int | None = None

    def __str__(self) -> str:
        bounds = "" if self.low is None else f" from {self.low} to {self.high}"
        return (
            f"{self.values:,} values{bounds}{'' if self.total is None else f', sum {self.total}'}"
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """A written file: its rows and columns as read back from it; of CSV the rows only."""

    path: Path
    rows: int
    columns: dict[str, Held]


def export(
    client: Client, source: str, columns: Iterable[LiveColumn], path: Path, *, where: str = ""
) -> Exported:
    """Write the rows of the table `source` to `path`, read the file back and tell what it holds.

    A path that ends in `.parquet` makes Parquet (QuestDB 9.1 and later), any other gzipped CSV.
    `where` is an SQL condition. The file takes its name when it is whole. Raises QuestDBDDLError
    when the server does not make Parquet or the file cannot be read, VerificationFailed when it
    does not hold what the table does.
    """
    columns = tuple(columns)
    condition = f" where {where}" if where else ""
    parquet = path.suffix == ".parquet"
    partial = path.with_name(f"{path.name}.part")
    shown = _readable(columns) if parquet else "*"
    sql = f"select {shown} from {quote(source)}{condition}"
    with gzip.open(partial, "wb") if not parquet else partial.open("wb") as file:
        for chunk in client.stream(sql, "parquet" if parquet else "csv"):
            file.write(chunk)
    found = read_parquet(partial) if parquet else _read_csv(partial)
    rows, there = _held(client, source, columns, condition)
    wrong = list(_differences(found, rows, there))
    if wrong:
        listed = "; ".join(wrong)
        raise VerificationFailed(f"The export {partial} is not what {source} holds: {listed}.")
    partial.replace(path)
    return Exported(path, found.rows, found.columns)


def _readable(columns: tuple[LiveColumn, ...]) -> str:
    """Return the columns to select, a VARCHAR as STRING.

    Over several partitions a VARCHAR comes with several dictionaries, which readers of Parquet
    refuse (QuestDB 9.3.4, pyarrow 26).
    """
    if not any(isinstance(column.type, Varchar) for column in columns):
        return "*"
    return ", ".join(
        quote(c.name) + (f"::string {quote(c.name)}" if isinstance(c.type, Varchar) else "")
        for c in columns
    )


def read_parquet(path: Path) -> Exported:
    """Read every value of a Parquet file; raises QuestDBDDLError for any other file.

    It is read some thousand rows at a time.
    """
    import pyarrow as pa  # noqa: PLC0415 - a large library, used here only
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415

    held: dict[str, Held] = {}
    rows = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                rows += batch.num_rows
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    held[name] = _add(held.get(name), _held_by(column))
    except (pa.ArrowException, OSError) as error:
        raise QuestDBDDLError(f"The file {path} is not Parquet or is cut: {error}") from error
    return Exported(path, rows, held)


def _held_by(column: Any) -> Held:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    values = len(column) - column.null_count
    if not values:
        return Held(0)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return Held(values)
    bounds = compute.min_max(column)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    whole = pa.types.is_integer(column.type)
    total = compute.sum(column.cast(pa.int64())).as_py() if whole else None
    return Held(values, low, high, total)


def _add(one: Held | None, other: Held) -> Held:
    if one is None or not one.values:
        return other
    if not other.values:
        return one
    low = None if one.low is None or other.low is None else min(one.low, other.low)
    high = None if one.high is None or other.high is None else max(one.high, other.high)
    total = None if one.total is None or other.total is None else _wrap(one.total + other.total)
    return Held(one.values + other.values, low, high, total)


def _wrap(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def _read_csv(path: Path) -> Exported:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    if rows < 0:
        raise QuestDBDDLError(f"The file {path} is empty.")
    return Exported(path, rows, {})


def _held(
    client: Client, source: str, columns: Iterable[LiveColumn], condition: str
) -> tuple[int, dict[str, Held]]:
    """Return the rows of the table, and what the columns hold whose types can be compared."""
    compared = [c for c in columns if isinstance(c.type, _NUMBERS | _TEXTS)]
    held: dict[str, Held] = {}
    rows = client.query(f"select count() as rows from {quote(source)}{condition}")[0]["rows"]
    for start in range(0, len(compared), _COLUMNS_PER_QUERY):
        batch = compared[start : start + _COLUMNS_PER_QUERY]
        shown = ", ".join(
            f"{part} c{number}_{i}"
            for number, column in enumerate(batch)
            for i, part in enumerate(_parts(column))
        )
        found = client.query(f"select {shown} from {quote(source)}{condition}")[0]
        for number, column in enumerate(batch):
            held[column.name] = Held(*(found[f"c{number}_{i}"] for i in range(4)))
    return rows, held


def _parts(column: LiveColumn) -> tuple[str, str, str, str]:
    """Return the SQL of what `Held` tells of a column."""
    name = quote(column.name)
    if isinstance(column.type, _TEXTS):
        return f"count({name})", "null::long", "null::long", "null::long"
    whole = not isinstance(column.type, Double | Float)
    wide = f"{name}::{'long' if whole else 'double'}"
    total = f"sum({wide})" if whole else "null::long"
    return f"count({wide})", f"min({wide})", f"max({wide})", total


def _differences(found: Exported, rows: int, there: dict[str, Held]) -> Iterator[str]:
    if found.rows != rows:
        yield f"{found.rows:,} rows and not {rows:,}"
    for name, held in there.items() if found.columns else ():
        if found.columns.get(name) != held:
            yield f"{name} holds {found.columns.get(name)} and not {held}"
