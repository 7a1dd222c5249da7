"""What this project teaches Alembic: verbatim SQL, QuestDB tables, how a run behaves.

Alembic finds it by the entry point `alembic.plugins`; see its documentation of plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin


def setup(plugin: Plugin) -> None:
    """Register the operations and the comparison of this project with Alembic."""
    from stage1_schema.alembic_plugin import (  # noqa: F401, PLC0415 - importing registers
        autogenerate,
        backfill,
        command_line,
        legacy_ops,
        not_null,
        online,
        online_constraints,
        questdb_alter,
        questdb_ops,
        sql_ops,
        unique_names,
    )

    autogenerate.register(plugin)
    command_line.guard()
