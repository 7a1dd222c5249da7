"""Whom the objects of a run belong to: the owner role, where the server lets it be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from stage1_schema.alembic_plugin import history
from stage1_schema.alembic_plugin.standing import TABLES, VIEWS

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger("alembic.runtime.migration")

_SET_OPTION_SINCE = 16

_OWNER = text("""
SELECT r.rolname = current_user AS already,
       pg_has_role(r.oid, :right) AS member,
       has_schema_privilege(r.oid, 'public', 'CREATE')
       AND has_database_privilege(r.oid, current_database(), 'CREATE') AS may_create,
       (SELECT string_agg(DISTINCT pg_get_userbyid(c.relowner), ', ') FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(:relations)
           AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')) AS other_owners
  FROM pg_roles r WHERE r.rolname = :owner
""")


# A superuser, or another member, that goes on where a role has begun does so as that role.
_BEGUN = text("""
SELECT pg_get_userbyid(c.relowner) AS owner FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ('alembic_version', :history)
   AND c.relowner <> to_regrole(quote_ident(current_user)) AND pg_has_role(c.relowner, :right)
   AND has_schema_privilege(c.relowner, 'public', 'CREATE')
   AND has_database_privilege(c.relowner, current_database(), 'CREATE')
 ORDER BY c.relname LIMIT 1
""")


def membership(version: int) -> str:
    """Return what `pg_has_role` calls a membership that allows SET ROLE, in a major version."""
    return "SET" if version >= _SET_OPTION_SINCE else "MEMBER"


def act_as_owner(connection: Connection, owner: str, *, creates: bool = True) -> None:
    """Make `owner` the session's role, so that what the run creates belongs to it.

    Where that role does not exist, this login is no member of it, it may not create or it would
    be locked out of what another role owns: the owner of `alembic_version`, as far as this login
    may be that. Without `creates` it lasts until the transaction ends, and nothing is logged.
    """
    right = membership(int((connection.dialect.server_version_info or (0,))[0]))
    relations = [*TABLES, *VIEWS, "alembic_version", history.TABLE]
    named = {"owner": owner, "right": right, "relations": relations}
    found = connection.execute(_OWNER, named).one_or_none()
    if found is not None and found.already:
        return
    acting: str | None = owner
    if found is None or (problem := _problem(found)):
        acting = connection.execute(_BEGUN, {"right": right, "history": history.TABLE}).scalar()
        if creates and found is not None:
            log.warning("Role %s will not own what this run creates: %s.", owner, problem)
    if acting is not None:
        quoted = connection.dialect.identifier_preparer.quote_identifier(acting)
        connection.execute(text(f"SET {'' if creates else 'LOCAL '}ROLE {quoted}"))


def _problem(found: Any) -> str | None:  # noqa: ANN401 - a row
    if not found.member:
        return "this login is no member of it"
    if not found.may_create:
        return "it may not create in this database and its schema public"
    return found.other_owners and f"tables that stand belong to {found.other_owners}"
