"""Alembic operations on QuestDB tables, so that one history holds both stores.

A QuestDB statement cannot be rolled back. Each operation therefore converges: run again after a
failure at any point, it finds what stands and does the rest. PostgreSQL's revision is stamped only
after QuestDB's part is done and read back.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from questdb_ddl import Client, Table
    from stage1_schema.alembic_plugin.questdb_changes import Operation
    from stage1_schema.settings import QuestDBSettings

log = logging.getLogger("alembic.runtime.migration")


class QuestDBTarget:
    """The QuestDB of one Alembic run: connected when first needed, or skipped when told so."""

    def __init__(
        self,
        settings: QuestDBSettings | None,
        *,
        skip: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """Keep `settings`; None together with `skip` is a run without QuestDB.

        `told` gets every statement that changes something, before it is sent.
        """
        self.settings = settings
        self.skip = skip
        self.told = told

    @cached_property
    def client(self) -> Client:
        """The client, kept for the whole run."""
        if self.settings is None:
            raise QuestDBError("QuestDB is not set.", next_step="set STAGE1_QUESTDB_REST.")
        return client(self.settings, told=self.told)

    def require(self) -> None:
        """Raise QuestDBError unless QuestDB answers; called before a run changes anything."""
        if self.skip:
            return
        from questdb_ddl import AuthenticationFailed, QuestDBDDLError  # noqa: PLC0415 - as below

        try:
            self.client.server_version()
        except AuthenticationFailed as error:
            raise QuestDBError(
                f"{error} Nothing was changed.",
                next_step="correct STAGE1_QUESTDB_USER and STAGE1_QUESTDB_PASSWORD.",
            ) from error
        except QuestDBDDLError as error:
            raise QuestDBError(
                f"{error} Nothing was changed.",
                next_step="start QuestDB, or run without it: alembic -x questdb=skip upgrade head.",
            ) from error

    def close(self) -> None:
        """Close the connection if one was made."""
        if "client" in self.__dict__:
            self.client.close()


@Operations.register_operation("create_questdb_table")
class CreateQuestDBTableOp(MigrateOperation):
    """Create one QuestDB table."""

    def __init__(self, name: str, **declaration: Any) -> None:  # noqa: ANN401 - plain data
        """Keep the frozen declaration, as `questdb_ddl.Table.to_data()` writes it."""
        self.name = name
        self.declaration = declaration

    @classmethod
    def create_questdb_table(
        cls,
        operations: Operations,
        name: str,
        *,
        columns: Mapping[str, str],
        designated_timestamp: str = "timestamp",
        partition_by: str = "MONTH",
        dedup_keys: Sequence[str] = (),
        **more: Any,  # noqa: ANN401 - plain data
    ) -> None:
        """Create table `name` in QuestDB, wait until it is applied, and read it back.

        `columns` maps names to QuestDB types such as `SYMBOL CAPACITY 4096`. Raises QuestDBError
        when a table of that name stands with another structure.
        """
        operations.invoke(
            cls(
                name,
                columns=dict(columns),
                designated_timestamp=designated_timestamp,
                partition_by=partition_by,
                dedup_keys=list(dedup_keys),
                **more,
            )
        )

    @property
    def table(self) -> Table:
        """The declaration as questdb_ddl's value."""
        from questdb_ddl import Table  # noqa: PLC0415 - only where a QuestDB step runs

        return Table.from_data({"name": self.name, **self.declaration})

    def reverse(self) -> MigrateOperation:
        """Return the operation that puts the table away."""
        return RetireQuestDBTableOp(self.name, **self.declaration)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("create_questdb_table", self.name)


@Operations.register_operation("retire_questdb_table")
class RetireQuestDBTableOp(MigrateOperation):
    """Put one QuestDB table away."""

    def __init__(self, name: str, **declaration: Any) -> None:  # noqa: ANN401 - plain data
        """Keep the name, and the declaration for the way back."""
        self.name = name
        self.declaration = declaration

    @classmethod
    def retire_questdb_table(cls, operations: Operations, name: str) -> None:
        """Drop table `name` if it is empty, else rename it to `<name>_retired_<time>`."""
        operations.invoke(cls(name))

    def reverse(self) -> MigrateOperation:
        """Return the operation that takes the table back."""
        return RestoreQuestDBTableOp(self.name, **self.declaration)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("retire_questdb_table", self.name)


@Operations.register_operation("restore_questdb_table")
class RestoreQuestDBTableOp(CreateQuestDBTableOp):
    """Take back a QuestDB table that was put away."""

    @classmethod
    def restore_questdb_table(
        cls,
        operations: Operations,
        name: str,
        **declaration: Any,  # noqa: ANN401 - plain data
    ) -> None:
        """Give the table that was retired last its name back; create it where none is kept.

        `declaration` is what `create_questdb_table` takes. Raises QuestDBError when a table of
        that name stands with another structure.
        """
        operations.invoke(cls(name, **declaration))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("restore_questdb_table", self.name)


@Operations.implementation_for(CreateQuestDBTableOp)
@Operations.implementation_for(RestoreQuestDBTableOp)
@Operations.implementation_for(RetireQuestDBTableOp)
def _invoke(operations: Operations, operation: CreateQuestDBTableOp | RetireQuestDBTableOp) -> None:
    run(operations, operation, operation.name)


def run(operations: Operations, operation: Operation, table: str) -> None:
    """Carry out one operation, or write down its statements where the run is offline.

    History gets every statement of it: those that were sent, and as such those of an earlier try
    that stand already.
    """
    from stage1_schema.alembic_plugin import questdb_changes  # noqa: PLC0415 - where a step runs

    options = operations.migration_context.opts
    if operations.migration_context.as_sql:
        if (pending := options.get("questdb_pending")) is not None:
            pending.append(operation)
            return
        with plain_questdb_errors():
            for statement in questdb_changes.statements(operation):
                comment(operations, statement)
        return
    target: QuestDBTarget = options["questdb"]
    if target.skip:
        log.warning("QuestDB skipped: %s", " ".join(map(str, operation.to_diff_tuple())))
        return
    with plain_questdb_errors():
        done, stood = questdb_changes.carry_out(target.client, operation)
    if (journal := options.get("journal")) is not None:
        journal.stood(stood)
    told = "; ".join(each.partition(" (\n")[0] for each in done)
    log.info("QuestDB table %s: %s", table, told or "nothing to do")


def questdb_script(path: str | None) -> Path | None:
    """Return the file that an offline run writes QuestDB's statements to, emptied; or None.

    Raises Stage1Error where it cannot be written.
    """
    if path is None:
        return None
    try:
        Path(path).write_text("", encoding="utf-8")
    except OSError as error:
        raise Stage1Error(
            f"-x questdb_sql={path} cannot be written: {error.strerror}.",
            next_step="name a file in a directory that exists and is yours.",
        ) from error
    return Path(path)


def comment(operations: Operations, statement: str) -> None:
    """Write `statement` into the file of `-x questdb_sql=`, else into the script as a comment."""
    if path := operations.migration_context.opts.get("questdb_sql"):
        with path.open("a", encoding="utf-8") as script:
            script.write(f"{statement};\n")
        return
    lines = "\n".join(f"-- QuestDB: {line}" for line in statement.splitlines())
    operations.migration_context.impl.static_output(lines + "\n")
