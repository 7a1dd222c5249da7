"""`stage1 check` names what differs in either store."""

import json

import pytest

from questdb_ddl import TableSuspended, render
from stage1_schema.connect import connect
from stage1_schema.ops import drift, migrate


def test_both_stores_are_compared(both, questdb):
    migrate.upgrade(both)
    assert drift.check(both).different == ()
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute("GRANT DELETE ON datasets TO stage1_app")
    questdb.execute(render.set_ttl("indicator_bars", 24))
    questdb.wait_for("indicator_bars")
    found = drift.check(both)
    assert [str(each) for each in found.different] == [
        "right DELETE on TABLE datasets to app: there, not declared",
        "QuestDB table indicator_bars: TTL: declared none, live 24 MONTHS",
    ]
    data = json.loads(json.dumps(found.to_data()))
    assert data["equal"] is False
    assert {"what": "view dataset_catalog", "difference": None, "skipped": None} in data["postgres"]


def test_a_suspended_table_is_no_success(both, questdb, shell):
    migrate.upgrade(both)
    questdb.execute(
        "INSERT INTO indicator_bars (timestamp, date_i) VALUES (0, 9223372036854775807)"
    )
    questdb.wait_for("indicator_bars")
    questdb.execute("ALTER TABLE indicator_bars ALTER COLUMN date_i TYPE DECIMAL(10,2)")
    with pytest.raises(TableSuspended):
        questdb.wait_for("indicator_bars")
    for command in (("check",), ("status",), ("questdb", "doctor")):
        ran = shell("stage1", *command, settings=both)
        assert ran.code == 1, ran
        assert 'ALTER TABLE "indicator_bars" RESUME WAL' in ran.out
    assert drift.check(both).to_data()["equal"] is False
