"""Export the rows of a query to a Parquet or CSV file, and read from the file what it holds."""

from __future__ import annotations

import csv
import gzip
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from questdb_ddl.errors import QuestDBDDLError

if TYPE_CHECKING:
    from pathlib import Path

    from questdb_ddl.client import Client

MAGIC = b"PAR1"
_FOOTER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Exported:
    """A written file: its rows as read back from it, and the bounds of its 64-bit columns.

    Bounds are the smallest and the largest value by column; times are microseconds or nanoseconds
    since 1970, as the table counts them. A CSV file has none.
    """

    path: Path
    rows: int
    bounds: dict[str, tuple[int, int]]


def export(client: Client, sql: str, path: Path) -> Exported:
    """Write the rows of the query `sql` to `path` and return what the file holds.

    A path that ends in `.parquet` makes Parquet (QuestDB 9.1 and later), any other gzipped CSV.
    The file takes its name when it is whole. Raises QuestDBDDLError when the server does not make
    Parquet or the file is cut.
    """
    parquet = path.suffix == ".parquet"
    partial = path.with_name(f"{path.name}.part")
    with gzip.open(partial, "wb") if not parquet else partial.open("wb") as file:
        for chunk in client.stream(sql, "parquet" if parquet else "csv"):
            file.write(chunk)
    result = read_parquet(partial) if parquet else _read_csv(partial)
    partial.replace(path)
    return Exported(path, result.rows, result.bounds)


def _read_csv(path: Path) -> Exported:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    if rows < 0:
        raise QuestDBDDLError(f"The file {path} is empty.")
    return Exported(path, rows, {})


def read_parquet(path: Path) -> Exported:
    """Return what the footer of a Parquet file says; raises QuestDBDDLError for any other file."""
    data = path.read_bytes()
    if data[:4] != MAGIC or data[-4:] != MAGIC:
        start = data[:120].decode(errors="replace")
        raise QuestDBDDLError(f"The file {path} is not Parquet or is cut; it begins: {start}")
    (length,) = struct.unpack("<I", data[-_FOOTER_BYTES:-4])
    footer = _Thrift(data[-_FOOTER_BYTES - length : -_FOOTER_BYTES]).struct()
    bounds: dict[str, tuple[int, int]] = {}
    for group in footer.get(4, ()):
        for chunk in group.get(1, ()):
            column = chunk.get(3, {})
            name = b".".join(column.get(3, ())).decode()
            statistics = column.get(12, {})
            low, high = statistics.get(6), statistics.get(5)
            if column.get(1) == _INT64 and low is not None and high is not None:
                found = struct.unpack("<q", low)[0], struct.unpack("<q", high)[0]
                before = bounds.get(name, found)
                bounds[name] = min(before[0], found[0]), max(before[1], found[1])
    return Exported(path, footer[3], bounds)


_INT64 = 2


class _Thrift:
    """Thrift's compact protocol, as far as a Parquet footer needs it: fields by number."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        result = shift = 0
        while True:
            byte = self._byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
                return result
            shift += 7

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def struct(self) -> dict[int, Any]:
        """Read fields until the stop byte."""
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._integer()
            fields[number] = self._value(header & 15)
        return fields

    def _value(self, kind: int) -> Any:  # noqa: ANN401, PLR0911 - one return for each Thrift type
        if kind in (1, 2):
            return kind == 1
        if kind == 3:  # noqa: PLR2004 - byte
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 7:  # noqa: PLR2004 - double
            self.at += 8
            return None
        if kind == 8:  # noqa: PLR2004 - binary
            length = self._varint()
            self.at += length
            return self.data[self.at - length : self.at]
        if kind in (9, 10):
            header = self._byte()
            size = header >> 4
            size = self._varint() if size == 15 else size  # noqa: PLR2004 - a long list
            return [self._value(header & 15) for _ in range(size)]
        if kind == 12:  # noqa: PLR2004 - struct
            return self.struct()
        raise QuestDBDDLError(f"The Parquet footer holds the unknown Thrift type {kind}.")
