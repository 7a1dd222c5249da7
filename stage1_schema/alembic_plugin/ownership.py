"""Whom the objects of a run belong to: the owner role, where the server lets it be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.alembic_plugin.standing import TABLES, VIEWS

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger("alembic.runtime.migration")

SET_OPTION_SINCE = (16,)  # a membership may lack SET ROLE from this version on

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


def act_as_owner(connection: Connection, owner: str, *, creates: bool = True) -> bool:
    """Make `owner` the session's role, so that what the run creates belongs to it.

    Without `creates` it is that until the transaction ends, and no word is said if it cannot be.
    Tell whether it is. Not so where the role does not exist, where the login is no member of it,
    where it may not create, or where it would be locked out of what another role owns.
    """
    version = connection.dialect.server_version_info or ()
    found = connection.execute(
        _OWNER,
        {
            "owner": owner,
            "right": "SET" if version >= SET_OPTION_SINCE else "MEMBER",
            "relations": [*TABLES, *VIEWS, "alembic_version"],
        },
    ).one_or_none()
    if found is None or found.already:
        return found is not None
    if not found.member:
        problem = "this login is no member of it"
    elif not found.may_create:
        problem = "it may not create in this database and its schema public"
    elif found.other_owners:
        problem = f"tables that stand belong to {found.other_owners}"
    else:
        quoted = connection.dialect.identifier_preparer.quote_identifier(owner)
        connection.execute(text(f"SET {'' if creates else 'LOCAL '}ROLE {quoted}"))
        return True
    if creates:
        log.warning("Role %s will not own what this run creates: %s.", owner, problem)
    return False
