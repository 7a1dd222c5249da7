"""Plans carried out: drift of every kind, verification, refusals, and repeats."""

import pytest

from questdb_ddl import (
    Column,
    Double,
    Ensured,
    Hazard,
    Int,
    Long,
    PartitionBy,
    PlanRefused,
    Symbol,
    Table,
    TableSuspended,
    Varchar,
    VerificationFailed,
    apply,
    compare,
    ensure_table,
    live_tables,
    plan_for,
)
from questdb_ddl.tables import SHARED_TABLES, indicators_table, ohlcv_table

SYMBOL = "SYMBOL CAPACITY 512"
SAME = f"tag {SYMBOL}, value DOUBLE, n LONG"


@pytest.fixture
def table(name, lacks):
    lacks("TTL")
    return Table(
        name,
        (Column("tag", Symbol(512)), Column("value", Double()), Column("n", Long())),
        ttl_months=240,
        dedup_keys=("timestamp", "tag"),
    )


def equal(client, table):
    return compare(table, live_tables(client, [table.name])[table.name.lower()]).equal


@pytest.mark.core
def test_nothing_to_do(client, table):
    ensure_table(client, table)
    plan = plan_for(client, [table])
    assert plan.empty
    assert apply(client, plan) == ()


@pytest.mark.core
def test_missing_tables_are_created_in_one_plan_and_steps_are_told(client, name):
    tables = [ohlcv_table("x", name=f"{name}_o"), indicators_table("x", name=f"{name}_i")]
    told = []
    plan = plan_for(client, tables)
    assert apply(client, plan, told.append) == tuple(told) == plan.steps
    assert [step.table for step in told] == [f"{name}_o", f"{name}_i"]
    assert plan_for(client, tables).empty


def test_every_alteration_at_once(client, table, name):
    client.execute(
        f"CREATE TABLE {name} (timestamp TIMESTAMP, tag SYMBOL CAPACITY 64 NOCACHE INDEX, n INT, "
        "old LONG) TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
    )
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z', 'a', 7, 8)")
    client.wait_for(name)
    plan = plan_for(client, [table], drop_extra_columns=True)
    assert set(plan.hazards) == {
        Hazard.DELETES_DATA,
        Hazard.KEEPS_DUPLICATES,
        Hazard.REWRITES_COLUMN,
    }
    apply(client, plan, allow=plan.hazards)
    assert equal(client, table)
    (row,) = client.query(f"select tag, n, value from {name}")
    assert row == {"tag": "a", "n": 7, "value": None}
    assert plan_for(client, [table]).empty


def test_ttl_cannot_be_removed_but_made_endless(client, table):
    ensure_table(client, table)
    endless = Table(table.name, table.columns, dedup_keys=table.dedup_keys)
    apply(client, plan_for(client, [endless]))
    assert equal(client, endless)


def test_a_hazard_is_refused_until_it_is_allowed_by_name(client, table):
    ensure_table(client, table)
    without = Table(table.name, table.columns, ttl_months=240)
    plan = plan_for(client, [without])
    with pytest.raises(PlanRefused, match="drops deduplication"):
        apply(client, plan)
    assert equal(client, table)
    apply(client, plan, allow=["drops deduplication"])
    assert equal(client, without)


@pytest.mark.core
def test_a_plan_that_no_longer_fits_is_refused(client, table, name):
    plan = plan_for(client, [table])
    client.execute(f"CREATE TABLE {name} (a INT)")
    with pytest.raises(PlanRefused, match="changed since the plan was made"):
        apply(client, plan)
    assert [c.name for c in live_tables(client, [name])[name].columns] == ["a"]


def test_rows_do_not_make_a_plan_stale(client, table, name, ilp):
    ensure_table(client, table)
    plan = plan_for(client, [Table(name, (*table.columns, Column("new", Int())), ttl_months=240,
                                   dedup_keys=table.dedup_keys)])  # fmt: skip
    assert ilp(name, [f"{name},tag=a value=1.5 1735689600000000000"]) == 204
    apply(client, plan)
    assert live_tables(client, [name])[name].column("new") is not None


def test_interrupted_after_any_step_a_new_plan_goes_on(client, table, name):
    def kill(_):
        raise KeyboardInterrupt

    client.execute(
        f"CREATE TABLE {name} (timestamp TIMESTAMP, tag SYMBOL, n INT) TIMESTAMP(timestamp) "
        "PARTITION BY MONTH WAL"
    )
    left = [len(plan_for(client, [table]).steps)]
    while left[-1]:
        with pytest.raises(KeyboardInterrupt):
            apply(client, plan_for(client, [table]), kill, allow=Hazard)
        left.append(len(plan_for(client, [table]).steps))
    assert left == [5, 4, 3, 2, 1, 0]


def test_a_refused_table_does_not_hold_up_the_others(client, table, name):
    client.execute(
        f"CREATE TABLE {name} (timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY"
    )
    other = table.renamed(f"{name}_other")
    plan = plan_for(client, [table, other])
    with pytest.raises(PlanRefused, match="partitioning DAY instead of MONTH"):
        apply(client, plan)
    assert other.name not in live_tables(client)
    apply(client, plan, skip_refused=True)
    assert equal(client, other)


def test_parquet_partitions_refuse_alterations(client, name):
    table = Table(name, ())
    ensure_table(client, table)
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z'), ('2025-03-01')")
    client.execute(f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET LIST '2025-01'")
    client.wait_for(name)
    assert plan_for(client, [table]).empty
    plan = plan_for(client, [Table(name, (Column("a", Int()),))])
    assert "Parquet" in plan.refusals[0].reason
    assert not plan.steps


def test_suspended_tables_are_refused_everywhere(client, table, name, suspend):
    suspend(name)
    assert "RESUME WAL" in plan_for(client, [table]).refusals[0].reason
    with pytest.raises(TableSuspended, match="RESUME WAL"):
        ensure_table(client, table)


def test_a_table_that_suspends_while_it_is_altered(client, name, monkeypatch):
    client.execute(f"CREATE TABLE {name} (a LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) "
                   "PARTITION BY MONTH WAL")  # fmt: skip
    client.execute(f"INSERT INTO {name} VALUES (9223372036854775807, '2025-01-01T00:00:00Z')")
    client.wait_for(name)
    monkeypatch.setattr("questdb_ddl.plan.is_widening", lambda *_: True)
    from questdb_ddl import Decimal

    plan = plan_for(client, [Table(name, (Column("a", Decimal(10, 2)),))])
    with pytest.raises(TableSuspended, match="column conversion failed"):
        apply(client, plan, allow=Hazard)


def test_a_writer_that_creates_the_table_first_is_noticed(client, table, name, monkeypatch):
    plan = plan_for(client, [table])
    execute = client.execute

    def overtaken(sql):
        execute(f"CREATE TABLE IF NOT EXISTS {name} (timestamp TIMESTAMP, x LONG) "
                "TIMESTAMP(timestamp) PARTITION BY DAY WAL")  # fmt: skip
        execute(sql)

    monkeypatch.setattr(client, "execute", overtaken)
    with pytest.raises(VerificationFailed, match="partitioning") as caught:
        apply(client, plan)
    assert "rebuild the table" in str(caught.value)
    assert len(caught.value.differences) > 3


@pytest.mark.core
@pytest.mark.parametrize("table", SHARED_TABLES, ids=lambda table: table.name)
def test_ensure_twice(client, name, table):
    table = table.renamed(name)
    assert ensure_table(client, table) is Ensured.CREATED
    assert ensure_table(client, table) is Ensured.UNCHANGED


@pytest.mark.parametrize(
    ("columns", "rest", "says"),
    [
        (SAME, "DAY TTL 20 YEARS", "partitioning.*rebuild"),
        (SAME.removesuffix(", n LONG"), "MONTH", "n: missing column.*make a plan"),
        (SAME.replace(SYMBOL, "VARCHAR"), "MONTH", "SYMBOL CAPACITY 512, live VARCHAR"),
        (SAME, "MONTH TTL 20 YEARS", "keys: declared timestamp, tag, "),
        (
            f"{SAME}, more INT",
            "MONTH TTL 20 YEARS WAL DEDUP UPSERT KEYS(timestamp, tag)",
            "more: extra column: .*declare the extra columns",
        ),
    ],
    ids=["day", "missing", "type", "no dedup", "extra"],
)
def test_ensure_over_another_table_lists_what_differs(client, table, columns, rest, says):
    client.execute(
        f"CREATE TABLE {table.name} (timestamp TIMESTAMP, {columns}) TIMESTAMP(timestamp) "
        f"PARTITION BY {rest}"
    )
    with pytest.raises(VerificationFailed, match=says) as caught:
        ensure_table(client, table)
    assert caught.value.differences
    assert not equal(client, table)


def test_a_key_type_is_not_changed(client, table, name):
    client.execute(
        f"CREATE TABLE {name} (timestamp TIMESTAMP, tag VARCHAR, value DOUBLE, n LONG) "
        "TIMESTAMP(timestamp) PARTITION BY MONTH TTL 20 YEARS WAL DEDUP UPSERT KEYS(timestamp, tag)"
    )
    assert "is a deduplication key" in plan_for(client, [table]).refusals[0].reason
    assert live_tables(client, [name])[name].column("tag").type == Varchar()


def test_an_auto_created_table_is_drift(other, other_ilp):
    table = ohlcv_table("auto")
    assert other_ilp(table.name, [f"{table.name} Date=1i,open=1.5 1735689600000000000"]) == 204
    live = live_tables(other)[table.name]
    assert (live.partition_by, live.dedup_keys) == (PartitionBy.DAY, ())
    kinds = {difference.kind for difference in compare(table, live).differences}
    assert {"partitioning", "deduplication keys", "missing column"} <= kinds
    with pytest.raises(VerificationFailed, match="rebuild the table"):
        ensure_table(other, table)
    other.execute(f"DROP TABLE {table.name}")


@pytest.mark.parametrize("rows", [0, 1])
def test_duplicates_are_a_hazard_only_where_rows_stand(client, name, rows):
    client.execute(
        f"CREATE TABLE {name} (n LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY MONTH WAL"
    )
    if rows:
        client.execute(f"INSERT INTO {name} VALUES (1, '2025-01-01')")
        client.wait_for(name)
    table = Table(name, (Column("n", Long()),), dedup_keys=("timestamp", "n"))
    assert plan_for(client, [table]).hazards == (Hazard.KEEPS_DUPLICATES,) * rows


def test_what_came_to_cost_something_since_the_plan_is_asked_for(client, name, lacks):
    lacks("TTL")
    table = Table(name, (Column("n", Long()),))
    ensure_table(client, table)
    plan = plan_for(client, [Table(name, table.columns, ttl_months=1)])
    assert plan.hazards == ()
    client.execute(f"INSERT INTO {name} VALUES ('2020-01-01', 1), ('2025-01-01', 2)")
    client.wait_for(name)
    with pytest.raises(PlanRefused, match="deletes data"):
        apply(client, plan)
    assert client.query(f"select count() n from {name}") == [{"n": 2}]
    apply(client, plan, allow=[Hazard.DELETES_DATA])
