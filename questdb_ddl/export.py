"""Export the rows of a query to a Parquet or CSV file, and compare what the file then holds."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from questdb_ddl.errors import QuestDBDDLError, VerificationFailed
from questdb_ddl.names import quote
from questdb_ddl.types import (
    Boolean,
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

_FRACTIONS = Double | Float
_NUMBERS = Boolean | Byte | Short | Int | Long | Date | Timestamp | TimestampNs | _FRACTIONS
_TEXTS = Symbol | String | Varchar
_COLUMNS_PER_QUERY = 40
"""A query holds some 23 kB."""
_TOLERANCE = 1e-12
"""The order of additions shows at the 13th digit of a sum of fractions."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one column holds: how many values that are not null, and of numbers their bounds.

    Times are integers since 1970 UTC in the column's own unit, true is 1. `total` is the sum of
    integers, modulo 2**64 as QuestDB adds; of fractions their sum, which depends in its last
    digits on the order; of texts the sum of their lengths in characters.
    """

    values: int
    low: float | None = None
    high: float | None = None
    total: float | None = None

    def __str__(self) -> str:
        bounds = "" if self.low is None else f" from {self.low} to {self.high}"
        return (
            f"{self.values:,} values{bounds}{'' if self.total is None else f', sum {self.total}'}"
        )

    def agrees(self, other: Held) -> bool:
        """Tell whether both hold the same, as far as this tells."""
        if (self.values, self.low, self.high) != (other.values, other.low, other.high):
            return False
        if not (isinstance(self.low, float) and isinstance(self.high, float)):
            return self.total == other.total
        scale = self.values * max(abs(self.low), abs(self.high))
        if self.total is None or other.total is None or math.isinf(scale):
            return math.isinf(scale)  # such a sum has no value to compare
        return abs(self.total - other.total) <= _TOLERANCE * max(scale, 1)


@dataclass(frozen=True, slots=True)
class Exported:
    """A written file: its rows and columns as read back from it."""

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
    does not hold what the table does, or CSV would round its numbers (QuestDB 8).

    >>> from questdb_ddl import Column, Long, Table, drop, ensure_table, live_tables
    >>> stands = ensure_table(client, Table("ticks", (Column("n", Long()),)))
    >>> client.execute("INSERT INTO ticks VALUES ('2025-01-01', 1), ('2025-01-02', 2)")
    >>> client.wait_for("ticks")
    >>> columns = live_tables(client, ["ticks"])["ticks"].columns
    >>> export(client, "ticks", columns, directory / "ticks.csv.gz", where="n > 1").rows
    1
    >>> drop(client, "ticks")
    True
    """
    columns = tuple(columns)
    condition = f" where {where}" if where else ""
    parquet = path.suffix == ".parquet"
    if not parquet:
        refuse_rounding(client, source, columns, where)
    partial = path.with_name(f"{path.name}.part")
    shown = _readable(columns) if parquet else "*"
    sql = f"select {shown} from {quote(source)}{condition}"
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600, exist_ok=False)  # nobody else's to read, whatever the umask is
    with partial.open("wb") if parquet else gzip.open(partial, "wb", compresslevel=6) as file:
        for chunk in client.stream(sql, "parquet" if parquet else "csv"):
            file.write(chunk)
    found = read_parquet(partial) if parquet else read_csv(partial, columns)
    rows, there = _held(client, source, columns, condition)
    wrong = list(_differences(found, rows, there))
    if wrong:
        listed = "; ".join(wrong)
        raise VerificationFailed(f"The export {partial} is not what {source} holds: {listed}.")
    partial.replace(path)
    return Exported(path, found.rows, found.columns)


def changed_since(
    client: Client,
    written: Exported,
    source: str,
    columns: Iterable[LiveColumn],
    *,
    where: str = "",
) -> tuple[str, ...]:
    """Return how the exported rows of `source` differ by now from what was written.

    Tells a row that came or went, and a value that was replaced where a bound or a sum shows it.
    """
    condition = f" where {where}" if where else ""
    rows, there = _held(client, source, columns, condition)
    return tuple(_differences(written, rows, there))


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


def refuse_rounding(
    client: Client, source: str, columns: tuple[LiveColumn, ...], where: str
) -> None:
    """QuestDB 8.2 writes 12 decimals of a DOUBLE and 4 of a FLOAT."""
    and_ = f" where ({where}) and" if where else " where"
    for column in columns:
        if isinstance(column.type, _FRACTIONS):
            name = quote(column.name)
            # QuestDB takes two fractions for equal that differ by 1e-10, hence the large factor.
            # The text of a FLOAT is the shortest that reads back as the same one.
            limit = "1" if isinstance(column.type, Double) else "6e12"
            lost = client.query(
                f"select count() as rows from {quote(source)}{and_} abs({name}::string::double - "
                f"{name}::double) / abs({name}::double) * 1e20 > {limit}"
            )[0]["rows"]
            if lost:
                raise VerificationFailed(
                    f"As text this QuestDB rounds {lost:,} values of {column.name} in {source}."
                )


def read_parquet(path: Path) -> Exported:
    """Read every value of a Parquet file; raises QuestDBDDLError for any other file.

    It is read some thousand rows at a time.
    """
    import pyarrow as pa  # noqa: PLC0415 - a large library, used here only
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415

    try:
        with ParquetFile(path) as file:
            return _exported(path, file.iter_batches())
    except (pa.ArrowException, OSError) as error:
        raise QuestDBDDLError(f"The file {path} is not Parquet or is cut: {error}") from error


def read_csv(path: Path, columns: Iterable[LiveColumn]) -> Exported:
    """Read every value of a gzipped CSV file as `columns`; raises QuestDBDDLError for any other.

    It is read about a megabyte at a time.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    from pyarrow import csv  # noqa: PLC0415

    types = {column.name: _CSV_TYPES.get(type(column.type), "string") for column in columns}
    try:
        with (
            pa.input_stream(str(path), compression="gzip") as file,
            csv.open_csv(
                file,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types={name: _csv_type(kind) for name, kind in types.items()},
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as batches,
        ):
            return _exported(path, batches)
    except (pa.ArrowException, OSError) as error:
        raise QuestDBDDLError(f"The file {path} is no CSV of it or is cut: {error}") from error


_CSV_TYPES: dict[type, str] = {
    Boolean: "bool",
    Byte: "int8",
    Short: "int16",
    Int: "int32",
    Long: "int64",
    Float: "float32",
    Double: "float64",
    Date: "ms",
    Timestamp: "us",
    TimestampNs: "ns",
}


def _csv_type(name: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa  # noqa: PLC0415

    return pa.timestamp(name, "UTC") if name.endswith("s") else pa.type_for_alias(name)


def _exported(path: Path, batches: Iterable[Any]) -> Exported:
    held: dict[str, Held] = {}
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            held[name] = _add(held.get(name), _held_by(column))
    return Exported(path, rows, held)


def _held_by(column: Any) -> Held:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    values = len(column) - column.null_count
    if not values:
        return Held(0)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return Held(values, total=compute.sum(compute.utf8_length(column)).as_py())
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.int64())
    else:
        return Held(values)
    bounds = compute.min_max(column)
    return Held(values, bounds["min"].as_py(), bounds["max"].as_py(), compute.sum(column).as_py())


def _add(one: Held | None, other: Held) -> Held:
    if one is None or not one.values:
        return other
    if not other.values:
        return one
    low = None if one.low is None or other.low is None else min(one.low, other.low)
    high = None if one.high is None or other.high is None else max(one.high, other.high)
    total = None if one.total is None or other.total is None else _wrap(one.total + other.total)
    return Held(one.values + other.values, low, high, total)


def _wrap(number: float) -> float:
    return (number + 2**63) % 2**64 - 2**63 if isinstance(number, int) else number


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
            values, *rest = (found[f"c{number}_{i}"] for i in range(4))
            held[column.name] = Held(values, *rest) if values else Held(0)
    return rows, held


def _parts(column: LiveColumn) -> tuple[str, str, str, str]:
    """Return the SQL of what `Held` tells of a column."""
    name = quote(column.name)
    if isinstance(column.type, _TEXTS):
        # A VARCHAR counts characters, a STRING the halves of one beyond U+FFFF.
        # The length of null is -1.
        length = f"sum(length({name}::varchar)) + count() - count({name})"
        return f"count({name})", "null::long", "null::long", length
    if isinstance(column.type, _FRACTIONS):
        wide = f"{name}::double"
        return f"count({wide})", f"min({wide})", f"max({wide})", f"ksum({wide})"
    wide = f"{name}::long"
    return f"count({wide})", f"min({wide})", f"max({wide})", f"sum({wide})"


def _differences(found: Exported, rows: int, there: dict[str, Held]) -> Iterator[str]:
    if found.rows != rows:
        yield f"{found.rows:,} rows and not {rows:,}"
    for name, held in there.items():
        in_file = found.columns.get(name, Held(0))
        if not in_file.agrees(held):
            yield f"{name} holds {in_file} and not {held}"
