"""What stands in PostgreSQL, as far as the effect of a statement depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of `table`, and the `parts` it goes with or is made anew with, on both sides.

    Either locks both tables against everybody: their triggers go. A part is (table, what, name).
    """

    table: str
    other: str
    parts: frozenset[tuple[str, str, str]]

    def renamed(self, old: str, new: str) -> ForeignKey:
        """Return it with the new name of a table."""
        table, other = (new if each == old else each for each in (self.table, self.other))
        parts = ((new if of == old else of, what, name) for of, what, name in self.parts)
        return ForeignKey(table, other, frozenset(parts))


@dataclass
class Standing:
    """The tables with their rows, and each index's table; what a script makes on the way is new.

    `functions` may write; `types` are those of (table, column); `keys` are the foreign keys.
    """

    rows: dict[str, int]
    indexes: dict[str, str]
    functions: set[str] = field(default_factory=set)
    types: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: Sequence[ForeignKey] = ()
    new: set[str] = field(default_factory=set)

    def rename(self, old: str, new: str) -> None:
        """Call a table by its new name from here on: the statements that follow do."""
        if old in self.new:
            self.new.add(new)
        if old in self.rows:
            self.rows[new] = self.rows.pop(old)
        self.indexes = {n: new if of == old else of for n, of in self.indexes.items()}
        self.types = {(new if of == old else of, c): t for (of, c), t in self.types.items()}
        self.keys = [each.renamed(old, new) for each in self.keys]


def look(connection: Connection) -> Standing:
    """Read it; rows are estimates."""
    return Standing(
        _rows(connection),
        _indexes(connection),
        _functions(connection),
        _types(connection),
        _keys(connection),
    )


def _rows(connection: Connection) -> dict[str, int]:
    """Return the estimated rows of each table.

    For one never analysed, or analysed while it was empty, 100 bytes are a row.
    """
    query = """
        SELECT relname, CASE WHEN reltuples > 0 THEN reltuples::bigint
                             ELSE pg_relation_size(oid) / 100 END AS rows
          FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    """
    return {row.relname: row.rows for row in connection.execute(text(query))}


def _indexes(connection: Connection) -> dict[str, str]:
    query = """
        SELECT i.relname AS name, t.relname AS of FROM pg_index x
          JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
         WHERE t.relnamespace = 'public'::regnamespace
    """
    return {row.name: row.of for row in connection.execute(text(query))}


def _types(connection: Connection) -> dict[tuple[str, str], str]:
    query = """
        SELECT c.relname AS of, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND a.attnum > 0 AND NOT a.attisdropped
    """
    return {(row.of, row.name): row.type for row in connection.execute(text(query))}


def _keys(connection: Connection) -> list[ForeignKey]:
    """Return the foreign keys; one rests on a key of the other table, and goes with it."""
    query = """
        SELECT c.relname AS of, o.relname AS other, f.conname AS name,
               ARRAY(SELECT conname FROM pg_constraint k
                      WHERE k.conindid = f.conindid AND k.contype IN ('p', 'u')) AS rests_on,
               ARRAY(SELECT attname FROM pg_attribute
                      WHERE attrelid = f.conrelid AND attnum = ANY (f.conkey)) AS columns,
               ARRAY(SELECT attname FROM pg_attribute
                      WHERE attrelid = f.confrelid AND attnum = ANY (f.confkey)) AS others
          FROM pg_constraint f
          JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class o ON o.oid = f.confrelid
         WHERE f.contype = 'f' AND c.relnamespace = 'public'::regnamespace
           AND o.relnamespace = c.relnamespace
    """
    return [
        ForeignKey(
            row.of,
            row.other,
            frozenset(
                (
                    (row.of, "TABLE", ""),
                    (row.other, "TABLE", ""),
                    (row.of, "CONSTRAINT", row.name),
                    *((row.other, "CONSTRAINT", name) for name in row.rests_on),
                    *((row.of, "COLUMN", name) for name in row.columns),
                    *((row.other, "COLUMN", name) for name in row.others),
                )
            ),
        )
        for row in connection.execute(text(query))
    ]


def _functions(connection: Connection) -> set[str]:
    """Return the names of functions, not PostgreSQL's own, that may write."""
    query = """
        SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.provolatile = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    """
    return set(connection.execute(text(query)).scalars())
