"""Why a statement was not applied: its own fault, or the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

_OWN = ("22", "23", "54", "P0001", "21000")
"""SQLSTATE classes of data that no column or constraint takes."""


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
    detail = f" ({diagnostic.message_detail})" if diagnostic.message_detail else ""
    return Fault("constraint" if state.startswith("23") else "value", f"{text}{detail}"[:1000])
