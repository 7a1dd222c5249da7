"""`op.backfill`: change many rows in small transactions, so that no writer waits for long.

Batches go by primary key. A run that stops leaves the batches that it committed; the statement
chooses only rows that are still to be done, so a second run goes on where the first one stopped.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.exc import OperationalError

from stage1_schema.alembic_plugin.limits import BLOCKED
from stage1_schema.alembic_plugin.online import broken, outside, quoted
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.limits import Limits

log = logging.getLogger("alembic.runtime.migration")

PAGE = "/* page */ true"
"""The condition in the statement whose place a batch's range of keys takes."""
TARGET_S = 0.015
"""How long a batch should take: so long a writer of one of its rows waits."""
FIRST = 20
"""Rows of the first batch; a trigger may take a ms for each, which nobody knows beforehand."""
LONGEST_PAUSE_S = 0.1
TELL_EVERY_S = 5.0


@Operations.register_operation("backfill")
class BackfillOp(MigrateOperation):
    """Run one UPDATE in batches."""

    def __init__(self, table: str, name: str, *, key: Sequence[str], batch: int = 5_000) -> None:
        """Keep the `table`, the frozen statement's `name`, the primary `key` and the batch."""
        self.table = table
        self.name = name
        self.key = tuple(key)
        self.batch = batch

    @classmethod
    def backfill(
        cls,
        operations: Operations,
        table: str,
        name: str,
        *,
        key: Sequence[str],
        batch: int = 5_000,
    ) -> None:
        """Run the UPDATE in `migrations/sql/<name>` over `table`, at most `batch` rows at a time.

        Its WHERE holds `/* page */ true`, which each batch replaces with its range of `key`, and
        must choose only rows that are still to be done. It is no part of the revision's
        transaction: make it the last step, and the steps before it repeatable.
        """
        operations.invoke(cls(table, name, key=key, batch=batch))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("backfill", self.table, self.name)


@Operations.implementation_for(BackfillOp)
def _backfill(operations: Operations, operation: BackfillOp) -> None:
    context = operations.migration_context
    path = Path(context.opts["script"].dir) / "sql" / operation.name
    statement = path.read_text(encoding="utf-8") if path.is_file() else ""
    if statement.count(PAGE) != 1:
        raise Stage1Error(
            f"The backfill {operation.name} does not hold '{PAGE}' once.",
            next_step="restore it from git, or put that condition into its WHERE.",
        )
    with outside(operations, "backfill") as alone:
        if context.as_sql or not alone:
            operations.execute(Verbatim(statement))
            return
        with _not_waiting_for_the_disk(context) as connection:
            _Batches(connection, operation, statement, context.opts["limits"]).run()


@contextmanager
def _not_waiting_for_the_disk(context: MigrationContext) -> Iterator[Connection]:
    """Keep no writer of a batch's rows waiting until the disk has the batch.

    One that is lost is done again: the stamp, which comes behind it in the WAL, is lost with it.
    """
    connection = context.connection
    assert connection is not None  # noqa: S101 - only offline there is none
    before = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
    connection.exec_driver_sql("SET synchronous_commit = off")
    try:
        yield connection
    finally:
        if not broken(context):
            connection.exec_driver_sql(f"SET synchronous_commit = {before}")


class _Batches:
    def __init__(
        self, connection: Connection, operation: BackfillOp, statement: str, limits: Limits
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._operation = operation
        self._statement = statement
        self._table = quoted(operation.table)
        self._key = ", ".join(map(quoted, operation.key))
        self._size = min(FIRST, operation.batch)
        self._rows = 0
        self._changed = 0
        self._limit = limits.backfill

    def run(self) -> None:
        """Go through the table once, in the order of its key."""
        estimate = self._one(
            f"SELECT greatest(reltuples, 0)::bigint FROM pg_class"
            f" WHERE oid = '{self._table}'::regclass"
        )[0]
        told = time.monotonic()
        last: tuple[str, ...] | None = None
        while (page := self._page(last)) is not None:
            *upto, rows = page
            began = time.monotonic()
            self._change(last, tuple(upto))
            took = time.monotonic() - began
            self._rows += rows
            last = tuple(upto)
            self._adapt(took)
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                log.info(
                    "Backfill of %s: %s of about %s rows",
                    self._operation.table,
                    f"{self._rows:,}",
                    f"{max(estimate, self._rows):,}",
                )
            time.sleep(min(took / 2, LONGEST_PAUSE_S))
        log.info("Backfill of %s: %s rows changed", self._operation.table, f"{self._changed:,}")

    def _page(self, last: tuple[str, ...] | None) -> tuple[Any, ...] | None:
        """Return the last key of the next batch, as text, and how many rows are up to it."""
        texts = ", ".join(f"{quoted(name)}::text" for name in self._operation.key)
        descending = ", ".join(f"{quoted(name)} DESC" for name in self._operation.key)
        row = self._one(
            f"SELECT {texts}, count(*) OVER () FROM (SELECT {self._key} FROM {self._table}"
            f" WHERE {self._after(last)} ORDER BY {self._key} LIMIT {self._size}) page"
            f" ORDER BY {descending} LIMIT 1"
        )
        return None if row is None else tuple(row)

    def _change(self, last: tuple[str, ...] | None, upto: tuple[str, ...]) -> None:
        # No planner estimates a comparison of rows: the bounds of the first column keep it from
        # reading the whole table for every batch.
        first = quoted(self._operation.key[0])
        page = f"({self._key}) <= ({_literals(upto)}) AND {first} <= {_literals(upto[:1])}"
        if last is not None:
            page += f" AND {self._after(last)} AND {first} >= {_literals(last[:1])}"
        self._changed += max(self._patiently(self._statement.replace(PAGE, page)), 0)

    def _patiently(self, statement: str) -> int:
        """Run a batch; while it waits for one row it keeps the others locked: not for long."""
        for tries in range(self._limits.retries + 1):
            limit = self._limits.backfill.of_try(tries, self._limits.retries)
            if limit != self._limit:
                self._connection.exec_driver_sql(limit.sql)
                self._limit = limit
            try:
                return self._connection.execute(Verbatim(statement)).rowcount
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state not in BLOCKED or tries == self._limits.retries:
                    raise
                pause = self._limits.pause_s(tries) / 10
                log.info("Backfill of %s: a row is locked; again in %.2f s", self._table, pause)
                time.sleep(pause)
        raise AssertionError  # for mypy: the last try returns or raises

    def _after(self, last: tuple[str, ...] | None) -> str:
        return "true" if last is None else f"({self._key}) > ({_literals(last)})"

    def _adapt(self, took: float) -> None:
        fitting = self._size * TARGET_S / max(took, 0.001)
        self._size = round(min(max(fitting, FIRST / 2), 2 * self._size, self._operation.batch))

    def _one(self, query: str) -> Any:  # noqa: ANN401 - a row or None
        return self._connection.execute(Verbatim(query)).fetchone()


def _literals(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
