"""What Alembic does not see of a column: precision, collation, kind of identity, its sequence.

Alembic does not look at its own version table and at the history either: their columns are
compared here as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy.types import NullType

from stage1_schema.alembic_plugin import retype, touched
from stage1_schema.alembic_plugin.alter import AdvanceOp, AlterOp, options
from stage1_schema.alembic_plugin.comparison import Comparison, of_items
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa
    from alembic.operations.ops import MigrateOperation, OpContainer, UpgradeOps
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

    Key = tuple[str, str]
    Tables = Callable[[str], sa.Table]

_TYPE, _NULL, _IDENTITY, _STORAGE, _COMPRESSION, _, _OPTIONS, _DEFAULT = range(8)
"""The lines of a column's definition in the catalogue."""
_ALL = frozenset(range(8))


def compare(  # noqa: PLR0917
    connection: Connection,
    upgrade_ops: UpgradeOps,
    declared: Catalogue,
    live: Catalogue,
    tables: tuple[Tables, Tables],
    gone: list[MigrateOperation],
) -> Iterator[Comparison]:
    """Compare columns and their sequences in what Alembic left; add operations.

    `tables` give a table as it is declared, and as it stands. What drops a column, with what
    stands on it, goes to `gone`.
    """
    seen = dict(_seen(upgrade_ops))
    wanted, stands = (_by_name(side, "columns") for side in (declared, live))
    changed = set()
    for key in sorted(wanted.keys() | stands.keys()):
        table, column = key
        if table not in declared["tables"] or table not in live["tables"]:
            continue
        done = seen.get(key, frozenset()) | seen.get((table, "*"), frozenset())
        new, old = wanted.get(key), stands.get(key)
        if new is None or old is None:
            if done != _ALL:
                yield of_items(new, old)
            upgrade_ops.ops += [_added(new, tables)] if new and done != _ALL else []
            gone += _dropped(upgrade_ops, old, tables, seen=done == _ALL) if old else []
            continue
        if "" in (_lines(new)[_DEFAULT], _lines(old)[_DEFAULT]):
            done |= {_DEFAULT}  # it is generated, or shall be: made anew
        retyped = _TYPE in done or _lines(new)[_TYPE] != _lines(old)[_TYPE]
        if retyped:
            done |= {_STORAGE, _COMPRESSION}  # another type brings its own
        recast = retyped and retype.told(
            connection, table, column, (new.definition, old.definition)
        )
        new, old = (_only(each, _ALL - done) for each in (new, old))
        yield of_items(new, replace(old, comment=new.comment))  # a comment is Alembic's
        if recast:
            retype.take(upgrade_ops, table, column)
            upgrade_ops.ops.append(recast)
            new, old = (_only(each, _ALL - done - {_TYPE, _DEFAULT}) for each in (new, old))
        upgrade_ops.ops += _alterations(new, old)
        if _lines(new)[_IDENTITY] != _lines(old)[_IDENTITY]:
            changed.add(key)
    yield from _sequences(upgrade_ops, declared, live, changed)


def _by_name(side: Catalogue, kind: str) -> dict[Key, Item]:
    """Return columns by table and name: one that was added again stands last."""
    return {
        (each.stem, each.signature): replace(each, name=f"{each.stem}.{each.signature}")
        if kind == "columns"
        else each
        for each in side[kind].values()
    }


def _lines(item: Item) -> list[str]:
    return item.definition.split("\n", _DEFAULT)


def _only(item: Item, lines: frozenset[int]) -> Item:
    said = (line if n in lines else "" for n, line in enumerate(_lines(item)))
    return replace(item, definition="\n".join(said))


def _added(item: Item, tables: tuple[Tables, Tables]) -> MigrateOperation:
    new = tables[0](item.stem).columns[item.signature]
    add = ops.AddColumnOp.from_column_and_tablename(None, item.stem, new)
    return ops.ModifyTableOps(item.stem, [add])


def _dropped(
    upgrade_ops: UpgradeOps, item: Item, tables: tuple[Tables, Tables], *, seen: bool
) -> Iterator[MigrateOperation]:
    """Yield the drop, if Alembic has not `seen` it or could not add the column again."""
    old = tables[1](item.stem).columns[item.signature]
    if isinstance(old.type, NullType):
        touched.take_out(upgrade_ops, columns={(item.stem, item.signature)})
        yield _drop_unknown(item)
    elif not seen:
        drop = ops.DropColumnOp.from_column_and_tablename(None, item.stem, old)
        yield ops.ModifyTableOps(item.stem, [drop])


def _drop_unknown(item: Item) -> AlterOp:
    """Return the drop of a column whose type SQLAlchemy does not know, and cannot add again."""
    column, lines = quoted(item.signature), _lines(item)
    default = lines[_DEFAULT].removeprefix("no default")
    back = f"ADD COLUMN {column} {lines[_TYPE]} {default} {lines[_NULL].partition(' NOT V')[0]}"
    drop = f"DROP COLUMN {column}"
    return AlterOp(f"TABLE {quoted(item.stem)}", drop, back, column=item.signature)


def _alterations(wanted: Item, stands: Item) -> list[MigrateOperation]:
    table, column = map(quoted, (wanted.stem, wanted.signature))
    found: list[MigrateOperation] = []
    for line, (new, old) in enumerate(zip(_lines(wanted), _lines(stands), strict=True)):
        if new != old:
            turns = (_turn(line, new, old), _turn(line, old, new))
            change, back = (f"ALTER COLUMN {column} {turn}" for turn in turns)
            retyped = wanted.signature if line == _TYPE else None
            alter = AlterOp(f"TABLE {table}", change, back, column=retyped)
            advance = [AdvanceOp(table, column)] * ("IDENTITY" in change + back)
            # No column has both a default and an identity: what goes is first.
            found = [*advance, alter, *found] if " DROP " in change else [*found, alter, *advance]
    return found


def _turn(line: int, new: str, old: str) -> str:
    """Return what brings one line of a column's definition about."""
    if line == _IDENTITY:
        return _identity(new, old)
    if line == _OPTIONS:
        return options(new, old)
    turns = {
        _TYPE: f"TYPE {new}",
        _NULL: "SET NOT NULL" if new.startswith("NOT NULL") else "DROP NOT NULL",
        _DEFAULT: f"SET {new}" if new.startswith("DEFAULT") else "DROP DEFAULT",
    }
    return turns.get(line, f"SET {new}")


def _identity(new: str, old: str) -> str:
    if not new.startswith("GENERATED"):
        return "DROP IDENTITY"
    return f"SET {new}" if old.startswith("GENERATED") else f"ADD {new} AS IDENTITY"


def _sequences(
    upgrade_ops: UpgradeOps, declared: Catalogue, live: Catalogue, changed: set[Key]
) -> Iterator[Comparison]:
    """Compare the sequence of each column; one that comes or goes does so with its column."""
    wanted, stands = (_by_name(side, "sequences") for side in (declared, live))
    for key in sorted((wanted.keys() & stands.keys()) - changed):
        new, old = wanted[key], stands[key]
        if new.name != old.name:
            yield Comparison(f"sequence {old.name}", f"declared name {new.name}, live {old.name}")
            rename, back = (f"RENAME TO {each.name}" for each in (new, old))
            rename_op = AlterOp(f"SEQUENCE {old.name}", rename, back, after=f"SEQUENCE {new.name}")
            upgrade_ops.ops.append(rename_op)
        result = of_items(new, replace(old, comment=new.comment))
        yield result
        if result.difference:
            change, back = (" ".join(each.definition.split("\n")) for each in (new, old))
            upgrade_ops.ops.append(AlterOp(f"SEQUENCE {new.name}", change, back))


def _seen(container: OpContainer) -> Iterator[tuple[Key, frozenset[int]]]:
    """Yield the columns that Alembic changes, and what of them."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from _seen(each)
        elif isinstance(each, ops.CreateTableOp | ops.DropTableOp):
            yield (each.table_name, "*"), _ALL
        elif isinstance(each, ops.AddColumnOp):
            yield (each.table_name, each.column.name), _ALL
        elif isinstance(each, ops.DropColumnOp):
            yield (each.table_name, each.column_name), _ALL
        elif isinstance(each, ops.AlterColumnOp):
            lines = {_TYPE} if each.modify_type is not None else set()
            lines |= {_NULL} if each.modify_nullable is not None else set()
            lines |= {_DEFAULT, _IDENTITY} if each.modify_server_default is not False else set()
            yield (each.table_name, each.column_name), frozenset(lines)
