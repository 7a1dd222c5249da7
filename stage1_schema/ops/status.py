"""What stands in both stores: where, which version, which revision, which tables, which drift."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from stage1_schema.connect import reading
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import drift, migrate
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from questdb_ddl import LiveTable, Table
    from stage1_schema.settings import Settings

EXACT_ROWS = 100_000
"""Up to so many rows (by PostgreSQL's estimate) a table is counted; above, the estimate stands."""


@dataclass(frozen=True)
class PostgresTable:
    """A table with its rows; `exact` is False where the number is PostgreSQL's estimate."""

    name: str
    rows: int
    exact: bool


@dataclass(frozen=True)
class PostgresStatus:
    """The PostgreSQL side. `error` is set, and the rest empty, when it cannot be reached."""

    where: str
    local: bool
    version: str | None = None
    revision: str | None = None
    head: str | None = None
    known: bool = True  # False at a revision that this checkout does not have
    tables: tuple[PostgresTable, ...] = ()
    drift: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # applied revisions whose file is another one now
    error: str | None = None


@dataclass(frozen=True)
class QuestDBTable:
    """A table with its rows and layout; `ttl_months` is None where rows are kept for ever."""

    name: str
    rows: int
    partition_by: str
    wal: bool
    dedup: bool
    ttl_months: int | None
    first: str | None
    last: str | None
    detached: tuple[str, ...] = ()
    unread: str | None = None


@dataclass(frozen=True)
class QuestDBStatus:
    """The QuestDB side. `error` is set, and the rest empty, when it cannot be reached.

    `untested` says that the server is newer than the newest one that was tested.
    """

    where: str
    local: bool
    version: str | None = None
    untested: str | None = None
    tables: tuple[QuestDBTable, ...] = ()
    drift: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Status:
    """Both stores."""

    postgres: PostgresStatus
    questdb: QuestDBStatus

    @property
    def healthy(self) -> bool:
        """True when both stores answer, stand at head as it is now, and show no drift.

        A QuestDB table that cannot be read makes it False.
        """
        sides = (self.postgres, self.questdb)
        unread = any(table.unread for table in self.questdb.tables)
        return (
            not unread
            and not any(side.error or side.drift for side in sides)
            and (self.postgres.revision == self.postgres.head and not self.postgres.changed)
        )

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {
            "postgres": asdict(self.postgres),
            "questdb": asdict(self.questdb),
            "healthy": self.healthy,
        }


def read(settings: Settings) -> Status:
    """Return the status of both stores; one that fails is reported, and the other still read."""
    try:
        postgres = _postgres(settings)
    except Stage1Error as error:
        where, local = settings.postgres.where, settings.postgres.local
        postgres = PostgresStatus(where, local, error=str(error))
    try:
        questdb = _questdb(settings, with_records=postgres.error is None)
    except Stage1Error as error:
        questdb = QuestDBStatus(settings.questdb.where, settings.questdb.local, error=str(error))
    return Status(postgres, questdb)


def _postgres(settings: Settings) -> PostgresStatus:
    with reading(settings.postgres) as connection:
        revision = migrate.revision(connection)
        head = migrate.head()
        return PostgresStatus(
            where=settings.postgres.where,
            local=settings.postgres.local,
            version=connection.execute(text("SHOW server_version")).scalar_one().split()[0],
            revision=revision,
            head=head,
            known=migrate.known(revision),
            tables=tuple(_postgres_tables(connection)),
            drift=drift.postgres(connection, settings.roles) if revision == head else (),
            changed=tuple(map(str, migrate.changed(connection))),
        )


def _postgres_tables(connection: Connection) -> Iterable[PostgresTable]:
    rows = connection.execute(
        text("""
        SELECT c.relname AS name, c.reltuples::bigint AS estimate
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
           AND c.relname NOT IN ('alembic_version', 'stage1_migration_history')
         ORDER BY c.relname
    """)
    ).all()
    for name, estimate in rows:
        if estimate > EXACT_ROWS:
            yield PostgresTable(name, estimate, exact=False)
        else:
            quoted = connection.dialect.identifier_preparer.quote_identifier(name)
            count = connection.execute(text(f"SELECT count(*) FROM public.{quoted}")).scalar_one()
            yield PostgresTable(name, count, exact=True)


def _recorded(settings: Settings, standing: Iterable[str]) -> tuple[Table, ...]:
    with reading(settings.postgres) as connection:
        return drift.recorded(connection, standing)


def _questdb(settings: Settings, *, with_records: bool) -> QuestDBStatus:
    from questdb_ddl import live_tables, untested  # noqa: PLC0415 - PostgreSQL may be all that answers

    with plain_questdb_errors(), client(settings.questdb) as questdb:
        version = questdb.server_version()
        live = live_tables(questdb, counts=True)
        return QuestDBStatus(
            where=settings.questdb.where,
            local=settings.questdb.local,
            version=version,
            untested=untested(questdb),
            tables=tuple(_questdb_table(table) for _, table in sorted(live.items())),
            drift=drift.questdb(live, _recorded(settings, live) if with_records else ()),
        )


def _questdb_table(live: LiveTable) -> QuestDBTable:
    return QuestDBTable(
        name=live.name,
        rows=live.row_count or 0,
        partition_by=str(live.partition_by),
        wal=live.wal,
        dedup=bool(live.dedup_keys),
        ttl_months=live.ttl_months,
        first=live.min_timestamp,
        last=live.max_timestamp,
        detached=tuple(map(str, live.detached or ())),
        unread=live.unread,
    )
