"""The metadata that Alembic compares with, its naming convention, and shared column shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Double, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

NOW = text("now()")
EMPTY_OBJECT = text("'{}'::jsonb")


class Base(DeclarativeBase):
    """Declarative base of every Stage1 table: text is TEXT, times are UTC with time zone."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: Text(),
        datetime: DateTime(timezone=True),
        float: Double(),
        dict[str, Any]: JSONB(),
    }


class Created:
    """A table whose rows say when they came; the writer's own time wins over the server's."""

    created_at: Mapped[datetime] = mapped_column(server_default=NOW, sort_order=900)


class Touched(Created):
    """A table whose rows also say when they changed."""

    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, sort_order=901)


def one_of(column: str, *values: str) -> str:
    """Return the text of a CHECK that `column` holds one of `values` (contract, part 3)."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
