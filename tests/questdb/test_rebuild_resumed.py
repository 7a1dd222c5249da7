"""A rebuild that was killed and is called again, when things are no longer as they were."""

import pytest

from questdb_ddl import Client, PlanRefused, live_tables, trim
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_plan import plan_rebuild
from tests.questdb.rebuilding import Killed, content, table_of

DAILY = (
    "CREATE TABLE {} (tag SYMBOL, n LONG, value DOUBLE, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
    " PARTITION BY DAY WAL"
)
FILL = (
    "INSERT INTO {} SELECT 't' || (x % 3), x, x, dateadd('h', x::int, '2025-01-01')"
    " FROM long_sequence(300)"
)


def daily(client, name):
    client.execute(DAILY.format(name))
    client.execute(FILL.format(name))
    client.wait_for(name)
    return table_of(name)


def killed_at(word):
    def kill(text):
        if word in text:
            raise Killed

    return kill


def stop(client, table, word):
    with pytest.raises(Killed):
        rebuild(client, table, killed_at(word), writers_stopped=True)


def _view(client, name):
    client.execute(
        f"CREATE MATERIALIZED VIEW {name}_view AS (SELECT timestamp, sum(n) n FROM {name}"
        " SAMPLE BY 1d) PARTITION BY MONTH"
    )


def _parquet(client, name):
    client.execute(
        f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET WHERE timestamp < '2025-01-02'"
    )
    client.wait_for(name)


def _trim(client, table, on_step=lambda _: None):
    return trim(client, table, "tag", ["t1"], on_step)


@pytest.mark.parametrize("run", [rebuild, _trim])
@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [(_view, "the materialized view .*_view reads it"), (_parquet, "Parquet partitions")],
    ids=["view", "parquet"],
)
def test_refused_for_what_came_after_the_kill(client, name, run, meanwhile, says):
    table = daily(client, name)
    with pytest.raises(Killed):
        run(client, table, killed_at("created"))
    meanwhile(client, name)
    try:
        with pytest.raises(PlanRefused, match=says):
            run(client, table)
        assert content(client, name)["rows"] == 300
    finally:
        client.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}_view")


@pytest.mark.parametrize("word", ["created", "copied", "__old"])
def test_tcp_writers_have_to_be_stopped_each_time(tcp_server, word, name):
    with Client(tcp_server.url) as client:
        table = daily(client, name)
        stop(client, table, word)
        plan = plan_rebuild(client, table)
        assert plan.under_way
        assert "--writers-stopped" in str(plan)
        with pytest.raises(PlanRefused, match="--writers-stopped"):
            rebuild(client, table)
        assert rebuild(client, table, writers_stopped=True).rows == 300


def test_a_type_that_has_come_to_lose_values(client, name):
    client.execute(DAILY.format(name).replace("n LONG", "n DOUBLE"))
    client.execute(FILL.format(name))
    client.wait_for(name)
    stop(client, table_of(name), "created")
    client.execute(f"INSERT INTO {name} (n, timestamp) VALUES (1.5, '2025-06-01')")
    client.wait_for(name)
    with pytest.raises(PlanRefused, match="1 values of n do not survive"):
        rebuild(client, table_of(name))


@pytest.mark.parametrize("deduplicates", [True, False], ids=["in place", "doubled"])
def test_values_that_were_replaced_after_the_kill(client, name, deduplicates):
    table = daily(client, name)
    if deduplicates:
        client.execute(f"ALTER TABLE {name} DEDUP ENABLE UPSERT KEYS(timestamp, tag)")
    stop(client, table, "copied")
    client.execute(FILL.format(name).replace("x, x, date", "x, x + 0.5, date"))
    client.wait_for(name)
    assert rebuild(client, table).rows == 300
    assert client.query(f"select count() n, sum(value) v from {name}") == [{"n": 300, "v": 45300.0}]


OTHER = "CREATE TABLE {} (a LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY MONTH WAL"


@pytest.mark.parametrize("suffix", ["__old", "__old_fixed", "__new", "__gap0", "__seen0"])
def test_somebody_elses_table_is_neither_merged_nor_dropped(client, name, suffix):
    table = daily(client, name)
    client.execute(OTHER.format(name + suffix))
    client.execute(f"INSERT INTO {name}{suffix} VALUES (1, '2025-01-01')")
    client.wait_for(name + suffix)
    plan = plan_rebuild(client, table)
    assert f"{name}{suffix} stands" in str(plan)
    with pytest.raises(PlanRefused, match="rename it first"):
        rebuild(client, table)
    if "fixed" not in suffix:
        with pytest.raises(PlanRefused, match=r"rename it first|is under way"):
            _trim(client, table)
    assert content(client, name)["rows"] == 300
    assert client.query(f"select a from {name}{suffix}") == [{"a": 1}]
    assert not [
        t for t in live_tables(client) if t.startswith(f"{name}__") and t[-4:] != suffix[-4:]
    ]


def test_times_below_a_microsecond_are_told_and_their_rows_counted(client, name):
    client.execute(
        DAILY.format(name).replace("timestamp TIMESTAMP)", "timestamp TIMESTAMP_NS)")
        + " DEDUP UPSERT KEYS(timestamp, tag)"
    )
    start = 1_735_689_600_000_000_000
    values = [(1, start + 1), (2, start + 2), (3, start + 1001), (4, start + 2000)]
    listed = ", ".join(f"('a', {n}, {n}, {stamp})" for n, stamp in values)
    client.execute(f"INSERT INTO {name} VALUES {listed}")
    client.wait_for(name)
    plan = plan_rebuild(client, table_of(name))
    assert (plan.rows, plan.keys, plan.rounded) == (4, 3, 3)
    assert "3 rows have a time finer than a microsecond" in str(plan)
    assert "1 rows repeat the keys" in str(plan)
    assert rebuild(client, table_of(name)).rows == 3
    assert [r["n"] for r in client.query(f"select n from {name}")] == [2, 3, 4]
