"""Who runs a dump's statements in a restore, and whom the objects belong to afterwards.

A dump holds functions that its database's users wrote, and loading rows calls those of its CHECK
constraints. A superuser who had taken another role by SET ROLE would not be safe from them: a
function may RESET ROLE. So for a superuser a role of its own logs in, which may do nothing on the
server but fill its database; ownership and rights come after that.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError
from stage1_schema.ops import postgres_tools
from stage1_schema.ops.restore_check import refuse_other_statements
from stage1_schema.servers.files import new_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from stage1_schema.settings import PostgresSettings

_OBJECTS = """
WITH objects AS (
    SELECT 'pg_class'::regclass AS kind, oid, relowner AS owner FROM pg_class c
     WHERE relkind IN ('r', 'p', 'v', 'm', 'f') OR relkind = 'S' AND NOT EXISTS (
           SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
              AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type
     WHERE typtype IN ('e', 'd', 'r') OR typtype = 'c' AND EXISTS (
           SELECT FROM pg_class c WHERE c.oid = typrelid AND c.relkind = 'c')
    UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace
     WHERE nspname = 'public' OR nspname !~ '^pg_' AND oid >= 16384)
SELECT i.type || ' ' || i.identity, pg_get_userbyid(o.owner)
  FROM objects o, pg_identify_object(o.kind, o.oid, 0) i
 WHERE (o.oid >= 16384 OR i.type = 'schema')
   AND coalesce(i.schema, '') !~ '^pg_(temp|toast)'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = o.kind AND d.objid = o.oid AND d.deptype = 'e')
 ORDER BY 1
"""
_DATABASE_OWNER = """
SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
"""
_SCHEMAS = """
SELECT nspname FROM pg_namespace
 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
   AND pg_get_userbyid(nspowner) <> 'pg_database_owner'
"""
_RIGHTS = re.compile(r"^\d+; \d+ \d+ (DEFAULT )?ACL ")
_FRAME = re.compile(r"^\d+; \d+ \d+ (SCHEMA|EXTENSION|COMMENT) - ")
"""Schemas and extensions: made by the superuser, from the server's own files."""


def owners(connection: psycopg.Connection[Any]) -> tuple[str, dict[str, str]]:
    """Return the owner of the database, and those of the objects that belong to others."""
    (name,) = connection.execute(_DATABASE_OWNER).fetchone() or ("",)
    found = _objects(connection)
    implied = {("schema public", "pg_database_owner")}
    same = {each for each in found.items() if each[1] == name and each[0] != "schema public"}
    return name, dict(found.items() - same - implied)


def acting_owner(connection: psycopg.Connection[Any]) -> str | None:
    """Return the owner of the database where this login has to take that role to read it all."""
    right = "SET" if connection.info.server_version >= 160_000 else "MEMBER"  # noqa: PLR2004
    query = """
    SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
       AND pg_has_role(datdba, %s) AND NOT pg_has_role(datdba, 'USAGE')"""
    row = connection.execute(query, [right]).fetchone()
    return row and str(row[0])


def is_superuser(server: psycopg.Connection[Any]) -> bool:
    """Tell whether the login may do everything."""
    return server.info.parameter_status("is_superuser") == "on"


@contextmanager
def login(
    server: psycopg.Connection[Any], settings: PostgresSettings, name: str
) -> Iterator[PostgresSettings]:
    """Make a role that may only log in, and yield its settings; it is dropped in the end."""
    role, password = sql.Identifier(name), new_password()
    hashed = server.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    server.execute(statement.format(role, sql.Literal(hashed.decode())))
    try:
        mine = {**settings.parameters, "user": name, "password": password}
        yield replace(settings, parameters=mine)
    finally:
        with suppress(psycopg.Error):  # it still owns its database when the restore failed
            drop(server, name)


def drop(server: psycopg.Connection[Any], name: str) -> None:
    """Drop the role of a restore, if there is one; it owns nothing any more."""
    server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def restore(
    tools: postgres_tools.Tools,
    settings: PostgresSettings,
    worker: PostgresSettings,
    path: Path,
    *,
    owner: str,
    others: Mapping[str, str],
) -> None:
    """Fill the empty database that `worker` owns, then give everything to whom it belonged.

    `settings` are those of a superuser. Raises PostgresError.
    """
    _refuse_locked_out(worker)
    entries = postgres_tools.entries(tools, path)
    rights = [line for line in entries if _RIGHTS.match(line)]
    frame = [line for line in entries if _FRAME.match(line)]
    rest = [line for line in entries if line not in {*rights, *frame}]
    refuse_other_statements(postgres_tools.script(tools, path, [*frame, *rights]))
    name = worker.parameters["user"]
    postgres_tools.restore(tools, settings, path, "--no-owner", only=frame)
    with closing(connect(settings, autocommit=True)) as connection:
        for (schema,) in connection.execute(_SCHEMAS).fetchall():
            _give(connection, f"schema {sql.Identifier(schema).as_string()}", name)
    postgres_tools.restore(tools, worker, path, "--no-owner", only=rest)
    with closing(connect(settings)) as connection:
        statement = sql.SQL("REASSIGN OWNED BY {} TO {}")
        connection.execute(statement.format(*map(sql.Identifier, (name, owner))))
        for each in sorted(_objects(connection).keys() & others.keys()):
            _give(connection, each, others[each])
        connection.commit()
    postgres_tools.restore(tools, settings, path, only=rights)


def _refuse_locked_out(worker: PostgresSettings) -> None:
    """Raise PostgresError where pg_hba.conf lets the new role not in."""
    try:
        connect(worker).close()
    except PostgresError as error:
        raise PostgresError(
            "A superuser does not run a dump's functions, and the role that would run them was not"
            f" let in: {str(error).split(' Next: ', maxsplit=1)[0]}",
            next_step="set STAGE1_POSTGRES_HOST to an address for which pg_hba.conf has a line with"
            " scram-sha-256, or restore as the owner of the database.",
        ) from None


def _objects(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the owner of everything that is neither the server's nor an extension's."""
    return {str(row[0]): str(row[1]) for row in connection.execute(_OBJECTS).fetchall()}


def _give(connection: psycopg.Connection[Any], what: str, owner: str) -> None:
    """Give an object, named as this server itself writes it, to a role."""
    statement = sql.SQL(f"ALTER {what} OWNER TO {{}}")
    connection.execute(statement.format(sql.Identifier(owner)))
