"""Run the steps of one Alembic command: in turn, within limits, again where one was blocked.

Alembic has no hook before its first step and reads the current revision before it asks for the
steps. The function that gives it the steps is therefore wrapped: it takes the lock when there is
something to do, and then makes Alembic start over and read the revision again.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import RevisionStep
from sqlalchemy.exc import SQLAlchemyError

from stage1_schema.alembic_plugin.limits import BLOCKED, CANCELED
from stage1_schema.alembic_plugin.upgrade_lock import UpgradeLock
from stage1_schema.errors import PostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg
    from alembic.runtime.migration import MigrationContext, MigrationStep

    from stage1_schema.alembic_plugin.history import Journal
    from stage1_schema.alembic_plugin.limits import Limits

log = logging.getLogger("alembic.runtime.migration")


class _StartOver(Exception):  # noqa: N818 - no error: it leaves Alembic's loop
    """The lock is held now: read the current revision again."""


class Runner:
    """The steps of one command on one connection."""

    def __init__(
        self,
        migration: MigrationContext,
        *,
        limits: Limits,
        journal: Journal,
        connect: Callable[[], psycopg.Connection[Any]],
        before_lock: Callable[[list[MigrationStep]], None],
        under_lock: Callable[[list[MigrationStep]], None],
        nested: bool,
    ) -> None:
        """Wrap the steps of `migration`.

        `connect` gives the connection for the lock; `before_lock` and `under_lock` may refuse to
        begin. With `nested`, the caller's transaction is open: nothing is committed or retried.
        """
        self._migration = migration
        self._limits = limits
        self._journal = journal
        self._connect = connect
        self._before_lock = before_lock
        self._under_lock = under_lock
        self._nested = nested
        self._lock: UpgradeLock | None = None
        self._left: list[MigrationStep] | None = None
        self._tries = 0
        self._pid = 0  # of the server process that migrates
        self._steps_of = migration._migrations_fn  # noqa: SLF001 - Alembic has no such hook
        self._create_version_table = migration._ensure_version_table  # noqa: SLF001
        migration._migrations_fn = self._steps  # type: ignore[assignment]  # noqa: SLF001
        migration._ensure_version_table = self._version_table  # type: ignore[method-assign]  # noqa: SLF001

    def run(self, run_migrations: Callable[[], None]) -> None:
        """Run the command. Raises PostgresError when a step stays blocked."""
        try:
            while True:
                try:
                    run_migrations()
                except _StartOver:
                    self._roll_back()
                except SQLAlchemyError as error:
                    self._raise_if_lost(error)
                    self._pause_or_raise(error)
                else:
                    return
        finally:
            if self._lock is not None:
                self._lock.release()

    def _steps(self, heads: Any, context: MigrationContext) -> Iterator[MigrationStep]:  # noqa: ANN401
        if self._left is None:
            found: list[MigrationStep] = (
                list(self._steps_of(heads, context)) if self._steps_of else []
            )
            if not found:
                return
            if self._lock is None:
                self._take_lock(found)
                raise _StartOver
            self._under_lock(found)
            self._left = found
        while self._left:
            yield from self._one(self._left[0])
            self._left.pop(0)
            self._tries = 0

    def _one(self, step: MigrationStep) -> Iterator[MigrationStep]:
        assert self._lock is not None  # noqa: S101 - for mypy: `_steps` took it
        self._lock.verify()
        self._lock.watch(self._pid)
        if not self._tries:  # what an earlier try did in QuestDB was not rolled back
            self._journal.begin()
        if not self._nested:
            self._limit_waiting()
        yield step
        self._lock.rest()

    def _limit_waiting(self) -> None:
        """Give this try the time for which it may wait for locks."""
        ddl = self._limits.ddl.of_try(self._tries, self._limits.retries)
        limits = replace(self._limits, ddl=ddl)
        connection = self._migration.connection
        if connection is not None and limits != self._migration.opts["limits"]:
            self._migration.opts["limits"] = limits
            connection.exec_driver_sql(ddl.sql)
            connection.commit()

    def _version_table(self, purge: bool = False) -> None:  # noqa: FBT001, FBT002 - Alembic's
        """Create Alembic's table under the lock only: two runners at once would collide."""
        if purge and self._lock is None:
            self._take_lock([])
        if self._lock is not None:
            self._create_version_table(purge=purge)

    def _take_lock(self, steps: list[MigrationStep]) -> None:
        self._before_lock(steps)
        connection = self._migration.connection
        assert connection is not None  # noqa: S101 - only offline there is none
        self._pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        self._roll_back()
        self._lock = UpgradeLock.acquire(
            self._connect, migrating=self._pid, wait_s=self._limits.wait_s
        )

    def _roll_back(self) -> None:
        if not self._nested and self._migration.connection is not None:
            self._migration.connection.rollback()

    def _raise_if_lost(self, error: SQLAlchemyError) -> None:
        """Say plainly that the connection is gone: SQLAlchemy may complain of what came after."""
        connection = self._migration.connection
        if connection is not None and connection.invalidated:
            raise PostgresError(
                "The connection to PostgreSQL was lost; the step that ran was rolled back there.",
                next_step="run the same command again, it goes on where it stopped.",
            ) from error

    def _pause_or_raise(self, error: SQLAlchemyError) -> None:
        cause = getattr(error, "orig", None)
        state = getattr(cause, "sqlstate", None)
        if state == CANCELED and "statement timeout" in str(cause):
            raise PostgresError(
                "A statement ran longer than it may, and its transaction was rolled back.",
                next_step="give it more with STAGE1_DDL_STATEMENT_TIMEOUT_MS (or _INDEX_,"
                " _BACKFILL_, _VALIDATE_) and run the same command again.",
            ) from error
        if self._lock is None or not self._left or self._nested or state not in BLOCKED:
            raise error
        self._lock.rest()
        step, blockers = self._left[0], self._lock.blockers
        waited_ms = self._migration.opts["limits"].ddl.lock_ms
        by = "; ".join(each.blocking for each in blockers) or f"a session, for {waited_ms} ms"
        name = step.short_log if isinstance(step, RevisionStep) else "stamp"
        self._tries += 1
        if self._tries > self._limits.retries:
            end = f", or end it with SELECT pg_terminate_backend({blockers[0].pid})"
            raise PostgresError(
                f"{name}: gave up after {self._tries} tries, blocked by {by}."
                " What it began is rolled back.",
                next_step=f"wait for that transaction{end if blockers else ''}, and run the same"
                " command again.",
            ) from error
        pause = self._limits.pause_s(self._tries - 1)
        tries = f"try {self._tries + 1} of {self._limits.retries + 1} in {pause:.1f} s"
        log.warning("%s stopped at %s of %s; %s", name, BLOCKED[state], by, tries)
        self._roll_back()
        time.sleep(pause)
