"""The PostgreSQL side of a reset: what can refuse it, the drop, and the rights of other roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from stage1_schema.alembic_plugin import history, ownership, preflight, standing
from stage1_schema.connect import LOCKED, engine, plain_errors
from stage1_schema.errors import PostgresError, Stage1Error
from stage1_schema.ops import migrate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from stage1_schema.settings import Settings

SCHEMA = "stage1_reset"
LOCK_TIMEOUT_MS = 5_000
_NO_RIGHT = "42501"

_MAY_CREATE = text("""
SELECT quote_ident(current_user) AS login,
       bool_or(has_schema_privilege(r.oid, 'public', 'CREATE')) AS tables,
       has_database_privilege(current_database(), 'CREATE') AS schemas
  FROM pg_roles r
 WHERE r.rolname = current_user OR (r.rolname = :owner AND pg_has_role(r.oid, 'MEMBER'))
""")
_NOT_OURS = text("""
SELECT format('%s of %s', c.relname, pg_get_userbyid(c.relowner))
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
   AND c.relname = ANY(:relations) AND NOT pg_has_role(c.relowner, 'USAGE')
 UNION ALL
SELECT format('function %s of %s', p.oid::regprocedure, pg_get_userbyid(p.proowner))
  FROM pg_proc p
 WHERE p.oid = ANY(CAST(CAST(:functions AS text[]) AS regprocedure[]))
   AND NOT pg_has_role(p.proowner, 'USAGE')
 ORDER BY 1
""")
_SESSIONS = text("""
SELECT DISTINCT format('pid %s (%s %s)', a.pid, a.usename, a.application_name)
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = 'public'::regnamespace
 WHERE l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND c.relname = ANY(:relations)
 ORDER BY 1
""")
_RIGHTS = text("""
SELECT c.relname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END,
       a.privilege_type
  FROM pg_class c
 CROSS JOIN LATERAL aclexplode(c.relacl) a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(:relations)
   AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') AND a.grantee <> c.relowner
   AND (a.grantee = 0 OR r.rolname <> ALL(:managed))
 ORDER BY 1, 2, 3
""")
_EXISTING = text("""
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
""")


class Right(NamedTuple):
    """What a role that no revision grants to may do: the quoted role, or PUBLIC."""

    relation: str
    role: str
    privilege: str

    def __str__(self) -> str:
        return f"{self.role} {self.privilege} on {self.relation}"


def look(connection: Connection) -> standing.Standing:
    """Return what of Stage1 exists. Raises Stage1Error where this login may not read it."""
    try:
        return standing.look(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_RIGHT:
            raise
        connection.rollback()
        asked = {"relations": list(standing.TABLES), "functions": []}
        others = connection.execute(_NOT_OURS, asked).scalars().all()
        if not others:
            raise
        raise Stage1Error(
            f"The reset cannot start: {_of_others(others)}. Nothing was changed.",
            next_step="set STAGE1_POSTGRES_USER to a member of it, then run the reset again.",
        ) from error


def refusals(
    connection: Connection, settings: Settings, found: standing.Standing, *, keep: bool
) -> Iterator[str]:
    """Yield what PostgreSQL would refuse, as sentences without their full stop."""
    try:
        preflight.postgres(connection, settings.postgres)
    except PostgresError as error:
        what = str(error).partition(" Nothing was changed.")[0].rstrip(".")
        yield f"{what}: {str(error.next_step).rstrip('.')}"
    may = connection.execute(_MAY_CREATE, {"owner": settings.roles.owner}).one()
    if not may.tables:
        yield f"{may.login} may not create tables: GRANT CREATE ON SCHEMA public TO {may.login}"
    if keep and found.rows and not may.schemas:
        yield (
            f"{may.login} may not create the schema for the rows: GRANT CREATE ON DATABASE "
            f'"{settings.postgres.database}" TO {may.login}, or use --drop'
        )
    if found.dependents and not (keep and found.rows):  # what is moved keeps its dependents
        yield (
            "other software built on the tables of Stage1, so drop or move first: "
            f"{standing.listing(found.dependents)}"
        )
    owned = {"relations": _relations(found), "functions": list(found.functions)}
    if others := connection.execute(_NOT_OURS, owned).scalars().all():
        yield _of_others(others)


def clear(
    connection: Connection, settings: Settings, *, keep: bool
) -> tuple[tuple[Right, ...], str | None]:
    """Drop, or with `keep` and rows move, everything of Stage1 in the transaction of `connection`.

    Returns the rights that roles beside those of the settings have, and the schema with the rows.
    Raises Stage1Error where the upgrade could not create its tables afterwards.
    """
    for name, value in (
        ("lock_timeout", LOCK_TIMEOUT_MS),
        ("idle_in_transaction_session_timeout", 0),
    ):
        connection.execute(text(f"SET LOCAL {name} = {value}"))
    try:
        found = standing.look(connection, lock=True)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCKED:
            raise
        raise _in_use(settings) from error
    for refusal in refusals(connection, settings, found, keep=keep):
        raise Stage1Error(f"The reset cannot start: {refusal}.", next_step="run it again then.")
    managed = [settings.roles.owner, settings.roles.app, settings.roles.readonly]
    rights = connection.execute(_RIGHTS, {"relations": _relations(found), "managed": managed})
    read = tuple(Right(*row) for row in rights)
    history.note(connection, "reset", migrate.revision(connection) or "base")
    connection.execute(text("DROP TABLE IF EXISTS public.alembic_version"))
    schema = None
    if keep and found.rows:
        schema = standing.move(connection, found, SCHEMA)
    else:
        standing.drop(connection, found)
    with connection.begin_nested() as probe:  # as the upgrade will do it
        ownership.act_as_owner(connection, settings.roles.owner, creates=False)
        connection.execute(text("CREATE TABLE public.stage1_reset_probe ()"))
        probe.rollback()
    return read, schema


def grant(settings: Settings, rights: Iterable[Right]) -> None:
    """Give other roles the rights they had on what exists again under the same name."""
    with plain_errors(settings.postgres), engine(settings.postgres).begin() as connection:
        existing = set(connection.execute(_EXISTING).scalars())
        quote = connection.dialect.identifier_preparer.quote_identifier
        for right in rights:
            if right.relation in existing:
                target = f"public.{quote(right.relation)}"
                connection.execute(text(f"GRANT {right.privilege} ON {target} TO {right.role}"))


def _of_others(owned: Sequence[str]) -> str:
    return f"these belong to other roles, so run it as their owner: {', '.join(owned)}"


def _relations(found: standing.Standing) -> list[str]:
    return [*found.names, *found.views, *found.materialized, "alembic_version"]


def _in_use(settings: Settings) -> PostgresError:
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        relations = [*standing.TABLES, *standing.VIEWS]
        who = connection.execute(_SESSIONS, {"relations": relations}).scalars().all()
    return PostgresError(
        f"Other sessions use the tables: {', '.join(who) or 'they have just ended'}."
        " Nothing was changed.",
        next_step="stop these clients, then run the reset again.",
    )
