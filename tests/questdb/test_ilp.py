"""The lines of the clients' contract, sent over HTTP and TCP to tables that were created before."""

import socket
import time
from datetime import UTC, datetime

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
from stage1_schema.ops.owned import with_indicators
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
    "exit_signal=-0.1,is_long={2}"
)
CASES = {
    "indicators, tag": (
        indicators_table("x"),
        [
            f",dataset_id={dataset} Date=20250101i,Time=0i,rsi_14=55.5,streak=3i"
            for dataset in ("d1", "d2")
        ],
    ),
    "indicators, no tag": (indicators_table("x"), [" timestamp_ms=1735689600000i,rsi_14=55.5"]),
    "indicators, both": (
        indicators_table("x"),
        [",dataset_id=d1 rsi_14=55.5", " timestamp_ms=1735689600000i,rsi_14=56.5"],
    ),
    "indicators, integers and fractions row by row": (
        indicators_table("x", indicators=["rsi_14", "ema"]),
        [
            f",dataset_id={dataset} Date=20250101i,Time=0i,rsi_14={value}"
            for dataset, value in (("d1", "55i"), ("d2", "55.5"), ("d3", "56i"))
        ],
    ),
    "ohlcv": (ohlcv_table("x"), [f" {OHLCV}"]),
    "indicator_bars, integers and fractions row by row": (
        with_indicators(INDICATOR_BARS, ["rsi_14"]),
        [
            f",dataset={dataset},source=live,granularity=4h {BAR},rsi_14={value}"
            for dataset, value in (("a", "55i"), ("b", "55.5"), ("c", "56i"))
        ],
    ),
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
            f"{OWN_TRADE.format(trade, fold, str(side == 'long').lower())}"
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


def parsed(line, ms):
    """Return what an ILP line says as a row, and the type of each column."""
    key, _, fields = line.partition(" ")
    row, types = {}, {"timestamp": "TIMESTAMP"}
    for tag in key.split(",")[1:]:
        name, _, row[name] = tag.partition("=")
        types[name] = "SYMBOL"
    for field in fields.split(","):
        name, _, value = field.partition("=")
        if value in {"true", "false"}:
            row[name], types[name] = value == "true", "BOOLEAN"
        elif value.endswith("i"):
            row[name], types[name] = int(value[:-1]), "LONG"
        else:
            row[name], types[name] = float(value), "DOUBLE"
    row["timestamp"] = f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.000000Z"
    return row, types


@pytest.mark.core
@pytest.mark.parametrize("send", [over_http, over_tcp])
@pytest.mark.parametrize("case", CASES)
def test_lines_land_with_their_values_and_types_by_month_and_once(tcp_server, case, send):
    table, lines = CASES[case]
    name = f"{send.__name__}_{list(CASES).index(case)}"
    table = table.renamed(name)
    sent = [f"{name}{line} {ms * 10**6}" for ms in (JANUARY, FEBRUARY) for line in lines]
    rows, types = zip(
        *(parsed(line, ms) for ms in (JANUARY, FEBRUARY) for line in lines), strict=True
    )
    declared = {column.name: column.type.keyword for column in table.columns}
    expected = {name: kind for each in types for name, kind in each.items()} | declared
    # A boolean that was not sent is false, everything else is null.
    empty = {name: False if kind == "BOOLEAN" else None for name, kind in expected.items()}
    with Client(tcp_server.url) as client:
        client.execute(drop_table(name))
        ensure_table(client, table)
        for _ in range(2):
            send(tcp_server, client, name, sent)
            stored = client.query(f"select * from {name}")
            assert sorted(stored, key=str) == sorted(
                ({column: (empty | row)[column] for column in stored[0]} for row in rows), key=str
            )
            live = live_tables(client, [name])[name]
            assert {column.name: column.type.keyword for column in live.columns} == expected
        assert table.extensible or set(expected) == set(declared)
        assert compare(table, live).equal
        partitions = client.query(f"select name from table_partitions('{name}')")
        assert [partition["name"] for partition in partitions] == ["2025-01", "2025-02"]


def test_a_re_export_with_other_values_replaces_the_row(client, name, ilp):
    ensure_table(client, ohlcv_table("x", name=name))
    for close in (2.0, 3.0):
        assert ilp(name, [f"{name} Date=1i,close={close} {JANUARY * 10**6}"]) == 204
    assert client.query(f"select close from {name}") == [{"close": 3.0}]


@pytest.mark.parametrize("send", [over_http, over_tcp])
def test_an_undeclared_indicator_that_looks_like_an_integer_refuses_fractions(tcp_server, send):
    """The limit that docs/ingestion.md tells, and that declaring the indicator lifts."""
    name = f"undeclared_{send.__name__}"
    with Client(tcp_server.url) as client:
        ensure_table(client, indicators_table("x", name=name))
        send(tcp_server, client, name, [f"{name} rsi=55i {JANUARY * 10**6}"])
        body = f"{name} rsi=55.5 {FEBRUARY * 10**6}\n{name} rsi=56i {(FEBRUARY + 1) * 10**6}\n"
        if send is over_http:
            assert send_lines(client, name, body.splitlines()) == 400
        else:
            with socket.create_connection((tcp_server.host, tcp_server.ilp_port)) as connection:
                connection.sendall(body.encode())
                connection.settimeout(20)
                assert connection.recv(1) == b""  # the server closes it
        client.wait_for(name)
        assert client.query(f"select rsi from {name}") == [{"rsi": 55}]


def test_columns_that_the_exporter_added_are_no_drift(client, name, ilp):
    table = indicators_table("x", name=name)
    ensure_table(client, table)
    assert ilp(name, [f"{name},dataset_id=d Date=1i,ema_21=1.5 {JANUARY * 10**6}"]) == 204
    live = live_tables(client, [name])[name]
    assert live.column("ema_21")
    assert compare(table, live).equal
