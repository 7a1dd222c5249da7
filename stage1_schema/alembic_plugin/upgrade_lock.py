"""One upgrade at a time: an advisory lock on a connection of its own.

The lock is polled for and never waited for inside PostgreSQL: a session blocked in
pg_advisory_lock() holds a snapshot, which the other one's CREATE INDEX CONCURRENTLY waits for.
The connection also looks at who blocks the migrating one, which cannot look itself meanwhile.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from stage1_schema.errors import PostgresError
from stage1_schema.locks import UPGRADE_LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("alembic.runtime.migration")

POLL_S = 0.2
LOOK_S = 0.02
"""Twice within the shortest wait for a lock; the question costs some 0.1 ms."""
SPEAK_S = 1.0

# The name that a holder of the lock goes by, 63 characters at most, says since when it holds it.
_NAME = """
SELECT set_config('application_name', %s || ' since '
                  || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), false)
"""
HOST_LENGTH = 14
_WHO = """
SELECT a.pid, a.usename, split_part(a.application_name, ' since ', 1),
       coalesce(host(a.client_addr), 'this host'), a.state,
       extract(epoch FROM now() - coalesce(a.xact_start, a.backend_start))::bigint,
       coalesce(substring(a.application_name from ' since (.+)$'),
                to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
       left(a.query, 120)
  FROM pg_stat_activity a
"""
_HOLDERS = f"""{_WHO} JOIN pg_locks l ON l.pid = a.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND (l.classid::bigint << 32) + l.objid::bigint = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY a.backend_start
"""
_BLOCKING = "SELECT pg_blocking_pids(%s)"
_BLOCKERS = f"{_WHO} WHERE a.pid = ANY(%s) ORDER BY a.xact_start"
_OURS = """
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
   AND (classid::bigint << 32) + objid::bigint = %s
"""


@dataclass(frozen=True)
class Session:
    """Another session. What PostgreSQL hides from this role is None. `age_s` is in seconds."""

    pid: int
    user: str | None
    application: str | None
    host: str | None
    state: str | None
    age_s: int | None
    since: str | None
    query: str | None

    @property
    def name(self) -> str:
        """Who it is."""
        program = f" {self.application}" if self.application else ""
        return f"pid {self.pid} ({self.user or 'unknown role'}@{self.host}{program})"

    @property
    def blocking(self) -> str:
        """Who it is, what it runs, and for how long its transaction has been open."""
        query = " ".join((self.query or "").split())
        age = "" if self.age_s is None else f", {self.age_s} s in"
        return f"{self.name}{age}{f', {self.state}' if self.state else ''}: {query or 'hidden'}"


class UpgradeLock:
    """The lock, held from `acquire` until `release` or until its connection ends."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Keep an autocommit `connection` that nobody else uses."""
        self._connection = connection
        self._watched: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self.blockers: tuple[Session, ...] = ()

    @classmethod
    def acquire(
        cls, connect: Callable[[], psycopg.Connection[Any]], *, migrating: int, wait_s: float
    ) -> UpgradeLock:
        """Return the lock, waited for up to `wait_s` seconds.

        `migrating` is the backend's pid of the connection that migrates. Raises PostgresError
        with the holder's pid, host and since when it holds the lock, when the time is over, and
        for a connection pooler in transaction mode, behind which no session keeps a lock.
        """
        deadline = time.monotonic() + wait_s
        lock = cls(connect())
        try:
            lock._poll(deadline, wait_s)
            lock._refuse_pooler(migrating)
        except BaseException:
            lock.release()
            raise
        return lock

    def verify(self) -> None:
        """Raise PostgresError unless the lock is still held; asked before each step."""
        try:
            held = self._one(_OURS, [UPGRADE_LOCK])
        except psycopg.Error:
            held = 0
        if not held:
            raise PostgresError(
                "The connection that held the upgrade lock is gone; stopped before the next step.",
                next_step="run the same command again, it goes on where it stopped.",
            )

    def watch(self, pid: int) -> None:
        """Look from a thread at who blocks backend `pid`, until `rest`."""
        self.rest()
        self.blockers = ()
        self._watched = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(pid, self._watched), daemon=True)
        self._thread.start()

    def rest(self) -> None:
        """Stop looking."""
        if self._watched is not None and self._thread is not None:
            self._watched.set()
            self._thread.join()
        self._watched = self._thread = None

    def release(self) -> None:
        """Close the connection and with it the lock."""
        self.rest()
        self._connection.close()

    def _poll(self, deadline: float, wait_s: float) -> None:
        told = False
        while not self._one("SELECT pg_try_advisory_lock(%s)", [UPGRADE_LOCK]):
            holders = self._sessions(_HOLDERS, UPGRADE_LOCK)
            names = "; ".join(f"{each.name}, since {each.since} UTC" for each in holders)
            if time.monotonic() >= deadline:
                raise PostgresError(
                    f"Another upgrade or replay holds the lock for more than {wait_s:g} s:"
                    f" {names or 'it has just gone'}. Nothing was changed.",
                    next_step="wait for it, or give more time with"
                    " STAGE1_LOCK_TIMEOUT_S=<seconds> (alembic: -x lock_timeout=<seconds>).",
                )
            if holders and not told:
                log.info("Waiting for %s", names)
                told = True
            time.sleep(POLL_S)
        name = f"stage1 upgrade {platform.node()[:HOST_LENGTH]}:{os.getpid()}"
        self._connection.execute(_NAME, [name])

    def _refuse_pooler(self, migrating: int) -> None:
        pids = {self._one("SELECT pg_backend_pid()") for _ in range(2)}
        if len(pids) == 1 and migrating not in pids and self._one(_OURS, [UPGRADE_LOCK]):
            return
        raise PostgresError(
            "PostgreSQL is reached through a connection pooler in transaction mode, where no lock"
            " holds. Nothing was changed.",
            next_step="point STAGE1_POSTGRES_HOST and STAGE1_POSTGRES_PORT at the server itself.",
        )

    def _look(self, pid: int, stop: threading.Event) -> None:
        since: float | None = None
        told = False
        while not stop.wait(LOOK_S):
            try:
                pids = self._one(_BLOCKING, [pid])
                found = self._sessions(_BLOCKERS, pids) if pids else ()
            except psycopg.Error:
                return  # `verify` says it before the next step
            if not found:
                since = None
                continue
            self.blockers = found
            since = since or time.monotonic()
            if not told and time.monotonic() - since > SPEAK_S:
                log.warning("Blocked by %s", "; ".join(each.blocking for each in found))
                told = True

    def _sessions(self, query: str, wanted: int | list[int]) -> tuple[Session, ...]:
        rows = self._connection.execute(query, [wanted]).fetchall()
        return tuple(Session(*row) for row in rows)

    def _one(self, query: str, parameters: list[Any] | None = None) -> Any:  # noqa: ANN401
        row = self._connection.execute(query, parameters).fetchone()
        return row[0] if row else None
