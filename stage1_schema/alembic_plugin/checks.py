"""A CHECK steps aside while a function that it calls changes its signature.

It is dropped before and comes back NOT VALID after, in the same transaction: no row gets in
unchecked. The revision behind it validates the rows that stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from stage1_schema.alembic_plugin import parts, touched
from stage1_schema.alembic_plugin.tables import keep_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.operations.ops import MigrateOperation, UpgradeOps

    from stage1_schema.alembic_plugin.catalogue import Item


def step_aside(
    sides: parts.Sides, upgrade_ops: UpgradeOps, checks: Iterable[Item]
) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    """Return what to do with `checks` before and after; nothing else of them is left to do."""
    before: list[MigrateOperation] = []
    after: list[MigrateOperation] = []
    for item in checks:
        touched.take_out(upgrade_ops, parts={(item.stem, item.signature)})
        before += parts.drop(item, sides.live_table(item.stem))
        new = sides.declared["constraints"].get(item.name)
        if new:
            after += parts.make(new, sides.declared_table(item.stem), validate=False)
            after += parts.comment(new, None)
    keep_names(ops.UpgradeOps(before))
    return before, after
