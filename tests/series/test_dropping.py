"""Tables taken away: counted, confirmed by name, and writers that bring one back are noticed."""

import threading
import time

import pytest
import urllib3

from questdb_ddl import Client, TableSuspended, live_tables
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema import locks
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.ops import (
    dropping,
    registration,
    registration_drop,
    retention,
    retention_apply,
    series,
)
from tests.questdb.rebuilding import Killed

LINE = "ohlcv_btc Date=1i,open=1.5 1735689600000000000"


@pytest.fixture
def btc(stores, questdb, lines):
    registration.create(stores, "btc", registration.Attributes())
    questdb.execute("CREATE TABLE other (a INT)")
    lines(LINE)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda s: dropping.plan_table(s, "ohlcv_btc"), {"ohlcv_btc"}),
        (lambda s: dropping.plan_dataset(s, "btc"), {"ohlcv_btc", "indicators_btc"}),
        (
            dropping.plan_registered,
            {"ohlcv_btc", "indicators_btc", *(t.name for t in SHARED_TABLES)},
        ),
        (
            dropping.plan_everything,
            {"ohlcv_btc", "indicators_btc", "other", *(t.name for t in SHARED_TABLES)},
        ),
    ],
    ids=["table", "dataset", "registered", "everything"],
)
def test_drop(stores, questdb, btc, make, expected):
    before = set(live_tables(questdb))
    intent = make(stores)
    assert {target.table for target in intent.targets} == expected
    assert intent.rows == 1
    with pytest.raises(ConfirmationError, match="1 rows"):
        dropping.confirm(intent, None, "stage1 questdb drop")
    dropping.confirm(intent, intent.confirmation, "")
    done = dropping.carry_out(stores, intent, keep=False, watch_seconds=0.3)
    assert (set(done.dropped), done.kept, done.came_back) == (expected, (), ())
    assert set(live_tables(questdb)) == before - expected


def test_keep(stores, questdb, btc):
    intent = dropping.plan_dataset(stores, "btc")
    done = dropping.carry_out(stores, intent, keep=True, watch_seconds=0.3)
    assert done.dropped == ("indicators_btc",)
    assert done.kept[0].startswith("ohlcv_btc_retired_")


def test_everything_takes_views_first(stores, questdb, btc):
    questdb.execute("CREATE VIEW a_view AS (SELECT * FROM ohlcv_btc)")
    questdb.execute(
        "CREATE MATERIALIZED VIEW z_view AS (SELECT timestamp, max(high) high FROM ohlcv_btc"
        " SAMPLE BY 1d) PARTITION BY MONTH"
    )
    intent = dropping.plan_everything(stores)
    assert [target.table for target in intent.targets[:2]] == ["a_view", "z_view"]
    done = dropping.carry_out(stores, intent, keep=False, watch_seconds=0.3)
    assert {"a_view", "z_view", "ohlcv_btc"} <= set(done.dropped)
    assert live_tables(questdb) == {}


def test_what_a_killed_drop_left_is_counted_and_dropped(stores, questdb, btc, monkeypatch):
    execute = Client.execute

    def execute_and_die(self, sql):
        execute(self, sql)
        if sql.startswith("RENAME"):
            raise KeyboardInterrupt

    for plan in (
        lambda: dropping.plan_table(stores, "ohlcv_btc"),
        lambda: dropping.plan_dataset(stores, "btc"),
        lambda: dropping.plan_everything(stores),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Client, "execute", execute_and_die)
            with pytest.raises(KeyboardInterrupt):
                dropping.carry_out(stores, dropping.plan_table(stores, "ohlcv_btc"), keep=False)
        assert "ohlcv_btc__dropping" in live_tables(questdb)
        intent = plan()
        assert intent.rows == 1
        dropping.carry_out(stores, intent, keep=False, watch_seconds=0)
        assert not [name for name in live_tables(questdb) if name.startswith("ohlcv_btc")]
        registration.create(stores, "btc", registration.Attributes())
        questdb.execute("INSERT INTO ohlcv_btc (timestamp, open) VALUES ('2025-01-01', 1.5)")
        questdb.wait_for("ohlcv_btc")


def test_a_writer_that_brings_a_table_back_is_noticed(stores, questdb, btc):
    ended = threading.Event()

    def write():
        while not ended.is_set():
            urllib3.request("POST", f"{questdb.url}/write", body=LINE + "\n")
            time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        intent = dropping.plan_table(stores, "ohlcv_btc")
        done = dropping.carry_out(stores, intent, keep=False, watch_seconds=1.5)
    finally:
        ended.set()
        writer.join()
    assert done.came_back == ("ohlcv_btc",)


@pytest.mark.parametrize("step", ["created", "copied", "__old", "renamed ohlcv_btc__new"])
def test_an_unfinished_rebuild_is_finished_first(stores, questdb, btc, step):
    daily(questdb, "ohlcv_btc")

    def kill(text):
        if step in text:
            raise Killed

    with pytest.raises(Killed):
        series.rebuild(stores, "ohlcv_btc", progress=kill)
    for plan in (
        lambda: dropping.plan_table(stores, "ohlcv_btc"),
        lambda: dropping.plan_dataset(stores, "btc"),
        lambda: dropping.plan_registered(stores),
        lambda: registration_drop.plan_drop(stores, "btc"),
    ):
        with pytest.raises(Stage1Error, match="stage1 questdb rebuild ohlcv_btc"):
            plan()
    series.rebuild(stores, "ohlcv_btc")
    assert dropping.plan_table(stores, "ohlcv_btc").rows == 1


def daily(questdb, name):
    """Make the table one that has to be rebuilt, with its row."""
    questdb.execute(f"RENAME TABLE {name} TO {name}_before")
    questdb.execute(
        f"CREATE TABLE {name} AS (SELECT * FROM {name}_before) TIMESTAMP(timestamp)"
        " PARTITION BY DAY WAL"
    )
    questdb.wait_for(name)


def test_one_at_a_time(stores, questdb, btc, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "SERIES_WAIT_S", 0.3)
    daily(questdb, "ohlcv_btc")
    refused = []

    def others(_):
        for run in (
            lambda: series.rebuild(stores, "ohlcv_btc"),
            lambda: series.drop_old(stores, "ohlcv_btc", "x"),
            lambda: retention_apply.apply(stores, retention.plan(stores), tmp_path),
            lambda: dropping.carry_out(stores, dropping.plan_everything(stores), keep=False),
        ):
            with pytest.raises(Stage1Error, match="another rebuild, retention or drop") as error:
                run()
            refused.append(error)

    done = series.rebuild(stores, "ohlcv_btc", progress=others)
    assert done.rows == 1
    assert len(refused) >= 4 * 5


def test_a_suspended_table_may_hold_more_than_is_counted(stores, questdb, btc):
    questdb.execute("INSERT INTO ohlcv_btc (timestamp, Date) VALUES (1, 9223372036854775807)")
    questdb.wait_for("ohlcv_btc")
    questdb.execute("ALTER TABLE ohlcv_btc ALTER COLUMN Date TYPE DECIMAL(10,2)")
    with pytest.raises(TableSuspended):
        questdb.wait_for("ohlcv_btc")
    summary = dropping.plan_dataset(stores, "btc").summary
    assert "ohlcv_btc (2 rows, and what its suspended log holds)" in summary
    (found,) = registration.read_all(stores, "btc")
    assert [t["name"] for t in found.tables if t["suspended"]] == ["ohlcv_btc"]
    dropping.carry_out(stores, dropping.plan_dataset(stores, "btc"), keep=False, watch_seconds=0)
    assert "ohlcv_btc" not in live_tables(questdb)


def test_who_claims_a_table_is_said(stores, btc):
    assert (
        "table ohlcv_btc, claimed as bars of btc"
        in dropping.plan_table(stores, "ohlcv_btc").summary
    )
    assert "claimed" not in dropping.plan_table(stores, "other").summary


def test_nothing_of_that_name(stores):
    with pytest.raises(Stage1Error, match="no table nowhere"):
        dropping.plan_table(stores, "nowhere")
    with pytest.raises(Stage1Error, match="no dataset nowhere"):
        dropping.plan_dataset(stores, "nowhere")
