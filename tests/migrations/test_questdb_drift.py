"""QuestDB tables that differ from their declarations: named in one line, repaired by a revision."""

from dataclasses import replace

import pytest
from alembic import command
from alembic.util import CommandError

from questdb_ddl import Client, Column, Double, Float, Long, PartitionBy, Symbol, Table, live_tables
from questdb_ddl.tables import SHARED_TABLES, TRADING_SIM_EQUITY
from questdb_ddl.tables import TRADING_SIM_TRACES as TRADES
from stage1_schema.alembic_plugin import questdb_compare
from stage1_schema.ops import drift, migrate, series, status
from tests.migrations.parquet import with_parquet
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

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
    changed = replace(table, **change)
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


BARS_OF = "ohlcv_btc25_4h"
OPTIONS = "; stage1 questdb apply{} repairs it"
PARQUET = (
    "the table has Parquet partitions, and altering those can stop the server; "
    'ALTER TABLE "ohlcv_btc25_4h" CONVERT PARTITION TO NATIVE WHERE … first'
)
LEFT = (
    "; stage1 questdb apply leaves it: if it is a column that is missing now, rename it back "
    'before, else drop it with its values: ALTER TABLE "ohlcv_btc25_4h" DROP COLUMN '
)
LOSSY = (
    "QuestDB column ohlcv_btc25_4h.open: column type: declared DOUBLE, live LONG; stage1 questdb "
    "apply refuses it: open from LONG to DOUBLE would lose values without a word; rebuild the "
    "table: stage1 questdb rebuild ohlcv_btc25_4h --dry-run"
)
AS_PARQUET = "CONVERT PARTITION TO PARQUET LIST '2025-01'"
AS_NATIVE = f"{BARS_OF} CONVERT PARTITION TO NATIVE WHERE timestamp > 0"


@pytest.fixture
def recorded(head, questdb):
    """Settings of both stores, with the tables of one dataset and two bars in each."""
    with client(head, ROLES.owner) as connection:
        connection.execute(clients.c_dataset(rows.C_DATASET))
    series.carry_out(questdb, series.plan(questdb, series.catalogue(head)))
    for name in (BARS_OF, "indicators_btc25_4h"):
        questdb.execute(f"INSERT INTO {name} (timestamp) VALUES ('2025-01-01'), ('2025-03-01')")
        questdb.wait_for(name)
    return head


def alter(questdb, *changes):
    for change in changes:
        questdb.execute(f"ALTER TABLE {change}")
        questdb.wait_for(change.partition(" ")[0])


def lines_of_check(settings):
    with pytest.raises(CommandError) as told:
        command.check(migrate.config(settings))
    return sorted(line.strip() for line in str(told.value).splitlines()[1:-1])


@pytest.mark.parametrize(
    ("changes", "lines", "allow", "left"),
    [
        pytest.param(
            ["indicators_btc25_4h SET TTL 5 YEARS"],
            [
                "QuestDB table indicators_btc25_4h: TTL: declared none, live 60 MONTHS"
                + OPTIONS.format("")
            ],
            (),
            [],
            id="TTL",
        ),
        pytest.param(
            [f"{BARS_OF} ALTER COLUMN close TYPE FLOAT", f"{BARS_OF} SET TTL 500 YEARS"],
            [
                f"QuestDB column {BARS_OF}.close: column type: declared DOUBLE, live FLOAT"
                + OPTIONS.format(' --allow "rewrites a column"'),
                f"QuestDB table {BARS_OF}: TTL: declared none, live 6000 MONTHS"
                + OPTIONS.format(""),
            ],
            ["rewrites a column"],
            [],
            id="hazard",
        ),
        pytest.param(
            [f"{BARS_OF} ADD COLUMN extra LONG"],
            [
                (
                    f"QuestDB column {BARS_OF}.extra: extra column: declared nothing, live LONG"
                    f'{LEFT}"extra"'
                )
            ],
            (),
            [0],
            id="extra column",
        ),
        pytest.param(
            [f"{BARS_OF} RENAME COLUMN close TO closing"],
            [
                (
                    f"QuestDB column {BARS_OF}.close: missing column: declared DOUBLE, live nothing"
                    "; stage1 questdb apply adds it"
                ),
                (
                    f"QuestDB column {BARS_OF}.closing: extra column: declared nothing, live DOUBLE"
                    f'{LEFT}"closing"'
                ),
            ],
            (),
            [1],
            id="renamed column",
        ),
        pytest.param(
            [f"{BARS_OF} ALTER COLUMN open TYPE LONG", "indicators_btc25_4h SET TTL 5 YEARS"],
            [
                LOSSY,
                "QuestDB table indicators_btc25_4h: TTL: declared none, live 60 MONTHS"
                + OPTIONS.format(" --skip-refused"),
            ],
            (),
            [0],
            id="beside a refused table",
        ),
    ],
)
def test_check_promises_what_apply_does(recorded, questdb, changes, lines, allow, left):
    alter(questdb, *changes)
    assert lines_of_check(recorded) == lines
    declarations = series.catalogue(recorded)
    refused = any("--skip-refused" in line for line in lines)
    series.carry_out(questdb, series.plan(questdb, declarations), allow=allow, skip_refused=refused)
    if left:
        assert lines_of_check(recorded) == [lines[n] for n in left]
    else:
        command.check(migrate.config(recorded))


@pytest.mark.parametrize(
    ("changes", "lines", "way_out"),
    [
        pytest.param([f"{BARS_OF} ALTER COLUMN open TYPE LONG"], [LOSSY], BARS_OF, id="type"),
        pytest.param(
            ["indicators_btc25_4h ALTER COLUMN dataset_id TYPE VARCHAR"],
            [
                (
                    "QuestDB column indicators_btc25_4h.dataset_id: column type: declared SYMBOL "
                    "CAPACITY 256, live VARCHAR; stage1 questdb apply refuses it: dataset_id is a "
                    "deduplication key; rebuild the table to change it: stage1 questdb rebuild "
                    "indicators_btc25_4h --dry-run"
                )
            ],
            "indicators_btc25_4h",
            id="type of a key",
        ),
        pytest.param(
            [f"{BARS_OF} {AS_PARQUET}", f"{BARS_OF} SET TTL 500 YEARS"],
            [
                (
                    f"QuestDB table {BARS_OF}: TTL: declared none, live 6000 MONTHS"
                    f"; stage1 questdb apply refuses it: {PARQUET}"
                )
            ],
            [AS_NATIVE],
            id="TTL with Parquet partitions",
        ),
        pytest.param(
            [f"{BARS_OF} ADD COLUMN extra LONG", f"{BARS_OF} {AS_PARQUET}"],
            [
                (
                    f"QuestDB column {BARS_OF}.extra: extra column: declared nothing, live LONG"
                    f"; stage1 questdb apply leaves it, and dropping it is refused: {PARQUET}"
                )
            ],
            [AS_NATIVE, f'{BARS_OF} DROP COLUMN "extra"'],
            id="extra column with Parquet partitions",
        ),
    ],
)
def test_check_says_what_apply_refuses_and_the_way_out(
    recorded, questdb, monkeypatch, checkout, changes, lines, way_out
):
    alter(questdb, *changes)
    assert lines_of_check(recorded) == lines
    # A revision has nothing to do with it.
    monkeypatch.chdir(checkout)
    command.revision(migrate.config(recorded), "other", autogenerate=True)
    assert not list((checkout / "migrations" / "versions").glob("*_other.py"))
    if isinstance(way_out, str):
        series.rebuild(recorded, way_out)
    else:
        alter(questdb, *way_out)
        series.carry_out(questdb, series.plan(questdb, series.catalogue(recorded)))
    command.check(migrate.config(recorded))


@pytest.mark.parametrize(
    ("change", "way_out"),
    [
        pytest.param("ADD COLUMN extra LONG", 'DROP COLUMN "extra"', id="dropped"),
        pytest.param("RENAME COLUMN close TO closing", "RENAME COLUMN closing TO close", id="back"),
    ],
)
def test_extra_column_goes_by_hand(recorded, questdb, change, way_out):
    alter(questdb, f"{BARS_OF} {change}", f"{BARS_OF} {way_out}")
    command.check(migrate.config(recorded))


def test_shared_table_with_indicators_is_one_line(head, questdb):
    """It is recorded as well: what no revision can repair, apply cannot either."""
    row = {**rows.C_DATASET, "metadata": {"declared_indicators": ["rsi"]}}
    with client(head, ROLES.owner) as connection:
        connection.execute(clients.c_dataset(row))
    alter(questdb, "indicator_bars ALTER COLUMN open TYPE LONG")
    refused, added = lines_of_check(head)
    assert "; refused: open from LONG to DOUBLE would lose values" in refused
    assert added == (
        "QuestDB column indicator_bars.rsi: missing column: declared DOUBLE, live nothing; stage1 "
        "questdb apply refuses it: open from LONG to DOUBLE would lose values without a word; "
        "rebuild the table: stage1 questdb rebuild indicator_bars --dry-run"
    )


def test_other_partitioning_is_rebuilt(recorded, questdb):
    questdb.execute(f"DROP TABLE {BARS_OF}")
    questdb.execute(
        f"CREATE TABLE {BARS_OF} (timestamp TIMESTAMP, Date LONG, Time LONG, open DOUBLE, "
        "high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE) TIMESTAMP(timestamp) "
        "PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp)"
    )
    assert lines_of_check(recorded) == [
        (
            f"QuestDB table {BARS_OF}: partitioning: declared MONTH, live DAY; stage1 questdb "
            "apply refuses it: partitioning DAY instead of MONTH cannot be altered; rebuild the "
            f"table: stage1 questdb rebuild {BARS_OF} --dry-run"
        )
    ]
    series.rebuild(recorded, BARS_OF)
    command.check(migrate.config(recorded))


def test_column_with_values_is_retired_once(head, questdb, checkout, monkeypatch):
    """What is kept is no difference: another revision finds nothing to do."""
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


def test_recorded_tables_are_compared(head, questdb):
    """Those of datasets, of runs and of simulations, whatever they are called."""
    with client(head, ROLES.owner) as connection:
        for statement in (
            clients.c_dataset({**rows.C_DATASET, "metadata": {"ohlcv_measurement": "free_name"}}),
            clients.c_run(rows.RUN_ROW),
            clients.simulation(rows.SIMULATION_ROW),
        ):
            connection.execute(statement)
    names = ["btc25_4h_wf1738400000", "btc_sim1", "free_name", "indicators_btc25_4h"]
    declarations = series.catalogue(head)
    (skipped,) = drift.check(head).skipped
    assert str(skipped).startswith("QuestDB tables recorded and not made yet: skipped: 2, such as")
    command.check(migrate.config(head))
    series.carry_out(questdb, series.plan(questdb, declarations))
    for name in names:
        questdb.execute(f"ALTER TABLE {name} SET TTL 5 YEARS")
        questdb.wait_for(name)
    lines = [f"QuestDB table {name}: TTL: declared none, live 60 MONTHS" for name in names]
    assert sorted(map(str, drift.check(head).different)) == lines
    assert sorted(status.read(head).questdb.drift) == lines
    with pytest.raises(CommandError) as told:
        command.check(migrate.config(head))
    repair = "; stage1 questdb apply repairs it"
    assert sorted(str(told.value).splitlines()[1:-1]) == [f"  {line}{repair}" for line in lines]
    series.carry_out(questdb, series.plan(questdb, declarations))
    command.check(migrate.config(head))


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
