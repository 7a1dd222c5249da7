"""What stands as it will be called: a revision renames tables and columns back first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.alter import CommentOp
from stage1_schema.alembic_plugin.comparison import WORDS, Comparison
from stage1_schema.alembic_plugin.renamed_columns import RenamedColumns
from stage1_schema.alembic_plugin.renamed_tables import RenamedTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa
    from alembic.operations.ops import MigrateOperation, UpgradeOps
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Edge, Item


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

    def comments(self, declared: Catalogue) -> Iterator[tuple[Comparison, CommentOp]]:
        """Yield the comments of them that differ, and what sets each: Alembic's were taken out."""
        tables, columns = self._tables.names, self._columns.names
        live, wanted = (
            {(each.kind, each.stem, each.signature): each for each in _commented(side)}
            for side in (self.live, declared)
        )
        for key in sorted(live.keys() & wanted.keys()):
            new, old = wanted[key], live[key]
            if new.comment != old.comment and (key[1] in tables or key[1:] in columns):
                name = ".".join(filter(None, key[1:]))
                said = f"comment declared {new.comment!r}, live {old.comment!r}"
                yield (
                    Comparison(f"{WORDS[key[0]]} {name}", said),
                    CommentOp(new, new.comment, old.comment),
                )

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


def _commented(side: Catalogue) -> Iterator[Item]:
    yield from side["tables"].values()
    yield from side["columns"].values()
