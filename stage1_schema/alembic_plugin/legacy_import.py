"""Copy the rows of old tables into the new ones, inside the revision's transaction.

Every old row is accounted for: it is in the new table under its key, or the import stops and the
transaction rolls back. The old tables stay as they are in their schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from stage1_schema.alembic_plugin import legacy_late, standing_sql
from stage1_schema.alembic_plugin.legacy_merge import keep_what_differs, merge, view_of
from stage1_schema.alembic_plugin.legacy_ops import LegacyError
from stage1_schema.alembic_plugin.legacy_plan import SOURCES, Column, nothing, plan
from stage1_schema.alembic_plugin.legacy_shapes import KEYS
from stage1_schema.alembic_plugin.verbatim import Verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alembic.operations import Operations
    from sqlalchemy import Connection, MetaData

MERGED = tuple(target for target, sources in SOURCES.items() if len(sources) > 1)
# What the import itself fills in where no old table has it.
_ALWAYS = {"datasets": ("dataset_slug", "metadata", "is_placeholder"), "stage1_jobs": ("result",)}
_SHOWN = 3


@dataclass(frozen=True)
class Bodies:
    """The frozen SQL of an import, as names below `migrations/sql/`."""

    functions: str
    placeholders: str
    slugs: str
    missing: str


@dataclass(frozen=True)
class Counts:
    """What became of one new table: old rows read, rows that stand now, placeholders among them."""

    target: str
    read: int
    stand: int
    placeholders: int

    def __str__(self) -> str:
        merged = f" merged into {self.stand - self.placeholders:,}" if self._merged else ""
        more = f" and {self.placeholders:,} placeholders" if self.placeholders else ""
        return f"{self.target} {self.read:,} rows{merged}{more}"

    @property
    def _merged(self) -> bool:
        return self.stand - self.placeholders != self.read


@dataclass(frozen=True)
class Report:
    """What an import did: rows by table, columns that went into JSON, and those that stayed."""

    counts: tuple[Counts, ...]
    kept: tuple[str, ...]
    left: tuple[str, ...]


class Import:
    """One import from the tables of `schema` into those of `public`."""

    def __init__(
        self, operations: Operations, schema: str, tables: Sequence[str], bodies: Bodies
    ) -> None:
        """Keep the `schema`, the old `tables` in it, and the revision's SQL."""
        self.operations = operations
        self.bodies = bodies
        self.connection: Connection = operations.get_bind()
        self.schema = schema
        old = _columns(self.connection, schema, tables)
        self.new = _columns(self.connection, "public", list(SOURCES))
        metadata = operations.migration_context.opts.get("target_metadata")
        self.mappings = {
            target: tuple(
                plan(
                    name,
                    target,
                    old[name],
                    self.new[target],
                    schema=schema,
                    declared=_declared(metadata, target),
                )
                for name in sources
                if name in old
            )
            or (nothing(target, self.new[target]),)
            for target, sources in SOURCES.items()
        }

    def run(self) -> Report:
        """Copy everything, compare counts and keys, and return what was done.

        Raises LegacyError when a row cannot be imported; the caller's transaction then rolls back.
        """
        self._file(self.bodies.functions)
        for target in SOURCES:
            self._define(target)
        self._check_keys()
        for target in MERGED:
            self._merge(target)
        self._file(self.bodies.placeholders)
        self._file(self.bodies.slugs)
        for target in SOURCES:
            self._insert(target)
            if target == "datasets":
                self._file(self.bodies.missing)
        counts = tuple(self._account(target) for target in SOURCES)
        late = {m.target: m.late for each in self.mappings.values() for m in each if m.late}
        legacy_late.remember(self.connection, self.schema, late)
        self._forget()
        return Report(counts, tuple(self._named("kept")), tuple(self._named("left")))

    def _file(self, name: str) -> None:
        self.operations.run_sql_file(name)  # type: ignore[attr-defined]

    def _define(self, target: str) -> None:
        for mapping in self.mappings[target]:
            name = view_of(mapping.source) if target in MERGED else f"import_{target}"
            self._execute(target, f"CREATE TEMP VIEW {name} AS\n{mapping.select}")

    def _check_keys(self) -> None:
        problems = [
            problem
            for target in SOURCES
            for mapping in self.mappings[target]
            if mapping.source
            for problem in self._key_problems(target, mapping.source)
        ]
        if problems:
            raise LegacyError(
                f"Rows cannot be imported: {'; '.join(problems)}. Nothing was changed.",
                next_step="mend these rows in the old tables and run again, or run with"
                " -x legacy=archive.",
            )

    def _key_problems(self, target: str, source: str) -> Iterator[str]:
        view = view_of(source) if target in MERGED else f"import_{target}"
        keys = ", ".join(f'"{name}"' for name in KEYS[target])
        absent = " OR ".join(f'"{name}" IS NULL' for name in KEYS[target])
        count = self._number(target, f"SELECT count(*) FROM pg_temp.{view} WHERE {absent}")
        if count:
            yield f"{source} has {count:,} rows without a usable {' and '.join(KEYS[target])}"
        groups = f"""SELECT {keys}, count(*) FROM pg_temp.{view} WHERE NOT ({absent})
                      GROUP BY {keys} HAVING count(*) > 1 ORDER BY count(*) DESC, {keys}"""
        twice = self._number(target, f"SELECT count(*) FROM ({groups}) g")
        if twice:
            shown = self._execute(target, f"{groups} LIMIT {_SHOWN}")
            first = ", ".join(" ".join(map(str, row[:-1])) + f" ({row[-1]} rows)" for row in shown)
            yield f"{source} has {twice:,} keys more than once, such as {first}"

    def _merge(self, target: str) -> None:
        sources = [mapping.source for mapping in self.mappings[target]]
        columns = [column.name for column in self.new[target]]
        (key,) = KEYS[target]
        self._execute(target, merge(target, key, columns, sources))
        if len(sources) > 1:
            self._execute(target, keep_what_differs(target, key, sources))

    def _insert(self, target: str) -> None:
        mapped = {name for mapping in self.mappings[target] for name in mapping.mapped}
        mapped.update(_ALWAYS.get(target, ()))
        columns = [column for column in self.new[target] if column.name in mapped]
        if not mapped:
            return
        names = ", ".join(f'"{column.name}"' for column in columns)
        values = ", ".join(
            f'coalesce("{column.name}", {column.default})'
            if column.not_null and column.default
            else f'"{column.name}"'
            for column in columns
        )
        self._execute(
            target,
            f"INSERT INTO public.{target} ({names}) SELECT {values} FROM pg_temp.import_{target}",
        )

    def _account(self, target: str) -> Counts:
        """Compare counts and keys; a difference is a fault of this module, and stops it."""
        joined = " AND ".join(f't."{name}" = v."{name}"' for name in KEYS[target])
        read = lost = 0
        for mapping in self.mappings[target]:
            view = view_of(mapping.source) if target in MERGED else f"import_{target}"
            read += self._number(target, f"SELECT count(*) FROM pg_temp.{view}")
            lost += self._number(
                target,
                f"SELECT count(*) FROM pg_temp.{view} v"
                f" WHERE NOT EXISTS (SELECT FROM public.{target} t WHERE {joined})",
            )
        stand = self._number(target, f"SELECT count(*) FROM public.{target}")
        expected = self._number(target, f"SELECT count(*) FROM pg_temp.import_{target}")
        placeholders = self._placeholders(target)
        expected += 0 if target == "datasets" else placeholders
        if lost or stand != expected:
            raise LegacyError(
                f"The import of {target} does not add up: {read:,} rows read, {stand:,} stand where"
                f" {expected:,} should, {lost:,} are missing. Nothing was changed.",
                next_step="run with -x legacy=archive and report this.",
            )
        return Counts(target, read, stand, placeholders)

    def _placeholders(self, target: str) -> int:
        missing = {
            "datasets": "import_missing_datasets",
            "walkforward_runs": "import_missing_runs",
            "simulation_runs": "import_missing_simulations",
        }
        if target not in missing:
            return 0
        return self._number(target, f"SELECT count(*) FROM pg_temp.{missing[target]}")

    def _forget(self) -> None:
        """Drop the views: they would outlive the transaction, and keep the old tables in use."""
        for target in SOURCES:
            for mapping in self.mappings[target]:
                name = view_of(mapping.source) if target in MERGED else f"import_{target}"
                self._execute(target, f"DROP VIEW IF EXISTS pg_temp.{name}")

    def _named(self, attribute: str) -> Iterator[str]:
        for mappings in self.mappings.values():
            for mapping in mappings:
                for column in getattr(mapping, attribute):
                    yield f"{mapping.source}.{column}"

    def _number(self, target: str, statement: str) -> int:
        (row,) = self._execute(target, statement)
        return int(row[0])

    def _execute(self, target: str, statement: str) -> Sequence[tuple[Any, ...]]:
        try:
            result = self.connection.execute(Verbatim(statement))
        except DBAPIError as error:
            diagnostic = getattr(error.orig, "diag", None)
            reason = (diagnostic and diagnostic.message_primary) or str(error.orig)
            detail = (diagnostic and diagnostic.message_detail) or ""
            raise LegacyError(
                f"The rows of {target} cannot be imported: {reason}. {detail} Nothing was changed.",
                next_step="mend the rows in the old table and run again, or run with"
                " -x legacy=archive.",
            ) from error
        return [tuple(row) for row in result] if result.returns_rows else []


def _columns(connection: Connection, schema: str, tables: Sequence[str]) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = {}
    rows = connection.execute(standing_sql.COLUMNS, {"schema": schema, "tables": list(tables)})
    for row in rows:
        column = Column(row.name, row.type, row.not_null, row.default_value)
        found.setdefault(row.table_name, []).append(column)
    return found


def _declared(metadata: MetaData | None, target: str) -> frozenset[str]:
    tables: Mapping[str, object] = {} if metadata is None else metadata.tables
    table = tables.get(target)
    return frozenset(getattr(table, "columns", {}).keys()) if table is not None else frozenset()
