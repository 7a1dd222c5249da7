"""One PostgreSQL database in another's place: made alike, and swapped by renaming."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError

if TYPE_CHECKING:
    from stage1_schema.settings import PostgresSettings

MAINTENANCE = "postgres"
"""The database from which others are made and renamed."""
_NAME_BYTES = 63
_GONE_S = 3.0  # a session that was closed is listed for a moment more
_FACTS = """
SELECT pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
       d.datcollate AS collate, d.datctype AS ctype,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
  FROM pg_database d WHERE d.datname = %s
"""
# Before PostgreSQL 15 the owner of a new database does not own its schema public.
_MAY = """
SELECT (r.rolcreatedb AND coalesce(pg_has_role(d.datdba, 'USAGE'), true)
        AND current_setting('server_version_num')::int >= 150000) OR r.rolsuper
  FROM pg_roles r LEFT JOIN pg_database d ON d.datname = %s WHERE r.rolname = current_user
"""
_SESSIONS = """
SELECT format('pid %%s (%%s@%%s %%s)', pid, usename, coalesce(host(client_addr), 'this host'),
              application_name)
  FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' ORDER BY pid
"""
_GRANTS = """
SELECT privilege_type, grantee <> 0 AS named, pg_get_userbyid(grantee), is_grantable
  FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = %s
"""
_PROVIDERS = {"i": "icu ICU_LOCALE", "b": "builtin BUILTIN_LOCALE"}


def at(settings: PostgresSettings, database: str) -> PostgresSettings:
    """Return the settings of another database of the same server."""
    return replace(settings, parameters={**settings.parameters, "dbname": database})


def maintenance(settings: PostgresSettings) -> psycopg.Connection[Any]:
    """Return an autocommit connection from which databases are made. Raises PostgresError."""
    return connect(at(settings, MAINTENANCE), autocommit=True)


def name(database: str, suffix: str) -> str:
    """Return a name that PostgreSQL does not cut off."""
    return database.encode()[: _NAME_BYTES - len(suffix)].decode(errors="ignore") + suffix


def exists(server: psycopg.Connection[Any], database: str) -> bool:
    """Tell whether there is a database of that name."""
    return server.execute(_FACTS, [database]).fetchone() is not None


def obstacles(server: psycopg.Connection[Any], settings: PostgresSettings) -> list[str]:
    """Return what keeps this role from replacing its database now."""
    user, database = settings.parameters["user"], settings.database
    found = []
    row = server.execute(_MAY, [database]).fetchone()
    if not (row and row[0]):
        found.append(
            f"{user} may not create databases or does not own {database} (use a superuser in"
            f" STAGE1_POSTGRES_USER, or from PostgreSQL 15 on, as one: ALTER ROLE {user} CREATEDB)"
        )
    if others := sessions(server, database):
        found.append(f"connected: {', '.join(others)}")
    return found


def sessions(server: psycopg.Connection[Any], database: str) -> list[str]:
    """Return who is connected to a database, given a moment to go."""
    deadline = time.monotonic() + _GONE_S
    while True:
        found = [str(row[0]) for row in server.execute(_SESSIONS, [database]).fetchall()]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def owner(server: psycopg.Connection[Any], database: str) -> str | None:
    """Return whom a database belongs to, None when there is none of that name."""
    facts = server.execute(_FACTS, [database]).fetchone()
    return facts and str(facts[0])


def create_like(server: psycopg.Connection[Any], new: str, standing: str, owner: str) -> None:
    """Make an empty database of `owner` with the locale and the rights of `standing`, if any."""
    statement = _sql("CREATE DATABASE {} TEMPLATE template0 OWNER {}", new, owner)
    facts = server.execute(_FACTS, [standing]).fetchone()
    if facts is None:
        server.execute(statement)
        return
    before, encoding, collate, ctype, provider, locale = facts
    statement += sql.SQL(" ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
        *map(sql.Literal, (encoding, collate, ctype))
    )
    if provider in _PROVIDERS:
        clause = sql.SQL(f" LOCALE_PROVIDER {_PROVIDERS[provider]} {{}}")
        statement += clause.format(sql.Literal(locale))
    server.execute(statement)
    grants = server.execute(_GRANTS, [standing]).fetchall()
    if grants:  # none means the defaults of PostgreSQL
        server.execute(_sql("REVOKE ALL ON DATABASE {} FROM PUBLIC", new))
    for right, named, grantee, grantable in grants:
        if named and grantee == before:  # whoever owns it has these
            continue
        to = sql.Identifier(grantee) if named else sql.SQL("PUBLIC")
        option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        grant = sql.SQL(f"GRANT {right} ON DATABASE {{}} TO {{}}")
        server.execute(grant.format(sql.Identifier(new), to) + option)


def drop(server: psycopg.Connection[Any], database: str) -> None:
    """Drop a database that is of no use."""
    server.execute(_sql("DROP DATABASE IF EXISTS {} WITH (FORCE)", database))


def swap(server: psycopg.Connection[Any], new: str, standing: str, kept_as: str) -> None:
    """Give `new` the name of `standing`, which is kept as `kept_as`; both or neither.

    Raises PostgresError with who is connected.
    """
    rename = "ALTER DATABASE {} RENAME TO {}"
    sessions(server, new)  # our own has to be gone
    steps = [(standing, kept_as)] if exists(server, standing) else []
    steps.append((new, standing))
    try:
        with server.transaction():
            for pair in steps:
                server.execute(_sql(rename, *pair))
    except psycopg.Error as error:
        others = ", ".join(sessions(server, standing)) or "nobody by now"
        todo = "; ".join(_sql(rename, *pair).as_string(server) for pair in steps)
        raise PostgresError(
            f"{new} is whole, but the swap failed: {error.diag.message_primary} (connected:"
            f" {others}). {standing} stands as it was.",
            next_step=f"when nobody is connected: {todo}.",
        ) from error


def _sql(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))
