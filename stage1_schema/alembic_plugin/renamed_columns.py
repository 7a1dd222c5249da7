"""Columns that somebody renamed by hand: a revision renames them back, so that no value is lost.

Alembic would drop the one and add the other. Told from an edit of the declarations by the history:
it made the declared name, and never the one that stands, which is otherwise the same column.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, TextClause

from stage1_schema.alembic_plugin import touched
from stage1_schema.alembic_plugin.alter import AlterOp
from stage1_schema.alembic_plugin.comparison import Comparison
from stage1_schema.alembic_plugin.renamed_tables import said
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa
    from alembic.operations.ops import UpgradeOps
    from alembic.script import ScriptDirectory

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Edge, Item

    Key = tuple[str, str]

_ON_TABLE = ("constraints", "generated", "indexes", "rules", "triggers")


class RenamedColumns:
    """Live name by (table, declared name), and everything said in declared names."""

    def __init__(self, declared: Catalogue, live: Catalogue, script: ScriptDirectory) -> None:
        """Find the columns that are not there, and stand in the same place as others."""
        self._declared = declared
        found = dict(_alike(declared, live))
        made = _made(script) if found else set()
        self.names = {
            (table, name): old
            for (table, name), old in found.items()
            if made & {(table, name), ("", name)} and not made & {(table, old), ("", old)}
        }

    def compare(self) -> Iterator[Comparison]:
        """Yield each as a difference."""
        for (table, name), old in self.names.items():
            yield Comparison(f"column {table}.{name}", f"declared, live called {old}")

    def operations(self) -> list[AlterOp]:
        """Return what renames them, and back."""
        return [
            AlterOp(
                f"TABLE {quoted(table)}",
                f"RENAME COLUMN {quoted(old)} TO {quoted(name)}",
                f"RENAME COLUMN {quoted(name)} TO {quoted(old)}",
            )
            for (table, name), old in self.names.items()
        ]

    def take_out(self, upgrade_ops: UpgradeOps, live: Catalogue) -> None:
        """Take out what Alembic would do with them, and with what says them."""
        both = {(table, n) for (table, name), old in self.names.items() for n in (name, old)}
        parts = (*live["constraints"].values(), *live["indexes"].values())
        keys = {(each.stem, each.signature) for each in parts if self._item(each) != each}
        touched.take_out(upgrade_ops, columns=both, parts=keys)

    def catalogue(self, live: Catalogue) -> Catalogue:
        """Return what stands as it will be called."""
        return said(live, self._item) if self.names else live

    def edges(self, edges: Iterable[Edge]) -> tuple[Edge, ...]:
        """Return what uses what, as it will be called."""
        new = {(table, old): name for (table, name), old in self.names.items()}
        return tuple(
            replace(each, column=new.get((each.used[1], each.column), each.column))
            if each.used[0] == "tables"
            else each
            for each in edges
        )

    def reflected(self, table: sa.Table) -> sa.Table:
        """Return a table as it stands, saying what they will be called; its own names are that.

        Without foreign keys that refer to one of them: SQLAlchemy would say its live name.
        """
        of = {each for each, _ in self.names}
        for key in list(table.foreign_key_constraints):
            if key.referred_table.name in of - {table.name}:
                table.constraints.discard(key)
                for element in key.elements:
                    element.parent.foreign_keys.discard(element)
        for each in _texts(table):
            each.text = self._say(each.text, table.name)
        for index in table.indexes:
            options = index.dialect_options["postgresql"]
            if isinstance(options.get("where"), str):
                options["where"] = self._say(options["where"], table.name)
        return table

    def renames(self, table: str) -> dict[str, str]:
        """Return the declared name by the live one of those of a table."""
        return {old: name for (of, name), old in self.names.items() if of == table}

    def _item(self, item: Item) -> Item:
        table = item.stem
        if item.kind in {"columns", "sequences"}:
            return replace(item, signature=self.renames(table).get(item.signature, item.signature))
        if item.kind == "grants":
            return self._right(item)
        if item.kind == "triggers":
            table = item.name.partition(".")[0]
        wanted = self._declared[item.kind].get(item.name)
        text = item.definition
        if wanted and text == wanted.definition:
            return item
        if item.kind == "views":
            for (_, name), old in self.names.items():
                text = re.sub(rf"{_word(old)} AS {name}\b", name, text)
            for of in sorted({of for of, _ in self.names}):
                text = text if wanted and text == wanted.definition else self._say(text, of)
        elif item.kind in _ON_TABLE:
            own, references, other = text.partition(" REFERENCES ")
            referred, paren, names = other.partition("(")
            names, closing, rest = names.partition(")")
            head, using, own = own.rpartition(" USING ")  # an index; its names come before
            own, names = head + using + self._say(own, table), self._say(names, referred)
            text = own + references + referred + paren + names + closing + rest
        name, signature = item.name, item.signature
        if item.kind == "generated" and signature in self.renames(table):
            signature = self.renames(table)[signature]
            name = f"{name.partition('.')[0]}.{signature}"
        return replace(item, name=name, signature=signature, definition=text)

    def _right(self, item: Item) -> Item:
        name, signature = item.name, item.signature
        for old, new in self.renames(item.stem.removeprefix("TABLE ")).items():
            name, signature = (each.replace(f"({old})", f"({new})") for each in (name, signature))
        return replace(item, name=name, signature=signature)

    def _say(self, text: str, table: str) -> str:
        for old, name in self.renames(table).items():
            text = re.sub(_word(old), name, text)
        return text


def _word(name: str) -> str:
    """Return where a text says a column: no type, function or text of that name."""
    plain = rf"""(?<![\w$"':]){re.escape(name)}(?![\w$"'(])"""
    return rf"(?:{plain}|{re.escape(quoted(name))})"


def _alike(declared: Catalogue, live: Catalogue) -> Iterator[tuple[Key, str]]:
    """Yield what is declared and not there, and what is like it between the same neighbours."""
    for table in sorted(declared["tables"].keys() & live["tables"].keys()):
        wanted, stands = (_columns(side, table) for side in (declared, live))
        names, others = ([each.signature for each in side] for side in (wanted, stands))
        same = SequenceMatcher(None, names, others, autojunk=False)
        for what, i, end, j, other in same.get_opcodes():
            if what == "replace" and end - i == other - j:
                for new, old in zip(wanted[i:end], stands[j:other], strict=True):
                    apart = new.signature not in others and old.signature not in names
                    if apart and new.definition == old.definition:
                        yield (table, new.signature), old.signature


def _columns(side: Catalogue, table: str) -> list[Item]:
    """Return a table's columns in their order, which is in their names."""
    found = [each for each in side["columns"].values() if each.stem == table]
    return sorted(found, key=lambda each: int(each.name.rpartition(".")[2]))


def _made(script: ScriptDirectory) -> set[Key]:
    """Return (table, column) of all that revisions made; without the table where none is named."""
    found = set()
    for path in (Path(each.path) for each in script.walk_revisions()):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                table = _constant(call.args[:1])
                columns = [each for each in call.args[1:] if isinstance(each, ast.Call)]
                found |= {(table, _constant(each.args[:1])) for each in columns}
                renamed = [each.value for each in call.keywords if each.arg == "new_column_name"]
                found.add((table, _constant(renamed)))
    return {key for key in found if key[1]}


def _constant(given: list[ast.expr]) -> str:
    values = [each.value for each in given if isinstance(each, ast.Constant)]
    return str(values[0]) if values else ""


def _texts(table: sa.Table) -> Iterator[TextClause]:
    """Yield the SQL in a reflected table."""
    found: list[Any] = [each.computed.sqltext for each in table.columns if each.computed]
    found += [each.sqltext for each in table.constraints if isinstance(each, CheckConstraint)]
    found += [text for index in table.indexes for text in index.expressions]
    yield from (each for each in found if isinstance(each, TextClause))
