"""QuestDB tables that differ from their declarations: named in one line, repaired by a revision."""

from dataclasses import replace

import pytest
from alembic import command
from alembic.util import CommandError

from questdb_ddl import Client, Column, Double, Float, Long, PartitionBy, Symbol, Table, live_tables
from questdb_ddl.tables import SHARED_TABLES, TRADING_SIM_EQUITY
from questdb_ddl.tables import TRADING_SIM_TRACES as TRADES
from stage1_schema.alembic_plugin import questdb_compare
from stage1_schema.ops import drift, migrate, series
from tests.migrations.parquet import with_parquet

BARS = Table(
    "bars",
    columns=(
        Column("venue", Symbol(capacity=64)),
        Column("price", Float()),
        Column("size", Long()),
    ),
    dedup_keys=("timestamp", "venue"),
)


def declare(monkeypatch, *tables):
    monkeypatch.setattr(questdb_compare, "SHARED_TABLES", tables)


def declare_strictly(monkeypatch):
    """Declare the shared tables without room for columns of a writer."""
    declare(monkeypatch, *(replace(each, extensible=False) for each in SHARED_TABLES))


def test_changed_declarations_become_one_revision(both, questdb, checkout, monkeypatch):
    migrate.upgrade(both)
    *kept, equity = SHARED_TABLES
    assert equity is TRADING_SIM_EQUITY
    bars, *others = kept
    changed = replace(
        bars,
        columns=(*bars.columns, Column("volume", Double())),
        ttl_months=24,
    )
    declare(monkeypatch, changed, *others, BARS)
    monkeypatch.chdir(checkout)
    config = migrate.config(both)
    with pytest.raises(CommandError) as told:
        command.check(config)
    assert str(told.value).splitlines()[1:-1] == [
        "  QuestDB table indicator_bars: TTL: declared 24 MONTHS, live none",
        "  QuestDB column indicator_bars.volume: missing column: declared DOUBLE, live nothing",
        "  QuestDB table bars: missing table: declared a table, live nothing",
        "  QuestDB table trading_sim_equity: there, no longer declared",
    ]
    command.revision(config, "change", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)
    assert set(live_tables(questdb)) == {each.name for each in (*kept, BARS)}
    command.downgrade(config, "-1")
    assert {"trading_sim_equity"} == set(live_tables(questdb)) - {each.name for each in kept}
    command.upgrade(config, "head")
    command.check(config)


def columns(table, **other_types):
    """Return the columns of a declaration with other types; None leaves one out."""
    changed = {c.name: other_types.get(c.name, c.type) for c in table.columns}
    return tuple(Column(name, type_) for name, type_ in changed.items() if type_ is not None)


@pytest.mark.parametrize(
    ("table", "change", "parquet", "reason"),
    [
        pytest.param(
            TRADING_SIM_EQUITY,
            {"partition_by": PartitionBy.DAY},
            False,
            "rebuild the table",
            id="partitioning",
        ),
        pytest.param(
            TRADING_SIM_EQUITY,
            {"columns": columns(TRADING_SIM_EQUITY, equity=Long())},
            False,
            "equity from DOUBLE to LONG would lose values",
            id="narrowing",
        ),
        pytest.param(
            TRADES,
            {
                "columns": columns(TRADES, mode=None),
                "dedup_keys": tuple(key for key in TRADES.dedup_keys if key != "mode"),
            },
            False,
            "mode is a deduplication key",
            id="key column dropped",
        ),
        pytest.param(
            TRADES,
            {"columns": columns(TRADES, pnl=None)},
            True,
            "has Parquet partitions",
            id="column of a table with Parquet partitions dropped",
        ),
    ],
)
def test_refused_declaration_stops_the_revision(
    head, checkout, questdb, monkeypatch, table, change, parquet, reason
):
    if parquet:
        with_parquet(questdb, table.name)
    changed = replace(table, extensible=False, **change)
    declare(monkeypatch, *(changed if each is table else each for each in SHARED_TABLES))
    monkeypatch.chdir(checkout)
    config = migrate.config(head)
    with pytest.raises(CommandError, match=f"refused: .*{reason}"):
        command.check(config)
    with pytest.raises(CommandError, match=f"No revision can make this change: .*{reason}"):
        command.revision(config, "change", autogenerate=True)
    assert not list((checkout / "migrations" / "versions").glob("*_change.py"))


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("ALTER TABLE indicator_bars DROP COLUMN open", "QuestDB column indicator_bars.open: "),
        ("ALTER TABLE indicator_bars SET TTL 5 YEARS", "QuestDB table indicator_bars: TTL: "),
        (
            'ALTER TABLE trading_sim_equity DEDUP ENABLE UPSERT KEYS("timestamp")',
            "QuestDB table trading_sim_equity: deduplication keys: ",
        ),
        (
            "ALTER TABLE walkforward_predictions ADD COLUMN extra LONG",
            "QuestDB column walkforward_predictions.extra: extra column: ",
        ),
        (
            "ALTER TABLE walkforward_predictions ALTER COLUMN run_id SYMBOL CAPACITY 16",
            "QuestDB column walkforward_predictions.run_id: symbol capacity: declared 4096, live",
        ),
        (
            "ALTER TABLE trading_sim_equity DEDUP DISABLE",
            "QuestDB table trading_sim_equity: deduplication keys: ",
        ),
        (
            "ALTER TABLE trading_sim_equity ALTER COLUMN equity TYPE FLOAT",
            "QuestDB column trading_sim_equity.equity: ",
        ),
        (
            "ALTER TABLE walkforward_predictions ALTER COLUMN run_id ADD INDEX",
            "QuestDB column walkforward_predictions.run_id: ",
        ),
        (
            "ALTER TABLE walkforward_predictions ALTER COLUMN run_id NOCACHE",
            "QuestDB column walkforward_predictions.run_id: ",
        ),
        (
            "RENAME TABLE trading_sim_equity TO elsewhere",
            "QuestDB table trading_sim_equity: missing",
        ),
        (
            "ALTER TABLE trading_sim_equity RENAME COLUMN equity TO equities",
            "QuestDB column trading_sim_equity.equity: missing",
        ),
        ("DROP TABLE trading_sim_equity", "QuestDB table trading_sim_equity: missing table"),
    ],
    ids=[
        "column",
        "TTL",
        "dedup keys",
        "extra column",
        "symbol capacity",
        "dedup off",
        "type",
        "symbol index",
        "symbol cache",
        "renamed table",
        "renamed column",
        "dropped table",
    ],
)
def test_change_by_hand_is_one_line_and_repaired(
    both, questdb, checkout, monkeypatch, statement, line
):
    if "ADD COLUMN" in statement:
        declare_strictly(monkeypatch)
    migrate.upgrade(both)
    questdb.execute(statement)
    monkeypatch.chdir(checkout)
    config = migrate.config(both)
    with pytest.raises(CommandError) as told:
        command.check(config)
    (found,) = str(told.value).splitlines()[1:-1]
    assert found.strip().startswith(line)
    assert "questdb apply" not in found
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


def test_column_with_values_is_retired_once(head, questdb, checkout, monkeypatch):
    """What is kept is no difference: another revision finds nothing to do."""
    declare_strictly(monkeypatch)
    questdb.execute(f"ALTER TABLE {TRADES.name} ADD COLUMN extra LONG")
    questdb.execute(f"INSERT INTO {TRADES.name} (timestamp, extra) VALUES ('2025-01-01', 5)")
    questdb.wait_for(TRADES.name)
    monkeypatch.chdir(checkout)
    config = migrate.config(head)
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    (kept,) = live_tables(questdb, [TRADES.name])[TRADES.name].columns[len(TRADES.columns) :]
    assert kept.name.startswith("extra_retired_")
    command.check(config)
    assert drift.check(head).different == ()
    assert series.plan(questdb).empty
    command.downgrade(config, "-1")
    assert questdb.query(f"SELECT extra FROM {TRADES.name}") == [{"extra": 5}]


@pytest.mark.slow
def test_check_asks_only_for_what_it_compares(head, questdb, monkeypatch):
    for n in range(110):
        questdb.execute(f"CREATE TABLE other{n} (t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY")
    asked = []
    query = Client.query
    monkeypatch.setattr(Client, "query", lambda self, sql: (asked.append(sql), query(self, sql))[1])
    command.check(migrate.config(head))
    assert len(asked) <= 5
    asked.clear()
    questdb.execute("ALTER TABLE indicator_bars SET TTL 5 YEARS")
    questdb.wait_for("indicator_bars")
    with pytest.raises(CommandError):
        command.check(migrate.config(head))
    (parquet,) = (sql for sql in asked if "table_partitions" in sql)
    assert parquet.count("table_partitions") == 1
