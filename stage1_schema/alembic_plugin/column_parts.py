"""Constraints and indexes that cannot stand while a column changes.

They go before anything else changes and come back after it. PostgreSQL drops with a column what
stands on it, and builds anew, as it reads now, what stands on one that changes its type: `> 0` does
not fit text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin import retype

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

    Key = tuple[str, str]


def columns(side: Catalogue) -> dict[Key, Item]:
    """Return the columns by table and name."""
    return {(each.stem, each.signature): each for each in side["columns"].values()}


def retyped(declared: Catalogue, live: Catalogue) -> frozenset[Key]:
    """Return (table, column) of what stands and is declared with another type or collation."""
    wanted, stands = columns(declared), columns(live)
    both = wanted.keys() & stands.keys()
    return frozenset(key for key in both if _type(wanted[key]) != _type(stands[key]))


@dataclass(frozen=True)
class Aside:
    """What goes before columns change, as it stands, and comes back after, as declared.

    Foreign keys are last.
    """

    old: tuple[Item, ...]
    new: tuple[Item, ...]
    remade: frozenset[str]
    """The names of what goes with a column that is made anew."""

    @property
    def names(self) -> set[str]:
        """The names as the catalogue has them."""
        return {each.name for each in (*self.old, *self.new)}

    @property
    def keys(self) -> set[Key]:
        """(table, name) of each."""
        return {(each.stem, each.signature) for each in (*self.old, *self.new)}


def aside(connection: Connection, remade: set[Key], declared: Catalogue, live: Catalogue) -> Aside:
    """Return what cannot stand while columns change their types, or are `remade`."""
    types = retyped(declared, live) - remade
    both = declared["tables"].keys() & live["tables"].keys()
    old, new = ([p for p in parts(side) if p.stem in both] for side in (live, declared))
    same = {_what(each) for each in old if not _mixes(each, types)} & {*map(_what, new)}
    with_column = {each.name for each in (*old, *new) if _on(each, remade)}
    found = with_column | {
        each.name
        for each in (*old, *new)
        if (_on(each, types) and _what(each) not in same)
        or _apart(connection, each, types, declared, live)
    }
    stands, wanted = (
        tuple(sorted((each for each in side if each.name in found), key=_last))
        for side in (old, new)
    )
    return Aside(stands, wanted, frozenset(with_column))


def _last(item: Item) -> tuple[bool, str]:
    return item.definition.startswith("FOREIGN"), item.name


def says(column: str, *texts: str) -> bool:
    """Tell whether one of the texts may say the column: a word too many does no harm."""
    name = re.escape(column.replace('"', '""'))
    return any(re.search(rf"(?<![\w$]){name}(?![\w$])", text) for text in texts)


def parts(side: Catalogue) -> Iterator[Item]:
    """Yield constraints and indexes."""
    yield from side["constraints"].values()
    yield from side["indexes"].values()


def _what(item: Item) -> tuple[str, str, str]:
    return item.kind, item.stem, item.definition


def _on(item: Item, keys: Collection[Key]) -> bool:
    """Tell whether it stands on one of the columns; a foreign key does with both its ends."""
    own, _, other = _own(item).partition(" REFERENCES ")
    referred, _, names = other.partition("(")
    return any(
        (table == item.stem and says(column, own))
        or (table == referred.strip('"') and says(column, names))
        for table, column in keys
    )


def _mixes(item: Item, types: Collection[Key]) -> bool:
    """Tell whether an expression says several of the columns: the first to change does not fit.

    Keys, and indexes of columns alone, are built anew as they are.
    """
    expression = item.definition.startswith(("CHECK", "EXCLUDE")) or (
        item.kind == "indexes" and (_own(item).count("(") > 1 or " WHERE " in item.definition)
    )
    return expression and sum(t == item.stem and says(c, _own(item)) for t, c in types) > 1


def _apart(
    connection: Connection, key: Item, types: Collection[Key], declared: Catalogue, live: Catalogue
) -> bool:
    """Tell whether a foreign key has a new type at both ends, and none may be first.

    Between the two changes one end has the old type, and PostgreSQL has no `=` for them.
    """
    own, references, other = key.definition.partition(" REFERENCES ")
    if not references:
        return False
    table, _, names = other.partition("(")
    ends = [c for t, c in types if t == key.stem and says(c, own)]
    others = [(t, c) for t, c in types if t == table.strip('"') and says(c, names)]
    wanted, stands = columns(declared), columns(live)
    return any(
        not retype.comparable(connection, _type(wanted[key.stem, end]), _type(stands[each]))
        for end in ends
        for each in others
    )


def _type(column: Item) -> str:
    return column.definition.partition("\n")[0]


def _own(item: Item) -> str:
    """Return where a definition says columns."""
    if item.kind == "indexes":
        return item.definition.partition(" USING ")[2]
    return item.definition
