"""Constraints and indexes of tables that stand, with what Alembic does not see of them.

CHECK texts, index predicates, comments, a name alone that changed; and which of them step aside
while a column changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic.operations import ops
from sqlalchemy.dialects.postgresql.base import PGDialect

from stage1_schema.alembic_plugin import column_parts
from stage1_schema.alembic_plugin.alter import AlterOp, CommentOp
from stage1_schema.alembic_plugin.comparison import WORDS, Comparison, of_items
from stage1_schema.alembic_plugin.online_constraints import unvalidated
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa
    from alembic.operations.ops import MigrateOperation

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item
    from stage1_schema.alembic_plugin.column_parts import Aside

    Key = tuple[str, str]
    Tables = Callable[[str], sa.Table]
    Pairs = Sequence[tuple[Item, Item]]

_PREPARER: Any = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]
_UNSAID = (" NO INHERIT", " NOT ENFORCED", " INCLUDE (", " DEFERRABLE")
_NO_INDEX = ("CHECK", "FOREIGN KEY")
"""Constraints whose name is that of no index."""


class Sides(NamedTuple):
    """What is declared and what stands: catalogues, and SQLAlchemy's tables by name."""

    declared: Catalogue
    live: Catalogue
    declared_table: Tables
    live_table: Tables

    def ours(self, table: str) -> bool:
        """Tell whether a table is declared and stands."""
        return table in self.declared["tables"] and table in self.live["tables"]


@dataclass
class Changes:
    """What to do: `keys_gone` and `gone` before anything else changes, `ops` after.

    `done` are the keys of what Alembic would do as well.
    """

    keys_gone: list[MigrateOperation] = field(default_factory=list)
    gone: list[MigrateOperation] = field(default_factory=list)
    ops: list[MigrateOperation] = field(default_factory=list)
    done: set[Key] = field(default_factory=set)


def compare(
    sides: Sides, changes: Changes, seen: set[Key], aside: Aside, renamed: Pairs
) -> Iterator[Comparison]:
    """Compare them; tell the changes that Alembic has not `seen` and that do not step aside."""
    names = set()
    for new, old in renamed:
        names |= {new.name, old.name}
        word = WORDS[new.kind]
        yield Comparison(f"{word} {new.name}", f"declared, live called {old.signature}")
        keys = {(each.stem, each.signature) for each in (new, old)}
        if keys & seen:  # Alembic would drop the one and make the other
            yield Comparison(f"{word} {old.name}", f"there, declared called {new.signature}")
            changes.done |= keys
        changes.ops += [_rename(new, old), *comment(new, old)]
    for kind in ("constraints", "indexes"):
        for name in sorted(sides.declared[kind].keys() | sides.live[kind].keys()):
            wanted, stands = sides.declared[kind].get(name), sides.live[kind].get(name)
            item = wanted or stands
            if item and sides.ours(item.stem) and name not in names:
                yield of_items(wanted, stands)
                if name not in aside.names:
                    _tell(sides, changes, wanted, stands, seen=(item.stem, item.signature) in seen)


def _tell(
    sides: Sides, changes: Changes, wanted: Item | None, stands: Item | None, *, seen: bool
) -> None:
    if wanted and stands and wanted.definition == stands.definition:
        changes.ops += [] if seen else comment(wanted, stands)
        return
    unsaid = stands and (_raw(stands) or (not wanted and stands.definition.endswith("NOT VALID")))
    if seen and stands and unsaid:
        changes.done.add((stands.stem, stands.signature))
        seen = False
    if seen:
        changes.gone += _forget(stands) if stands else []
    elif wanted is None and stands:
        foreign = stands.definition.startswith("FOREIGN KEY")
        (changes.keys_gone if foreign else changes.gone).extend(_dropped(sides, stands))
    elif wanted:
        first = stands and _goes_with_a_column(sides, stands)
        (changes.gone if first else changes.ops).extend(_dropped(sides, stands) if stands else [])
        changes.ops += make(wanted, sides.declared_table(wanted.stem))


def _rename(new: Item, old: Item) -> AlterOp:
    both = [quoted(each.signature) for each in (old, new)]
    if new.kind == "indexes":
        before, after = (f"INDEX {each}" for each in both)
        return AlterOp(before, f"RENAME TO {both[1]}", f"RENAME TO {both[0]}", after=after)
    turns = ("RENAME CONSTRAINT {} TO {}".format(*each) for each in (both, both[::-1]))
    return AlterOp(f"TABLE {quoted(new.stem)}", *turns)


def comments(
    sides: Sides, seen: set[Key], aside: Aside, renamed: Pairs
) -> Iterator[MigrateOperation]:
    """Yield the comments of what is made anew: Alembic sets none."""
    kept = {new.name for new, _ in renamed}
    for name, wanted in sorted(sides.declared["constraints"].items()):
        stands = sides.live["constraints"].get(name)
        made = name in aside.names or stands is None or stands.definition != wanted.definition
        if (
            wanted.comment
            and name not in kept
            and (made or (wanted.stem, wanted.signature) in seen)
        ):
            yield from comment(wanted, None)


def _goes_with_a_column(sides: Sides, item: Item) -> bool:
    """Tell whether a column goes that it says: PostgreSQL would drop it too."""
    wanted, stands = (
        {each.signature for each in side["columns"].values() if each.stem == item.stem}
        for side in (sides.declared, sides.live)
    )
    return any(column_parts.says(each, item.definition) for each in stands - wanted)


def _raw(item: Item) -> bool:
    """Tell what SQLAlchemy reads or Alembic writes wrongly: it is dropped by its definition."""
    return item.kind == "constraints" and any(each in item.definition for each in _UNSAID)


def _dropped(sides: Sides, item: Item) -> Iterator[MigrateOperation]:
    return drop(item, sides.live_table(item.stem))


def _forget(item: Item) -> Iterator[MigrateOperation]:
    """Yield what takes the comment off, for the way back: nothing else brings it again."""
    if item.comment is not None:
        yield CommentOp(item, None, item.comment)


def comment(wanted: Item, stands: Item | None) -> Iterator[MigrateOperation]:
    """Yield what sets the comment, if it is not there."""
    before = stands.comment if stands else None
    if wanted.comment != before:
        yield CommentOp(wanted, wanted.comment, before)


def renamed(declared: Catalogue, live: Catalogue, again: set[str]) -> Iterator[tuple[Item, Item]]:
    """Yield constraints and indexes of which the name alone differs, as declared and as they stand.

    Where others refer to a key, it cannot be dropped and made again; and between the drop of any
    and its return nothing would hold. Not those that are made `again` with their column.
    """
    wanted, stands = (
        {each.name: each for each in column_parts.parts(side) if each.name not in again}
        for side in (declared, live)
    )
    others = {_nameless(each): each for n, each in stands.items() if n not in wanted}
    taken = {
        each.signature for each in stands.values() if not each.definition.startswith(_NO_INDEX)
    }
    functions = declared["functions"]
    changing = {  # a CHECK that calls one steps aside
        each.stem
        for name, each in live["functions"].items()
        if name not in functions or functions[name].signature != each.signature
    }
    for name, new in sorted(wanted.items()):
        old = others.get(_nameless(new)) if name not in stands else None
        # An index of the name, to which a key's index cannot be renamed, may go after this.
        free = new.definition.startswith(_NO_INDEX) or new.signature not in taken
        if old and free and not any(f"{each}(" in new.definition for each in changing):
            yield new, others.pop(_nameless(new))


def _nameless(item: Item) -> tuple[str, str, str]:
    text = item.definition
    if item.kind == "indexes":
        before, on, after = text.partition(" ON ")
        text = before.partition(" INDEX ")[0] + on + after
    return item.kind, item.stem, text


def drop(item: Item, live: sa.Table) -> Iterator[MigrateOperation]:
    """Yield the operations that take the live index or constraint away."""
    yield from _forget(item)
    old = find(item, live)
    index = item.kind == "indexes"
    if old is not None and not _raw(item):
        drops: Any = ops.DropIndexOp.from_index if index else ops.DropConstraintOp.from_constraint
        yield ops.ModifyTableOps(item.stem, [drops(old)])
    elif not index:
        name = f"CONSTRAINT {quoted(item.signature)}"
        back = f"ADD {name} {item.definition}"
        yield AlterOp(f"TABLE {quoted(item.stem)}", f"DROP {name}", back)


def make(item: Item, declared: sa.Table, *, validate: bool = True) -> Iterator[MigrateOperation]:
    """Yield the operation that makes the declared index or constraint.

    Without `validate` a CHECK or a foreign key holds for new rows only, until the next revision.
    """
    new = find(item, declared)
    if new is None:
        return
    index = item.kind == "indexes"
    operation: Any = ops.CreateIndexOp.from_index if index else ops.AddConstraintOp.from_constraint
    made = operation(new)
    yield ops.ModifyTableOps(item.stem, [made if validate else unvalidated(made)])


def find(item: Item, table: sa.Table) -> Any:  # noqa: ANN401 - of two kinds
    """Return the constraint or index of a table that `item` is, or None."""
    index = item.kind == "indexes"
    among: Any = table.indexes if index else table.constraints
    name_of = _PREPARER.format_index if index else _PREPARER.format_constraint
    named = {(name_of(each) or "").strip('"'): each for each in among if each.name}
    return named.get(item.signature)
