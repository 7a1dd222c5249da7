"""How a generated revision is written: its operations as text, its bodies as frozen files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import renderers
from alembic.operations import ops
from alembic.script import write_hooks

from stage1_schema import sql
from stage1_schema.alembic_plugin.not_null import SetNotNullOnlineOp
from stage1_schema.alembic_plugin.online import (
    CreateIndexOnlineOp,
    CreateUniqueOnlineOp,
    DropIndexOnlineOp,
)
from stage1_schema.alembic_plugin.online_constraints import (
    AddCheckOnlineOp,
    AddForeignKeyOnlineOp,
    ValidateOnlineOp,
)
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
from stage1_schema.alembic_plugin.sql_ops import (
    DropSqlObjectOp,
    GrantOp,
    KeepGrantsOp,
    RunSqlFileOp,
)
from stage1_schema.alembic_plugin.verbatim import without_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.operations import MigrateOperation
    from alembic.runtime.migration import MigrationContext

_RUN = re.compile(r"op\.run_sql_file\(\s*[\"'](\d{4})/([^\"']+)\.sql[\"']\s*\)")
_BIND = re.compile(r"(?<![:\w\\]):\w+(?![:\w])|\\:")
"""What SQLAlchemy would read as a bind parameter, or as a colon that is none."""
SHORT = 60


@renderers.dispatch_for(CreateQuestDBTableOp)
@renderers.dispatch_for(RestoreQuestDBTableOp)
def _render_create(_: object, operation: CreateQuestDBTableOp) -> str:
    data = operation.table.to_data()
    columns = "".join(f"{name!r}: {type_!r},\n" for name, type_ in data.pop("columns"))
    name = data.pop("name")
    rest = "".join(f"{key}={value!r},\n" for key, value in data.items())
    return f"op.{operation.to_diff_tuple()[0]}({name!r},\ncolumns={{\n{columns}}},\n{rest})"


@renderers.dispatch_for(RunSqlFileOp)
@renderers.dispatch_for(DropSqlObjectOp)
@renderers.dispatch_for(KeepGrantsOp)
@renderers.dispatch_for(GrantOp)
@renderers.dispatch_for(RetireQuestDBTableOp)
@renderers.dispatch_for(QuestDBColumnOp)
@renderers.dispatch_for(AlterQuestDBColumnOp)
@renderers.dispatch_for(AlterQuestDBTableOp)
@renderers.dispatch_for(RenameQuestDBTableOp)
@renderers.dispatch_for(CreateIndexOnlineOp)
@renderers.dispatch_for(DropIndexOnlineOp)
@renderers.dispatch_for(CreateUniqueOnlineOp)
@renderers.dispatch_for(AddCheckOnlineOp)
@renderers.dispatch_for(AddForeignKeyOnlineOp)
@renderers.dispatch_for(ValidateOnlineOp)
@renderers.dispatch_for(SetNotNullOnlineOp)
def _render(_: object, operation: MigrateOperation) -> str:
    name, *arguments = operation.to_diff_tuple()
    named = arguments.pop() if isinstance(arguments[-1], dict) else {}
    said = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in named.items())]
    # Ruff looks at the lines' length before it breaks them.
    between = ", " if sum(map(len, said)) < SHORT else ",\n"
    return f"op.{name}({between.join(said)})"


@renderers.dispatch_for(ops.CreatePrimaryKeyOp, replace=True)
def _render_primary_key(_: object, operation: ops.CreatePrimaryKeyOp) -> str:
    # Alembic 1.20.1 registers a renderer that only raises NotImplementedError.
    name, columns = operation.constraint_name, list(operation.columns)
    return f"op.create_primary_key({name!r}, {operation.table_name!r}, {columns!r})"


def keep_text(context: MigrationContext) -> None:
    """Have expressions written so that the revision says what was declared.

    As they come, `%` is doubled for psycopg, and is so once more when the revision runs; a colon
    that was escaped in the declaration would be a bind parameter in the revision, and one in what
    stands is none: SQLAlchemy reads `':a'` from a table as a parameter, whose value is NULL.
    """
    impl: Any = context.impl
    written = impl.render_ddl_sql_expr

    def render(expression: Any, *, is_index: bool = False, **given: Any) -> str:  # noqa: ANN401
        text: str = written(without_parameters(expression), is_index=is_index, **given).replace(
            "%%", "%"
        )
        # An index's expression becomes a literal column, in which a colon is a colon.
        return text.replace(":", r"\:") if not is_index and _BIND.search(text) else text

    impl.render_ddl_sql_expr = render


@write_hooks.register("freeze")
def freeze(revision: str, _options: Mapping[str, str]) -> None:
    """Copy the current bodies that a new revision runs to `migrations/sql/<its number>/`.

    A hook of alembic.ini, run after the revision is written and before it is formatted.
    """
    path = Path(revision)
    number = path.name.partition("_")[0]
    bodies = {each.name: each.text for each in sql.objects()}
    directory = path.parents[1] / "sql" / number
    for of, name in _RUN.findall(path.read_text(encoding="utf-8")):
        target = directory / f"{name}.sql"
        if of == number and name in bodies and not target.exists():
            directory.mkdir(parents=True, exist_ok=True)
            target.write_text(bodies[name], encoding="utf-8")
