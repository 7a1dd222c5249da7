"""`op.backfill`: change many rows in small transactions, so that no writer waits for long.

Batches go by primary key. A run that stops leaves the batches that it committed; the statement
chooses only rows that are still to be done, so a second run goes on where the first one stopped.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin.online import outside, quoted
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

log = logging.getLogger("alembic.runtime.migration")

PAGE = "/* page */ true"
"""The condition in the statement whose place a batch's range of keys takes."""
TARGET_S = 0.03
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
        _Batches(operations.get_bind(), operation, statement).run()


class _Batches:
    def __init__(self, connection: Connection, operation: BackfillOp, statement: str) -> None:
        self._connection = connection
        self._operation = operation
        self._statement = statement
        self._table = quoted(operation.table)
        self._key = ", ".join(map(quoted, operation.key))
        self._size = min(FIRST, operation.batch)
        self._rows = 0
        self._changed = 0

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
            time.sleep(min(took / 4, LONGEST_PAUSE_S))
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
        done = self._connection.execute(Verbatim(self._statement.replace(PAGE, page)))
        self._changed += max(done.rowcount, 0)

    def _after(self, last: tuple[str, ...] | None) -> str:
        return "true" if last is None else f"({self._key}) > ({_literals(last)})"

    def _adapt(self, took: float) -> None:
        fitting = self._size * TARGET_S / max(took, 0.001)
        self._size = round(min(max(fitting, FIRST / 2), 2 * self._size, self._operation.batch))

    def _one(self, query: str) -> Any:  # noqa: ANN401 - a row or None
        return self._connection.execute(Verbatim(query)).fetchone()


def _literals(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
