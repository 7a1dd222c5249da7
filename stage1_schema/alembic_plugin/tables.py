"""What Alembic does not see of a table: CHECK texts, index predicates, row security and more."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy.sql.naming import conv

from stage1_schema.alembic_plugin import column_parts, columns, generated, parts, touched
from stage1_schema.alembic_plugin.alter import AlterOp, options
from stage1_schema.alembic_plugin.comparison import FOREIGN, REFUSED, Comparison, of_items
from stage1_schema.alembic_plugin.declared import BESIDE
from stage1_schema.alembic_plugin.parts import Sides
from stage1_schema.alembic_plugin.sql_ops import DropSqlObjectOp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, OpContainer, UpgradeOps
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item
    from stage1_schema.alembic_plugin.column_parts import Aside
    from stage1_schema.alembic_plugin.parts import Tables

    Key = tuple[str, str]

_TURNS = {
    "logged": "SET LOGGED",
    "unlogged": "SET UNLOGGED",
    "row security on": "ENABLE ROW LEVEL SECURITY",
    "row security off": "DISABLE ROW LEVEL SECURITY",
    "for the owner too": "FORCE ROW LEVEL SECURITY",
    "for the owner not": "NO FORCE ROW LEVEL SECURITY",
}
"""What brings a line of a table's definition about."""

_NULLS = "postgresql_nulls_not_distinct"


def compare(connection: Connection, sides: Sides, upgrade_ops: UpgradeOps) -> Iterator[Comparison]:
    """Compare tables that stand, with all that Alembic does not see of them; add operations.

    A table that Alembic creates or drops is left to it. What it changes itself is compared, for
    the words, but not changed again.
    """
    declared, live = sides.declared, sides.live
    seen, seen_parts = touched.seen(upgrade_ops)
    remade = set(generated.remade(set(touched.roots(upgrade_ops)), declared, live))
    aside = column_parts.aside(connection, remade, declared, live)
    touched.take_out(upgrade_ops, columns=remade, parts=aside.keys)
    altered = ops.UpgradeOps([])
    yield from _tables(altered, declared, live, seen)
    gone: list[MigrateOperation] = []
    others, live_others = (generated.without(side, remade) for side in (declared, live))
    yield from columns.compare(connection, upgrade_ops, others, live_others, sides[2:], gone)
    renamed = list(parts.renamed(declared, live, aside.names))
    changes = parts.Changes()
    yield from parts.compare(sides, changes, seen_parts, aside, renamed)
    touched.take_out(upgrade_ops, parts=changes.done)
    upgrade_ops.ops += changes.ops
    wanted, stands = (generated.expressions(side) for side in (declared, live))
    for key in sorted(wanted.keys() | stands.keys()):
        if sides.ours(key[0]) and (key not in seen or key in remade):
            yield of_items(wanted.get(key), stands.get(key))
    upgrade_ops.ops += gone
    upgrade_ops.ops += _back(sides, remade, aside)
    upgrade_ops.ops += parts.comments(sides, seen_parts, aside, renamed)
    # Foreign keys first, for they rest on others; a replica identity on an index that may go.
    first = [*altered.ops, *changes.keys_gone, *_away(sides, remade, aside), *changes.gone]
    tables_gone = [n for n, each in enumerate(upgrade_ops.ops) if isinstance(each, ops.DropTableOp)]
    after = max(tables_gone, default=-1) + 1  # their foreign keys go with them
    upgrade_ops.ops[after:after] = first


def _away(sides: Sides, remade: set[Key], aside: Aside) -> Iterator[MigrateOperation]:
    """Yield what drops the columns, and before them what would go with them unsaid."""
    for each in reversed(aside.old):
        yield from parts.drop(each, sides.live_table(each.stem))
    for table, column in sorted(remade & column_parts.columns(sides.live).keys()):
        old = sides.live_table(table).columns[column]
        drop = ops.DropColumnOp.from_column_and_tablename(None, table, old)
        yield ops.ModifyTableOps(table, [drop])


def _back(sides: Sides, remade: set[Key], aside: Aside) -> Iterator[MigrateOperation]:
    """Yield what makes the columns as they are declared, and what belongs to them."""
    for table, column in sorted(remade & column_parts.columns(sides.declared).keys()):
        new = sides.declared_table(table).columns[column]
        add = ops.AddColumnOp.from_column_and_tablename(None, table, new)
        yield ops.ModifyTableOps(table, [add])
    stood = {each.name for each in aside.old} - aside.remade
    for each in aside.new:
        declared = sides.declared_table(each.stem)
        yield from parts.make(each, declared, validate=each.name not in stood)


def _tables(
    upgrade_ops: UpgradeOps, declared: Catalogue, live: Catalogue, seen: set[tuple[str, str]]
) -> Iterator[Comparison]:
    for name, stands in sorted(live["tables"].items()):
        wanted = declared["tables"].get(name)
        if wanted is not None:
            yield _of_table(wanted, stands)
            upgrade_ops.ops += _alterations(wanted, stands)
        elif (name, "*") not in seen:
            of_view = ", and has the name of a view: rename or drop it"
            why = FOREIGN[0] + of_view * (name in declared["views"])
            yield Comparison(f"table {name}", skipped=why)
    for name in sorted(declared["tables"].keys() - live["tables"].keys()):
        if (name, "*") not in seen:  # Alembic does not look at the history
            yield of_items(declared["tables"][name], None)
            create = ops.CreateTableOp.from_table(BESIDE.tables[name])
            create.if_not_exists = True  # a step that is recorded makes it
            upgrade_ops.ops.append(create)
    for name, rule in sorted(live["rules"].items()):
        if rule.stem in declared["tables"] and rule.stem in live["tables"]:
            yield Comparison(name, "there, not declared")
            # First, for it may use a column that changes.
            upgrade_ops.ops.insert(0, DropSqlObjectOp(*name.split(" ", 1)))


def _of_table(wanted: Item, stands: Item) -> Comparison:
    """Compare two tables but for the comment, which is Alembic's."""
    result = of_items(wanted, replace(stands, comment=wanted.comment))
    if wanted.definition.split("\n")[0] == stands.definition.split("\n")[0]:
        return result
    way_out = "put its rows away and drop it; a revision then makes it anew"
    return replace(result, difference=f"{result.difference}{REFUSED}{way_out}")


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
        elif new != old and new.startswith("parents"):
            for parent in old.removeprefix("parents ").split(", "):  # nor a parent
                turns = (f"{no}INHERIT {parent}" for no in ("NO ", ""))
                yield AlterOp(f"TABLE {wanted.name}", *turns)
        elif new != old and new.startswith(("REPLICA", "SET WITHOUT CLUSTER")):
            yield AlterOp(f"TABLE {wanted.name}", new, old)


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
            kw = getattr(again, "kw", {})
            for name, value in kw.pop("dialect_options", {}).items():  # as SQLAlchemy reads a CHECK
                kw[f"postgresql_{name}"] = value
            if not kw.get(_NULLS, True):  # PostgreSQL 14 has no word for it
                del again.kw[_NULLS]


def sides(context: AutogenContext, declared: Catalogue, live: Catalogue, reflect: Tables) -> Sides:
    """Return both catalogues with SQLAlchemy's tables: as declared, and reflected when asked."""
    metadata: Any = context.metadata
    tables = {**BESIDE.tables, **metadata.tables}
    return Sides(declared, live, tables.__getitem__, cache(reflect))
