"""Tables as exporters leave them, rebuilt, or refused where something would be lost."""

from dataclasses import replace

import pytest

from questdb_ddl import (
    Client,
    Column,
    Double,
    Hazard,
    Long,
    PlanRefused,
    Symbol,
    Table,
    TableSuspended,
    ensure_table,
    live_tables,
    plan_for,
    render,
)
from questdb_ddl.kept import drop_old, old_tables
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_names import Names
from questdb_ddl.rebuild_plan import plan_rebuild, target_for
from questdb_ddl.tables import ohlcv_table
from tests.questdb.rebuilding import (
    HOUR,
    JANUARY,
    ROWS,
    Killed,
    check_rebuilt,
    content,
    table_of,
)


@pytest.mark.core
def test_nothing_to_do(client, name):
    ensure_table(client, table_of(name))
    plan = plan_rebuild(client, table_of(name), writers_stopped=True)
    assert plan.empty
    assert "nothing to do" in str(plan)
    assert rebuild(client, table_of(name), writers_stopped=True).kept_as is None


@pytest.mark.core
def test_an_auto_created_table(client, field):
    plan = plan_rebuild(client, field, writers_stopped=True)
    assert (plan.rows, plan.keys, plan.refusals) == (2 * ROWS, ROWS, ())
    assert "2,000 rows repeat the keys of another row" in str(plan)
    told = []
    done = rebuild(client, field, told.append, writers_stopped=True)
    assert (done.rows, done.moved, done.late) == (ROWS, 0, 0)
    assert done.kept_as in told[-1]
    assert f"copied {2 * ROWS:,} of {2 * ROWS:,} rows of {field.name}" in told
    check_rebuilt(client, field)
    assert plan_for(client, [target_for(field, live_tables(client)[field.name])]).empty
    live = live_tables(client, [field.name])[field.name]
    assert live.column("tag").type == Symbol(capacity=1024, index=True, index_capacity=256)
    assert live.column("more").type == Double()
    partitions = client.query(f"select name from table_partitions('{field.name}')")
    assert [p["name"] for p in partitions] == ["2025-01", "2025-02", "2025-03"]
    assert content(client, done.kept_as)["rows"] == 2 * ROWS


@pytest.mark.core
def test_the_old_table_is_kept_until_it_is_named(client, field):
    kept = rebuild(client, field, writers_stopped=True).kept_as
    assert old_tables(client, field.name) == [kept]
    with pytest.raises(PlanRefused, match="is no old table of"):
        drop_old(client, field.name, field.name)
    client.execute(f"INSERT INTO {kept} (timestamp, tag) VALUES ('2031-01-01', 'late')")
    client.wait_for(kept)
    with pytest.raises(PlanRefused, match=r"1 rows of .* are not in"):
        drop_old(client, field.name, kept)
    client.execute(f"INSERT INTO {field.name} (timestamp, tag) VALUES ('2031-01-01', 'late')")
    client.wait_for(field.name)
    assert drop_old(client, field.name, kept) == 2 * ROWS + 1
    assert old_tables(client, field.name) == []


@pytest.mark.core
def test_again_and_again(client, field):
    for _ in range(5):
        kept = rebuild(client, field, writers_stopped=True).kept_as
        drop_old(client, field.name, kept)
        check_rebuilt(client, field)
        client.execute(f"ALTER TABLE {field.name} DEDUP DISABLE")
        client.wait_for(field.name)


def suspects_table(client, name, ilp, kind):
    client.execute(
        f"CREATE TABLE {name} (tag SYMBOL, n LONG, value DOUBLE, timestamp {kind})"
        " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    stamps = [JANUARY * 10**6, JANUARY * 10**3 + HOUR * 10**3, JANUARY + 2 * HOUR]
    # The bar in microseconds was exported again with the right time.
    lines = [f"{name},tag=a n={n}i,value=1.5 {stamp}" for n, stamp in enumerate(stamps)]
    lines.append(f"{name},tag=a n=7i,value=1.5 {(JANUARY + HOUR) * 10**6}")
    lines.append(f"{name},tag=a n=8i,value=1.5 {(JANUARY + 100 * 365 * 24 * HOUR) * 10**6}")
    assert ilp(name, lines) == 204


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS"])
def test_times_in_a_wrong_unit_are_reported_and_moved_when_asked(client, name, ilp, kind):
    suspects_table(client, name, ilp, kind)
    plan = plan_rebuild(client, table_of(name))
    found = plan.suspects
    assert (found.seconds, found.milliseconds, found.microseconds, found.future) == (0, 1, 1, 1)
    assert "left where they are" in str(plan)
    done = rebuild(client, table_of(name))
    assert done.moved == 0
    assert plan_rebuild(client, table_of(name)).empty
    done = rebuild(client, table_of(name), fix_timestamps=True)
    assert done.moved == 2
    rows = client.query(f"select timestamp, n from {name} where timestamp < '2026-01-01'")
    assert [(row["timestamp"][:19], row["n"]) for row in rows] == [
        ("2025-01-01T00:00:00", 0),
        ("2025-01-01T01:00:00", 7),
        ("2025-01-01T02:00:00", 2),
    ]
    assert len(old_tables(client, name)) == 2
    assert drop_old(client, name, done.kept_as) == 5


def test_fixing_times_is_resumed_as_such(client, name, ilp):
    suspects_table(client, name, ilp, "TIMESTAMP_NS")

    def kill(_):
        raise Killed

    with pytest.raises(Killed):
        rebuild(client, table_of(name), kill, fix_timestamps=True)
    assert Names(name, "_fixed").new in live_tables(client)
    while True:
        try:
            rebuild(client, table_of(name), kill)
        except Killed:
            continue
        break
    rows = client.query(f"select n from {name}")
    assert [row["n"] for row in rows] == [0, 7, 2, 8]


@pytest.mark.parametrize("late", ["old", "gap"])
def test_a_late_row_in_a_wrong_unit_is_moved(client, name, ilp, late):
    suspects_table(client, name, ilp, "TIMESTAMP_NS")
    names = Names(name, "_fixed")

    def kill(text):
        if text.endswith("__old_fixed"):  # a writer creates the table
            assert ilp(name, [f"{name},tag=a n=9i {(JANUARY + 3 * HOUR) * 10**6}"]) == 204
        if text == f"renamed {names.new} to {name}":
            raise Killed

    with pytest.raises(Killed):
        rebuild(client, table_of(name), kill, fix_timestamps=True)
    into = {"old": names.old, "gap": names.gap(0)}[late]
    # The second has its row already, which wins.
    lines = [f"{into},tag=a n={n}i {JANUARY + n * HOUR}" for n in (5, 1)]
    assert ilp(into, lines) == 204
    assert rebuild(client, table_of(name), fix_timestamps=True).late == 1
    rows = client.query(f"select n from {name} where timestamp < '2026-01-01'")
    assert [row["n"] for row in rows] == [0, 7, 2, 9, 5]


def test_seconds_are_moved_where_nanoseconds_kept_them_and_else_refused(client, name, ilp):
    for kind, suffix in (("TIMESTAMP_NS", "ns"), ("TIMESTAMP", "us")):
        table = table_of(f"{name}_{suffix}")
        client.execute(
            f"CREATE TABLE {table.name} (tag SYMBOL, n LONG, value DOUBLE, timestamp {kind})"
            " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
        )
        assert ilp(table.name, [f"{table.name},tag=a n=1i {JANUARY // 1000}"]) == 204
    done = rebuild(client, table_of(f"{name}_ns"), fix_timestamps=True)
    assert done.moved == 1
    assert client.query(f"select timestamp from {name}_ns") == [
        {"timestamp": "2025-01-01T00:00:00.000000Z"}
    ]
    with pytest.raises(PlanRefused, match="last three digits"):
        rebuild(client, table_of(f"{name}_us"), fix_timestamps=True)


def test_columns_of_another_type_change_when_no_value_is_lost(client, name, ilp):
    table = ohlcv_table("x", name=name)
    client.execute(
        f"CREATE TABLE {name} (open LONG, Date DOUBLE, close VARCHAR, timestamp TIMESTAMP)"
        " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    client.execute(f"INSERT INTO {name} VALUES (7, 20250101.0, '1.5', '2025-01-01')")
    client.wait_for(name)
    rebuild(client, table)
    assert client.query(f"select open, Date, close from {name}") == [
        {"open": 7.0, "Date": 20250101, "close": 1.5}
    ]


@pytest.mark.parametrize(
    ("live", "declared", "after"),
    [("", 6, None), ("TTL 24 MONTHS", 6, 24), ("TTL 23 MONTHS", 24, 24)],
)
def test_a_shorter_ttl_is_left_to_a_plan_that_says_so(client, name, live, declared, after):
    client.execute(
        f"CREATE TABLE {name} (tag SYMBOL, n LONG, value DOUBLE, timestamp TIMESTAMP)"
        f" TIMESTAMP(timestamp) PARTITION BY DAY {live} WAL"
    )
    client.execute(
        f"INSERT INTO {name} VALUES ('a', 1, 1, '2025-01-05'), ('a', 2, 2, '2026-10-05')"
    )
    client.wait_for(name)
    table = replace(table_of(name), ttl_months=declared)
    assert rebuild(client, table).rows == 2
    assert live_tables(client, [name])[name].ttl_months == after
    plan = plan_for(client, [table])
    assert plan.hazards == ((Hazard.DELETES_DATA,) if after != declared else ())


def _no_keys(client, name):
    client.execute(f"CREATE TABLE {name} (timestamp TIMESTAMP) TIMESTAMP(timestamp)")
    return Table(name, ())


def _lossy(client, name):
    client.execute(
        f"CREATE TABLE {name} (n DOUBLE, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY DAY WAL"
    )
    client.execute(f"INSERT INTO {name} VALUES (1.5, '2025-01-01')")
    client.wait_for(name)
    return table_of(name)


def _view(client, name):
    table = Table(name, (Column("n", Long()),), dedup_keys=("timestamp",))
    client.execute(render.create_table(table))
    client.execute(
        f"CREATE MATERIALIZED VIEW {name}_view AS (SELECT timestamp, sum(n) n FROM {name}"
        " SAMPLE BY 1h) PARTITION BY MONTH"
    )
    return table_of(name)


def _a_view(client, name):
    client.execute(f"CREATE TABLE {name}_base (n LONG, t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY")
    client.execute(f"CREATE VIEW {name} AS (SELECT * FROM {name}_base)")
    return table_of(name)


def _no_timestamp(client, name):
    client.execute(f"CREATE TABLE {name} (n LONG)")
    return table_of(name)


def _another_stamp(client, name):
    client.execute(
        f"CREATE TABLE {name} (n LONG, timestamp LONG, ts TIMESTAMP) TIMESTAMP(ts)"
        " PARTITION BY DAY WAL"
    )
    client.execute(f"INSERT INTO {name} VALUES (1, 7, '2025-01-01')")
    client.wait_for(name)
    return table_of(name)


def _parquet(client, name):
    client.execute(
        f"CREATE TABLE {name} (n LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY DAY WAL"
    )
    client.execute(f"INSERT INTO {name} VALUES (1, '2025-01-01'), (2, '2025-01-03')")
    client.wait_for(name)
    client.execute(
        f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET WHERE timestamp < '2025-01-02'"
    )
    client.wait_for(name)
    return table_of(name)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_no_keys, "no deduplication keys"),
        (_lossy, "1 values of n do not survive DOUBLE becoming LONG"),
        (_view, "the materialized view .*_view reads it"),
        (_parquet, "Parquet partitions"),
        (_a_view, "it is a view; only tables"),
        (_no_timestamp, "no designated timestamp"),
        (_another_stamp, "column timestamp is not its designated timestamp, which is ts"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused_where_it_would_lose_something(client, name, make, says):
    table = make(client, name)
    try:
        assert plan_rebuild(client, table).refusals
        with pytest.raises(PlanRefused, match=says):
            rebuild(client, table)
        assert set(live_tables(client)) >= {name}
        assert not [t for t in live_tables(client) if "__" in t]
    finally:
        client.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}_view")
        if make is _a_view:
            client.execute(f"DROP VIEW {name}")


def test_refused_while_suspended(client, name, suspend):
    suspend(name)
    with pytest.raises((PlanRefused, TableSuspended), match="suspended"):
        rebuild(client, table_of(name))


def test_refused_while_tcp_writers_may_write(tcp_server):
    with Client(tcp_server.url) as client:
        client.execute(
            "CREATE TABLE tcp (tag SYMBOL, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
            " PARTITION BY DAY WAL"
        )
        with pytest.raises(PlanRefused, match="--writers-stopped"):
            rebuild(client, table_of("tcp"))
        assert rebuild(client, table_of("tcp"), writers_stopped=True).kept_as
