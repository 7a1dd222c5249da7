"""The current body of every function, view and trigger, and the grants: one file each.

A revision replays frozen copies (`migrations/sql/`); a test proves that both say the same.
`checks/` holds no objects but the queries of `stage1 validate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stage1_schema.errors import Stage1Error

DIRECTORY = Path(__file__).parent
KINDS = ("functions", "views", "triggers", "grants")
"""The order in which they can be created after the tables, bodies of functions unchecked."""


@dataclass(frozen=True)
class SqlObject:
    """One file: its kind (its folder), its name, and the statements that create or replace it."""

    kind: str
    name: str
    text: str


def objects() -> tuple[SqlObject, ...]:
    """Return everything that is declared in SQL, in the order of creation.

    Run it after `SET check_function_bodies = off`: functions name each other and the views.
    Raises Stage1Error for two files of one name: their frozen bodies would be one file.
    """
    found: dict[str, SqlObject] = {}
    for kind in KINDS:
        for path in sorted((DIRECTORY / kind).glob("*.sql")):
            if other := found.get(path.stem):
                raise Stage1Error(
                    f"stage1_schema/sql/ has {other.kind}/{path.name} and {kind}/{path.name}.",
                    next_step="call one of them by another name: a revision freezes both as"
                    f" {path.name}.",
                )
            found[path.stem] = SqlObject(kind, path.stem, path.read_text(encoding="utf-8"))
    return tuple(found.values())
