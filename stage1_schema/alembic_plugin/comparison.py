"""A comparison as a value, and Alembic's own differences in its words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile, zip_longest
from operator import eq
from typing import TYPE_CHECKING, Any

from sqlalchemy import Constraint
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stage1_schema.alembic_plugin.catalogue import Item

WORDS = {
    "tables": "table",
    "columns": "column",
    "sequences": "sequence",
    "generated": "generated column",
    "constraints": "constraint",
    "indexes": "index",
    "functions": "function",
    "views": "view",
    "triggers": "trigger",
    "grants": "right",
    "policies": "policy",
}
FOREIGN = ("not of Stage1", "not a role of Stage1")
"""Why something is skipped that nobody wants compared."""
NOT_MADE = "recorded and not made yet"
REFUSED = "; refused: "
"""Stands in a difference between what it is and why no revision can repair it."""
_ADD, _REMOVE = "declared, not there", "there, not declared"
_LONG = 70


@dataclass(frozen=True)
class Comparison:
    """One thing compared: equal, different with a reason, or skipped with a reason."""

    what: str
    difference: str | None = None
    skipped: str | None = None

    @property
    def equal(self) -> bool:
        """Whether it was compared and nothing differs."""
        return self.difference is None and self.skipped is None

    @property
    def left_out(self) -> bool:
        """Whether something that is ours was not compared."""
        foreign = self.skipped in FOREIGN or self.what.endswith(NOT_MADE)
        return self.skipped is not None and not foreign

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"{self.what}: skipped: {self.skipped}"
        return f"{self.what}: {self.difference or 'equal'}"


def of_items(declared: Item | None, live: Item | None) -> Comparison:
    """Compare two entries of the catalogue; one of them may be missing."""
    item = declared or live
    if item is None:
        raise ValueError("nothing to compare")
    what = f"{WORDS[item.kind]} {item.name}"
    if declared is None:
        return Comparison(what, _REMOVE)
    if live is None:
        return Comparison(what, _ADD)
    if declared.definition != live.definition:
        return Comparison(what, _first_difference(declared.definition, live.definition))
    if declared.comment != live.comment:
        return Comparison(what, f"comment declared {declared.comment!r}, live {live.comment!r}")
    return Comparison(what)


def _first_difference(declared: str, live: str) -> str:
    """Return where two definitions part, as one line."""
    pairs = zip_longest(declared.splitlines(), live.splitlines(), fillvalue="")
    lines = next((left, right) for left, right in pairs if left != right)
    left, right = (" ".join(line.split()) for line in lines)
    same = sum(takewhile(bool, map(eq, left, right)))
    start = left.rfind(" ", 0, same) + 1 if max(len(left), len(right)) > _LONG else 0
    said = (_short(text[start:]) or "nothing more" for text in (left, right))
    return "declared {}, live {}".format(*said)


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def of_alembic(differences: Iterable[Any]) -> dict[str, Comparison]:
    """Say Alembic's own differences, as `OpContainer.as_diffs` gives them: one for each name."""
    found: dict[str, list[str]] = {}
    for each in _each(differences):
        found.setdefault(each.what, []).append(each.difference or "")
    return {what: Comparison(what, _together(said)) for what, said in found.items()}


def _together(said: list[str]) -> str:
    if {_ADD, _REMOVE} <= set(said):  # Alembic drops it and makes it anew
        return "declared and live differ"
    return "; ".join(said)


def _each(differences: Iterable[Any]) -> Iterator[Comparison]:
    for difference in differences:
        if isinstance(difference, list):  # the changes of one column come together
            yield from _each(difference)
        else:
            yield _one(*difference)


def _one(kind: str, *rest: Any) -> Comparison:  # noqa: ANN401 - Alembic's tuples hold anything
    verb, _, noun = kind.partition("_")
    if verb == "modify":
        _, table, column, _, old, new = rest
        declared, live = map(_value, (new, old))
        return Comparison(f"column {table}.{column}", f"{noun} declared {declared}, live {live}")
    names = ".".join(filter(None, map(_name, rest)))
    what = f"{noun.replace('fk', 'constraint')} {names}"
    if noun == "table_comment":
        return Comparison(what.replace("_", " "), "declared and live differ")
    return Comparison(what, _ADD if verb == "add" else _REMOVE)


def _value(value: Any) -> str:  # noqa: ANN401 - a type, a default, a comment, a truth
    if isinstance(value, TypeEngine):
        return value.compile(PGDialect())  # type: ignore[no-untyped-call]
    return str(getattr(value, "arg", value))


def _name(part: Any) -> str | None:  # noqa: ANN401 - Alembic's tuples hold anything
    table = getattr(getattr(part, "table", None), "name", None)
    name = getattr(part, "name", None) or (part if isinstance(part, str) else None)
    # A column comes behind the name of its table; an index has a name of its own.
    return f"{table}.{name}" if table and name and isinstance(part, Constraint) else name
