"""What Alembic does not see of a table: CHECK texts, index predicates, row security and more."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.naming import conv

from stage1_schema.alembic_plugin import columns, generated
from stage1_schema.alembic_plugin.alter import AlterOp, options
from stage1_schema.alembic_plugin.comparison import FOREIGN, Comparison, of_items
from stage1_schema.alembic_plugin.declared import BESIDE
from stage1_schema.alembic_plugin.sql_ops import DropSqlObjectOp
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, OpContainer, UpgradeOps

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

_TURNS = {
    "logged": "SET LOGGED",
    "unlogged": "SET UNLOGGED",
    "row security on": "ENABLE ROW LEVEL SECURITY",
    "row security off": "DISABLE ROW LEVEL SECURITY",
    "for the owner too": "FORCE ROW LEVEL SECURITY",
    "for the owner not": "NO FORCE ROW LEVEL SECURITY",
}
"""What brings a line of a table's definition about."""

_PREPARER: Any = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]
_NULLS = "postgresql_nulls_not_distinct"
_NO_INDEX = ("CHECK", "FOREIGN KEY")
"""Constraints whose name is that of no index."""


def compare(
    context: AutogenContext, upgrade_ops: UpgradeOps, declared: Catalogue, live: Catalogue
) -> Iterator[Comparison]:
    """Compare tables that stand, with all that Alembic does not see of them; add operations.

    A table that Alembic creates or drops is left to it. What it changes itself is compared, for
    the words, but not changed again.
    """
    seen = set(_seen(upgrade_ops))
    wanted_tables, live_tables = _declared(context), cache(partial(reflect, context))
    remade = set(generated.remade(set(roots(upgrade_ops)), declared, live))
    old_parts, new_parts = generated.parts(remade, live, declared)
    again = {each.name for each in (*old_parts, *new_parts)}
    keys = {(each.stem, each.signature) for each in (*old_parts, *new_parts)}
    _take_out(upgrade_ops, remade | keys)
    upgrade_ops.ops[:0] = _away(remade & generated.columns(live).keys(), old_parts, live_tables)
    yield from _tables(upgrade_ops, declared, live, seen)
    gone: list[MigrateOperation] = []
    others, live_others = (generated.without(side, remade) for side in (declared, live))
    sides = wanted_tables, live_tables
    assert context.connection is not None  # noqa: S101 - the catalogue was read by it
    yield from columns.compare(context.connection, upgrade_ops, others, live_others, sides, gone)
    renamed = set()
    for new, old in _renamed(declared, live, again):
        renamed |= {new.name, old.name}
        yield Comparison(f"constraint {new.name}", f"declared, live called {old.signature}")
        keys = {(each.stem, each.signature) for each in (new, old)}
        if keys & seen:  # Alembic would drop the one and make the other
            yield Comparison(f"constraint {old.name}", f"there, declared called {new.signature}")
            _take_out(upgrade_ops, keys)
        names = [quoted(each.signature) for each in (old, new)]
        turns = ("RENAME CONSTRAINT {} TO {}".format(*each) for each in (names, names[::-1]))
        upgrade_ops.ops.append(AlterOp(f"TABLE {quoted(new.stem)}", *turns))
    for kind in ("constraints", "indexes", "generated"):
        for name in sorted(declared[kind].keys() | live[kind].keys()):
            wanted, stands = declared[kind].get(name), live[kind].get(name)
            item = wanted or stands
            if item is None or not _ours(item, declared, live):
                continue
            key = (item.stem, item.signature)
            if (item.stem, "*") in seen or name in renamed:
                continue
            if kind == "generated" and key in seen and key not in remade:
                continue
            result = of_items(wanted, stands)
            yield result
            if not result.equal and kind != "generated" and key not in seen and name not in again:
                upgrade_ops.ops += _drop(kind, item, live_tables(item.stem), stands)
                upgrade_ops.ops += _make(kind, item, wanted_tables(item.stem))
    upgrade_ops.ops += gone
    upgrade_ops.ops += _back(remade & generated.columns(declared).keys(), new_parts, wanted_tables)


def _away(
    remade: set[tuple[str, str]], parts: list[Item], live: Callable[[str], sa.Table]
) -> Iterator[MigrateOperation]:
    """Yield what drops the columns, and before them what would go with them unsaid."""
    for each in reversed(parts):
        yield from _drop(each.kind, each, live(each.stem), each)
    for table, column in sorted(remade):
        old = live(table).columns[column]
        drop = ops.DropColumnOp.from_column_and_tablename(None, table, old)
        yield ops.ModifyTableOps(table, [drop])


def _back(
    remade: set[tuple[str, str]], parts: list[Item], declared: Callable[[str], sa.Table]
) -> Iterator[MigrateOperation]:
    """Yield what makes the columns as they are declared, and what belongs to them."""
    for table, column in sorted(remade):
        new = declared(table).columns[column]
        add = ops.AddColumnOp.from_column_and_tablename(None, table, new)
        yield ops.ModifyTableOps(table, [add])
    for each in parts:
        yield from _make(each.kind, each, declared(each.stem))


def _renamed(declared: Catalogue, live: Catalogue, again: set[str]) -> Iterator[tuple[Item, Item]]:
    """Yield constraints of which the name alone differs, as declared and as they stand.

    Where others refer to a key, it cannot be dropped and made again; and between the drop of any
    and its return nothing would hold. Not those that are made `again` with their column.
    """
    wanted, stands = (
        {name: each for name, each in side["constraints"].items() if name not in again}
        for side in (declared, live)
    )
    others = {(each.stem, each.definition): each for n, each in stands.items() if n not in wanted}
    keys = [each for each in stands.values() if not each.definition.startswith(_NO_INDEX)]
    taken = {each.signature for each in (*live["indexes"].values(), *keys)}
    functions = declared["functions"]
    changing = {  # a CHECK that calls one steps aside
        each.stem
        for name, each in live["functions"].items()
        if name not in functions or functions[name].signature != each.signature
    }
    for name, new in sorted(wanted.items()):
        old = others.get((new.stem, new.definition)) if name not in stands else None
        # An index of the name, to which a key's index cannot be renamed, may go after this.
        free = new.definition.startswith(_NO_INDEX) or new.signature not in taken
        if old and free and not any(f"{each}(" in new.definition for each in changing):
            yield new, others.pop((new.stem, new.definition))


def _tables(
    upgrade_ops: UpgradeOps, declared: Catalogue, live: Catalogue, seen: set[tuple[str, str]]
) -> Iterator[Comparison]:
    for name, stands in sorted(live["tables"].items()):
        wanted = declared["tables"].get(name)
        if wanted is not None:
            # A comment is Alembic's.
            yield of_items(wanted, replace(stands, comment=wanted.comment))
            upgrade_ops.ops += _alterations(wanted, stands)
        elif (name, "*") not in seen:
            yield Comparison(f"table {name}", skipped=FOREIGN[0])
    for name in sorted(declared["tables"].keys() - live["tables"].keys()):
        if (name, "*") not in seen:  # Alembic does not look at the history
            yield of_items(declared["tables"][name], None)
            create = ops.CreateTableOp.from_table(BESIDE.tables[name])
            create.if_not_exists = True  # a step that is recorded makes it
            upgrade_ops.ops.append(create)
    for name, rule in sorted(live["rules"].items()):
        if _ours(rule, declared, live):
            yield Comparison(name, "there, not declared")
            # First, for it may use a column that changes.
            upgrade_ops.ops.insert(0, DropSqlObjectOp(*name.split(" ", 1)))


def _alterations(wanted: Item, stands: Item) -> Iterator[MigrateOperation]:
    for new, old in zip(wanted.definition.split("\n"), stands.definition.split("\n"), strict=True):
        if new != old and new in _TURNS:
            yield AlterOp(f"TABLE {wanted.name}", _TURNS[new], _TURNS[old])
        elif new != old and new.startswith("options"):
            yield AlterOp(f"TABLE {wanted.name}", options(new, old), options(old, new))
        elif new != old and new.startswith("children"):
            for child in old.removeprefix("children ").split(", "):  # nothing declares one
                turns = (f"{no}INHERIT {wanted.name}" for no in ("NO ", ""))
                yield AlterOp(f"TABLE {child}", *turns)
        elif new != old and new.startswith("REPLICA"):
            yield AlterOp(f"TABLE {wanted.name}", new, old)


def roots(container: OpContainer) -> Iterator[tuple[str, str]]:
    """Yield (table, column) of every column that changes its type or goes; `*` for a table."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from roots(each)
        elif isinstance(each, ops.DropTableOp):
            yield each.table_name, "*"
        elif isinstance(each, ops.DropColumnOp) or (
            isinstance(each, ops.AlterColumnOp) and each.modify_type is not None
        ):
            yield each.table_name, each.column_name
        elif isinstance(each, AlterOp) and each.column is not None:
            yield each.target.split()[1].strip('"'), each.column


def keep_names(container: OpContainer) -> None:
    """Have names of constraints that stand written as they are.

    Without `op.f` a revision would put them through the naming convention a second time.
    """
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            keep_names(each)
        elif isinstance(each, ops.DropConstraintOp):
            again: Any = each._reverse  # noqa: SLF001 - Alembic builds it from the same name
            for operation in (each, again):
                if operation is not None and operation.constraint_name:
                    operation.constraint_name = conv(str(operation.constraint_name))
            if not getattr(again, "kw", {}).get(_NULLS, True):  # PostgreSQL 14 has no word for it
                del again.kw[_NULLS]


def _seen(container: OpContainer) -> Iterator[tuple[str, str]]:
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from _seen(each)
        else:
            yield from _keys(each)


def _keys(operation: MigrateOperation) -> Iterator[tuple[str, str]]:
    """Yield the table and the name of what an operation makes, changes or drops."""
    each: Any = operation
    table = getattr(each, "table_name", None) or getattr(each, "source_table", None)
    if isinstance(each, ops.CreateTableOp | ops.DropTableOp):
        yield each.table_name, "*"
    for attribute in ("constraint_name", "index_name", "column_name"):
        if table and (name := getattr(each, attribute, None)):
            yield table, str(name)
    if table and isinstance(each, ops.AddColumnOp):
        yield table, each.column.name
    elif table and isinstance(each, ops.AddConstraintOp):
        name = _PREPARER.format_constraint(each.to_constraint())  # PostgreSQL cuts a long one
        yield table, (name or "").strip('"')


def _take_out(container: OpContainer, keys: set[tuple[str, str]]) -> None:
    """Take out what Alembic would do with columns, indexes or constraints: it is done here."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            _take_out(each, keys)
    container.ops[:] = [
        each
        for each in container.ops
        if (each.ops if isinstance(each, ops.ModifyTableOps) else not keys & set(_keys(each)))
    ]


def _ours(item: Item, declared: Catalogue, live: Catalogue) -> bool:
    return item.stem in declared["tables"] and item.stem in live["tables"]


def _declared(context: AutogenContext) -> Callable[[str], sa.Table]:
    metadata: Any = context.metadata
    return {**BESIDE.tables, **metadata.tables}.__getitem__


def reflect(context: AutogenContext, name: str) -> sa.Table:
    """Return a table as it stands."""
    if context.connection is None:
        raise ValueError("no connection")
    return sa.Table(name, sa.MetaData(), autoload_with=context.connection)


def _drop(kind: str, item: Item, live: sa.Table, stands: Item | None) -> Iterator[MigrateOperation]:
    """Yield the operation that takes the live index or constraint away, if it `stands`."""
    old = find(kind, item, live)
    if kind == "constraints" and stands and old is None:  # SQLAlchemy reads none that excludes
        name = f"CONSTRAINT {quoted(item.signature)}"
        back = f"ADD {name} {stands.definition}"
        yield AlterOp(f"TABLE {quoted(item.stem)}", f"DROP {name}", back)
    elif old is not None:
        index = kind == "indexes"
        drop: Any = ops.DropIndexOp.from_index if index else ops.DropConstraintOp.from_constraint
        yield ops.ModifyTableOps(item.stem, [drop(old)])


def _make(kind: str, item: Item, declared: sa.Table) -> Iterator[MigrateOperation]:
    """Yield the operation that makes the declared index or constraint, if there is one."""
    new = find(kind, item, declared)
    if new is not None:
        index = kind == "indexes"
        make: Any = ops.CreateIndexOp.from_index if index else ops.AddConstraintOp.from_constraint
        yield ops.ModifyTableOps(item.stem, [make(new)])


def find(kind: str, item: Item, table: sa.Table) -> Any:  # noqa: ANN401 - of two kinds
    """Return the constraint or index of a table that `item` is, or None."""
    among: Any = table.indexes if kind == "indexes" else table.constraints
    name_of = _PREPARER.format_index if kind == "indexes" else _PREPARER.format_constraint
    named = {(name_of(each) or "").strip('"'): each for each in among if each.name}
    return named.get(item.signature)
