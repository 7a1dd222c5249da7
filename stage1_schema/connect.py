"""Connections to PostgreSQL, and the words for the ones that fail."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

import psycopg
from psycopg.conninfo import make_conninfo

from stage1_schema import session
from stage1_schema.errors import PostgresError, Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection as SQLConnection
    from sqlalchemy import Engine

    from stage1_schema.settings import PostgresSettings

CONNECT_TIMEOUT_S = 10
SILENCE = {
    "tcp_keepalives_idle": 60,  # s; less than the 350 s after which some networks forget
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 90_000,  # ms
}
"""PostgreSQL's names of when the other end is gone: else after two hours, its locks till then."""
READ_LOCK_MS = 2_000
LOCKED = "55P03"
_HOLDERS = """
SELECT DISTINCT format('pid %s (%s) locks %s', a.pid, a.usename, l.relation::regclass)
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
   AND a.datname = current_database() AND l.relation >= 16384 ORDER BY 1 LIMIT 3
"""

# What it logs about a connection names host and user, and nobody can do anything about it.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

_Connection = TypeVar("_Connection", bound="psycopg.Connection[Any]")


@overload
def connect(settings: PostgresSettings, *, autocommit: bool = False) -> psycopg.Connection[Any]: ...


@overload
def connect(
    settings: PostgresSettings, *, autocommit: bool = False, of: type[_Connection]
) -> _Connection: ...


def connect(
    settings: PostgresSettings,
    *,
    autocommit: bool = False,
    of: type[psycopg.Connection[Any]] = psycopg.Connection,
) -> psycopg.Connection[Any]:
    """Return a psycopg connection, `of` that class, whose session is set as `session` says.

    Raises PostgresError with one line that says why it failed and what to do.
    """
    defaults = network() | {"application_name": "stage1"}
    try:
        parameters = defaults | dict(settings.parameters) | session.PARAMETERS
        connection = of.connect(make_conninfo("", **parameters), autocommit=autocommit)
    except psycopg.Error as error:
        raise explain_connection(error, settings) from None
    try:
        # SET and not libpq's `options`: a connection pooler may refuse start-up parameters.
        silence = "; ".join(f"SET {name} TO {value}" for name, value in SILENCE.items())
        connection.execute(f"{session.sql()}; {silence}")
        if not connection.autocommit:
            connection.commit()
    except psycopg.Error as error:
        connection.close()
        raise _explain_statement(error, settings) from error
    return connection


def network() -> dict[str, str]:
    """Return libpq's parameters of how long the server may take to answer, and be silent."""
    silence = {name.replace("tcp_keep", "keep"): str(value) for name, value in SILENCE.items()}
    return {"connect_timeout": str(CONNECT_TIMEOUT_S), **silence}


def engine(settings: PostgresSettings) -> Engine:
    """Return an engine without a pool. Its URL holds no login, so no repr can show one."""
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415 - slow, and seldom needed

    return create_engine(
        "postgresql+psycopg://", creator=lambda: connect(settings), poolclass=NullPool
    )


@contextmanager
def reading(settings: PostgresSettings) -> Iterator[SQLConnection]:
    """Yield a connection to look with: it waits `READ_LOCK_MS` for a table, and not for ever."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    with plain_errors(settings), engine(settings).connect() as connection:
        connection.execute(text(f"SET lock_timeout = {READ_LOCK_MS}"))
        connection.commit()
        yield connection


@contextmanager
def plain_errors(settings: PostgresSettings) -> Iterator[None]:
    """Turn an error of PostgreSQL inside the block into one line of a PostgresError."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain_statement(error, settings) from error
    except Stage1Error:
        raise
    except UnicodeEncodeError as error:  # an argument of bytes that are no UTF-8
        raise PostgresError(
            f"{error.object!a} is no text that PostgreSQL takes.",
            next_step="write it in UTF-8.",
        ) from None
    except Exception as error:
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

        if isinstance(error, DBAPIError):
            raise _explain_statement(error.orig or error, settings) from error
        raise


def explain_connection(error: psycopg.Error, settings: PostgresSettings) -> PostgresError:
    """Return what kept a connection from being made, and what to do about it."""
    text = _last_line(str(error))
    user, where = settings.parameters["user"], settings.where
    if "password authentication failed" in text or "no password supplied" in text:
        return PostgresError(
            f"PostgreSQL at {where} refused the password of {user}.",
            next_step="correct STAGE1_POSTGRES_USER and STAGE1_POSTGRES_PASSWORD.",
        )
    if "does not exist" in text and "database" in text:
        return PostgresError(
            f"PostgreSQL at {where} has no database {settings.database}.",
            next_step="create it, or correct STAGE1_POSTGRES_DB.",
        )
    if "does not exist" in text and "role" in text:
        return PostgresError(
            f"PostgreSQL at {where} has no role {user}.",
            next_step="create it, or correct STAGE1_POSTGRES_USER.",
        )
    return PostgresError(
        f"PostgreSQL at {where} cannot be reached: {text}.",
        next_step="start the server, or correct STAGE1_POSTGRES_HOST and STAGE1_POSTGRES_PORT.",
    )


def _explain_statement(error: BaseException, settings: PostgresSettings) -> PostgresError:
    text = str(error).strip().splitlines()
    diagnostic = getattr(error, "diag", None)
    state = getattr(error, "sqlstate", None)
    primary = (diagnostic and diagnostic.message_primary) or (text[0] if text else "no message")
    hint = diagnostic and diagnostic.message_hint
    if state is None and isinstance(error, psycopg.OperationalError):  # no answer of the server
        return PostgresError(
            f"The connection to PostgreSQL at {settings.where} was lost.",
            next_step="run the same command again.",
        )
    if state == LOCKED and (holders := _holders(settings)):
        return PostgresError(
            f"PostgreSQL at {settings.where} has a table that another session keeps locked: "
            f"{'; '.join(holders)}.",
            next_step="wait for it to end, and run the same command again.",
        )
    return PostgresError(
        f"PostgreSQL at {settings.where} refused: {primary}" + (f" ({state})." if state else "."),
        next_step=hint or "mend the cause and run the same command again.",
    )


def _holders(settings: PostgresSettings) -> list[str]:
    """Return who keeps readers from a table at the moment."""
    try:
        with connect(settings, autocommit=True) as connection:
            return [str(row[0]) for row in connection.execute(_HOLDERS)]
    except (psycopg.Error, PostgresError):
        return []


def _last_line(text: str) -> str:
    lines = [line.strip(" -\t.") for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "failed" in line or "could not" in line or "FATAL" in line]
    return (telling or lines or ["no message"])[-1]
