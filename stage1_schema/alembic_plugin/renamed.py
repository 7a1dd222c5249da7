"""What stands as it will be called: a revision renames tables and columns back first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.renamed_columns import RenamedColumns
from stage1_schema.alembic_plugin.renamed_tables import RenamedTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa
    from alembic.operations.ops import MigrateOperation, UpgradeOps
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Edge
    from stage1_schema.alembic_plugin.comparison import Comparison


class Renamed:
    """Tables, and in them columns, that somebody renamed by hand."""

    def __init__(self, declared: Catalogue, live: Catalogue, script: ScriptDirectory) -> None:
        """Find them."""
        self._tables = RenamedTables(declared, live)
        self._columns = RenamedColumns(declared, self._tables.catalogue(live), script)
        self._live = live

    @property
    def live(self) -> Catalogue:
        """What stands, as it will be called."""
        return self._columns.catalogue(self._tables.catalogue(self._live))

    def compare(self) -> Iterator[Comparison]:
        """Yield each as a difference."""
        yield from self._tables.compare()
        yield from self._columns.compare()

    def operations(self) -> list[MigrateOperation]:
        """Return what renames them, and back: the first of a revision."""
        return [*self._tables.operations(), *self._columns.operations()]

    def take_out(self, upgrade_ops: UpgradeOps) -> None:
        """Take out what Alembic would do with them: it looks for the declared names alone."""
        self._tables.take_out(upgrade_ops, self._live)
        self._columns.take_out(upgrade_ops, self._tables.catalogue(self._live))

    def edges(self, edges: Iterable[Edge]) -> tuple[Edge, ...]:
        """Return what uses what, as it will be called."""
        return self._columns.edges(self._tables.edges(edges))

    def reflect(self, connection: Connection, name: str) -> sa.Table:
        """Return a table as it stands, as it will be called."""
        table = self._tables.reflect(connection, name, self._columns.renames(name))
        return self._columns.reflected(table)
