"""A comparison as a value, and Alembic's own differences in its words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile, zip_longest
from operator import eq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stage1_schema.alembic_plugin.catalogue import Item

WORDS = {
    "tables": "table",
    "generated": "generated column",
    "constraints": "constraint",
    "indexes": "index",
    "functions": "function",
    "views": "view",
    "triggers": "trigger",
    "grants": "right",
}
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
        return Comparison(what, "there, not declared")
    if live is None:
        return Comparison(what, "declared, not there")
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


def of_alembic(differences: Iterable[Any]) -> Iterator[Comparison]:
    """Say Alembic's own differences, as `OpContainer.as_diffs` gives them."""
    for difference in differences:
        if isinstance(difference, list):  # the changes of one column come together
            yield from of_alembic(difference)
        else:
            yield _one(*difference)


def _one(kind: str, *rest: Any) -> Comparison:  # noqa: ANN401 - Alembic's tuples hold anything
    verb, _, noun = kind.partition("_")
    if verb == "modify":
        _, table, column, _, old, new = rest
        declared, live = (str(getattr(value, "arg", value)) for value in (new, old))
        return Comparison(f"column {table}.{column}", f"{noun} declared {declared}, live {live}")
    what = f"{noun.replace('fk', 'foreign key')} {'.'.join(filter(None, map(_name, rest)))}"
    if noun == "table_comment":
        return Comparison(what.replace("_", " "), "declared and live differ")
    return Comparison(what, "declared, not there" if verb == "add" else "there, not declared")


def _name(part: Any) -> str | None:  # noqa: ANN401 - Alembic's tuples hold anything
    table = getattr(getattr(part, "table", None), "name", None)
    name = getattr(part, "name", None) or (part if isinstance(part, str) else None)
    # A column comes behind the name of its table, an index with its own.
    return f"{table}.{name}" if table and name and not hasattr(part, "type") else name
