"""Which generated columns must be made anew.

They go before anything else changes and come back after it: PostgreSQL refuses to change the type
of a column that another one is generated from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.column_parts import columns, retyped, says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

    Key = tuple[str, str]


def remade(changing: set[Key], declared: Catalogue, live: Catalogue) -> Iterator[Key]:
    """Yield (table, column) of what is or shall be generated and cannot change where it stands.

    Either the expression changes, or it says a column that is `changing`: retyped, or dropped.
    """
    both = columns(declared).keys() & columns(live).keys()
    changing = changing | retyped(declared, live)
    new, old = (
        {key: each.definition for key, each in expressions(side).items()}
        for side in (declared, live)
    )
    for key in new.keys() | old.keys():
        if key[0] in declared["tables"] and key[0] in live["tables"]:
            texts = [side[key] for side in (new, old) if key in side]
            used = (column for table, column in changing if table == key[0])
            anew = key in both and new.get(key) != old.get(key)
            if anew or any(says(column, *texts) for column in used):
                yield key


def expressions(side: Catalogue) -> dict[Key, Item]:
    """Return what columns are generated from, by table and name."""
    return {(each.stem, each.signature): each for each in side["generated"].values()}


def without(side: Catalogue, made: set[Key]) -> Catalogue:
    """Return the catalogue without some columns: nothing else is to be done with them."""
    found = side["columns"].items()
    kept = {name: each for name, each in found if (each.stem, each.signature) not in made}
    return {**side, "columns": kept}
