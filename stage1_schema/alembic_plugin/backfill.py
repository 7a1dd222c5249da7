"""`op.backfill`: change many rows in small transactions, so that no writer waits for long.

Batches go by the table's pages, in their order: in that of a key each row would be on a page of its
own, read, logged and written whole. Rows that a writer moved to a page behind the fill are found
afterwards, by the transaction that wrote them, and are changed by key. A run that stops leaves the
batches that it committed; the statement chooses only rows that are still to be done.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy.exc import OperationalError

from stage1_schema.alembic_plugin import frozen
from stage1_schema.alembic_plugin.limits import BLOCKED, CANCELED
from stage1_schema.alembic_plugin.online import broken, outside
from stage1_schema.alembic_plugin.verbatim import Verbatim, literal, quoted
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.limits import Limits

log = logging.getLogger("alembic.runtime.migration")

PAGE = "/* page */ true"
"""The condition in the statement whose place a batch's own takes."""
TARGET_S = 0.015
"""How long a batch should take: so long a writer of one of its rows waits."""
FIRST_ROWS = 20
LONGEST_PAUSE_S = 0.1
TELL_EVERY_S = 5.0

_CURSOR = "stage1_backfill"
_START = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text,
       greatest(pg_relation_size(name), (SELECT max(pg_relation_size(relid))
                                           FROM pg_partition_tree(name)))
           / current_setting('block_size')::int,
       current_setting('block_size')::int / 28
  FROM (SELECT {table}::regclass) AS filled(name)
"""
"""The oldest transaction that may still write, the pages, and how many rows a page has at most:
24 bytes of header and 4 that point to it, each."""
_TYPES = """
SELECT format_type(a.atttypid, a.atttypmod) FROM unnest({names}::text[])
       WITH ORDINALITY key(name, n)
  JOIN pg_attribute a ON a.attrelid = {table}::regclass AND a.attname = key.name ORDER BY key.n
"""
_MOVED = """
DECLARE {cursor} NO SCROLL CURSOR WITH HOLD FOR SELECT {key} FROM {table}
 WHERE age(xmin) <= age({start}::xid) AND (xmin = ANY ({own}::xid[])) IS NOT TRUE
"""
"""What others wrote since the start; a row that none of them wrote is where it was."""
_TRANSACTION = "SELECT pg_current_xact_id()::xid::text{settings};\n"
_BRIEFLY = ", set_config('statement_timeout', '{}', true)"
_FLUSH = "SELECT set_config('synchronous_commit', 'local', true), pg_current_xact_id()"
"""Wait, without a row locked, until the disk has the batch: else a writer's commit has to."""


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
        """Run the UPDATE in `migrations/sql/<name>` over `table`, `batch` rows at most at a time.

        The WHERE holds `/* page */ true`, whose place is taken by a
        condition on the unique `key`, and must choose only rows that are still to be done. The
        fill is no part of the revision's transaction: make it the last step, and the steps before
        it repeatable.
        """
        operations.invoke(cls(table, name, key=key, batch=batch))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("backfill", self.table, self.name)


@Operations.implementation_for(BackfillOp)
def _backfill(operations: Operations, operation: BackfillOp) -> None:
    context = operations.migration_context
    path = Path(context.opts["script"].dir) / "sql" / operation.name
    statement = frozen.read(path) if path.is_file() else ""
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
        self._key = tuple(map(quoted, operation.key))
        self._changed = 0
        self._own: list[str] = []
        self._limit = limits.backfill
        self._held_ms = limits.backfill.held_ms
        self._told = time.monotonic()

    def run(self) -> None:
        """Go through the rows that stand, once."""
        ((start, pages, lines),) = self._fetch(_START.format(table=literal(self._table)))
        self._by_page(start, pages, lines)
        self._by_key(start)
        log.info("Backfill of %s: %s rows changed", self._operation.table, f"{self._changed:,}")

    def _by_page(self, start: str, pages: int, lines: int) -> None:
        """Change what was not written since the transaction `start`; a page has so many `lines`."""
        key = ", ".join(self._key)
        old = f"FROM {self._table} WHERE age(xmin) > age({literal(start)}::xid)"
        size, first, end = FIRST_ROWS, 1, pages * lines  # a line 0 there is not
        while first < end:
            upto = min(first + size, end)
            page = " AND ".join(
                f"ctid {bound} '({at // lines},{at % lines})'"
                for bound, at in ((">=", first), ("<", upto))
            )
            condition = f"({key}) IN (SELECT {key} {old} AND {page})"
            reached, size = self._change(condition, upto - first)
            first += reached
            if time.monotonic() - self._told > TELL_EVERY_S:
                self._told = time.monotonic()
                done = f"{first // lines:,} of {pages:,}"
                log.info("Backfill of %s: %s pages", self._operation.table, done)

    def _by_key(self, start: str) -> None:
        """Change what was written since the transaction `start`, but for the fill's own rows."""
        table, names = literal(self._table), _array(self._operation.key)
        types = [kind for (kind,) in self._fetch(_TYPES.format(names=names, table=table))]
        key = ", ".join(f"{name}::text" for name in self._key)
        self._run("CLOSE ALL")  # of a try that failed
        self._run(self._limits.validate.sql)  # it reads the whole table, as a validation does
        self._run(
            _MOVED.format(
                cursor=_CURSOR,
                key=key,
                table=self._table,
                start=literal(start),
                own=_array(self._own),
            )
        )
        self._run(self._limit.sql)
        size = FIRST_ROWS
        left: list[Sequence[str]] = []
        while left := left or list(self._fetch(f"FETCH {size} FROM {_CURSOR}")):
            part = left[:size]
            reached, size = self._change(self._within(part, types), len(part))
            left = left[reached:]
        self._run(f"CLOSE {_CURSOR}")

    def _change(self, condition: str, size: int) -> tuple[int, int]:
        """Change the rows that `condition` holds for, `size` at most.

        Returns `size`, or 0 where that would have held them for too long, and the size that fits.
        """
        began = time.monotonic()
        statement = self._statement.replace(PAGE, condition)
        try:
            if size > 1:
                transaction, changed = self._briefly(statement)
            else:
                transaction, changed = self._patiently(statement)
            reached = size
            fitting = _fitting(size, time.monotonic() - began, self._operation.batch)
        except OperationalError as error:
            if size == 1 or not self._gave_up(error, time.monotonic() - began):
                raise
            reached, fitting, changed = 0, max(size // 8, 1), 0
        if changed > 0:
            self._changed += changed
            self._own.append(transaction)
            self._fetch(_FLUSH)
        time.sleep(min((time.monotonic() - began) / 2, LONGEST_PAUSE_S))
        return reached, fitting

    def _gave_up(self, error: OperationalError, took: float) -> bool:
        """Tell whether a batch of some rows, after so many s, was stopped by a limit."""
        state = _sqlstate(error)
        return state in BLOCKED or (
            state == CANCELED and self._is_over(took)  # else by somebody
        )

    def _within(self, page: Sequence[Sequence[str]], types: Sequence[str]) -> str:
        """Return the condition that a row's key is one of `page`."""
        arrays = ", ".join(
            f"{_array(values)}::{kind}[]"
            for values, kind in zip(zip(*page, strict=True), types, strict=True)
        )
        return f"({', '.join(self._key)}) IN (SELECT * FROM unnest({arrays}))"

    def _briefly(self, statement: str) -> tuple[str, int]:
        """Change some rows, or none of them if that takes as long as a batch may.

        A limit that fires when PostgreSQL has looked for interrupts for the last time lets the
        batch be and cancels the next statement: one that has nothing to lose is sent.
        """
        began = time.monotonic()
        done = self._execute(statement, _BRIEFLY.format(self._held_ms))
        if self._is_over(time.monotonic() - began):
            try:
                self._run("SELECT")
            except OperationalError as error:
                if _sqlstate(error) != CANCELED:
                    raise
        return done

    def _is_over(self, took: float) -> bool:
        return took * 1000 >= self._held_ms

    def _patiently(self, statement: str) -> tuple[str, int]:
        """Change one row, however long that takes; wait for it in a few tries."""
        for tries in range(self._limits.retries + 1):
            limit = self._limits.backfill.of_try(tries, self._limits.retries)
            if limit != self._limit:
                self._connection.exec_driver_sql(limit.sql)
                self._limit = limit
            try:
                return self._execute(statement)
            except OperationalError as error:
                if _sqlstate(error) not in BLOCKED or tries == self._limits.retries:
                    raise
                pause = self._limits.pause_s(tries) / 10
                log.info("Backfill of %s: a row is locked; again in %.2f s", self._table, pause)
                time.sleep(pause)
        raise AssertionError  # for mypy: the last try returns or raises

    def _execute(self, statement: str, settings: str = "") -> tuple[str, int]:
        """Run a batch; return its transaction and how many rows it changed."""
        statements = _TRANSACTION.format(settings=settings) + statement
        result = self._connection.execute(Verbatim(statements))
        cursor: Any = result.cursor  # of both statements
        transaction, *_ = cursor.fetchone()
        cursor.nextset()
        changed = cursor.rowcount
        result.close()
        return transaction, changed

    def _fetch(self, query: str) -> Sequence[Any]:
        return self._connection.execute(Verbatim(query)).fetchall()

    def _run(self, statement: str) -> None:
        self._connection.execute(Verbatim(statement))


def _sqlstate(error: OperationalError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _fitting(size: int, took: float, most: int) -> int:
    """Return how large the next batch is, after one of `size` that took so many s."""
    fitting = size * TARGET_S / max(took, 0.001)
    return round(max(min(fitting, 2 * size, most), 1))


def _array(values: Sequence[str]) -> str:
    """Return the literal of an array of texts."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return literal("{" + ",".join(f'"{value}"' for value in escaped) + "}")
