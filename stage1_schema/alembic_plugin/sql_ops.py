"""`op.run_sql_file`: run a frozen body of `migrations/sql/`, verbatim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error


@Operations.register_operation("run_sql_file")
class RunSqlFileOp(MigrateOperation):
    """Run the statements of one file below `migrations/sql/`."""

    def __init__(self, name: str) -> None:
        """Keep the file's `name`, such as `0005/dataset_hierarchy.sql`."""
        self.name = name

    @classmethod
    def run_sql_file(cls, operations: Operations, name: str) -> None:
        """Run `migrations/sql/<name>` as it was written; raises Stage1Error when it is missing."""
        operations.invoke(cls(name))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("run_sql_file", self.name)


@Operations.implementation_for(RunSqlFileOp)
def _run(operations: Operations, operation: RunSqlFileOp) -> None:
    script = operations.migration_context.opts["script"]
    path = Path(script.dir) / "sql" / operation.name
    if not path.is_file():
        raise Stage1Error(
            f"The frozen SQL {operation.name} is missing.", next_step="restore it from git."
        )
    operations.execute(Verbatim(path.read_text(encoding="utf-8")))
