"""What a reset does in QuestDB: every existing table is looked at, and what is left is reported."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
import urllib3

from questdb_ddl import QueryError, TableSuspended, live_tables
from stage1_schema.connect import connect
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate, reset, reset_series
from tests.cli.conftest import ROOT
from tests.cli.test_reset import DESKTOP_13, SHARED, done, failed
from tests.plugins.databases import environment

KEPT = "ohlcv_btc_retired_20250301T120000Z"


def create(questdb, *names):
    """Create tables as an exporter's first row does, each with one row."""
    for name in names:
        questdb.execute(
            f'CREATE TABLE "{name}" (timestamp_ms LONG, t TIMESTAMP)'
            " TIMESTAMP(t) PARTITION BY DAY WAL"
        )
        questdb.execute(f"INSERT INTO \"{name}\" VALUES (1, '2025-01-01')")
        questdb.wait_for(name)


def fates(intent, *, keep=False):
    return {name: what for store, name, _, what in intent.rows(keep=keep) if store == "QuestDB"}


CASES = [
    pytest.param("ohlcv_eth", "dropped: by its name", id="bars"),
    pytest.param("INDICATORS_Eth", "dropped: by its name", id="indicators_upper_case"),
    pytest.param("eth_ohlcv", "dropped: by its name", id="bars_suffix"),
    pytest.param("Eth 4h.v2_Ind", "dropped: by its name", id="indicators_suffix_odd"),
    pytest.param("eth_wf1735689600", "dropped: by its name", id="run_by_epoch"),
    pytest.param("eth_run7", "dropped: by its name", id="run_by_number"),
    pytest.param("run_638712345678901234", "dropped: by its name", id="run_by_ticks"),
    pytest.param("any label_sim3", "dropped: by its name", id="simulation"),
    pytest.param("indicator_bars", "dropped: shared", id="shared"),
    pytest.param("Trading_Sim_Traces", "dropped: shared", id="shared_other_case"),
    pytest.param("Old-Tag", "dropped: recorded", id="recorded"),
    pytest.param("OLD_RUN7", "dropped: recorded", id="recorded_other_case"),
    pytest.param("ohlcv_eth__old", "dropped: unfinished", id="rebuild"),
    pytest.param("indicator_bars__new", "dropped: unfinished", id="of_shared"),
    pytest.param("Old-Tag__dropping", "dropped: recorded", id="drop_of_recorded"),
    pytest.param("eth_sim3__dropping", "dropped: unfinished", id="drop"),
    pytest.param(f"{KEPT}__dropping", "left: kept copy", id="drop_of_kept"),
    pytest.param(KEPT, "left: kept copy", id="retired"),
    pytest.param("eth_ohlcv_old_20250301T120000Z", "left: kept copy", id="rebuilt"),
    pytest.param("trades", "left: not of Stage1", id="foreign"),
    pytest.param("ohlcv", "left: not of Stage1", id="only_the_prefix"),
    pytest.param("run_today", "left: not of Stage1", id="run_without_number"),
    pytest.param("walkforward", "left: not of Stage1", id="wf_without_number"),
    pytest.param("trades__new", "left: not of Stage1", id="rebuild_of_foreign"),
]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_what_is_planned_for_a_table(both, questdb, name, what):
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(DESKTOP_13)
    create(questdb, name)
    assert ("QuestDB", name, "1", what) in reset.plan(both).rows(keep=False)


def test_a_recorded_table_of_somebody_else_is_left(both, questdb):
    """A record can name any table of the server."""
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(DESKTOP_13)
    questdb.execute('CREATE TABLE "Old-Tag" (venue SYMBOL, bid DOUBLE, t TIMESTAMP) TIMESTAMP(t)')
    assert fates(reset.plan(both)) == {"Old-Tag": "left: recorded, other columns"}
    assert failed(done(both)) == []
    assert "old-tag" in live_tables(questdb)
    questdb.execute('DROP TABLE "Old-Tag"')


def test_what_is_planned_is_done(both, questdb):
    """All at once, and a second time after PostgreSQL forgot what it recorded."""
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(DESKTOP_13)
    planned = {case.values[0]: case.values[1] for case in CASES}
    create(questdb, *planned)
    left = {name.lower() for name, what in planned.items() if what.startswith("left")}
    assert fates(reset.plan(both)) == planned
    assert failed(done(both)) == []
    assert set(live_tables(questdb)) == SHARED | left
    create(questdb, "ohlcv_eth", "eth_sim3")
    assert failed(done(both)) == []
    assert set(live_tables(questdb)) == SHARED | left


def test_unfinished_drop_beside_its_table(both, questdb):
    """Whoever created `x__dropping`, it is not in the way of the drop of `x`."""
    create(questdb, "eth_run7", "eth_run7__dropping", "eth_run7__dropping__dropping")
    result = done(both)
    assert failed(result) == []
    assert set(live_tables(questdb)) == SHARED


def test_everything(both, questdb):
    create(questdb, "trades", KEPT)
    before = {row["table_name"] for row in questdb.query("SELECT table_name FROM tables()")}
    system = before - {"trades", KEPT}
    intent = reset.plan(both, everything=True)
    assert fates(intent) == {"trades": "dropped: not of Stage1", KEPT: "dropped: kept copy"}
    result = done(both, everything=True)
    assert failed(result) == []
    assert set(live_tables(questdb)) == SHARED
    assert system <= {row["table_name"] for row in questdb.query("SELECT table_name FROM tables()")}


def test_everything_with_keep_leaves_kept_copies(both, questdb):
    create(questdb, "trades", KEPT)
    intent = reset.plan(both, everything=True)
    what = {"trades": "renamed: not of Stage1", KEPT: "left: kept copy"}
    assert fates(intent, keep=True) == what
    result = done(both, keep=True, everything=True)
    assert failed(result) == []
    (kept,) = [line.split()[-1] for line in result.kept]
    assert set(live_tables(questdb)) == {*SHARED, KEPT.lower(), kept.lower()}


def test_dry_run_lists_all_and_changes_nothing(shell, both, questdb):
    names = [f"ohlcv_eth_{n}" for n in range(120)]
    for name in names:
        questdb.execute(f"CREATE TABLE {name} (t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY WAL")
    create(questdb, "trades", KEPT)
    before = live_tables(questdb, counts=True)
    shown = shell("stage1", "reset", "--dry-run", settings=both)
    as_json = shell("stage1", "reset", "--dry-run", "--json", "--drop", settings=both)
    assert (shown.code, as_json.code) == (0, 0), shown
    lines = shown.out.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last one names both servers
    for name in (*names, "trades", KEPT):
        assert sum(line.split()[-1] == name for line in lines) == 1
    tables = {each["table"]: each for each in json.loads(as_json.out)["tables"]}
    assert tables.keys() == {*names, "trades", KEPT}
    assert tables["trades"] == {
        "store": "QuestDB",
        "table": "trades",
        "rows": 1,
        "what_happens": "left: not of Stage1",
        "detached": [],
    }
    assert live_tables(questdb, counts=True) == before


def unreadable(questdb, questdb_server, name):
    create(questdb, name)
    (transactions,) = questdb_server.directory.glob(f"db/{name}~*/_txn")
    transactions.unlink()


def test_table_that_cannot_be_read(both, questdb, questdb_server):
    create(questdb, "eth_run1", "eth_run2")
    unreadable(questdb, questdb_server, "eth_run3")
    assert ("QuestDB", "eth_run3", "unknown", "dropped: by its name") in reset.plan(both).rows(
        keep=False
    )
    assert failed(done(both)) == []
    assert set(live_tables(questdb)) == SHARED


def test_table_that_cannot_be_read_is_not_kept(both, questdb, questdb_server):
    create(questdb, "eth_run2")
    unreadable(questdb, questdb_server, "eth_run3")
    with pytest.raises(Stage1Error, match=r"eth_run3 cannot be read.*Nothing was changed"):
        done(both, keep=True)
    assert "eth_run2" in live_tables(questdb, ["eth_run2"])
    assert failed(done(both)) == []


def test_suspended_table_is_not_kept(both, questdb):
    create(questdb, "eth_run1", "eth_run2")
    questdb.execute("INSERT INTO eth_run2 VALUES (9223372036854775807, '2025-01-02')")
    questdb.wait_for("eth_run2")
    questdb.execute("ALTER TABLE eth_run2 ALTER COLUMN timestamp_ms TYPE DECIMAL(10,2)")
    with pytest.raises(TableSuspended):
        questdb.wait_for("eth_run2")
    with pytest.raises(Stage1Error, match=r'"eth_run2" RESUME WAL.*Nothing was changed'):
        done(both, keep=True)
    assert {"eth_run1", "eth_run2"} <= live_tables(questdb).keys()
    assert failed(done(both)) == []


class Writer:
    """A writer that goes on: a row over HTTP, again and again, into a table or what it creates."""

    def __init__(self, url, table):
        self._url, self._table = f"{url}/write", table
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()

    def _write(self):
        pool = urllib3.PoolManager()
        while not self._stopped.is_set():
            pool.request("POST", self._url, body=f"{self._table} x=1i {time.time_ns()}\n")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("table", "detail"),
    [
        pytest.param("ohlcv_eth", "ohlcv_eth came back", id="old_table"),
        pytest.param("eth_sim9", "eth_sim9 is new", id="new_table"),
    ],
)
def test_writer_that_goes_on(shell, both, questdb, table, detail):
    create(questdb, "ohlcv_eth")
    name = both.postgres.database
    command = ("stage1", "reset", "--confirm", name, "--drop")
    intent = reset.plan(both)
    with Writer(questdb.url, table):
        if "new" in detail:  # it starts once the plan is made
            result = reset.run(both, intent, keep=False)
        ran = shell(*command, settings=both)
    assert ran.code == 1
    assert f"{table} came back" in ran.out
    assert "For the application team" not in ran.out
    assert "not complete" in ran.err
    if "new" in detail:
        assert detail in failed(result)[0].detail
        assert result.to_data()["message"] is None
    again = shell(*command, settings=both)
    assert again.code == 0, again
    assert "For the application team" in again.out
    assert set(live_tables(questdb)) == SHARED


def test_table_created_shortly_afterwards_is_noticed(both, questdb):
    intent = reset.plan(both)
    late = threading.Timer(0.0, lambda: None)
    original = migrate.upgrade

    def upgrade_then_late_writer(*arguments, **options):
        nonlocal late
        original(*arguments, **options)
        late = threading.Timer(1.0, create, (type(questdb)(questdb.url), "eth_run7"))
        late.start()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(migrate, "upgrade", upgrade_then_late_writer)
        result = reset.run(both, intent, keep=False, watch_seconds=10)
    late.join()
    assert "eth_run7 is new" in failed(result)[0].detail


def test_stop_among_questdbs_tables_continues(both, questdb, monkeypatch):
    """PostgreSQL is unchanged then: it still records the names, free ones too."""
    migrate.upgrade(both)
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO datasets (dataset_id, dataset_slug, symbol, granularity,"
            " ohlcv_measurement) VALUES (gen_random_uuid(), 'eth', 'ETH', '4h', 'zz free')"
        )
    create(questdb, "eth_run7", "zz free")
    dropped = []

    def stop(client, name):
        if dropped:
            raise QueryError("disk full", "DROP")
        dropped.append(name)
        return original(client, name)

    original = reset_series.drop
    with monkeypatch.context() as broken:
        broken.setattr(reset_series, "drop", stop)
        with pytest.raises(Stage1Error, match=r"PostgreSQL is unchanged.*run the same command"):
            done(both)
    assert dropped
    intent = reset.plan(both)
    assert intent.postgres.rows == 1
    assert "zz free" in fates(intent)
    assert failed(done(both)) == []
    assert set(live_tables(questdb)) == SHARED


@pytest.mark.parametrize("confirm", ["wrong", ""])
def test_make_with_another_name(both, questdb, confirm):
    create(questdb, "ohlcv_eth")
    # The Python of this environment: with another one `make install` would recreate it.
    ran = subprocess.run(
        ["/usr/bin/make", "reset", f"CONFIRM={confirm}", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment(both),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert f"CONFIRM={both.postgres.database}" in ran.stderr
    assert set(live_tables(questdb)) == {"ohlcv_eth"}


def test_command_with_another_name_on_local_servers(shell):
    up = shell("stage1", "up", "--no-sample")
    try:
        assert up.code == 0, up
        wrong = shell("stage1", "reset", "--confirm", "stage1_live")
        assert wrong.code == 1
        assert "is not 'stage1_live'" in wrong.err
        assert "nothing was changed" in wrong.err
    finally:
        shell("stage1", "down", "--clean")


def test_view_with_a_name_of_stage1_is_dropped_too(both, questdb):
    create(questdb, "a_ohlcv")
    questdb.execute(
        "CREATE MATERIALIZED VIEW z_ohlcv AS"
        " SELECT t, max(timestamp_ms) m FROM a_ohlcv SAMPLE BY 1d"
    )
    assert fates(reset.plan(both)) == dict.fromkeys(("a_ohlcv", "z_ohlcv"), "dropped: by its name")
    assert failed(done(both)) == []
    assert set(live_tables(questdb)) == SHARED
