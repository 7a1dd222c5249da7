"""Both stores at head, and rows as the clients write them."""

from dataclasses import replace

import pytest
import urllib3

from questdb_ddl import ensure_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.connect import connect
from stage1_schema.ops import registration
from stage1_schema.settings import QuestDBSettings

OLD_RUN, NEW_RUN = "11111111-1111-4111-8111-111111111111", "22222222-1111-4111-8111-111111111111"

OLD_SERVERS = {"parquet": False, "writers_stopped": True}
"""Options of retention with which it works on every version."""


@pytest.fixture
def stores(migrated, questdb, questdb_server):
    """Settings of both stores at head, without rows."""
    for table in SHARED_TABLES:
        ensure_table(questdb, table)
    return replace(migrated, questdb=QuestDBSettings(questdb_server.url))


@pytest.fixture
def execute(stores):
    """Run one statement in PostgreSQL and return its rows."""

    def execute(statement, *values):
        with connect(stores.postgres, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    return execute


@pytest.fixture
def lines(questdb):
    """Send ILP lines over HTTP and wait for the tables."""

    def lines(*sent):
        body = "".join(f"{line}\n" for line in sent)
        # A connection of its own: a kept one still writes into a table of that name that was
        # dropped, and says that all is well.
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", f"{questdb.url}/write", body=body)
        assert answer.status == 204, answer.data
        for name in {line.partition(",")[0].partition(" ")[0] for line in sent}:
            questdb.wait_for(name)

    return lines


@pytest.fixture
def runs(stores, execute):
    intent, _ = registration.create(stores, "btc", registration.Attributes())
    for run, days, name in ((OLD_RUN, 400, "btc_run1"), (NEW_RUN, 0, "btc_run2")):
        execute(
            "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, created_at)"
            " VALUES (%s, %s, %s, now() - make_interval(days => %s))",
            run, intent.dataset_id, name, days,
        )  # fmt: skip
