"""The designated timestamp of servers whose tables() names another column."""

import pytest

from questdb_ddl import Client, Table, live_tables, plan_rebuild, suspects
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB

CHANGES = {
    "8.2.0": ("ALTER TABLE t DROP COLUMN a",),
    "9.0.3": ("ALTER TABLE t ALTER COLUMN b TYPE DOUBLE", "ALTER TABLE t DROP COLUMN a"),
}


@pytest.mark.parametrize("version", CHANGES)
def test_it_is_read_from_the_columns(tmp_path, version):
    with (
        LocalQuestDB(tmp_path / "old", jar=questdb_jar(version)) as server,
        Client(server.url) as client,
    ):
        client.execute(
            "CREATE TABLE t (a LONG, b LONG, at TIMESTAMP, c LONG) TIMESTAMP(at)"
            " PARTITION BY MONTH WAL"
        )
        client.execute("INSERT INTO t VALUES (1, 2, '2025-01-01', 3), (1, 2, 5000000, 3)")
        client.wait_for("t")
        for change in CHANGES[version]:
            client.execute(change)
            client.wait_for("t")
        told = client.query("SELECT designatedTimestamp FROM tables() WHERE table_name = 't'")
        assert told != [{"designatedTimestamp": "at"}]  # the fault that this is about
        live = live_tables(client, ["t"], counts=True)["t"]
        assert live.designated_timestamp == "at"
        assert (live.row_count, live.max_timestamp[:10]) == (2, "2025-01-01")
        assert suspects(client, live).seconds == 1
        declared = Table("t", live.to_table().columns, "at", dedup_keys=("at",))
        intent = plan_rebuild(client, declared, writers_stopped=True)
        assert (intent.rows, intent.refusals) == (2, ())
