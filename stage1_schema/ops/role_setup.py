"""What the roles of a database protect: who owns the tables, and who may create beside them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import namedtuple_row

from stage1_schema.alembic_plugin import history, ownership, standing

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy import Connection as SQLConnection

    from stage1_schema.settings import Roles

APP_SETTING = "'stage1.app_role'"
"""What SQL asks for the application's name, to grant it something."""
# Before an upgrade, who will own is who runs it.
_FACTS = """
WITH ours AS (
    SELECT DISTINCT c.relowner AS oid FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
       AND c.relname = ANY(%(tables)s)
       AND to_regclass('public.alembic_version') IS NOT NULL  -- else a takeover replaces them
), owners AS (
    SELECT oid FROM ours UNION SELECT to_regrole(quote_ident(current_user))
     WHERE NOT EXISTS (SELECT FROM ours)
), creators AS (  -- who must be able to create when not everybody can
    SELECT oid FROM ours
     UNION SELECT r.oid FROM pg_roles r JOIN pg_database d ON d.datname = current_database()
     WHERE (r.oid = d.datdba OR r.rolname = %(owner)s) AND NOT EXISTS (SELECT FROM ours)
)
SELECT (SELECT array_agg(pg_get_userbyid(oid)::text ORDER BY 1) FROM owners) AS owners,
       (SELECT bool_or(r.rolsuper) FROM owners JOIN pg_roles r USING (oid)) AS superuser_owns,
       coalesce(a.rolsuper, false) AS app_is_superuser,
       a.oid IN (SELECT oid FROM owners) AS app_owns,
       (SELECT min(pg_get_userbyid(oid)) FROM owners WHERE pg_has_role(a.oid, oid, 'MEMBER'))
           AS app_member_of,
       pg_has_role(a.oid, d.datdba, 'MEMBER') AS app_owns_database,
       pg_has_role(a.oid, n.nspowner, 'MEMBER') AS app_owns_schema,
       pg_get_userbyid(d.datdba)::text AS database_owner,
       CASE n.nspowner WHEN to_regrole('pg_database_owner') THEN pg_get_userbyid(d.datdba)
                       ELSE pg_get_userbyid(n.nspowner) END::text AS schema_owner,
       EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
                WHERE x.grantee = 0 AND x.privilege_type = 'CREATE') AS everybody_creates,
       pg_has_role(n.nspowner, 'USAGE') AS may_revoke,
       ARRAY(SELECT c.rolname::text FROM creators JOIN pg_roles c USING (oid)
              WHERE NOT pg_has_role(oid, n.nspowner, 'USAGE') AND NOT EXISTS (
                    SELECT FROM aclexplode(n.nspacl) x
                     WHERE x.grantee = c.oid AND x.privilege_type = 'CREATE')
              ORDER BY 1) AS need_create
  FROM pg_namespace n JOIN pg_database d ON d.datname = current_database()
  LEFT JOIN pg_roles a ON a.rolname = %(app)s
 WHERE n.nspname = 'public'
"""


class Kind(StrEnum):
    """How the application's role stands to the owner of the tables; the first that is true."""

    APP_IS_SUPERUSER = "the application is a superuser"
    APP_OWNS = "the application owns the tables"
    APP_IS_MEMBER = "the application is a member of the owner"
    APP_OWNS_AROUND = "the application owns the database or its schema"
    SUPERUSER_OWNS = "a superuser owns the tables"
    OWNER_APART = "an owner apart"


@dataclass(frozen=True)
class Setup:
    """Who owns the tables (before an upgrade: who would), and what that does and does not protect.

    `statements` end what is open, `by` says who may run them. With `everybody_creates`, any role
    may create in schema public; `end_create` and `end_create_by` are the same for that.
    """

    kind: Kind
    owners: tuple[str, ...]
    database_owner: str
    protects: str
    statements: tuple[str, ...]
    by: str
    everybody_creates: bool
    may_end_create: bool
    end_create: tuple[str, ...]
    end_create_by: str


def read(connection: Connection[Any], roles: Roles) -> Setup:
    """Return how the roles of this database stand to each other; changes nothing."""
    names = [*standing.TABLES, "alembic_version", history.TABLE]
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        named = {"tables": names, "owner": roles.owner, "app": roles.app}
        facts: Any = cursor.execute(_FACTS, named).fetchone()
    kind = _kind(facts)
    grants = [_say("GRANT CREATE ON SCHEMA public TO {}", name) for name in facts.need_create]
    return Setup(
        kind=kind,
        owners=tuple(facts.owners),
        database_owner=facts.database_owner,
        protects=_protects(kind, facts, roles),
        statements=_statements(kind, facts, roles, connection.info.dbname),
        by="a superuser",
        everybody_creates=facts.everybody_creates,
        may_end_create=facts.may_revoke,
        end_create=(*grants, "REVOKE CREATE ON SCHEMA public FROM PUBLIC;")
        if facts.everybody_creates
        else (),
        end_create_by=f"{facts.schema_owner} or a superuser",
    )


def of_migration(connection: SQLConnection, roles: Roles) -> str | None:
    """Return why grants restrict the application in nothing where this login migrates, else None.

    The session acts as the owner until its transaction ends.
    """
    ownership.act_as_owner(connection, roles.owner, creates=False)
    driver: Any = connection.connection.driver_connection
    found = read(driver, roles)
    why = {
        Kind.APP_IS_SUPERUSER: "is a superuser",
        Kind.APP_OWNS: "owns the tables",
        Kind.APP_IS_MEMBER: f"is a member of {found.owners[0]}, which owns the tables",
    }.get(found.kind)
    return why and f"{roles.app} {why}: these grants do not restrict it (stage1 roles)"


def _kind(facts: Any) -> Kind:  # noqa: ANN401 - a row
    for found, kind in (
        (facts.app_is_superuser, Kind.APP_IS_SUPERUSER),
        (facts.app_owns, Kind.APP_OWNS),
        (facts.app_member_of, Kind.APP_IS_MEMBER),
        (facts.app_owns_database or facts.app_owns_schema, Kind.APP_OWNS_AROUND),
        (facts.superuser_owns, Kind.SUPERUSER_OWNS),
    ):
        if found:
            return kind
    return Kind.OWNER_APART


def _protects(kind: Kind, facts: Any, roles: Roles) -> str:  # noqa: ANN401 - a row
    owners, app, readonly = " and ".join(facts.owners), roles.app, roles.readonly
    if kind is Kind.APP_IS_SUPERUSER:
        return f"{app} is a superuser: clients may do anything on this server."
    if kind is Kind.APP_OWNS:
        return (
            f"{app} owns the tables, and clients log in as it: they may drop, alter and empty every"
            f" table. Only {readonly} is restricted."
        )
    if kind is Kind.APP_IS_MEMBER:
        return (
            f"{app} is a member of {facts.app_member_of}, which owns the tables: clients may drop,"
            f" alter and empty every table. Only {readonly} is restricted."
        )
    if kind is Kind.APP_OWNS_AROUND:
        around = [
            *["the database"] * bool(facts.app_owns_database),
            *["every table in schema public"] * bool(facts.app_owns_schema),
        ]
        return (
            f"{owners} owns the tables, but {app} may act as the owner of what they are in: clients"
            f" may drop {' and '.join(around)}."
        )
    restricted = (
        f"{app} reads and writes rows and {readonly} reads them; neither may drop or alter a table."
    )
    if kind is Kind.SUPERUSER_OWNS:
        return (
            f"{owners} is a superuser and owns the tables: a revision may change anything on this"
            f" server. {restricted}"
        )
    return f"{owners} owns the tables: {restricted}"


def _statements(kind: Kind, facts: Any, roles: Roles, database: str) -> tuple[str, ...]:  # noqa: ANN401
    owner = roles.owner if roles.owner != roles.app else "stage1_owner"
    of_database = _say("ALTER DATABASE {} OWNER TO {}", database, owner)
    if kind is Kind.APP_IS_SUPERUSER:
        return (_say("ALTER ROLE {} NOSUPERUSER", roles.app),)
    if kind is Kind.APP_OWNS:
        return (of_database, _say("REASSIGN OWNED BY {} TO {}", roles.app, owner))
    if kind is Kind.APP_IS_MEMBER:
        return (_say("REVOKE {} FROM {}", facts.app_member_of, roles.app),)
    if kind is Kind.APP_OWNS_AROUND:
        of_schema = _say("ALTER SCHEMA public OWNER TO {}", owner)
        by_database = facts.schema_owner == facts.database_owner
        return (
            *[of_database] * bool(facts.app_owns_database),
            *[of_schema] * bool(facts.app_owns_schema and not by_database),
        )
    return ()


def _say(template: str, *names: str) -> str:
    return sql.SQL(template + ";").format(*map(sql.Identifier, names)).as_string(None)
