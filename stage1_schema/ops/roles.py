"""The PostgreSQL roles: who may what, and making the ones that are missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from stage1_schema.alembic_plugin import history
from stage1_schema.alembic_plugin.ownership import membership
from stage1_schema.connect import connect, plain_errors
from stage1_schema.ops import role_setup
from stage1_schema.sql import objects

if TYPE_CHECKING:
    from psycopg import Connection

    from stage1_schema.settings import Roles, Settings

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
_MIGRATED = "SELECT to_regprocedure('upsert_stage1_dataset(uuid,text,text,text,text,text,text,bigint,bigint,timestamptz,timestamptz,timestamptz,timestamptz,jsonb)') IS NOT NULL"  # noqa: E501 - one signature
_OWNER = """
SELECT pg_get_userbyid(relowner) FROM pg_class
 WHERE oid = 'public.datasets'::regclass AND pg_has_role(relowner, %s)
"""
_RELATIONS = """
SELECT c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
       (SELECT array_agg(role || ' ' || r ORDER BY role, r)
          FROM unnest(%(roles)s::text[]) AS role, unnest(%(rights)s::text[]) AS r
         WHERE has_table_privilege(role, c.oid, r)) AS held
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
 ORDER BY c.relname
"""


@dataclass(frozen=True)
class Access:
    """One table or view: its owner, and the rights of each role that exists."""

    name: str
    owner: str
    rights: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Report:
    """Which of the configured roles are missing, who may what, and what that protects."""

    missing: tuple[str, ...]
    access: tuple[Access, ...]
    setup: role_setup.Setup

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Created:
    """The roles that were made, and whether the grants were given (only when migrated).

    `ended` are the statements that ended what everybody may create in schema public; `setup` is
    how the roles stand to each other now.
    """

    roles: tuple[str, ...]
    granted: bool
    ended: tuple[str, ...]
    setup: role_setup.Setup


def read(settings: Settings) -> Report:
    """Return who may what; changes nothing. Raises PostgresError."""
    names = _names(settings.roles)
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        standing = _standing(connection, names)
        rows = connection.execute(_RELATIONS, {"roles": standing, "rights": list(RIGHTS)})
        access = tuple(
            Access(name, owner, {role: _rights(role, held) for role in standing})
            for name, owner, held in rows
        )
        setup = role_setup.read(connection, settings.roles)
    return Report(tuple(name for name in names if name not in standing), access, setup)


def create(settings: Settings) -> Created:
    """Make the roles that are missing and give all of them their rights.

    New roles have no password: the application and read-only roles may log in once they have one.
    Existing roles keep theirs. Where everybody may create in schema public and this role may end
    that, it does. Raises PostgresError.
    """
    names = _names(settings.roles)
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        standing = _standing(connection, names)
        made = [name for name in names if name not in standing]
        for name in made:
            login = sql.SQL("NOLOGIN" if name == settings.roles.owner else "LOGIN")
            connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), login))
        if settings.roles.owner in made:
            _let_own(connection, settings.roles.owner)
        setup = role_setup.read(connection, settings.roles)
        ended = setup.end_create if setup.may_end_create else ()
        for statement in ended:
            connection.execute(statement.encode())
        granted = bool(connection.execute(_MIGRATED).fetchone()[0])  # type: ignore[index]
        if granted:
            _grant(connection, settings.roles)
        setup = role_setup.read(connection, settings.roles)
        connection.commit()
    return Created(tuple(made), granted, ended, setup)


def _names(roles: Roles) -> tuple[str, ...]:
    return tuple(dict.fromkeys((roles.owner, roles.app, roles.readonly)))


def _standing(connection: Connection[Any], names: tuple[str, ...]) -> list[str]:
    found = {row[0] for row in connection.execute(_ROLES, [list(names)])}
    return [name for name in names if name in found]


def _rights(role: str, held: list[str] | None) -> tuple[str, ...]:
    return tuple(right for right in RIGHTS if f"{role} {right}" in (held or ()))


def _let_own(connection: Connection[Any], owner: str) -> None:
    """Give the owner role what a run of migrations needs, and this login its membership."""
    role, database = sql.Identifier(owner), sql.Identifier(connection.info.dbname)
    for statement in (
        "GRANT {role} TO CURRENT_USER",
        "GRANT USAGE, CREATE ON SCHEMA public TO {role}",
        "GRANT CREATE ON DATABASE {database} TO {role}",
    ):
        connection.execute(sql.SQL(statement).format(role=role, database=database))


def _grant(connection: Connection[Any], roles: Roles) -> None:
    # Default privileges are those of who creates: the owner of the tables.
    major = connection.info.server_version // 10_000
    owner = connection.execute(_OWNER, [membership(major)]).fetchone()
    if owner:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner[0])))
    connection.execute(
        "SELECT set_config('stage1.app_role', %s, true),"
        " set_config('stage1.readonly_role', %s, true)",
        [roles.app, roles.readonly],
    )
    for each in objects():
        if each.kind == "grants":
            connection.execute(each.text.encode())
    connection.execute(history.GRANT.encode())
    connection.execute("RESET ROLE")
