"""What a superuser runs of a dump: schemas, extensions, comments and grants, and nothing else.

The text of such an entry is whatever stands in the file, and pg_restore sends it as it is. So it is
parsed first, by PostgreSQL's own parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stage1_schema.errors import VerificationError
from stage1_schema.ops import sql_parser

if TYPE_CHECKING:
    from collections.abc import Callable

_ON = (
    "COLUMN",
    "DOMAIN",
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "SCHEMA",
    "SEQUENCE",
    "TABLE",
    "TYPE",
)
_OURS = frozenset(f"OBJECT_{kind}" for kind in _ON)
"""What a grant may be on: not a setting, a tablespace or another thing of the whole server."""
_PROMPT = re.compile(r"^\\(un)?restrict \w+$", re.MULTILINE)  # psql's, not sent to a server
_SEARCH_PATH = "SELECT pg_catalog.set_config('search_path', '', false)"
_ALLOWED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "VariableSetStmt": lambda _: True,
    "CommentStmt": lambda _: True,
    "CreateExtensionStmt": lambda _: True,
    "CreateSchemaStmt": lambda found: not found.get("schemaElts"),
    "GrantStmt": lambda found: found.get("objtype") in _OURS,
    "AlterDefaultPrivilegesStmt": lambda _: True,
}


def refuse_other_statements(script: str) -> None:
    """Raise VerificationError for a script of pg_restore with a statement of another kind."""
    try:
        for text in sql_parser.split(_PROMPT.sub("", script)):
            for tree in sql_parser.trees(text):
                ((kind, found),) = tree.items()
                allowed = _ALLOWED.get(kind)
                if text != _SEARCH_PATH and not (allowed and allowed(found)):
                    raise _refused(f"a statement of the kind {kind}")
    except sql_parser.ParseError as error:
        raise _refused(f"SQL that cannot be read ({error})") from None


def _refused(what: str) -> VerificationError:
    return VerificationError(
        f"The dump has {what} where only schemas, extensions, comments and grants belong; a"
        " superuser does not run that.",
        next_step="restore as the owner of the database, or use another backup.",
    )
