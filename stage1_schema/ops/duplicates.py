"""Rows that share a name which must be unique; read only, in any shape of the tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stage1_schema.alembic_plugin.unique_names import UNIQUE_NAMES, Group, groups
from stage1_schema.connect import engine, plain_errors

if TYPE_CHECKING:
    from stage1_schema.settings import Settings


@dataclass(frozen=True)
class Duplicates:
    """What shares a name, by table; `where` is the database."""

    where: str
    groups: tuple[Group, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


def find(settings: Settings) -> Duplicates:
    """Return every group of rows that shares a name. Raises PostgresError."""
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        found = tuple(group for name in UNIQUE_NAMES for group in groups(connection, name))
    return Duplicates(settings.postgres.where, found)
