"""What stands in PostgreSQL, as far as the effect of a statement depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.alembic_plugin.not_null import FILLED
from stage1_schema.ops.effects import Check
from stage1_schema.ops.statements import not_null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from stage1_schema.ops.effects import Effect


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

    `functions` may write; `types` are those of (table, column); `keys` are the foreign keys;
    `filled` are (table, column) of NOT NULL, and `checks` those of (table, name).
    """

    rows: dict[str, int]
    indexes: dict[str, str]
    functions: set[str] = field(default_factory=set)
    types: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: Sequence[ForeignKey] = ()
    filled: set[tuple[str, str]] = field(default_factory=set)
    checks: dict[tuple[str, str], Check] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)

    def before(self, found: Effect) -> None:
        """Take in what a statement makes: what it does to that is no matter."""
        if found.creates and not (found.may_stand and found.creates in self.rows):
            self.new.add(found.creates)
        if found.defines:
            self.functions.add(found.defines)

    def after(self, found: Effect) -> None:
        """Take in what the statements that follow find."""
        self.types.update({(table, column): new for table, column, new in found.retypes})
        for table, what, name in found.drops:
            if what == "CONSTRAINT":
                self.checks.pop((table, name), None)
            elif what == "COLUMN":
                self._forget(table, name)
        for column in found.moves:
            self._forget(*column)
        self.checks.update({(table, name): check for table, name, check in found.checks})
        for key in found.validates:
            if key in self.checks:
                self.checks[key] = replace(self.checks[key], valid=True)
        self.filled |= set(found.fills)
        self.filled -= set(found.frees)
        for old, new in found.renames:
            self._rename(old, new)

    def reads_to_fill(self, table: str, column: str) -> bool:
        """Tell whether SET NOT NULL has to look for a NULL in each row."""
        return (table, column) not in self.filled and not any(
            of == table and check.valid and check.not_null and column in check.columns
            for (of, _), check in self.checks.items()
        )

    def checked(self, table: str, column: str) -> bool:
        """Tell whether a valid CHECK says the column: it is looked at anew for a new type."""
        return any(
            of == table and check.valid and column in check.columns
            for (of, _), check in self.checks.items()
        )

    def referring(self, tables: Sequence[str]) -> tuple[str, ...]:
        """Return `tables`, and those whose foreign keys refer to one of them, or to those."""
        found = list(tables)
        for table in found:  # grows on the way
            found += [k.table for k in self.keys if k.other == table and k.table not in found]
        return tuple(found)

    def _forget(self, table: str, column: str) -> None:
        """Take it that nothing is known of a column: another may have its name from here on."""
        self.filled.discard((table, column))
        self.types.pop((table, column), None)
        self.checks = {
            (of, name): check
            for (of, name), check in self.checks.items()
            if of != table or column not in check.columns
        }

    def _rename(self, old: str, new: str) -> None:
        if old in self.new:
            self.new.add(new)
        if old in self.rows:
            self.rows[new] = self.rows.pop(old)
        self.indexes = {n: new if of == old else of for n, of in self.indexes.items()}
        self.types = {(new if of == old else of, c): t for (of, c), t in self.types.items()}
        self.keys = [each.renamed(old, new) for each in self.keys]
        self.filled = {(new if of == old else of, c) for of, c in self.filled}
        self.checks = {(new if of == old else of, n): c for (of, n), c in self.checks.items()}


def look(connection: Connection) -> Standing:
    """Read it; rows are estimates."""
    return Standing(
        _rows(connection),
        _indexes(connection),
        _functions(connection),
        _types(connection),
        _keys(connection),
        _filled(connection),
        _checks(connection),
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


def _filled(connection: Connection) -> set[tuple[str, str]]:
    query = f"""
        SELECT c.relname AS of, a.attname AS name
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND {FILLED}
    """
    return {(row.of, row.name) for row in connection.execute(text(query))}


def _checks(connection: Connection) -> dict[tuple[str, str], Check]:
    query = """
        SELECT c.relname AS of, k.conname AS name, k.convalidated AS valid,
               pg_get_expr(k.conbin, k.conrelid) AS condition,
               ARRAY(SELECT attname::text FROM pg_attribute
                      WHERE attrelid = c.oid AND attnum = ANY (k.conkey)) AS columns
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
         WHERE k.contype = 'c' AND c.relnamespace = 'public'::regnamespace
    """
    return {
        (row.of, row.name): Check(
            frozenset(row.columns), valid=row.valid, not_null=not_null(row.condition)
        )
        for row in connection.execute(text(query))
    }
