"""Which generated columns must be made anew, and what PostgreSQL drops together with them.

They go before anything else changes and come back after it: PostgreSQL refuses to change the type
of a column that another one is generated from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

    Key = tuple[str, str]


def remade(changing: set[Key], declared: Catalogue, live: Catalogue) -> Iterator[Key]:
    """Yield (table, column) of what is or shall be generated and cannot change where it stands.

    Either the expression changes, or it says a column that is `changing`: retyped, or dropped.
    """
    wanted, stands = columns(declared), columns(live)
    both = wanted.keys() & stands.keys()
    changing = changing | {key for key in both if _type(wanted[key]) != _type(stands[key])}
    new, old = (
        {(each.stem, each.signature): each.definition for each in side["generated"].values()}
        for side in (declared, live)
    )
    for key in new.keys() | old.keys():
        if key[0] in declared["tables"] and key[0] in live["tables"]:
            texts = [side[key] for side in (new, old) if key in side]
            used = (column for table, column in changing if table == key[0])
            anew = key in both and new.get(key) != old.get(key)
            if anew or any(_says(column, *texts) for column in used):
                yield key


def columns(side: Catalogue) -> dict[Key, Item]:
    """Return the columns by table and name."""
    return {(each.stem, each.signature): each for each in side["columns"].values()}


def without(side: Catalogue, made: set[Key]) -> Catalogue:
    """Return the catalogue without some columns: nothing else is to be done with them."""
    found = side["columns"].items()
    kept = {name: each for name, each in found if (each.stem, each.signature) not in made}
    return {**side, "columns": kept}


def parts(made: set[Key], *sides: Catalogue) -> tuple[list[Item], ...]:
    """Return the constraints and indexes that go with a column on any of the sides, for each.

    Foreign keys are last.
    """
    found = [(*side["constraints"].values(), *side["indexes"].values()) for side in sides]
    mentioned = {
        (each.kind, each.name)
        for side in found
        for each in side
        if any(table == each.stem and _says(column, _own(each)) for table, column in made)
    }
    return tuple(
        sorted(
            (each for each in side if (each.kind, each.name) in mentioned),
            key=lambda each: (each.definition.startswith("FOREIGN"), each.name),
        )
        for side in found
    )


def _type(column: Item) -> str:
    return column.definition.partition("\n")[0]


def _own(item: Item) -> str:
    """Return where a definition says columns of its own table."""
    if item.kind == "indexes":
        return item.definition.partition(" USING ")[2]
    return item.definition.partition(" REFERENCES ")[0]


def _says(column: str, *texts: str) -> bool:
    """Tell whether one of the texts may say the column: a word too many does no harm."""
    name = re.escape(column.replace('"', '""'))
    return any(re.search(rf"(?<![\w$]){name}(?![\w$])", text) for text in texts)
