"""Empty both stores and rebuild them at head, then verify the result.

PostgreSQL's tables are dropped in a transaction that is committed once QuestDB's are gone, so that
everything PostgreSQL can refuse is refused first, and the names it records are there until then.
With `keep`, tables with rows are kept under another name.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stage1_schema.alembic_plugin import limits, standing
from stage1_schema.alembic_plugin.upgrade_lock import UpgradeLock
from stage1_schema.connect import connect, engine, plain_errors, reading
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.locks import alone_with_series
from stage1_schema.ops import migrate, reset_checks, reset_postgres, reset_series
from stage1_schema.ops.datasets import recorded_tables
from stage1_schema.questdb import client, plain_questdb_errors
from stage1_schema.settings import given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from stage1_schema.ops.reset_checks import Check
    from stage1_schema.ops.reset_series import Series
    from stage1_schema.settings import Settings

WATCH_SECONDS = 2.0
AGAIN = "run the same command again; it continues where it stopped"


@dataclass(frozen=True)
class Plan:
    """What exists and what a reset would do with it. Row counts are of the moment of the plan.

    `series` are all tables of QuestDB, `recorded` the names that PostgreSQL knows.
    """

    postgres_where: str
    questdb_where: str
    database: str
    local: bool
    everything: bool
    head: str
    postgres: standing.Standing
    series: tuple[Series, ...]
    recorded: tuple[str, ...]

    def dropped(self, *, keep: bool) -> tuple[Series, ...]:
        """Return QuestDB's tables that are dropped, or with `keep` renamed."""
        return tuple(
            s
            for s in self.series
            if reset_series.is_dropped(s, everything=self.everything, keep=keep)
        )

    def rows(self, *, keep: bool) -> list[tuple[str, str, str, str]]:
        """Return store, table, rows and what happens, of every table."""
        moved = keep and self.postgres.rows
        fate = "moved to a schema" if moved else "dropped"
        listed = [("PostgreSQL", t.name, f"{t.rows:,}", fate) for t in self.postgres.tables]
        dropped = self.dropped(keep=keep)
        for series in self.series:
            verb = "left" if series not in dropped else "dropped"
            if verb == "dropped" and keep and series.rows:
                verb = "renamed"
            listed.append(("QuestDB", series.name, series.counted, f"{verb}: {series.reason}"))
        return listed

    def summary(self, *, keep: bool) -> str:
        """Return how much would be dropped, where, as one line."""
        dropped = self.dropped(keep=keep)
        return (
            f"{_tables(len(self.postgres.tables), self.postgres.rows)} of PostgreSQL"
            f" {self.postgres_where} and {_tables(len(dropped), sum(s.rows or 0 for s in dropped))}"
            f" of QuestDB {self.questdb_where}"
        )

    def to_data(self, *, keep: bool) -> dict[str, Any]:
        """Return plain data for `--json`."""
        names = ("store", "table", "rows", "what_happens")
        exact: list[tuple[int | None, tuple[str, ...]]] = [
            (t.rows, ()) for t in self.postgres.tables
        ]
        exact += [(s.rows, s.detached) for s in self.series]
        tables = [
            dict(zip(names, row, strict=True)) | {"rows": rows, "detached": detached}
            for row, (rows, detached) in zip(self.rows(keep=keep), exact, strict=True)
        ]
        data = {k: v for k, v in asdict(self).items() if k not in ("series", "recorded")}
        return data | {"keep": keep, "tables": tables}


@dataclass(frozen=True)
class Result:
    """What a reset did, and what exists after it."""

    plan: Plan
    keep: bool
    kept: tuple[str, ...]
    checks: tuple[Check, ...]
    finished: str

    @property
    def passed(self) -> bool:
        """True when no check failed."""
        return all(check.passed is not False for check in self.checks)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`; there is no message where a check failed."""
        return {
            "plan": self.plan.to_data(keep=self.keep),
            "kept": self.kept,
            "revision": self.revision,
            "checks": [asdict(check) for check in self.checks],
            "finished": self.finished,
            "passed": self.passed,
            "message": self.message if self.passed else None,
        }

    @property
    def revision(self) -> str:
        """The revision of both stores."""
        return self.plan.head

    @property
    def _places(self) -> str:
        tables = sum(place.startswith("QuestDB") for place in self.kept)
        places = [place for place in self.kept if not place.startswith("QuestDB")]
        if tables:
            plural = "s" * (tables != 1)
            places.append(f"{tables:,} QuestDB table{plural} <table>_retired_<time>")
        return ", ".join(places)

    @property
    def message(self) -> str:
        """Text to send to the application team, once every check passed."""
        kept = f" Rows were kept: {self._places}." if self.kept else ""
        return (
            f"The Stage1 stores were reset at {self.finished} UTC. They are empty, at revision "
            f"{self.revision} (PostgreSQL {self.plan.postgres_where}, "
            f"QuestDB {self.plan.questdb_where}).{kept} "
            "Please export every dataset again; writers may start now."
        )


def plan(settings: Settings, *, everything: bool = False) -> Plan:
    """Return what a reset would do; changes nothing. Raises Stage1Error.

    With `everything`, QuestDB's tables of other software are dropped too.
    """
    head = migrate.head()
    with reading(settings.postgres) as connection:
        found = reset_postgres.look(connection)
        recorded = recorded_tables(connection)
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        series = reset_series.read(questdb, recorded)
    return Plan(
        postgres_where=settings.postgres.where,
        questdb_where=settings.questdb.where,
        database=settings.postgres.database,
        local=settings.postgres.local and settings.questdb.local,
        everything=everything,
        head=head,
        postgres=found,
        series=series,
        recorded=tuple(recorded),
    )


def confirm(intent: Plan, confirmation: str | None, *, keep: bool = False) -> None:
    """Raise ConfirmationError unless the database was named, or nothing was and it is local."""
    if confirmation == intent.database or (intent.local and confirmation is None):
        return
    why = "was not confirmed" if confirmation is None else f"is not {confirmation!r}"
    raise ConfirmationError(
        f"A reset {'moves or ' * keep}drops {intent.summary(keep=keep)}."
        f" The database {intent.database} {why}; nothing was changed.",
        next_step=f"to go on, run make reset CONFIRM={intent.database}"
        f" (stage1 reset --confirm {intent.database}).",
    )


def refusals(settings: Settings, intent: Plan, *, keep: bool) -> tuple[str, ...]:
    """Return what keeps a reset from starting, as sentences without their full stop."""
    with reading(settings.postgres) as connection:
        found = [*reset_postgres.refusals(connection, settings, intent.postgres, keep=keep)]
    return (*found, *reset_series.refusals(intent.dropped(keep=keep), keep=keep))


def run(
    settings: Settings,
    intent: Plan,
    *,
    keep: bool,
    progress: Callable[[str], None] = lambda _: None,
    watch_seconds: float = WATCH_SECONDS,
) -> Result:
    """Do the reset and return its checklist.

    With `keep`, tables with rows are kept: in a schema of PostgreSQL, under another name in
    QuestDB. Afterwards it looks for `watch_seconds` whether a writer creates a table again. Raises
    Stage1Error; run again it continues where it stopped.
    """
    if found := refusals(settings, intent, keep=keep):
        raise Stage1Error(
            f"The reset cannot start: {'; '.join(found)}. Nothing was changed.",
            next_step="do that, then run the reset again.",
        )
    cleared, rights, schema = _empty(settings, intent, keep=keep, progress=progress)
    with _continuing("Both stores are empty, and the upgrade that follows did not finish"):
        migrate.upgrade(settings, progress=progress)
        reset_postgres.grant(settings, rights)
    progress("verifying")
    checks = reset_checks.run(settings, intent, cleared, keep=keep, watch_seconds=watch_seconds)
    kept = [f"QuestDB table {name}" for name in cleared.kept]
    return Result(
        plan=intent,
        keep=keep,
        kept=(*kept, *([f"PostgreSQL schema {schema}"] if schema else [])),
        checks=tuple(checks),
        finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )


def _empty(
    settings: Settings, intent: Plan, *, keep: bool, progress: Callable[[str], None]
) -> tuple[reset_series.Cleared, tuple[reset_postgres.Right, ...], str | None]:
    """Drop the tables of both stores, PostgreSQL's first but for the commit."""
    with (
        plain_errors(settings.postgres),
        engine(settings.postgres).begin() as connection,
        _upgrade_lock(settings, connection, progress),
        alone_with_series(settings.postgres),
    ):
        progress("PostgreSQL: dropping the tables")
        rights, schema = reset_postgres.clear(connection, settings, keep=keep)
        stopped = "QuestDB's tables were not all dropped, and PostgreSQL is unchanged"
        with _continuing(stopped), plain_questdb_errors(), client(settings.questdb) as questdb:
            dropped = intent.dropped(keep=keep)
            cleared = reset_series.clear(questdb, dropped, keep=keep, progress=progress)
    return cleared, rights, schema


@contextmanager
def _upgrade_lock(
    settings: Settings, connection: Connection, progress: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock of an upgrade, which no replay and no other upgrade can take meanwhile."""
    progress("waiting for the upgrade lock")
    lock = UpgradeLock.acquire(
        lambda: connect(settings.postgres, autocommit=True),
        migrating=connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one(),
        wait_s=limits.load(given()).wait_s,
    )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _continuing(what: str) -> Iterator[None]:
    """Add to an error inside the block that the same command continues."""
    try:
        yield
    except Stage1Error as error:
        cause = str(error).partition(" Next: ")[0].rstrip(".")
        step = (error.next_step or "remove the cause").rstrip(".")
        raise Stage1Error(f"{what}: {cause}.", next_step=f"{step}; then {AGAIN}.") from error


def _tables(count: int, rows: int) -> str:
    return f"{count:,} table{'s' * (count != 1)} ({rows:,} row{'s' * (rows != 1)})"
