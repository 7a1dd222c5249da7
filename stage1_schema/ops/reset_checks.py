"""The checklist of a reset: what both stores hold afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from questdb_ddl import live_tables
from stage1_schema.alembic_plugin import standing
from stage1_schema.connect import engine, plain_errors
from stage1_schema.ops import migrate, reset_series
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from questdb_ddl import Client
    from stage1_schema.ops.reset import Plan
    from stage1_schema.settings import Settings

_LACKING = text("""
SELECT t.name || ' ' || r.name
  FROM unnest(CAST(:tables AS text[])) AS t(name), unnest(CAST(:rights AS text[])) AS r(name)
 WHERE NOT has_table_privilege(:role, 'public.' || quote_ident(t.name), r.name)
""")
_OWNERS = text("""
SELECT DISTINCT pg_get_userbyid(c.relowner) FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(:tables) ORDER BY 1
""")


@dataclass(frozen=True)
class Check:
    """One line of the checklist; `passed` is None where there was nothing to check."""

    what: str
    passed: bool | None
    detail: str = ""


def run(
    settings: Settings,
    intent: Plan,
    cleared: reset_series.Cleared,
    *,
    keep: bool,
    watch_seconds: float,
) -> Iterator[Check]:
    """Yield the checks of both stores, QuestDB's own list of tables first. Raises Stage1Error."""
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        left = reset_series.left(
            questdb,
            intent.recorded,
            everything=intent.everything,
            keep=keep,
            watch_seconds=watch_seconds,
        )
        yield _gone(intent, left, cleared, keep=keep)
        yield from _shared(questdb)
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        yield from _postgres(connection, settings)


def _gone(
    intent: Plan,
    left: Iterable[reset_series.Series],
    cleared: reset_series.Cleared,
    *,
    keep: bool,
) -> Check:
    before = {series.name.lower() for series in intent.dropped(keep=keep)}
    lines = []
    for series in left:
        came = "came back" if series.name.lower() in before else "is new"
        if series.name in cleared.failed:
            came = "could not be dropped"
        lines.append(f"{series.name} {came} ({series.counted} rows)")
    return Check("QuestDB: the old tables are gone", not lines, ", ".join(lines))


def _shared(questdb: Client) -> Iterator[Check]:
    live = live_tables(questdb, reset_series.SHARED, counts=True)
    missing = sorted(reset_series.SHARED - live.keys())
    yield Check("QuestDB: the shared tables exist", not missing, ", ".join(missing))
    filled = [f"{name} ({t.row_count:,})" for name, t in sorted(live.items()) if t.row_count]
    yield Check("QuestDB: the shared tables are empty", not filled, ", ".join(filled))


def _postgres(connection: Connection, settings: Settings) -> Iterator[Check]:
    from stage1_schema.models import Base  # noqa: PLC0415 - slow to import

    revision = migrate.revision(connection)
    yield Check("PostgreSQL: at head", revision == migrate.head(), revision or "no revision")
    found = standing.look(connection)
    declared = [table.name for table in Base.metadata.sorted_tables]
    missing = sorted(set(declared) - set(found.names))
    yield Check(
        "PostgreSQL: the tables exist", not missing, ", ".join(missing) or str(len(declared))
    )
    rows = [str(table) for table in found.tables if table.rows]
    yield Check("PostgreSQL: the tables are empty", not rows, ", ".join(rows))
    owners = connection.execute(_OWNERS, {"tables": list(found.names)}).scalars().all()
    yield Check("PostgreSQL: the tables have one owner", len(owners) == 1, ", ".join(owners))
    for role, rights in (
        (settings.roles.app, ("SELECT", "INSERT", "UPDATE")),
        (settings.roles.readonly, ("SELECT",)),
    ):
        yield _grants(connection, role, rights, found.names)


def _grants(
    connection: Connection, role: str, rights: tuple[str, ...], tables: tuple[str, ...]
) -> Check:
    what = f"PostgreSQL: {role} may {', '.join(rights)}"
    known = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
    if not connection.execute(known, {"role": role}).scalar_one():
        return Check(what, None, "the role does not exist")
    lacking = connection.execute(
        _LACKING, {"tables": list(tables), "rights": list(rights), "role": role}
    ).scalars()
    names = ", ".join(lacking)
    return Check(what, not names, names)
