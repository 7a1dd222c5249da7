"""Tables that somebody renamed by hand: a revision renames them back, before anything else.

PostgreSQL keeps their rows, names of keys and indexes, and what uses them. So everything else is
compared as if they had their declared names.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stage1_schema.alembic_plugin import touched
from stage1_schema.alembic_plugin.alter import AlterOp
from stage1_schema.alembic_plugin.comparison import Comparison
from stage1_schema.alembic_plugin.declared import BESIDE
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Edge, Item

_PART_OF = ("columns", "constraints", "generated", "triggers")
"""Kinds that are called `<table>.<name>`."""
_WORD = r'(?<![\w$"]){}(?![\w$"])'
_SAID = {
    "indexes": r'(?<=\bpublic\.){}(?![\w$"])',
    "triggers": r'(?<=\bpublic\.){}(?![\w$"])',
    "constraints": r"(?<=\bREFERENCES ){}(?=\()",
    "grants": r'(?:(?<=\bTABLE )|(?<=[(,])){}(?![\w$"])',
    "views": _WORD,
    "functions": _WORD,
    "rules": _WORD,
}
"""Where a definition, or the name of a right, says a table; a column may have the same name."""


class RenamedTables:
    """Live name by declared name, and everything said in declared names."""

    def __init__(self, declared: Catalogue, live: Catalogue) -> None:
        """Find the tables that are not there, and whose keys and indexes stand on others."""
        self._declared = declared
        missing = declared["tables"].keys() - live["tables"].keys() - BESIDE.tables.keys()
        found = ((name, _called(name, declared, live)) for name in sorted(missing))
        self._items = {name: old for name, old in found if old is not None}
        self.names = {name: old.stem for name, old in self._items.items()}

    def compare(self) -> Iterator[Comparison]:
        """Yield each as a difference."""
        for name, old in self.names.items():
            yield Comparison(f"table {name}", f"declared, live called {old}")

    def operations(self) -> list[AlterOp]:
        """Return what renames them, and back."""
        return [
            AlterOp(
                f"TABLE {quoted(old)}",
                f"RENAME TO {quoted(name)}",
                f"RENAME TO {quoted(old)}",
                after=f"TABLE {quoted(name)}",
            )
            for name, old in self.names.items()
        ]

    def take_out(self, upgrade_ops: UpgradeOps, live: Catalogue) -> None:
        """Take out what Alembic would do with them, and with the foreign keys that refer to them.

        It looks for the declared names alone.
        """
        if self.names:
            touched.take_out_tables(upgrade_ops, {*self.names, *self.names.values()})
            keys = (each for each in live["constraints"].values() if self._refers(each))
            touched.take_out(upgrade_ops, parts={(each.stem, each.signature) for each in keys})

    def catalogue(self, live: Catalogue) -> Catalogue:
        """Return what stands as it will be called."""
        return said(live, self._item) if self.names else live

    def edges(self, edges: Iterable[Edge]) -> tuple[Edge, ...]:
        """Return what uses what, as it will be called."""
        return tuple(
            replace(each, user=self._key(each.user), used=self._key(each.used)) for each in edges
        )

    def reflect(self, connection: Connection, name: str, columns: Mapping[str, str]) -> sa.Table:
        """Return a table as it stands, under its declared name; `columns` are renamed too.

        Without foreign keys from or to a renamed one: SQLAlchemy would say the live name.
        """

        def rename(_inspector: object, _table: object, column: dict[str, Any]) -> None:
            column["name"] = columns.get(column["name"], column["name"])

        stands = sa.Table(
            self.names.get(name, name),
            sa.MetaData(),
            autoload_with=connection,
            listeners=[("column_reflect", rename)],
        )
        for key in list(stands.foreign_key_constraints):
            if name in self.names or key.referred_table.name in self.names.values():
                stands.constraints.discard(key)
                for element in key.elements:
                    element.parent.foreign_keys.discard(element)
        return stands if stands.name == name else stands.to_metadata(sa.MetaData(), name=name)

    def _refers(self, item: Item) -> bool:
        said = self._say("constraints", item.definition)
        return item.definition.startswith("FOREIGN") and said != item.definition

    def _key(self, key: tuple[str, str]) -> tuple[str, str]:
        return key[0], self._name(*key)

    def _item(self, item: Item) -> Item:
        stem = self._say(item.kind, item.stem) if item.kind == "grants" else item.stem
        for name, old in self._items.items():
            of_it = item.kind == "triggers" and item.name.startswith(f"{old.name}.")
            if item.stem == old.stem or of_it:
                stem = name + item.stem.removeprefix(old.stem)
        name = self._name(item.kind, item.name)
        wanted = self._declared[item.kind].get(name)
        if not wanted or wanted.definition != item.definition:
            item = replace(item, definition=self._say(item.kind, item.definition))
        if item.kind in {"functions", "views"} and not (
            wanted and wanted.signature == item.signature
        ):
            item = replace(item, signature=self._say(item.kind, item.signature))
        return replace(item, name=name, stem=stem)

    def _name(self, kind: str, text: str) -> str:
        """Return the name of something as it will be."""
        for name, old in self._items.items():
            if kind == "tables" and text == old.name:
                return name
            if kind in _PART_OF and text.startswith(f"{old.name}."):
                return name + text.removeprefix(old.name)
        told = kind in {"functions", "grants", "rules"} and text not in self._declared[kind]
        return self._say(kind, text) if told else text

    def _say(self, kind: str, text: str) -> str:
        """Return a definition, or what names a right or a function, as it will be."""
        for name, old in self._items.items():
            if kind == "views":  # it says the name that it was made with as an alias
                text = re.sub(_WORD.format(f"{re.escape(old.name)} {name}"), name, text)
            if kind in _SAID:
                text = re.sub(_SAID[kind].format(re.escape(old.name)), name, text)
        return text


def said(live: Catalogue, name: Callable[[Item], Item]) -> Catalogue:
    """Return a catalogue with each item as `name` calls it."""
    found = {kind: [name(each) for each in items.values()] for kind, items in live.items()}
    return {kind: {each.name: each for each in items} for kind, items in found.items()}


def _called(name: str, declared: Catalogue, live: Catalogue) -> Item | None:
    """Return the live table that is not declared and has most of this one's keys and indexes.

    And half of its columns: a table of others may have an index of such a name.
    """
    columns = _columns(declared, name)
    strangers = {
        each.stem: each
        for n, each in live["tables"].items()
        if n not in declared["tables"]
        and 2 * len(columns & _columns(live, each.stem)) >= len(columns)
    }
    stands = {each.signature: each.stem for each in _indexed(live)}
    wanted = (each.signature for each in _indexed(declared) if each.stem == name)
    votes = Counter(stands[each] for each in wanted if stands.get(each) in strangers)
    return strangers[votes.most_common(1)[0][0]] if votes else None


def _columns(side: Catalogue, table: str) -> set[str]:
    return {each.signature for each in side["columns"].values() if each.stem == table}


def _indexed(side: Catalogue) -> Iterator[Item]:
    """Yield keys and indexes: no two in a schema have the same name."""
    for each in (*side["constraints"].values(), *side["indexes"].values()):
        if not each.definition.startswith(("CHECK", "FOREIGN KEY")):
            yield each
