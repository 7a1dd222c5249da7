"""Live tables: what is read, what is left out, and how few queries it takes."""

import pytest

from questdb_ddl import (
    Column,
    Kind,
    Long,
    PartitionBy,
    QuestDBDDLError,
    Symbol,
    Table,
    ensure_table,
    live_tables,
    old_tables,
    unfinished_trims,
)
from questdb_ddl.introspect import table_names
from questdb_ddl.rebuild_names import Names
from questdb_ddl.rebuild_run import Run
from questdb_ddl.rebuild_state import in_its_way
from questdb_ddl.render import create_table


@pytest.fixture
def queries(client, monkeypatch):
    sent = []
    query = client.query
    monkeypatch.setattr(client, "query", lambda sql: [sent.append(sql), query(sql)][1])
    return sent


def test_names_that_are_not_there_are_left_out(client, name):
    ensure_table(client, Table(name.upper(), ()))
    live = live_tables(client, [name, "no_such_table"])
    assert [(key, table.name) for key, table in live.items()] == [(name, name.upper())]
    assert live_tables(client, []) == {}


def test_state(client, name):
    ensure_table(client, Table(name, (Column("a", Long()),)))
    assert live_tables(client, [name], counts=True)[name].row_count == 0
    client.execute(
        f"INSERT INTO {name} (timestamp, a) VALUES ('2025-01-01T00:00:00Z', 1), ('2025-03-01', 2)"
    )
    client.wait_for(name)
    table = live_tables(client, [name], counts=True, parquet=True)[name]
    assert (table.row_count, table.suspended, table.has_parquet) == (2, False, False)
    assert table.min_timestamp == "2025-01-01T00:00:00.000000Z"
    assert table.max_timestamp == "2025-03-01T00:00:00.000000Z"
    assert live_tables(client, [name])[name].has_parquet is None


def test_a_table_without_a_designated_timestamp(client, name):
    client.execute(f"CREATE TABLE {name} (a LONG)")
    table = live_tables(client, [name], counts=True)[name]
    assert (table.designated_timestamp, table.partition_by) == (None, PartitionBy.NONE)
    assert (table.row_count, table.wal, table.min_timestamp) == (0, False, None)


def test_parquet_partitions_are_seen(client, name):
    ensure_table(client, Table(name, ()))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z'), ('2025-03-01')")
    client.execute(f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET LIST '2025-01'")
    client.wait_for(name)
    assert live_tables(client, [name], parquet=True)[name].has_parquet is True


def test_a_suspended_table_is_seen(client, name, suspend):
    suspend(name)
    assert live_tables(client, [name])[name].suspended


def test_views_are_told_from_tables(client, name):
    ensure_table(client, Table(name, (Column("a", Long()),)))
    client.execute(
        f"CREATE MATERIALIZED VIEW {name}_m AS (SELECT timestamp, max(a) a FROM {name} "
        "SAMPLE BY 1d) PARTITION BY MONTH"
    )
    client.execute(f"CREATE VIEW {name}_v AS (SELECT * FROM {name})")
    kinds = {key: t.kind for key, t in live_tables(client).items() if key.startswith(name)}
    assert kinds == {
        name: Kind.TABLE,
        f"{name}_m": Kind.MATERIALIZED_VIEW,
        f"{name}_v": Kind.VIEW,
    }
    client.execute(f"DROP VIEW {name}_v")
    client.execute(f"DROP MATERIALIZED VIEW {name}_m")


def test_questdbs_own_tables_are_left_out(other):
    ensure_table(other, Table("mine", ()))
    assert set(live_tables(other)) == {"mine"}
    listed = {row["table_name"] for row in other.query("select table_name from tables()")}
    assert {"mine", "telemetry", "telemetry_config"} <= listed
    other.execute("DROP TABLE mine")


def test_a_table_that_is_not_registered_yet_is_waited_for(client, name, monkeypatch):
    ensure_table(client, Table(name, ()))
    query = client.query
    late = iter([True, True])

    def just_started(sql):
        hidden = "from tables()" in sql and next(late, False)
        return [row for row in query(sql) if not hidden or row["table_name"] != name]

    monkeypatch.setattr(client, "query", just_started)
    assert name in live_tables(client, [name])
    assert next(late, None) is None


def _gaps(client, name):
    names = Names(name)
    return [names.gap(number) for number in Run(client, None, names, print)._gaps()]


def _in_its_way(client, name):
    return [told.split()[0] for told in in_its_way(client, name)]


@pytest.mark.parametrize(
    ("find", "suffix"),
    [
        (old_tables, "_old_20250101T000000Z"),
        (_in_its_way, "__gap0"),
        (_gaps, "__gap0"),
        (lambda client, _: [trim.kept_as for trim in unfinished_trims(client)], "__without"),
        (lambda client, _: [n for n in table_names(client) if n.endswith("__t")], "__t"),
    ],
    ids=["kept", "in the way", "a gap", "a trim", "any"],
)
def test_a_server_that_just_started_hides_nothing_of_a_rebuild(
    client, name, monkeypatch, find, suffix
):
    other = name + suffix
    client.execute(f"CREATE TABLE {other} AS (SELECT 'r' run_id, '{other}' kept_as)")
    query = client.query
    late = iter([True, True])

    def just_started(sql):
        hidden = "from tables()" in sql and next(late, False)
        return [row for row in query(sql) if not hidden or row["table_name"] != other]

    monkeypatch.setattr(client, "query", just_started)
    assert find(client, name) == [other]


def test_one_that_never_registers_is_an_error(client, name, monkeypatch):
    ensure_table(client, Table(name, ()))
    query = client.query
    never = pytest.raises(QuestDBDDLError, match=f"has not registered 1 of its tables.*{name}")
    with monkeypatch.context() as patch, never:
        patch.setattr("questdb_ddl.introspect.REGISTRATION_SECONDS", 0.2)
        patch.setattr(
            client, "query", lambda sql: [r for r in query(sql) if r.get("table_name") != name]
        )
        live_tables(client)


def test_a_handful_of_queries_for_many_tables(client, name, queries):
    tables = [Table(f"{name}_{n}", (Column("a", Symbol(64)),)) for n in range(120)]
    for table in tables:
        client.execute(create_table(table))
    live = live_tables(client, [table.name for table in tables])
    assert len(live) == 120
    assert len(queries) == 3 + 2
    assert all(len(table.columns) == 2 for table in live.values())
