"""What the operations on QuestDB tables do: a change of a declaration, checked and applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from questdb_ddl import (
    Column,
    Ensured,
    Hazard,
    RetireAction,
    Symbol,
    Table,
    apply,
    ensure_table,
    is_widening,
    live_tables,
    parse_type,
    plan_for,
    quote,
    render,
    retire,
    retired_name,
)
from questdb_ddl.diff import newest_retired
from stage1_schema.alembic_plugin.questdb_alter import (
    AlterQuestDBColumnOp,
    AlterQuestDBTableOp,
    QuestDBColumnOp,
    RenameQuestDBTableOp,
)
from stage1_schema.alembic_plugin.questdb_ops import (
    CreateQuestDBTableOp,
    RestoreQuestDBTableOp,
    RetireQuestDBTableOp,
)
from stage1_schema.errors import QuestDBError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from questdb_ddl import Client, LiveTable
    from stage1_schema.alembic_plugin.questdb_alter import Alteration

    Operation = CreateQuestDBTableOp | RetireQuestDBTableOp | Alteration


def carry_out(client: Client, operation: Operation) -> tuple[list[str], list[str]]:
    """Make the change where it is not made yet.

    Returns the statements that were run, and those of an earlier run whose work stands. Raises
    QuestDBError and questdb_ddl's errors; what is refused changes nothing.
    """
    if isinstance(operation, RetireQuestDBTableOp):
        return _retire_table(client, operation.name)
    if isinstance(operation, QuestDBColumnOp) and operation.verb == "retire":
        return _retire_column(client, operation)
    planned = list(statements(operation))
    if isinstance(operation, CreateQuestDBTableOp):
        done = list(_create(client, operation))
    elif isinstance(operation, RenameQuestDBTableOp):
        done = list(_rename(client, operation))
    else:
        done = list(_alter(client, operation))
    if done and operation.to_diff_tuple()[0].startswith("restore"):
        return done, []
    return done, [each for each in planned if each not in done]


def _alter(client: Client, operation: Alteration) -> Iterator[str]:
    found = _standing(client, operation.table)
    if isinstance(operation, QuestDBColumnOp) and (kept := _kept_column(operation, found)):
        _refuse_parquet(found)
        yield _change(client, found.name, render.rename_column(found.name, kept, operation.column))
        found = _standing(client, operation.table)
    plan = plan_for(client, [wanted(operation, found.to_table())])
    # The revision says what it does; its hazards were seen when it was written and planned.
    for step in apply(client, plan, allow=list(Hazard)):
        yield step.sql


def _standing(client: Client, name: str) -> LiveTable:
    found = live_tables(client, [name]).get(name.lower())
    if found is None:
        raise missing(name)
    if not found.suspended:
        client.wait_for(found.name)  # an earlier run may have been killed before it waited
    return live_tables(client, [name], parquet=True)[name.lower()]


def missing(name: str) -> QuestDBError:
    """Return the error of an operation on a table that does not stand."""
    return QuestDBError(
        f"QuestDB has no table {name}.",
        next_step="stage1 questdb apply, then run the same command again.",
    )


def _change(client: Client, table: str, statement: str) -> str:
    client.execute(statement)
    client.wait_for(table)
    return statement


def wanted(operation: Alteration, table: Table) -> Table:
    """Return what the table should be, as a declaration."""
    if isinstance(operation, AlterQuestDBTableOp):
        keys = operation.wanted.get("dedup_keys")
        changes = operation.wanted | ({} if keys is None else {"dedup_keys": tuple(keys)})
        return replace(table, **changes)
    if isinstance(operation, RenameQuestDBTableOp):
        return table.renamed(operation.new)
    new = Column(operation.column, parse_type(operation.type))
    stands = table.column(new.name)
    if stands is None:
        return replace(table, columns=(*table.columns, new))
    if (
        isinstance(operation, AlterQuestDBColumnOp)
        and operation.keep_wider
        and is_widening(new.type, stands.type)
    ):
        return table
    columns = tuple(new if column is stands else column for column in table.columns)
    return replace(table, columns=columns)


def _retire_column(client: Client, operation: QuestDBColumnOp) -> tuple[list[str], list[str]]:
    found = _standing(client, operation.table)
    table, column = found.name, found.column(operation.column)
    kept = newest_retired(operation.column, [each.name for each in found.columns])
    done, stood = [], []
    if column is not None:
        refuse_retirement(found, column.name)
        kept = retired_name(column.name, datetime.now(UTC))
        done.append(_change(client, table, render.rename_column(table, column.name, kept)))
    elif kept is not None:
        stood.append(render.rename_column(table, operation.column, kept))
    else:
        return [], [render.drop_column(table, operation.column)]
    # Under its new name no writer adds to it. An earlier run may not have come as far as this.
    values = client.query(f"SELECT count({quote(kept)}) n FROM {quote(table)}")[0]["n"]
    if not values and not found.has_parquet:
        done.append(_change(client, table, render.drop_column(table, kept)))
    return done, stood


def _kept_column(operation: QuestDBColumnOp, found: LiveTable) -> str | None:
    """Return the retired column that an operation takes back, if one of its type is kept."""
    if operation.verb != "restore" or found.column(operation.column):
        return None
    type_ = type(parse_type(operation.type))
    return newest_retired(
        operation.column, [each.name for each in found.columns if isinstance(each.type, type_)]
    )


def refuse_retirement(found: LiveTable, column: str) -> None:
    """Raise QuestDBError where a column must not be put away."""
    if column in (*found.dedup_keys, found.designated_timestamp):
        raise QuestDBError(
            f"{found.name}.{column} is a deduplication key: without it rows would be lost.",
            next_step="rebuild the table to change its keys.",
        )
    _refuse_parquet(found)


def _refuse_parquet(found: LiveTable) -> None:
    if found.has_parquet:
        raise QuestDBError(
            f"The table {found.name} has Parquet partitions, and altering it can stop the server.",
            next_step="convert the partitions to native first.",
        )


def _retire_table(client: Client, name: str) -> tuple[list[str], list[str]]:
    outcome = retire(client, name, datetime.now(UTC))
    if outcome.kept_as:
        return [render.rename_table(outcome.table, outcome.kept_as)], []
    drop = render.drop_table(name)
    if outcome.action is not RetireAction.ABSENT:
        return [drop], []
    kept = _kept_table(client, name)
    return [], [drop if kept is None else render.rename_table(name, kept)]


def _kept_table(client: Client, name: str) -> str | None:
    rows = client.query("select table_name from all_tables()")
    return newest_retired(name, [row["table_name"] for row in rows])


def _create(client: Client, operation: CreateQuestDBTableOp) -> Iterator[str]:
    name = operation.name
    if isinstance(operation, RestoreQuestDBTableOp) and not live_tables(client, [name]):
        kept = _kept_table(client, name)
        if kept is not None:
            yield from _rename(client, RenameQuestDBTableOp(kept, name))
    if ensure_table(client, operation.table) is Ensured.CREATED:
        yield render.create_table(operation.table)


def _rename(client: Client, operation: RenameQuestDBTableOp) -> Iterator[str]:
    live = live_tables(client, [operation.table, operation.new])
    if operation.table.lower() in live or operation.new.lower() not in live:
        client.wait_for(operation.table)
        yield _change(client, operation.new, render.rename_table(operation.table, operation.new))


def statements(operation: Operation) -> Iterator[str]:
    """Yield the statements for a script, which cannot look at the server.

    Raises QuestDBError for a type that would lose values.
    """
    if isinstance(operation, RetireQuestDBTableOp):
        kept = retired_name(operation.name, datetime.now(UTC))
        yield render.rename_table(operation.name, kept)
    elif isinstance(operation, CreateQuestDBTableOp):
        yield render.create_table(operation.table)
    elif isinstance(operation, RenameQuestDBTableOp):
        yield render.rename_table(operation.table, operation.new)
    elif isinstance(operation, QuestDBColumnOp) and operation.verb == "retire":
        kept = retired_name(operation.column, datetime.now(UTC))
        yield render.rename_column(operation.table, operation.column, kept)
    elif isinstance(operation, QuestDBColumnOp):
        column = Column(operation.column, parse_type(operation.type))
        yield render.add_column(operation.table, column)
    elif isinstance(operation, AlterQuestDBColumnOp):
        yield from _column_statements(operation)
    else:
        yield from _table_statements(operation)


def _column_statements(operation: AlterQuestDBColumnOp) -> Iterator[str]:
    name, column = operation.table, operation.column
    old, new = parse_type(operation.existing), parse_type(operation.type)
    if operation.keep_wider and is_widening(new, old):
        return
    if not isinstance(new, Symbol) or not isinstance(old, Symbol):
        if is_widening(old, new):
            yield render.alter_column_type(name, column, new)
        elif old != new:
            raise QuestDBError(
                f"{name}.{column} from {old} to {new} would lose values.",
                next_step="take the change out of the revision, or rebuild the table.",
            )
        return
    if new.capacity and (new.capacity > (old.capacity or 0)):
        yield render.symbol_capacity(name, column, new.capacity)
    if new.cache != old.cache:
        yield from render.symbol_cache(name, column, cache=new.cache)
    if new.index != old.index:
        yield (
            render.add_index(name, column, new.index_capacity)
            if new.index
            else render.drop_index(name, column)
        )


def _table_statements(operation: AlterQuestDBTableOp) -> Iterator[str]:
    name, wanted = operation.table, operation.wanted
    if "ttl_months" in wanted:
        yield render.set_ttl(name, wanted["ttl_months"])
    if keys := wanted.get("dedup_keys"):
        yield render.dedup_enable(name, keys)
    elif keys is not None:
        yield render.dedup_disable(name)
    if rows := wanted.get("max_uncommitted_rows"):
        yield render.set_max_uncommitted_rows(name, rows)
    if lag := wanted.get("o3_max_lag_ms"):
        yield render.set_o3_max_lag(name, lag)
