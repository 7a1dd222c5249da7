"""Why a statement was not applied: its own fault, or the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

_OWN = ("22", "23", "54", "P0001", "21000")
"""SQLSTATE classes of data that no column or constraint takes."""
_WHOLE_ROW = ("23502", "23514")
"""SQLSTATEs whose detail is the row: the text is kept anyway, and its `updated_at` is a new one."""


class Fault(NamedTuple):
    """The kind of a fault, for the listing, and the reason in one line."""

    kind: str
    reason: str


def fault(error: psycopg.Error) -> Fault:
    """Return what was wrong with the statement; raises the error again if it was not that."""
    state = error.sqlstate or ""
    if not state.startswith(_OWN):
        raise error
    diagnostic = error.diag
    text = diagnostic.message_primary or str(error)
    tells = diagnostic.message_detail and state not in _WHOLE_ROW
    detail = f" ({diagnostic.message_detail})" if tells else ""
    return Fault("constraint" if state.startswith("23") else "value", f"{text}{detail}"[:1000])
