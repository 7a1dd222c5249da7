"""What of Stage1 stands in a PostgreSQL database, and what other software built on it.

The names are those of every variant in the field (contract, part 4) and of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from stage1_schema.alembic_plugin import legacy_shapes, standing_sql
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# Children first: the order in which rows could be deleted.
TABLES = (
    "spool_units",
    "spool_quarantine",
    "spool_replays",
    "simulation_trades",
    "simulation_trade_buckets",
    "simulation_runs",
    "walkforward_folds",
    "walkforward_runs",
    "indicator_datasets",
    "stage1_datasets",
    "datasets",
    "stage1_jobs",
    "jobs",
)
VIEWS = (*TABLES[:-1], "dataset_hierarchy", "dataset_catalog", "stage1_unused_placeholders")
LEGACY_FUNCTIONS = ("upsert_stage1_dataset", "update_updated_at_column")


@dataclass(frozen=True)
class Table:
    """A table that stands, and how many rows it holds."""

    name: str
    rows: int

    def __str__(self) -> str:
        return f"{self.name} ({self.rows:,} row{'s' * (self.rows != 1)})"


@dataclass(frozen=True)
class Standing:
    """Everything of Stage1 that stands in one schema.

    `dependents` are objects of other software that a DROP would take along; `mentions` are
    functions of other software whose text names a table; `strangers` are tables that have a name
    of ours and not the key that goes with it.
    """

    shape: str
    tables: tuple[Table, ...]
    views: tuple[str, ...]
    materialized: tuple[str, ...]
    functions: tuple[str, ...]
    dependents: tuple[str, ...]
    mentions: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows stand in all tables together."""
        return sum(table.rows for table in self.tables)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables, children first."""
        return tuple(table.name for table in self.tables)

    @property
    def objects(self) -> tuple[str, ...]:
        """Views and functions, as words for a log."""
        return (
            *(f"view {name}" for name in self.views),
            *(f"materialized view {name}" for name in self.materialized),
            *(f"function {signature}" for signature in self.functions),
        )


def look(
    connection: Connection,
    *,
    lock: bool = False,
    schema: str = "public",
    only: Sequence[str] = TABLES,
) -> Standing:
    """Return what stands. With `lock`, nobody can write to it until the transaction ends.

    `only` narrows it to those tables and what hangs on them. Rows that row-level security hides
    are an error rather than a wrong count.
    """
    connection.execute(text("SET LOCAL row_security = off"))
    views = VIEWS if only is TABLES else ()
    relations = connection.execute(
        standing_sql.RELATIONS, {"schema": schema, "tables": list(only), "views": list(views)}
    ).all()
    columns = _columns(connection, schema)
    relations = [row for row in relations if row.kind in "vm" or _is_ours(row.name, columns)]
    tables = [row.name for row in relations if row.kind in "rp"]
    _refuse_others([row for row in relations if not (row.is_own if lock else row.is_read)])
    if lock and tables:
        names = ", ".join(f'"{schema}"."{name}"' for name in tables)
        connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    oids = [row.oid for row in relations]
    # Functions are dropped by the revisions that made them; only a takeover meets any.
    named = list(_function_names()) if only is TABLES else []
    pattern = rf"\m({'|'.join(tables)})\M" if tables else "$."
    functions = connection.execute(
        standing_sql.FUNCTIONS,
        {"schema": schema, "names": named, "relations": oids, "pattern": pattern},
    ).all()
    found = {"functions": [row.oid for row in functions], "relations": oids}
    dependents = connection.execute(standing_sql.DEPENDENTS, found | {"names": named}).scalars()
    mentions = connection.execute(
        standing_sql.MENTIONS, {"functions": found["functions"], "pattern": pattern}
    ).scalars()
    return Standing(
        shape=legacy_shapes.recognise({name: columns[name] for name in tables}),
        tables=tuple(Table(name, _count(connection, schema, name)) for name in tables),
        views=tuple(row.name for row in relations if row.kind == "v"),
        materialized=tuple(row.name for row in relations if row.kind == "m"),
        functions=tuple(row.signature for row in functions),
        dependents=tuple(dependents),
        mentions=tuple(mentions),
        strangers=tuple(n for n in tables if not legacy_shapes.has_key(n, columns[n])),
    )


def drop(connection: Connection, standing: Standing) -> None:
    """Drop everything that `standing` names.

    CASCADE reaches only our own objects: the caller has refused where `standing.dependents` names
    any of somebody else's.
    """
    for kind, names in (
        ("VIEW", standing.views),
        ("MATERIALIZED VIEW", standing.materialized),
        ("FUNCTION", standing.functions),
        ("TABLE", standing.names),
    ):
        for name in names:
            target = name if kind == "FUNCTION" else f'public."{name}"'
            connection.execute(text(f"DROP {kind} IF EXISTS {target} CASCADE"))


def move(connection: Connection, standing: Standing, prefix: str) -> str:
    """Move everything into a new schema `<prefix>_<date>` and return the schema's name.

    Objects of other software go on working: they follow their tables by object id. Whoever had a
    right on a table, or owns it, may use the new schema; else the grants would be worth nothing.
    """
    schema = _free_schema(connection, prefix)
    connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    # Functions first: their signatures may name a table where it stands now.
    for signature in standing.functions:
        connection.execute(text(f'ALTER FUNCTION {signature} SET SCHEMA "{schema}"'))
    for kind, names in (
        ("VIEW", standing.views),
        ("MATERIALIZED VIEW", standing.materialized),
        ("TABLE", standing.names),
    ):
        for name in names:
            connection.execute(text(f'ALTER {kind} public."{name}" SET SCHEMA "{schema}"'))
    for role in connection.execute(standing_sql.GRANTEES, {"schema": schema}).scalars():
        connection.execute(text(f'GRANT USAGE ON SCHEMA "{schema}" TO {role}'))
    return schema


def listing(items: Sequence[object]) -> str:
    """Return `items` as one readable line."""
    return ", ".join(map(str, items))


def _refuse_others(relations: Sequence[Any]) -> None:
    """Raise Stage1Error where this role may not do what it came for with another one's tables."""
    if relations:
        owners = sorted({row.owner for row in relations})
        raise Stage1Error(
            f"Tables or views of Stage1 belong to {listing(owners)}:"
            f" {listing([row.name for row in relations])}. Nothing was changed.",
            next_step=f"run it as {listing(owners)} or as a superuser; docs/deploying.md says how"
            f" to give them to {relations[0].login}.",
        )


def _is_ours(name: str, columns: dict[str, frozenset[str]]) -> bool:
    """Tell a table of ours from one that shares a common name and is not in our way."""
    return name != "jobs" or legacy_shapes.has_key(name, columns[name])


def _columns(connection: Connection, schema: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in connection.execute(standing_sql.COLUMNS, {"schema": schema, "tables": list(TABLES)}):
        found.setdefault(row.table_name, set()).add(row.name)
    return {name: frozenset(found.get(name, ())) for name in TABLES}


def _function_names() -> tuple[str, ...]:
    """Return the names of our functions: the field's, and those that this project declares."""
    declared = files("stage1_schema").joinpath("sql", "functions").iterdir()
    stems = sorted(entry.name.removesuffix(".sql") for entry in declared)
    return (*LEGACY_FUNCTIONS, *stems)


def _count(connection: Connection, schema: str, name: str) -> int:
    return int(connection.execute(text(f'SELECT count(*) FROM "{schema}"."{name}"')).scalar_one())


def _free_schema(connection: Connection, prefix: str) -> str:
    taken = set(connection.execute(text("SELECT nspname FROM pg_namespace")).scalars())
    base = f"{prefix}_{datetime.now(UTC):%Y%m%d}"
    names = (base if n == 1 else f"{base}_{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
