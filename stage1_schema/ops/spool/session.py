"""The connection of a replay, which takes rows in while the file is read on."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stage1_schema.settings import Settings

LOCK_TIMEOUT_S = 60
STATEMENT_TIMEOUT_S = 1_800
_Result = TypeVar("_Result")


class SpoolConnection(psycopg.Connection[Any]):
    """A connection of which one piece of work may be under way in the background.

    Whoever uses it meanwhile waits for that work.
    """

    _worker: ThreadPoolExecutor | None = None
    _under_way: Future[Any] | None = None

    def background(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Begin `work`, which may use the connection, when the last piece has ended."""
        self._wait()
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="replay")
        future = self._worker.submit(work)
        self._under_way = future
        return future

    def cursor(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as psycopg's
        """Return a cursor, as psycopg does."""
        self._wait()
        return super().cursor(*arguments, **named)

    @contextmanager
    def transaction(self, *arguments: Any, **named: Any) -> Iterator[psycopg.Transaction]:  # noqa: ANN401
        """Open a transaction or a savepoint, as psycopg does."""
        self._wait()
        with super().transaction(*arguments, **named) as transaction:
            try:
                yield transaction
            finally:
                self._wait()

    def rollback(self) -> None:
        """Roll back, as psycopg does when an error or Ctrl-C leaves its block."""
        self._wait()
        super().rollback()

    def close(self) -> None:
        """Close the connection; what is under way is waited for."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
        super().close()

    def _wait(self) -> None:
        if self._under_way is not None and not _is_worker():
            self._under_way.exception()  # Ctrl-C may end this wait: the next one waits again
            self._under_way = None


def _is_worker() -> bool:
    return threading.current_thread().name.startswith("replay")


@contextmanager
def session(settings: Settings, *, checked: bool = True) -> Iterator[SpoolConnection]:
    """Connect for work on the spool's tables.

    Raises Stage1Error where they are missing; not `checked`, an upgrade may still make them.
    """
    with (
        plain_errors(settings.postgres),
        connect(settings.postgres, autocommit=True, of=SpoolConnection) as connection,
    ):
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false),"
            " set_config('statement_timeout', %s, false), set_config('jit', 'off', false),"
            " set_config('synchronous_commit', 'off', false),"
            # The tables grow while this works: a plan made for few rows must not be kept.
            " set_config('plan_cache_mode', 'force_custom_plan', false)",
            (f"{LOCK_TIMEOUT_S}s", f"{STATEMENT_TIMEOUT_S}s"),
        )
        if checked:
            check_schema(settings, connection)
        yield connection


def check_schema(settings: Settings, connection: SpoolConnection) -> None:
    """Raise Stage1Error where the spool's tables are missing."""
    if not has_schema(connection):
        raise Stage1Error(
            f"The schema at {settings.postgres.where} is not at head.",
            next_step="alembic upgrade head.",
        )


def has_schema(connection: SpoolConnection) -> bool:
    """Tell whether the spool's tables exist."""
    row = connection.execute("SELECT to_regclass('spool_quarantine') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])
