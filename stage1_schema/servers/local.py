"""The servers of `make up`: both in one directory, with the roles and the database."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from fasteners import InterProcessLock
from psycopg import sql

from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError, ServerStartError
from stage1_schema.servers import state
from stage1_schema.servers.account import Way
from stage1_schema.servers.files import new_password, private_directory, write_private
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.servers.questdb import LocalQuestDB
from stage1_schema.servers.state import LocalState, PostgresState, QuestDBState
from stage1_schema.settings import PostgresSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stage1_schema.servers.server import LocalServer
    from stage1_schema.settings import Roles

DATABASE = "stage1_trading"
PASSWORDS = "passwords.json"
LOCK = "lock"
QUESTDB_USER = "stage1"
QUESTDB_LOGIN = "questdb-login.json"
LOCK_TIMEOUT_SECONDS = 300


def up(
    directory: Path,
    roles: Roles,
    *,
    postgres_port: int | None = None,
    questdb_port: int | None = None,
    login: bool | None = None,
    progress: Callable[[str], None] | None = None,
) -> LocalState:
    """Start what does not run in `directory` and return where both servers are.

    Data, passwords and (where still free) ports are those of the last time. So is whether QuestDB
    has a `login`, unless it is given: then QuestDB is restarted where that changes. Safe to repeat
    after an interruption anywhere, and to run twice at once. `progress` gets a line per slow step.
    Raises ServerStartError, with the end of the server's log in `log_tail`.
    """
    say = progress or (lambda _line: None)
    asked = (postgres_port, questdb_port)
    try:
        with _locked(directory):
            found = state.read(directory) or LocalState()
            questdb_login = _login(directory, wanted=login)
            if found.questdb and (found.questdb.user, found.questdb.password) != questdb_login:
                say("restarting QuestDB")
                LocalQuestDB(directory / "questdb").stop()
                found = LocalState(found.postgres, None)
            if found.postgres and found.questdb and _fits(found, asked):
                return found
            say("starting PostgreSQL")
            postgres = LocalPostgres(directory / "postgres", port=postgres_port).start()
            recorded = _set_up_database(postgres, roles, _passwords(directory, roles))
            state.write(directory, LocalState(recorded, found.questdb))
            say("starting QuestDB (the first time it is downloaded, 30 MB)")
            names = ("http.user", "http.password")
            settings = dict(zip(names, questdb_login, strict=True)) if questdb_login[0] else {}
            questdb = LocalQuestDB(
                directory / "questdb", port=questdb_port, settings=settings
            ).start()
            where = QuestDBState(questdb.url, questdb.port, *_id(questdb), *questdb_login)
            result = LocalState(recorded, where)
            state.write(directory, result)
            return result
    except OSError as error:
        raise ServerStartError(
            f"The local servers cannot be set up in {directory}: {error}.",
            next_step="make room or give yourself access there, then run 'make up' again",
        ) from error


def opened(directory: Path) -> list[str]:
    """Return what root opened for the servers' users (`account.Way`), and `down` closes."""
    ways = (Way(directory.resolve() / name) for name in ("postgres", "questdb"))
    return sorted({path for way in ways for path in way.opened()})


def down(directory: Path) -> list[str]:
    """Stop both servers, recorded or not, and keep their data.

    Return what stays `opened`, because servers elsewhere use it. Raises ServerStartError when they
    belong to another user.
    """
    if not directory.exists():
        _stop(directory)
        return []
    with _locked(directory):
        _stop(directory)
        return opened(directory)


def clean(directory: Path) -> None:
    """Stop both servers and remove them with their data; `directory` goes if nothing else is in it.

    Raises ServerStartError when they belong to another user, or cannot be removed.
    """
    if not directory.exists():
        _stop(directory)
        return
    with _locked(directory):
        _stop(directory)
        try:
            for name in ("postgres", "questdb"):
                if (directory / name).exists():
                    shutil.rmtree(directory / name)
        except OSError as error:
            raise ServerStartError(f"The local servers cannot be removed: {error}.") from error
        for name in (PASSWORDS, QUESTDB_LOGIN, LOCK):
            (directory / name).unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()


def _stop(directory: Path) -> None:
    LocalQuestDB(directory / "questdb").stop()
    LocalPostgres(directory / "postgres").stop()
    (directory / state.STATE_FILE).unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one process at a time change what runs in `directory`."""
    path = directory / LOCK
    while True:
        private_directory(directory)
        path.touch(mode=0o600)
        lock = InterProcessLock(path)
        if not lock.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise ServerStartError(
                f"Another process has been starting or stopping the servers of {directory} for "
                f"{LOCK_TIMEOUT_SECONDS} seconds.",
                next_step="end that process, then repeat the command",
            )
        # A `clean` may have removed the file while this process waited for it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.lockfile.fileno()), path.stat()):
                break
        lock.release()
    try:
        yield
    finally:
        lock.release()


def _login(directory: Path, *, wanted: bool | None) -> tuple[str, str]:
    """Return user and password of QuestDB, kept until it is wanted without; empty without."""
    path = directory / QUESTDB_LOGIN
    if wanted is False:
        path.unlink(missing_ok=True)
        return "", ""
    if not path.exists():
        if not wanted:
            return "", ""
        write_private(path, json.dumps(new_password()))
    return QUESTDB_USER, str(json.loads(path.read_text(encoding="utf-8")))


def _fits(found: LocalState, asked: tuple[int | None, int | None]) -> bool:
    ports = (found.postgres and found.postgres.port, found.questdb and found.questdb.port)
    return all(wanted in (None, port) for wanted, port in zip(asked, ports, strict=True))


def _id(server: LocalServer) -> tuple[int, float]:
    if server.process is None:
        raise ServerStartError(f"{server.name} was not started.")
    return server.process.pid, server.process.create_time()


def _passwords(directory: Path, roles: Roles) -> dict[str, str]:
    """Return the roles' passwords by the role's name; missing ones are made and kept."""
    path = directory / PASSWORDS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = {str(name): str(password) for name, password in kept.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        found = {}
    made = {name: new_password() for name in (roles.owner, roles.app, roles.readonly)}
    if not made.keys() <= found.keys():
        found = made | found
        write_private(path, json.dumps(found, indent=2) + "\n")
    return found


def _set_up_database(
    postgres: LocalPostgres, roles: Roles, passwords: dict[str, str]
) -> PostgresState:
    """Make the roles and the database, or leave them as they are."""
    try:
        login = {
            "host": postgres.host,
            "port": str(postgres.port),
            "user": postgres.user,
            "password": postgres.password,
            "dbname": "postgres",
        }
        with connect(PostgresSettings(login), autocommit=True) as connection:
            for role in (roles.owner, roles.app, roles.readonly):
                _set_up_role(connection, role, passwords[role])
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if not found.rowcount:
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                names = (sql.Identifier(DATABASE), sql.Identifier(roles.owner))
                connection.execute(statement.format(*names))
    except (psycopg.Error, PostgresError) as error:
        raise ServerStartError(
            f"The local PostgreSQL runs, but the database {DATABASE} cannot be made: {error}",
            next_step=f"see {postgres.log}; 'make clean' removes the servers with their data",
        ) from error
    pid, started = _id(postgres)
    return PostgresState(
        host=postgres.host,
        port=postgres.port,
        database=DATABASE,
        user=roles.owner,
        password=passwords[roles.owner],
        app_user=roles.app,
        app_password=passwords[roles.app],
        pid=pid,
        started=started,
    )


def _set_up_role(
    connection: psycopg.Connection[tuple[object, ...]], role: str, password: str
) -> None:
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    # Encrypted here, so that the password itself can never reach the server's log.
    encrypted = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(encrypted)))
