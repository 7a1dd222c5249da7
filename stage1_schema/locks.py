"""The advisory locks of a database, in one place so that no two uses share a number.

An upgrade takes UPGRADE_LOCK alone; work that needs the schema to stand still shares it.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from stage1_schema.settings import PostgresSettings

UPGRADE_LOCK = 7_310_001
REPLAY_LOCK = 7_310_002
BACKUP_LOCK = 7_310_003
SERIES_LOCK = 7_310_004
SERIES_WAIT_S = 5.0
_POLL_S = 0.2


def wait_for(
    connection: psycopg.Connection[Any],
    key: int,
    other: str,
    wait_s: float,
    *,
    shared: bool = False,
) -> None:
    """Take an advisory lock for the session of a connection.

    Polls, so that no open statement stands in the way of others. Raises Stage1Error when `other`
    holds it for longer than `wait_s` seconds.
    """
    function = f"pg_try_advisory_lock{'_shared' if shared else ''}"
    deadline = time.monotonic() + wait_s
    while True:
        row = connection.execute(f"SELECT {function}(%s::bigint)", (key,)).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() >= deadline:
            raise Stage1Error(
                f"Waited {wait_s:g} s for {other} to end.",
                next_step=f"run it again when {other} has ended.",
            )
        time.sleep(_POLL_S)


@contextmanager
def alone_with_series(settings: PostgresSettings) -> Iterator[None]:
    """Be the only one who rebuilds, trims or drops QuestDB tables, which has no locks for it.

    Raises Stage1Error when another is at work and does not end within SERIES_WAIT_S.
    """
    with closing(connect(settings, autocommit=True)) as connection:
        with plain_errors(settings):
            connection.execute("SELECT set_config('application_name', 'stage1 series', false)")
            other = "another rebuild, retention or drop"
            wait_for(connection, SERIES_LOCK, other, SERIES_WAIT_S)
        yield
