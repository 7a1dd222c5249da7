"""What a declaration cannot say: a cut name, a `:name`, a type that is not the table's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, CheckConstraint, ClauseElement, Enum
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.sql.visitors import iterate

from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import MetaData, Table

NAME_BYTES = 63
"""How much of a name PostgreSQL keeps."""


def refuse(metadata: MetaData) -> None:
    """Raise Stage1Error for the first of them; Alembic would fail at it, or find it equal."""
    for table in metadata.tables.values():
        _refuse_long_names(table)
        for column in table.columns:
            kind = getattr(column.type, "item_type", column.type)
            if isinstance(kind, DOMAIN) or (isinstance(kind, Enum) and kind.native_enum):
                raise Stage1Error(
                    f"Column {column.name} of {table.name} has a type of its own, {kind.name},"
                    " which no revision would make, change or drop.",
                    next_step="declare Text, and a CHECK of its values.",
                )
        for what, clause in _texts(table):
            for each in iterate(clause):
                if isinstance(each, BindParameter) and each.required:
                    raise Stage1Error(
                        f"The {what} of {table.name} says :{each.key}, which is a parameter for"
                        " SQLAlchemy.",
                        next_step=rf"write \\:{each.key} there.",
                    )


def _refuse_long_names(table: Table) -> None:
    for constraint in table.constraints:
        length = len(str(constraint.name).encode())
        if isinstance(constraint, CheckConstraint) and length > NAME_BYTES:
            raise Stage1Error(
                f"The name of the CHECK {constraint.name} of {table.name} has {length} bytes; "
                f"PostgreSQL keeps {NAME_BYTES}.",
                next_step="declare a shorter one.",
            )


def _texts(table: Table) -> Iterator[tuple[str, ClauseElement]]:
    """Yield what a table declares in SQL, and what it is."""
    for column in table.columns:
        default = column.server_default
        clause = getattr(default, "sqltext", getattr(default, "arg", None))
        if isinstance(clause, ClauseElement):  # another one is a value
            yield f"default of column {column.name}", clause
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint):
            yield f"CHECK {constraint.name}", constraint.sqltext
    for index in table.indexes:
        clauses = (*index.expressions, index.dialect_kwargs.get("postgresql_where"))
        yield from ((f"index {index.name}", c) for c in clauses if isinstance(c, ClauseElement))
