"""The lines of the clients' contract, sent over HTTP and TCP to tables that were created before."""

import socket
import time

import pytest

from questdb_ddl import Client, compare, ensure_table, live_tables
from questdb_ddl.render import drop_table
from questdb_ddl.tables import (
    INDICATOR_BARS,
    TRADING_SIM_EQUITY,
    TRADING_SIM_TRACES,
    WALKFORWARD_PREDICTIONS,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
)
from tests.questdb.conftest import send_lines

JANUARY, FEBRUARY = 1_735_689_600_000, 1_738_368_000_000
"""2025-01-01 and 2025-02-01 in milliseconds UTC; a line has nanoseconds."""

BAR = "date_i=20250101i,time_i=0i,timestamp_unix=1735689600i,open=1,high=2.5,low=0.5,close=2"
OHLCV = "Date=20250101i,Time=0i,open=1i,high=2.5,low=0.5,close=2.0,volume=100i"
PREDICTION = "bar_index={0}i,prediction=0.5,target_value=1,long_threshold=0.6,short_threshold=-0.6"
TRADE = (
    "entry_price=100.5,exit_price=101,position_size=1,pnl=0.5,return_pct=0.49,"
    "cumul_return_pct=0.49,entry_signal=0.7,exit_signal=-0.1,exit_timestamp_unix={0}i"
)
OWN_TRADE = (
    "exit_timestamp_unix=1735693200000i,trade_index={0}i,fold_index={1}i,position_size=1.0,"
    "entry_price=100.5,exit_price=101.0,pnl=0.5,return_pct=0.49,entry_signal=0.7,"
    "exit_signal=-0.1,is_long=true"
)
CASES = {
    "indicators, tag": (
        indicators_table("x"),
        [",dataset_id=d1 Date=20250101i,Time=0i,rsi_14=55.5,streak=3i"],
    ),
    "indicators, no tag": (indicators_table("x"), [" timestamp_ms=1735689600000i,rsi_14=55.5"]),
    "indicators, declared ahead": (
        indicators_table("x", indicators=["rsi_14"]),
        [" Date=20250101i,Time=0i,rsi_14=55i"],
    ),
    "ohlcv": (ohlcv_table("x"), [f" {OHLCV}"]),
    "indicator_bars": (
        INDICATOR_BARS,
        [
            f",dataset=a,source=live,granularity=4h {BAR},rsi_14=55.5",
            f",dataset=b,source=live,granularity=4h {BAR},rsi_14=55.5",
            f",dataset=a,source=csv,granularity=4h {BAR},rsi_14=55.5",
            f",dataset=a,source=live,granularity=1h {BAR},rsi_14=55.5",
        ],
    ),
    "walkforward_predictions": (
        WALKFORWARD_PREDICTIONS,
        [
            f",run_id={run},fold={fold},dataset={dataset},target={target} "
            f"{PREDICTION.format(1)},score=0.9"
            for run, fold, dataset, target in (
                ("r1", 0, "a", "up"), ("r2", 0, "a", "up"), ("r1", 1, "a", "up"),
                ("r1", 0, "b", "up"), ("r1", 0, "a", "down"),
            )
        ],
    ),
    "predictions of a run": (
        predictions_table("x"),
        [
            f" {PREDICTION.format(7)},fold_number={fold}i,roc_threshold=0.1,"
            "short_entry_threshold=0.2,fold_score=0.9,fold_profit_factor=999"
            for fold in (0, 1)
        ],
    ),
    "predictions without NaN thresholds": (
        predictions_table("x"),
        [" bar_index=7i,fold_number=0i,prediction=0.5,target_value=1,fold_score=0.9"],
    ),
    "trading_sim_traces": (
        TRADING_SIM_TRACES,
        [
            f",simulation_id={simulation},run_id={run},mode={mode} {TRADE.format(leave)}"
            for simulation, run, mode, leave in (
                ("s1", "r1", "dual", 1735693200), ("s2", "r1", "dual", 1735693200),
                ("s1", "r2", "dual", 1735693200), ("s1", "r1", "long", 1735693200),
                ("s1", "r1", "dual", 1735696800),
            )
        ],
    ),
    "trades of a simulation": (
        simulation_table("x"),
        [
            f",dataset_id=d,mode={mode},run_id=r,simulation_id=s,side_label={side} "
            f"{OWN_TRADE.format(trade, fold)}"
            for mode, side, trade, fold in (
                ("dual", "long", 0, 0), ("dual", "short", 0, 0), ("dual", "long", 1, 0),
                ("dual", "long", 0, 1), ("long", "long", 0, 0),
            )
        ],
    ),
    "trading_sim_equity": (
        TRADING_SIM_EQUITY,
        [
            f",simulation_id={simulation},run_id=r1,mode={mode} equity=10000.5,drawdown=0i"
            for simulation, mode in (("s1", "long"), ("s2", "long"), ("s1", "short"))
        ],
    ),
}  # fmt: skip


def over_http(server, client, table, lines):
    assert send_lines(client, table, lines) == 204


def over_tcp(server, client, table, lines):
    """Send lines and wait until the server committed them: TCP gives no answer."""
    before = commits(client, table)
    with socket.create_connection((server.host, server.ilp_port)) as connection:
        connection.sendall("".join(f"{line}\n" for line in lines).encode())
    deadline = time.monotonic() + 20
    while commits(client, table) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    client.wait_for(table)


def commits(client, table):
    """Return how many transactions brought rows; a column that a line adds is one of WAL -1."""
    (row,) = client.query(f"select count() n from wal_transactions('{table}') where walId > 0")
    return row["n"]


@pytest.mark.core
@pytest.mark.parametrize("send", [over_http, over_tcp])
@pytest.mark.parametrize("case", CASES)
def test_lines_land_by_month_and_twice_makes_no_more_rows(tcp_server, case, send):
    table, lines = CASES[case]
    name = f"{send.__name__}_{list(CASES).index(case)}"
    table = table.renamed(name)
    sent = [f"{name}{line} {ms * 10**6}" for ms in (JANUARY, FEBRUARY) for line in lines]
    with Client(tcp_server.url) as client:
        client.execute(drop_table(name))
        ensure_table(client, table)
        for _ in range(2):
            send(tcp_server, client, name, sent)
            live = live_tables(client, [name], counts=True)[name]
            assert live.row_count == len(sent)
        assert compare(table, live).equal
        assert live.min_timestamp == "2025-01-01T00:00:00.000000Z"
        partitions = client.query(f"select name from table_partitions('{name}')")
        assert [partition["name"] for partition in partitions] == ["2025-01", "2025-02"]


def test_values_land_with_their_types(client, name, ilp):
    ensure_table(client, ohlcv_table("x", name=name))
    assert ilp(name, [f"{name} {OHLCV} {JANUARY * 10**6}"]) == 204
    assert client.query(f"select * from {name}") == [
        {
            "timestamp": "2025-01-01T00:00:00.000000Z",
            "Date": 20250101,
            "Time": 0,
            "open": 1.0,
            "high": 2.5,
            "low": 0.5,
            "close": 2.0,
            "volume": 100.0,
        }
    ]


def test_a_re_export_with_other_values_replaces_the_row(client, name, ilp):
    ensure_table(client, ohlcv_table("x", name=name))
    for close in (2.0, 3.0):
        assert ilp(name, [f"{name} Date=1i,close={close} {JANUARY * 10**6}"]) == 204
    assert client.query(f"select close from {name}") == [{"close": 3.0}]


def test_an_undeclared_indicator_that_looks_like_an_integer_refuses_fractions(client, name, ilp):
    declared = indicators_table("x", name=f"{name}_d", indicators=["rsi"])
    for table, second in ((indicators_table("x", name=name), 400), (declared, 204)):
        ensure_table(client, table)
        assert ilp(table.name, [f"{table.name} rsi=55i {JANUARY * 10**6}"]) == 204
        assert ilp(table.name, [f"{table.name} rsi=55.5 {FEBRUARY * 10**6}"]) == second


def test_columns_that_the_exporter_added_are_no_drift(client, name, ilp):
    table = indicators_table("x", name=name)
    ensure_table(client, table)
    assert ilp(name, [f"{name},dataset_id=d Date=1i,ema_21=1.5 {JANUARY * 10**6}"]) == 204
    live = live_tables(client, [name])[name]
    assert {"dataset_id", "ema_21"} <= {column.name for column in live.columns}
    assert compare(table, live).equal
