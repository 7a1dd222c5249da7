"""Empty both stores and rebuild them at head, then verify the result.

QuestDB goes first: PostgreSQL is what knows which QuestDB tables are ours, so a reset that failed
half-way can be run again. Unless told to drop, what holds rows is moved aside.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from questdb_ddl import Client, drop, live_tables, retire
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.alembic_plugin import history, preflight, standing
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.ops import migrate
from stage1_schema.ops.datasets import recorded_tables
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from stage1_schema.settings import Settings

RESET_SCHEMA = "stage1_reset"


@dataclass(frozen=True)
class Plan:
    """What a reset would take away. Row counts are of the moment of the plan."""

    postgres_where: str
    questdb_where: str
    database: str
    local: bool
    postgres: standing.Standing
    questdb: tuple[standing.Table, ...]

    @property
    def summary(self) -> str:
        """One line: where, and every table with its rows."""
        tables = standing.listing(self.postgres.tables) or "no tables"
        series = standing.listing(self.questdb) or "no tables"
        return (
            f"PostgreSQL {self.postgres_where}: {tables}. QuestDB {self.questdb_where}: {series}."
        )

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """One line of the checklist; `passed` is None where there was nothing to check."""

    what: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Result:
    """What a reset did, and what stands after it."""

    plan: Plan
    kept: tuple[str, ...]
    revision: str
    checks: tuple[Check, ...]
    finished: str

    @property
    def passed(self) -> bool:
        """True when no check failed."""
        return all(check.passed is not False for check in self.checks)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {**asdict(self), "passed": self.passed, "message": self.message}

    @property
    def message(self) -> str:
        """Text to send to the application team."""
        kept = f" Kept aside: {', '.join(self.kept)}." if self.kept else ""
        return (
            f"The Stage1 stores were reset at {self.finished} UTC and stand empty at revision "
            f"{self.revision} (PostgreSQL {self.plan.postgres_where}, "
            f"QuestDB {self.plan.questdb_where}).{kept} "
            "Please export every dataset again; writers may start now."
        )


def plan(settings: Settings) -> Plan:
    """Return what a reset would take away; changes nothing. Raises Stage1Error."""
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        preflight.postgres(connection, settings.postgres)
        found = standing.look(connection)
        recorded = recorded_tables(connection)
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        series = _ours(questdb, recorded)
    return Plan(
        postgres_where=settings.postgres.where,
        questdb_where=settings.questdb.where,
        database=settings.postgres.database,
        local=settings.postgres.local and settings.questdb.local,
        postgres=found,
        questdb=tuple(series),
    )


def confirm(intent: Plan, confirmation: str | None) -> None:
    """Raise ConfirmationError unless the stores are local or their database was named."""
    if intent.local or confirmation == intent.database:
        return
    given = "was not confirmed" if confirmation is None else f"is not {confirmation!r}"
    raise ConfirmationError(
        f"A reset would take away: {intent.summary} The database {given}.",
        next_step=f"to go on, run make reset CONFIRM={intent.database}"
        f" (stage1 reset --confirm {intent.database}).",
    )


def run(
    settings: Settings,
    intent: Plan,
    *,
    keep: bool,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Do the reset and return its checklist.

    With `keep`, tables with rows are moved aside in both stores: to a schema in PostgreSQL, under
    another name in QuestDB. Raises Stage1Error; running it again goes on where it stopped.
    """
    _refuse_dependents(intent.postgres, keep=keep)
    kept: list[str] = []
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        for table in intent.questdb:
            progress(f"QuestDB: taking away {table}")
            if not keep:
                drop(questdb, table.name)
            elif (outcome := retire(questdb, table.name, datetime.now(UTC))).kept_as:
                kept.append(f"QuestDB table {outcome.kept_as}")
    progress("PostgreSQL: taking away what stands")
    with plain_errors(settings.postgres), engine(settings.postgres).begin() as connection:
        kept += _clear(connection, keep=keep)
    migrate.upgrade(settings, progress=progress)
    progress("verifying")
    checks = tuple(_verify(settings, intent))
    return Result(
        plan=intent,
        kept=tuple(kept),
        revision=migrate.head(),
        checks=checks,
        finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )


def _ours(questdb: Client, recorded: Iterable[str]) -> Iterable[standing.Table]:
    live = live_tables(questdb, counts=True)
    names = [table.name for table in SHARED_TABLES] + list(recorded)
    wanted = dict.fromkeys(name.lower() for name in names)
    return [
        standing.Table(live[name].name, live[name].row_count or 0)
        for name in wanted
        if name in live
    ]


def _clear(connection: Connection, *, keep: bool) -> Iterable[str]:
    found = standing.look(connection, lock=True)
    _refuse_dependents(found, keep=keep)
    history.note(connection, "reset", migrate.revision(connection) or "base")
    connection.execute(text("DROP TABLE IF EXISTS public.alembic_version"))
    if keep and found.rows:
        schema = standing.move(connection, found, RESET_SCHEMA)
        return [f"PostgreSQL schema {schema}"]
    standing.drop(connection, found)
    return []


def _refuse_dependents(found: standing.Standing, *, keep: bool) -> None:
    if found.dependents and not (keep and found.rows):  # what is moved keeps its dependents
        raise Stage1Error(
            f"Other software built on the tables of Stage1: {standing.listing(found.dependents)}."
            " Nothing was changed.",
            next_step="drop or move these first, then run the reset again.",
        )


def _verify(settings: Settings, intent: Plan) -> Iterable[Check]:
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        live = live_tables(questdb, counts=True)
    shared = {table.name for table in SHARED_TABLES}
    back = [t.name for t in intent.questdb if t.name.lower() in live and t.name not in shared]
    yield Check("QuestDB: the old tables are gone", not back, ", ".join(back))
    missing = sorted(name for name in shared if name not in live)
    yield Check("QuestDB: the shared tables stand", not missing, ", ".join(missing))
    filled = [
        f"{n} ({live[n].row_count:,})" for n in sorted(shared & set(live)) if live[n].row_count
    ]
    yield Check("QuestDB: the shared tables are empty", not filled, ", ".join(filled))
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        revision = migrate.revision(connection)
        yield Check("PostgreSQL: at head", revision == migrate.head(), revision or "no revision")
        found = standing.look(connection)
        rows = [str(table) for table in found.tables if table.rows]
        yield Check("PostgreSQL: the tables stand", bool(found.tables), f"{len(found.tables)}")
        yield Check("PostgreSQL: the tables are empty", not rows, ", ".join(rows))
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
        text("""
            SELECT t.name || ' ' || r.name
              FROM unnest(CAST(:tables AS text[])) AS t(name),
                   unnest(CAST(:rights AS text[])) AS r(name)
             WHERE NOT has_table_privilege(:role, 'public.' || quote_ident(t.name), r.name)
        """),
        {"tables": list(tables), "rights": list(rights), "role": role},
    ).scalars()
    names = ", ".join(lacking)
    return Check(what, not names, names)
