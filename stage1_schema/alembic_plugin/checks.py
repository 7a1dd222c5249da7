"""A CHECK steps aside while a function that it calls changes its signature.

It is dropped before and comes back NOT VALID after, in the same transaction: no row gets in
unchecked. The revision behind it validates the rows that stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from stage1_schema.alembic_plugin.tables import find, keep_names, reflect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, OpContainer, UpgradeOps

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item


class AddUnvalidatedOp(ops.CreateCheckConstraintOp):
    """Add a CHECK that the next revision validates."""


def step_aside(
    context: AutogenContext, upgrade_ops: UpgradeOps, checks: Iterable[Item], declared: Catalogue
) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    """Return what to do with `checks` before and after; nothing else of them is left to do."""
    metadata: Any = context.metadata
    before: list[MigrateOperation] = []
    after: list[MigrateOperation] = []
    for item in checks:
        _take_out(upgrade_ops, item)
        live = find("constraints", item, reflect(context, item.stem))
        before.append(ops.DropConstraintOp.from_constraint(live))
        if item.name in declared["constraints"]:
            new = find("constraints", item, metadata.tables[item.stem])
            add = AddUnvalidatedOp(new.name, item.stem, new.sqltext, postgresql_not_valid=True)
            after.append(add)
    keep_names(ops.UpgradeOps(before))
    return before, after


def _take_out(container: OpContainer, item: Item) -> None:
    """Take out what Alembic or this plugin would do with the constraint."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            _take_out(each, item)
    container.ops[:] = [each for each in container.ops if not _is_of(each, item)]


def _is_of(operation: MigrateOperation, item: Item) -> bool:
    if isinstance(operation, ops.ModifyTableOps):
        return not operation.ops
    if not isinstance(operation, ops.DropConstraintOp | ops.CreateCheckConstraintOp):
        return False
    name = str(operation.constraint_name).strip('"')
    return operation.table_name == item.stem and item.signature in (
        name,
        f"ck_{item.stem}_{name}",  # as the convention has it
    )
