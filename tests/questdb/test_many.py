"""Many datasets: few queries, and nothing to do the second time."""

import pytest

from questdb_ddl import Client, apply, compare_all, live_tables, plan_for
from questdb_ddl.render import drop_table
from questdb_ddl.tables import dataset_tables
from stage1_schema.servers.questdb import LocalQuestDB


class Counting(Client):
    queries = 0

    def query(self, sql):
        self.queries += 1
        return super().query(sql)


@pytest.mark.slow
def test_the_drift_of_many_tables_takes_few_queries(questdb_server):
    tables = [table for n in range(75) for table in dataset_tables(f"many {n}")]
    names = [table.name for table in tables]
    with Counting(questdb_server.url) as client:
        assert len(apply(client, plan_for(client, tables))) == 150
        client.queries = 0
        live_tables(client, names[:50])
        few, client.queries = client.queries, 0
        compared = compare_all(tables, live_tables(client, names))
        assert client.queries == few + 1  # one for 100 tables
        assert few <= 4
        assert all(comparison.equal for comparison in compared)
        assert apply(client, plan_for(client, tables)) == ()
        for name in names:
            client.execute(drop_table(name))


@pytest.mark.slow
def test_a_server_that_has_just_started_shows_no_drift(tmp_path):
    tables = [table for n in range(75) for table in dataset_tables(f"many {n}")]
    with LocalQuestDB(tmp_path / "restarted") as server:
        with Client(server.url) as client:
            apply(client, plan_for(client, tables))
        for _ in range(3):
            server.stop()
            server.start()
            with Client(server.url) as client:
                live = live_tables(client, [table.name for table in tables])
            assert [c for c in compare_all(tables, live) if not c.equal] == []
