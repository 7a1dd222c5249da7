"""QuestDB tables that an exporter made before the first upgrade, as the operator meets them."""

import re
import shlex

import pytest
import urllib3

from questdb_ddl import compare, drop, ensure_table, live_tables
from questdb_ddl.tables import (
    INDICATOR_BARS,
    SHARED_TABLES,
    TRADING_SIM_TRACES,
    WALKFORWARD_PREDICTIONS,
)
from stage1_schema.errors import QuestDBError
from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB
from tests.migrations.databases import fill, query
from tests.migrations.test_preflight import refused, run
from tests.plugins.questdb import RESTING, kept

DAY_MS = 86_400_000
START_MS = 1_735_689_600_000  # 2025-01-01
LINES = {
    "indicator_bars": "indicator_bars,dataset=btc,source=laptop,granularity=4h date_i={n}i,"
    "time_i=0i,timestamp_unix={ms}i,open=1.5,high=2.5,low=0.5,close=1.25,rsi_14={n}.5,ema={n}.25",
    "walkforward_predictions": "walkforward_predictions,run_id=r,fold=0,dataset=btc,target=up "
    "bar_index={n}i,prediction=0.5,target_value=0.25,long_threshold=0.1,short_threshold=0.2,"
    "score=0.75,roc_threshold=0.5",
    "trading_sim_traces": "trading_sim_traces,simulation_id=s,run_id=r,mode=long entry_price=1.5,"
    "exit_price=2.5,position_size=1.0,pnl=1.0,return_pct=0.5,cumul_return_pct=0.5,"
    "entry_signal=0.1,exit_signal=0.2,exit_timestamp_unix={ms}i,fee={n}.5",
}
OWN_COLUMNS = {
    "indicator_bars": ("rsi_14", "ema"),
    "walkforward_predictions": ("roc_threshold",),
    "trading_sim_traces": ("fee",),
}
DAYS = 70  # over three months


@pytest.fixture(scope="module")
def field_server(tmp_path_factory, questdb_version):
    """A QuestDB as it is in the field: by day, and with ILP over TCP."""
    names = ("line.default.partition.by", "line.tcp.default.partition.by")
    with LocalQuestDB(
        tmp_path_factory.mktemp("field"),
        jar=questdb_jar(questdb_version),
        ilp_tcp=True,
        settings=RESTING | dict.fromkeys(names, "DAY") | {"dev.mode.enabled": "true"},
    ) as server:
        yield from kept("field_server", server)


@pytest.fixture
def questdb_server(field_server):
    """The server that the other fixtures of this module use."""
    return field_server


def export(questdb, name, *, times=1):
    """Send lines as an exporter does, over HTTP and in nanoseconds; the server makes the table."""
    days = [(n, START_MS + n * DAY_MS) for n in range(DAYS)]
    body = "".join(f"{LINES[name].format(n=n, ms=ms)} {ms}000000\n" for n, ms in days)
    for _ in range(times):
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", f"{questdb.url}/write", body=body)
        assert answer.status == 204, answer.data
    questdb.wait_for(name)


def commands(line):
    """Return the commands for a shell that a refusal names, in order."""
    found = re.findall(r"stage1 questdb rebuild [a-z_]+(?: --[a-z-]+)*", line)
    return [shlex.split(each) for each in found]


def follow(settings, questdb, line):
    """Do what a refusal says: its commands, and its statements for QuestDB."""
    for command in commands(line):
        code, _, said = run(settings, *command)
        assert code == 0, said
    for statement in re.findall(r"console run (.*?); then", line):
        questdb.execute(statement)


@pytest.mark.parametrize("shape", [None, "desktop", "dashboard", "reset"])
def test_the_operator_reaches_head_with_every_row(both, questdb, shape):
    if shape:
        fill(both, shape)
    export(questdb, "indicator_bars", times=2)
    live = live_tables(questdb, ["indicator_bars"])["indicator_bars"]
    assert (str(live.partition_by), live.dedup_keys) == ("DAY", ())
    upgrade = ["alembic", *(("-x", "legacy=import") if shape else ()), "upgrade", "head"]
    line = refused(both, questdb, *upgrade)
    assert "indicator_bars: partitioning: declared MONTH, live DAY" in line
    follow(both, questdb, line)
    code, _, said = run(both, *upgrade)
    assert code == 0, said
    assert query(both, "SELECT version_num FROM alembic_version") == [(migrate.head(),)]
    read = "SELECT count() n, sum(rsi_14) rsi, sum(ema) ema, min(timestamp) first"
    assert questdb.query(f"{read} FROM indicator_bars") == [
        {
            "n": DAYS,  # the second export doubled each row
            "rsi": sum(n + 0.5 for n in range(DAYS)),
            "ema": sum(n + 0.25 for n in range(DAYS)),
            "first": "2025-01-01T00:00:00.000000Z",
        }
    ]
    code, _, said = run(both, "alembic", "check")
    assert code == 0, said
    export(questdb, "indicator_bars")
    assert questdb.query("SELECT count() n FROM indicator_bars") == [{"n": DAYS}]


def test_every_table_that_differs_is_named_with_its_command(both, questdb):
    for name in LINES:
        export(questdb, name)
    line = refused(both, questdb, "alembic", "upgrade", "head")
    for command in ("plan", "upgrade"):
        told = refused(both, questdb, "stage1", command)
        assert told.partition(": ")[2] == line.partition(": ")[2]
    assert [each[3] for each in commands(line)] == list(LINES)
    follow(both, questdb, line)
    assert run(both, "alembic", "upgrade", "head")[0] == 0
    for name, columns in OWN_COLUMNS.items():
        counts = ", ".join(f"count({column}) {column}" for column in columns)
        assert questdb.query(f"SELECT {counts} FROM {name}") == [dict.fromkeys(columns, DAYS)]
    code, _, said = run(both, "alembic", "check")
    assert code == 0, said
    assert run(both, "stage1", "check")[0] == 0


def test_tables_as_declared_with_more_columns_are_accepted(both, questdb):
    for table in SHARED_TABLES:
        ensure_table(questdb, table)
    for name in LINES:
        export(questdb, name)
    assert run(both, "alembic", "upgrade", "head")[0] == 0
    for name, columns in OWN_COLUMNS.items():
        live = live_tables(questdb, [name], counts=True)[name]
        assert {column.name for column in live.columns} > set(columns)
        assert live.row_count == DAYS
    assert run(both, "alembic", "check")[0] == 0


MONTHLY = "TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
DAILY = "TIMESTAMP(timestamp) PARTITION BY DAY WAL"
COLUMNS = "timestamp TIMESTAMP, dataset SYMBOL, open DOUBLE"
OBSTACLES = {
    "without deduplication": f"CREATE TABLE indicator_bars ({COLUMNS}) {MONTHLY}",
    "without WAL": f"CREATE TABLE indicator_bars ({COLUMNS}) {MONTHLY}".replace(
        "WAL", "BYPASS WAL"
    ),
    "by year": f"CREATE TABLE indicator_bars ({COLUMNS}) {MONTHLY}".replace("MONTH", "YEAR"),
    "nanoseconds": f"CREATE TABLE indicator_bars ({COLUMNS}) {MONTHLY}".replace(
        "TIMESTAMP,", "TIMESTAMP_NS,"
    ),
    "another timestamp": f"CREATE TABLE indicator_bars ({COLUMNS}) {DAILY}".replace(
        "timestamp", "ts"
    ),
    "other types": f"CREATE TABLE indicator_bars ({COLUMNS}) {DAILY}".replace(
        "SYMBOL, open DOUBLE", "VARCHAR, open FLOAT"
    ),
    "in capitals": f"CREATE TABLE Indicator_Bars ({COLUMNS}) {DAILY}",
    "without a designated timestamp": f"CREATE TABLE indicator_bars ({COLUMNS})",
}


@pytest.mark.parametrize("statement", OBSTACLES.values(), ids=list(OBSTACLES))
def test_the_command_of_each_difference_works(both, questdb, statement):
    questdb.execute(statement)
    questdb.execute("INSERT INTO indicator_bars VALUES ('2025-01-01', 'btc', 1.5)")
    line = refused(both, questdb, "alembic", "upgrade", "head")
    follow(both, questdb, line)
    code, _, said = run(both, "alembic", "upgrade", "head")
    assert code == 0, said
    kept = {"indicator_bars", "indicator_bars_before"} & set(live_tables(questdb))
    rows = [questdb.query(f"SELECT dataset, open FROM {name}") for name in kept]
    assert [{"dataset": "btc", "open": 1.5}] in rows


def test_a_view_is_dropped(both, questdb):
    questdb.execute(f"CREATE TABLE bars ({COLUMNS}) {MONTHLY}")
    questdb.execute("CREATE VIEW indicator_bars AS (SELECT timestamp, open FROM bars)")
    try:
        line = refused(both, questdb, "alembic", "upgrade", "head")
        assert 'DROP VIEW "indicator_bars"' in line
        follow(both, questdb, line)
        assert run(both, "alembic", "upgrade", "head")[0] == 0
    finally:
        drop(questdb, "indicator_bars")


def test_a_suspended_table_is_resumed(both, questdb):
    export(questdb, "indicator_bars")
    questdb.execute("ALTER TABLE indicator_bars SUSPEND WAL")
    line = refused(both, questdb, "alembic", "upgrade", "head")
    assert 'ALTER TABLE "indicator_bars" RESUME WAL' in line
    follow(both, questdb, line)
    follow(both, questdb, refused(both, questdb, "alembic", "upgrade", "head"))
    assert run(both, "alembic", "upgrade", "head")[0] == 0
    assert questdb.query("SELECT count() n FROM indicator_bars") == [{"n": DAYS}]


def test_unfinished_rebuild_is_finished_first(both, questdb):
    export(questdb, "indicator_bars")
    questdb.execute("RENAME TABLE indicator_bars TO indicator_bars__old")
    ensure_table(questdb, INDICATOR_BARS.renamed("indicator_bars__new"))
    line = refused(both, questdb, "alembic", "upgrade", "head")
    assert "a rebuild of it is unfinished" in line
    follow(both, questdb, line)
    assert run(both, "alembic", "upgrade", "head")[0] == 0
    assert questdb.query("SELECT count() n FROM indicator_bars") == [{"n": DAYS}]


def test_without_questdb_nothing_is_compared(both, questdb):
    export(questdb, "indicator_bars")
    assert run(both, "alembic", "-x", "questdb=skip", "upgrade", "head")[0] == 0
    assert str(live_tables(questdb)["indicator_bars"].partition_by) == "DAY"


def test_a_table_that_a_writer_makes_after_the_comparison_still_stops(both, questdb, monkeypatch):
    """What was compared can change: the step itself looks again."""
    from stage1_schema.alembic_plugin import preflight

    monkeypatch.setattr(preflight, "questdb", lambda *_: export(questdb, "indicator_bars"))
    with pytest.raises(QuestDBError, match="indicator_bars is not what was declared"):
        migrate.upgrade(both)
    monkeypatch.undo()
    assert query(both, "SELECT version_num FROM alembic_version") == [("0006",)]
    follow(both, questdb, refused(both, questdb, "alembic", "upgrade", "head"))
    assert run(both, "alembic", "upgrade", "head")[0] == 0


def test_the_shared_tables_may_have_more_columns(questdb):
    for table in (WALKFORWARD_PREDICTIONS, TRADING_SIM_TRACES, INDICATOR_BARS):
        ensure_table(questdb, table)
        questdb.execute(f"ALTER TABLE {table.name} ADD COLUMN own DOUBLE")
        questdb.wait_for(table.name)
        assert compare(table, live_tables(questdb, [table.name])[table.name]).equal
