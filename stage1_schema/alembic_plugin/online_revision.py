"""Put what would keep writers out of a standing table into a generated revision of its own.

Online operations leave the transaction, and all of their revision must be repeatable. So they come
after what else changed, alone. What that would break stays as Alembic wrote it: on a table that is
made or dropped with it, a key that a new foreign key needs, and in place of something that a
dropped column or function would take along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import ClauseElement, ColumnClause, TextClause
from sqlalchemy.dialects.postgresql.base import PGDialect

from stage1_schema.alembic_plugin import online, touched
from stage1_schema.alembic_plugin.alter import AlterOp, CommentOp
from stage1_schema.alembic_plugin.not_null import SetNotNullOnlineOp
from stage1_schema.alembic_plugin.online_constraints import (
    AddCheckOnlineOp,
    AddForeignKeyOnlineOp,
    Unvalidated,
    ValidateOnlineOp,
)
from stage1_schema.alembic_plugin.sql_ops import DropSqlObjectOp
from stage1_schema.alembic_plugin.verbatim import without_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.operations import MigrateOperation
    from alembic.runtime.migration import MigrationContext

Key = tuple[str, str]
_DIALECT: Any = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # `%` stays single
_CONSTRAINTS = (AddCheckOnlineOp, AddForeignKeyOnlineOp)
"""What nothing else in a revision can need."""
_INDEX_OPTIONS = {"where", "ops", "using", "include"}


@dataclass(frozen=True)
class _Step:
    """What is moved from the revision: `taken` of Alembic's operations, and what stands for them.

    `back` is in the order in which the way back runs it.
    """

    taken: tuple[MigrateOperation, ...]
    forward: tuple[MigrateOperation, ...]
    back: tuple[MigrateOperation, ...]


def split(
    context: MigrationContext, script: ops.MigrationScript, number: str
) -> list[ops.MigrationScript]:
    """Return `script`, without what can be done online, and the revision `number` that does it.

    Either is left out where it is empty.
    """
    upgrade = script.upgrade_ops
    steps = list(_steps(context, list(touched.flat(upgrade)))) if upgrade else []
    if upgrade is None or not steps:
        return [script]
    taken = {id(each) for step in steps for each in step.taken}
    touched.remove(upgrade, lambda each: id(each) in taken)
    script.downgrade_ops = upgrade.reverse()
    empty = upgrade.is_empty()
    after = ops.MigrationScript(
        script.rev_id if empty else number,
        ops.UpgradeOps([each for step in steps for each in step.forward]),
        ops.DowngradeOps([each for step in reversed(steps) for each in step.back]),
        message=script.message if empty else f"{script.message} online",
        imports=set(script.imports),
        head=script.head,
        version_path=script.version_path,
    )
    return [after] if empty else [script, after]


def _steps(context: MigrationContext, flat: list[MigrateOperation]) -> Iterator[_Step]:
    whole = (ops.CreateTableOp, ops.DropTableOp)
    tables = {each.table_name for each in flat if isinstance(each, whole)}
    fixed = tables | set(_referenced(flat))
    losing = {each.table_name for each in flat if isinstance(each, ops.DropColumnOp)}
    functions = {
        each.name.partition("(")[0]
        for each in flat
        if isinstance(each, DropSqlObjectOp) and each.kind == "function"
    }
    yield from _filled(flat, tables)
    gone, early = _gone(context, flat), _early(flat)
    made = {
        key: (each, new)
        for each in flat
        if (new := _online(context, each))
        and (key := _key(context, each))
        and key[0] not in (tables if isinstance(new, _CONSTRAINTS) else fixed)
    }
    for key, (each, new) in made.items():
        old = gone.pop(key, None)
        comments, said, recalled = _comments(flat, key)
        if old is None or (id(old) in early and key[0] not in losing):
            yield _Step((each, *said), (new, *said), (new.reverse(),))
        elif key[0] not in losing and not _calls(context, old, functions):
            again = old.reverse()
            drop = _drop(key, old)
            back = _online(context, again) or again
            taken = (old, each, *comments)
            yield _Step(taken, (drop, new, *said), (new.reverse(), back, *recalled))
    yield from _validations(context, flat)
    replaced, names = _replaced(flat, made), set(_names(context, flat))
    for key, old in gone.items():
        stays = key[0] in fixed | losing or key[1] in names or id(old) in early
        if stays or _calls(context, old, functions):
            continue
        comments, _, recalled = _comments(flat, key)
        again = old.reverse()
        online_again = _online(context, again)
        if isinstance(old, ops.DropIndexOp):
            yield _Step((old, *comments), (_drop(key, old),), (online_again or again, *recalled))
        elif online_again and (key[0], type(online_again)) in replaced:
            # The new one holds by then.
            yield _Step((old, *comments), (_drop(key, old),), (online_again, *recalled))


def _filled(flat: list[MigrateOperation], tables: set[str]) -> Iterator[_Step]:
    """Yield columns that become NOT NULL, but where a key or an identity needs that before."""
    needed = {_table(each) for each in flat if isinstance(each, AlterOp | ops.CreatePrimaryKeyOp)}
    for each in flat:
        if (
            isinstance(each, ops.AlterColumnOp)
            and each.modify_nullable is False
            and each.table_name not in tables | needed
        ):
            each.modify_nullable = None  # what else changes stays
            new = SetNotNullOnlineOp(each.table_name, each.column_name)
            yield _Step((each,) * (not each.has_changes()), (new,), (new.reverse(),))


def _comments(
    flat: list[MigrateOperation], key: Key
) -> tuple[list[CommentOp], list[CommentOp], list[CommentOp]]:
    """Return the comments of something: all, those that are set, and what the way back sets."""
    found = [each for each in flat if isinstance(each, CommentOp) and each.key == key]
    said = [each for each in found if each.comment is not None]
    return found, said, [each.reverse() for each in found if each.comment is None]


def _gone(
    context: MigrationContext, flat: list[MigrateOperation]
) -> dict[Key, ops.DropIndexOp | ops.DropConstraintOp]:
    return {
        key: each
        for each in flat
        if isinstance(each, ops.DropIndexOp | ops.DropConstraintOp)
        and (key := _key(context, each)) is not None
    }


def _early(flat: list[MigrateOperation]) -> set[int]:
    """Return what stands before a column's new type, by id: there it has to stay."""
    return {
        id(each)
        for n, each in enumerate(flat)
        if any(_retypes(later, _table(each)) for later in flat[n:])
    }


def _retypes(operation: MigrateOperation, table: str) -> bool:
    if isinstance(operation, AlterOp):
        return operation.column is not None and _table(operation) == table
    alter = isinstance(operation, ops.AlterColumnOp) and operation.modify_type is not None
    return alter and _table(operation) == table


def _validations(context: MigrationContext, flat: list[MigrateOperation]) -> Iterator[_Step]:
    for each in flat:
        if isinstance(each, Unvalidated) and (key := _key(context, each)):
            validate = ValidateOnlineOp(key[1], key[0])
            yield _Step((), (validate,), (validate,))  # on the way back it stays valid


def _replaced(
    flat: list[MigrateOperation], made: dict[Key, tuple[MigrateOperation, MigrateOperation]]
) -> set[tuple[str, type]]:
    """Return tables that get UNIQUEs or CHECKs online, with which; nothing else of them changes.

    A change of a column may need what stands to go first.
    """
    keyed = ops.AddConstraintOp | ops.DropConstraintOp | ops.CreateIndexOp | ops.DropIndexOp
    keyed |= CommentOp
    changed = {_table(each) for each in flat if not isinstance(each, keyed)}
    found = ((key[0], type(new)) for key, (_, new) in made.items())
    kinds = (online.CreateUniqueOnlineOp, AddCheckOnlineOp)
    return {each for each in found if each[1] in kinds and each[0] not in changed}


def _table(operation: MigrateOperation) -> str:
    if isinstance(operation, AlterOp):
        return operation.table
    return str(getattr(operation, "table_name", ""))


def _names(context: MigrationContext, flat: list[MigrateOperation]) -> Iterator[str]:
    """Yield the names of what is made: none is free while an index of another table has it."""
    for each in flat:
        made = isinstance(each, ops.AddConstraintOp | ops.CreateIndexOp)
        if made and (key := _key(context, each)):
            yield key[1]


def _calls(
    context: MigrationContext, old: ops.DropIndexOp | ops.DropConstraintOp, functions: set[str]
) -> bool:
    """Tell whether what `old` drops may call one of the `functions`."""
    made = _online(context, old.reverse()) if functions else None
    text = str(made.to_diff_tuple()) if made else ""
    return bool(functions) and (made is None or any(name in text for name in functions))


def _drop(key: Key, old: ops.DropIndexOp | ops.DropConstraintOp) -> MigrateOperation:
    if isinstance(old, ops.DropIndexOp):
        return online.DropIndexOnlineOp(key[1])
    return ops.DropConstraintOp(
        old.constraint_name, old.table_name, old.constraint_type, if_exists=True
    )


def _online(context: MigrationContext, operation: MigrateOperation) -> MigrateOperation | None:
    """Return the operation that does the same online; None where there is none."""
    if isinstance(operation, ops.CreateIndexOp):
        return _index(context, operation)
    if isinstance(operation, ops.CreateForeignKeyOp):
        return _foreign_key(context, operation)
    if not isinstance(operation, ops.CreateUniqueConstraintOp | ops.CreateCheckConstraintOp):
        return None
    key = _key(context, operation)
    if key is None or any(operation.kw.values()):  # deferrable, or meant to stay NOT VALID
        return None
    if isinstance(operation, ops.CreateUniqueConstraintOp):
        columns = [_DIALECT.identifier_preparer.quote(each) for each in operation.columns]
        return online.CreateUniqueOnlineOp(key[1], key[0], columns)
    constraint: Any = operation.to_constraint(context)
    return AddCheckOnlineOp(key[1], key[0], _text(constraint.sqltext))


def _foreign_key(
    context: MigrationContext, operation: ops.CreateForeignKeyOp
) -> MigrateOperation | None:
    given = {name: value for name, value in operation.kw.items() if value}
    key = _key(context, operation)
    if key is None or given.keys() - {"onupdate", "ondelete"}:
        return None
    return AddForeignKeyOnlineOp(
        key[1],
        key[0],
        operation.local_cols,
        referred=operation.referent_table,
        referred_columns=operation.remote_cols,
        **given,
    )


def _index(context: MigrationContext, operation: ops.CreateIndexOp) -> MigrateOperation | None:
    options: dict[str, Any] = {
        name.removeprefix("postgresql_"): value
        for name, value in operation.kw.items()
        if isinstance(value, ClauseElement) or value  # a clause has no truth of its own
    }
    key = _key(context, operation)
    if key is None or options.keys() - _INDEX_OPTIONS:
        return None
    classes = options.get("ops", {})
    columns = []
    expressions: Any = operation.to_index(context).expressions
    for each in expressions:
        name = getattr(each, "key", None)
        text = _text(each if isinstance(each, ColumnClause) else each.self_group())
        columns.append(text + (f" {classes[name]}" if name in classes else ""))
    where = options.get("where")
    return online.CreateIndexOnlineOp(
        key[1],
        key[0],
        columns,
        unique=bool(operation.unique),
        where=where if where is None or isinstance(where, str) else _text(where),
        using=options.get("using"),
        include=[getattr(each, "name", each) for each in options.get("include", ())],
    )


def _text(expression: Any) -> str:  # noqa: ANN401 - a clause
    if isinstance(expression, TextClause):  # a `:name` in it is text, and no bind parameter
        return expression.text.replace("\\:", ":")
    compiler = _DIALECT.ddl_compiler(_DIALECT, None).sql_compiler
    clause = without_parameters(expression)
    return str(compiler.process(clause, include_table=False, literal_binds=True))


def _key(context: MigrationContext, operation: MigrateOperation) -> Key | None:
    """Return the table and the name as PostgreSQL has it; None for what has no such."""
    preparer = _DIALECT.identifier_preparer
    if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
        name = preparer.format_index(operation.to_index(context))
    elif isinstance(operation, ops.DropConstraintOp):
        name = str(operation.constraint_name)
    elif isinstance(operation, ops.AddConstraintOp):
        name = preparer.format_constraint(operation.to_constraint(context))
    else:
        return None
    table: Any = getattr(operation, "table_name", None) or getattr(operation, "source_table", None)
    return (str(table), name.strip('"')) if name else None


def _referenced(flat: list[MigrateOperation]) -> Iterator[str]:
    for each in flat:
        if isinstance(each, ops.CreateForeignKeyOp):
            yield each.referent_table
        elif isinstance(each, ops.CreateTableOp):
            for key in each.to_table().foreign_keys:
                yield key.target_fullname.split(".")[-2]
