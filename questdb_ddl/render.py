"""Every statement that this package sends, as pure functions of declarations and names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from questdb_ddl.names import quote
from questdb_ddl.spec import MONTHS_PER_YEAR, NO_TTL_MONTHS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from questdb_ddl.spec import Column, Table
    from questdb_ddl.types import ColumnType


def create_table(table: Table) -> str:
    """Return CREATE TABLE IF NOT EXISTS with QuestDB's clause order, one clause a line.

    IF NOT EXISTS accepts any table of that name without a word: read the structure back.
    """
    columns = ",\n".join(f"    {quote(c.name)} {c.type}" for c in table.columns)
    parameters = []
    if table.max_uncommitted_rows is not None:
        parameters.append(f"maxUncommittedRows={table.max_uncommitted_rows}")
    if table.o3_max_lag_ms is not None:
        parameters.append(f"o3MaxLag={table.o3_max_lag_ms}ms")
    clauses = [
        f"CREATE TABLE IF NOT EXISTS {quote(table.name)} (\n{columns}\n)",
        f"TIMESTAMP({quote(table.designated_timestamp)})",
        f"PARTITION BY {table.partition_by}",
        "" if table.ttl_months is None else f"TTL {table.ttl_months} MONTHS",
        "WAL" if table.wal else "BYPASS WAL",
        f"WITH {', '.join(parameters)}" if parameters else "",
        f"DEDUP UPSERT KEYS({_list(table.dedup_keys)})" if table.dedup_keys else "",
    ]
    return "\n".join(clause for clause in clauses if clause)


def add_column(table: str, column: Column) -> str:
    """Return ADD COLUMN IF NOT EXISTS; QuestDB takes one column in a statement.

    A column of that name with another type is an error on the server, not a silent success.
    """
    return f"{_alter(table)} ADD COLUMN IF NOT EXISTS {quote(column.name)} {column.type}"


def alter_column_type(table: str, column: str, new: ColumnType) -> str:
    """Return ALTER COLUMN … TYPE; only for changes that `types.is_widening` allows."""
    return f"{_alter(table)} ALTER COLUMN {_bare(column)} TYPE {new}"


def symbol_capacity(table: str, column: str, capacity: int) -> str:
    """Return the change of a symbol's capacity. QuestDB 9.0 and later."""
    return f"{_alter(table)} ALTER COLUMN {_bare(column)} SYMBOL CAPACITY {capacity}"


def symbol_cache(table: str, column: str, *, cache: bool) -> tuple[str, str]:
    """Return the change of whether a symbol's dictionary is kept on the heap.

    Two statements, the opposite first: QuestDB keeps the flag with the symbol and in the table's
    metadata, looks at the former and, killed between the two, would never mend the latter.
    """
    alter = f"{_alter(table)} ALTER COLUMN {_bare(column)}"
    words = ("NOCACHE", "CACHE") if cache else ("CACHE", "NOCACHE")
    return f"{alter} {words[0]}", f"{alter} {words[1]}"


def add_index(table: str, column: str, capacity: int | None = None) -> str:
    """Return ADD INDEX for a symbol; `capacity` is the index block size in rows."""
    size = "" if capacity is None else f" CAPACITY {capacity}"
    return f"{_alter(table)} ALTER COLUMN {_bare(column)} ADD INDEX{size}"


def drop_index(table: str, column: str) -> str:
    """Return DROP INDEX for a symbol."""
    return f"{_alter(table)} ALTER COLUMN {_bare(column)} DROP INDEX"


def rename_column(table: str, column: str, new: str) -> str:
    """Return RENAME COLUMN; a change of letter case only is an error on the server."""
    return f"{_alter(table)} RENAME COLUMN {quote(column)} TO {quote(new)}"


def drop_column(table: str, column: str) -> str:
    """Return DROP COLUMN; dropping a deduplication key shrinks the keys without a word."""
    return f"{_alter(table)} DROP COLUMN {quote(column)}"


def set_ttl(table: str, months: int | None) -> str:
    """Return SET TTL; it deletes at once. None becomes 1,000 years: QuestDB has no way back."""
    if months is None:
        return f"{_alter(table)} SET TTL {NO_TTL_MONTHS // MONTHS_PER_YEAR} YEARS"
    return f"{_alter(table)} SET TTL {months} MONTHS"


def dedup_enable(table: str, keys: Iterable[str]) -> str:
    """Return DEDUP ENABLE; it holds for new rows and leaves duplicates that are there."""
    return f"{_alter(table)} DEDUP ENABLE UPSERT KEYS({_list(keys)})"


def dedup_disable(table: str) -> str:
    """Return DEDUP DISABLE."""
    return f"{_alter(table)} DEDUP DISABLE"


def set_max_uncommitted_rows(table: str, rows: int) -> str:
    """Return SET PARAM maxUncommittedRows."""
    return f"{_alter(table)} SET PARAM maxUncommittedRows = {rows}"


def set_o3_max_lag(table: str, milliseconds: int) -> str:
    """Return SET PARAM o3MaxLag."""
    return f"{_alter(table)} SET PARAM o3MaxLag = {milliseconds}ms"


def resume_wal(table: str, transaction: int | None = None) -> str:
    """Return RESUME WAL, the remedy for a suspended table once its cause is gone.

    What comes before `transaction` is given up.
    """
    start = "" if transaction is None else f" FROM TXN {transaction}"
    return f"{_alter(table)} RESUME WAL{start}"


def rename_table(table: str, new: str) -> str:
    """Return RENAME TABLE; rows of ILP over TCP that are not committed yet are lost by it."""
    return f"RENAME TABLE {quote(table)} TO {quote(new)}"


def drop_table(table: str) -> str:
    """Return DROP TABLE IF EXISTS."""
    return f"DROP TABLE IF EXISTS {quote(table)}"


def _alter(table: str) -> str:
    return f"ALTER TABLE {quote(table)}"


def _bare(column: str) -> str:
    # QuestDB 8.2 and 9.0 look for a quoted column of ALTER COLUMN with its quotes. Unquoted,
    # even `select` and `1a` are taken there by every version.
    quoted = quote(column)
    return column if re.fullmatch(r"[A-Za-z0-9_]+", column) else quoted


def _list(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)
