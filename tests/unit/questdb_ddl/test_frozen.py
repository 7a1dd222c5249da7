"""The shared tables as revision 0007 froze them are those that are declared."""

import runpy
from pathlib import Path
from types import SimpleNamespace

from questdb_ddl import Table
from questdb_ddl.tables import SHARED_TABLES

REVISION = (
    Path(__file__).parents[3] / "migrations" / "versions" / "0007_create_questdb_shared_tables.py"
)


def test_revision_and_declaration_are_equal():
    frozen = []

    def create(name, **declaration):
        frozen.append(Table.from_data({"name": name, **declaration}))

    upgrade = runpy.run_path(str(REVISION))["upgrade"]
    upgrade.__globals__["op"] = SimpleNamespace(create_questdb_table=create)
    upgrade()
    assert tuple(frozen) == SHARED_TABLES
