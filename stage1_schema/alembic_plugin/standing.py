"""What of Stage1 stands in a PostgreSQL database, and what other software built on it.

The names are those of every variant in the field (contract, part 4) and of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# Children first: the order in which rows could be deleted.
TABLES = (
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
    "spool_quarantine",
    "spool_replays",
)
VIEWS = ("indicator_datasets", "dataset_hierarchy", "dataset_catalog")
FUNCTIONS = (
    "upsert_stage1_dataset",
    "ensure_dataset_placeholder",
    "ensure_run_placeholder",
    "update_updated_at_column",
)

_RELATIONS = text("""
SELECT c.oid, c.relname AS name, c.relkind::text AS kind
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public'
   AND ((c.relkind IN ('r', 'p') AND c.relname = ANY(:tables))
     OR (c.relkind IN ('v', 'm') AND c.relname = ANY(:views)))
 ORDER BY array_position(CAST(:tables AS text[]), c.relname::text), c.relname
""")

_FUNCTIONS = text(r"""
SELECT p.oid, p.oid::regprocedure::text AS signature
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'public' AND p.prokind = 'f'
   AND (p.proname = ANY(:functions) OR p.proname LIKE 'fn\_list\_%' OR p.proname LIKE 'stage1\_%')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
   -- A trigger function that foreign tables use as well stays where it is.
   AND NOT EXISTS (SELECT FROM pg_trigger t
                    WHERE t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgrelid <> ALL(:relations))
 ORDER BY 2
""")

_DEPENDENTS = text("""
WITH RECURSIVE ours AS (
    SELECT unnest(CAST(:relations AS oid[])) AS oid
), reached AS (
    SELECT oid, false AS is_foreign, NULL::text COLLATE "C" AS what FROM ours
    UNION
    SELECT found.oid, true, found.what COLLATE "C"
      FROM reached r
     CROSS JOIN LATERAL (
        SELECT v.oid, CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END
                      || v.oid::regclass::text AS what
          FROM pg_depend d
          JOIN pg_rewrite w ON w.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
          JOIN pg_class v ON v.oid = w.ev_class
         WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid AND v.oid <> r.oid
         UNION
        SELECT f.conrelid, 'foreign key ' || f.conname || ' of table ' || f.conrelid::regclass::text
          FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = r.oid AND NOT r.is_foreign
         UNION
        SELECT p.oid, 'function ' || p.oid::regprocedure::text
          FROM pg_depend d
          JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
          LEFT JOIN pg_type t ON t.typrelid = r.oid
         WHERE d.deptype = 'n'
           AND (d.refobjid IN (t.oid, t.typarray) OR
                (d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid))
     ) found
     WHERE found.oid NOT IN (SELECT oid FROM ours) AND found.oid <> ALL(:functions)
)
SELECT DISTINCT what FROM reached WHERE is_foreign ORDER BY what
""")

_MENTIONS = text("""
SELECT 'function ' || p.oid::regprocedure::text
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_temp%'
   AND n.nspname NOT LIKE 'stage1\\_%' AND p.oid <> ALL(:functions)
   AND p.prosrc ~ :pattern
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1
""")


@dataclass(frozen=True)
class Table:
    """A table that stands, and how many rows it holds."""

    name: str
    rows: int

    def __str__(self) -> str:
        return f"{self.name} ({self.rows:,} row{'s' * (self.rows != 1)})"


@dataclass(frozen=True)
class Standing:
    """Everything of Stage1 that stands in `public`.

    `dependents` are objects of other software that a DROP would take along; `mentions` are
    functions of other software whose text names a table.
    """

    tables: tuple[Table, ...]
    views: tuple[str, ...]
    materialized: tuple[str, ...]
    functions: tuple[str, ...]
    dependents: tuple[str, ...]
    mentions: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows stand in all tables together."""
        return sum(table.rows for table in self.tables)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables, children first."""
        return tuple(table.name for table in self.tables)


def look(connection: Connection, *, lock: bool = False) -> Standing:
    """Return what stands. With `lock`, nobody can write to it until the transaction ends."""
    relations = connection.execute(_RELATIONS, {"tables": list(TABLES), "views": list(VIEWS)}).all()
    tables = [row.name for row in relations if row.kind in "rp"]
    if lock and tables:
        names = ", ".join(f'public."{name}"' for name in tables)
        connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    oids = [row.oid for row in relations]
    functions = connection.execute(
        _FUNCTIONS, {"functions": list(FUNCTIONS), "relations": oids}
    ).all()
    of_ours = {"functions": [row.oid for row in functions]}
    mentioned = rf"\m({'|'.join(tables)})\M" if tables else "$."
    return Standing(
        tables=tuple(Table(name, _count(connection, name)) for name in tables),
        views=tuple(row.name for row in relations if row.kind == "v"),
        materialized=tuple(row.name for row in relations if row.kind == "m"),
        functions=tuple(row.signature for row in functions),
        dependents=tuple(connection.execute(_DEPENDENTS, of_ours | {"relations": oids}).scalars()),
        mentions=tuple(connection.execute(_MENTIONS, of_ours | {"pattern": mentioned}).scalars()),
    )


def drop(connection: Connection, standing: Standing) -> None:
    """Drop everything that `standing` names.

    CASCADE reaches only our own objects: the caller has refused where `standing.dependents` names
    any of somebody else's.
    """
    for kind, names in (
        ("VIEW", standing.views),
        ("MATERIALIZED VIEW", standing.materialized),
        ("TABLE", standing.names),
    ):
        for name in names:
            connection.execute(text(f'DROP {kind} IF EXISTS public."{name}" CASCADE'))
    for signature in standing.functions:
        connection.execute(text(f"DROP FUNCTION IF EXISTS {signature} CASCADE"))


def move(connection: Connection, standing: Standing, prefix: str) -> str:
    """Move everything into a new schema `<prefix>_<date>` and return the schema's name.

    Objects of other software go on working: they follow their tables by object id.
    """
    schema = _free_schema(connection, prefix)
    connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    # Functions first: a function that returns a table's rows follows the table by itself.
    for signature in standing.functions:
        connection.execute(text(f'ALTER FUNCTION {signature} SET SCHEMA "{schema}"'))
    for kind, names in (
        ("VIEW", standing.views),
        ("MATERIALIZED VIEW", standing.materialized),
        ("TABLE", standing.names),
    ):
        for name in names:
            connection.execute(text(f'ALTER {kind} public."{name}" SET SCHEMA "{schema}"'))
    return schema


def listing(items: Sequence[object]) -> str:
    """Return `items` as one readable line."""
    return ", ".join(map(str, items))


def _count(connection: Connection, name: str) -> int:
    return int(connection.execute(text(f'SELECT count(*) FROM public."{name}"')).scalar_one())


def _free_schema(connection: Connection, prefix: str) -> str:
    taken = set(connection.execute(text("SELECT nspname FROM pg_namespace")).scalars())
    base = f"{prefix}_{datetime.now(UTC):%Y%m%d}"
    names = (base if n == 1 else f"{base}_{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
