"""Changes of QuestDB tables as revisions: generated, applied, read back, repeated, taken back."""

from dataclasses import replace

import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from questdb_ddl import Client, Column, Double, Float, Long, PartitionBy, Symbol, Table, live_tables
from questdb_ddl import ensure_table as ensure
from questdb_ddl.tables import SHARED_TABLES, TRADING_SIM_EQUITY
from questdb_ddl.tables import TRADING_SIM_TRACES as TRADES
from stage1_schema.alembic_plugin import questdb_alter as ops
from stage1_schema.alembic_plugin import questdb_compare
from stage1_schema.alembic_plugin.questdb_ops import (
    CreateQuestDBTableOp,
    QuestDBTarget,
    RetireQuestDBTableOp,
)
from stage1_schema.connect import engine
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.ops import drift, migrate, plan, series, status
from stage1_schema.settings import QuestDBSettings
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

NAME = "bars"
BARS = Table(
    NAME,
    columns=(
        Column("venue", Symbol(capacity=64)),
        Column("price", Float()),
        Column("size", Long()),
    ),
    dedup_keys=("timestamp", "venue"),
)


@pytest.fixture
def op(both, questdb):
    """Alembic's operations on a QuestDB that holds the table `bars` with one row."""
    ensure(questdb, BARS)
    questdb.execute(f"INSERT INTO {NAME} VALUES ('2025-01-01T00:00:00Z', 'a', 1.5, 2)")
    questdb.wait_for(NAME)
    target = QuestDBTarget(both.questdb)
    with engine(both.postgres).connect() as connection:
        context = MigrationContext.configure(connection, opts={"questdb": target})
        yield Operations(context)
    target.close()


def live(questdb):
    return live_tables(questdb, [NAME])[NAME]


def column(questdb, name):
    found = live(questdb).column(name)
    return found and str(found.type)


ALTERATIONS = {
    "add column": (
        lambda op: op.add_questdb_column(NAME, "volume", "DOUBLE"),
        lambda db: column(db, "volume") == "DOUBLE",
    ),
    "widen": (
        lambda op: op.alter_questdb_column(NAME, "price", "DOUBLE", existing="FLOAT"),
        lambda db: column(db, "price") == "DOUBLE",
    ),
    "symbol capacity": (
        lambda op: op.alter_questdb_column(
            NAME, "venue", "SYMBOL CAPACITY 1024", existing="SYMBOL CAPACITY 64"
        ),
        lambda db: live(db).column("venue").type.capacity == 1024,
    ),
    "TTL": (
        lambda op: op.alter_questdb_table(NAME, ttl_months=1200, existing={"ttl_months": None}),
        lambda db: live(db).ttl_months == 1200,
    ),
    "dedup keys": (
        lambda op: op.alter_questdb_table(
            NAME, dedup_keys=["timestamp"], existing={"dedup_keys": ["timestamp", "venue"]}
        ),
        lambda db: live(db).dedup_keys == ("timestamp",),
    ),
}


@pytest.mark.parametrize(("change", "holds"), ALTERATIONS.values(), ids=list(ALTERATIONS))
def test_change_is_made_once_and_read_back(op, questdb, change, holds):
    assert not holds(questdb)
    change(op)
    assert holds(questdb)
    before = live(questdb).structure()
    change(op)
    assert live(questdb).structure() == before
    assert questdb.query(f"SELECT size FROM {NAME}") == [{"size": 2}]


def test_rename_is_repeatable(op, questdb):
    op.rename_questdb_table(NAME, "ticks")
    op.rename_questdb_table(NAME, "ticks")
    assert set(live_tables(questdb)) == {"ticks"}


def test_retired_column_keeps_its_values(op, questdb):
    op.add_questdb_column(NAME, "empty", "DOUBLE")
    op.retire_questdb_column(NAME, "empty", "DOUBLE")
    op.retire_questdb_column(NAME, "price", "FLOAT")
    op.retire_questdb_column(NAME, "price", "FLOAT")
    names = [each.name for each in live(questdb).columns]
    (kept,) = [name for name in names if name.startswith("price_retired_")]
    assert "empty" not in "".join(names)
    assert questdb.query(f"SELECT {kept} p FROM {NAME}") == [{"p": 1.5}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda op: op.alter_questdb_column(NAME, "price", "LONG", existing="FLOAT"),
            "would lose values",
            id="narrowing",
        ),
        pytest.param(
            lambda op: op.retire_questdb_column(NAME, "venue", "SYMBOL"),
            "deduplication key",
            id="key column",
        ),
        pytest.param(
            lambda op: op.add_questdb_column("nowhere", "x", "LONG"),
            "no table nowhere",
            id="no table",
        ),
    ],
)
def test_refused_change_changes_nothing(op, questdb, change, reason):
    before = live(questdb).structure()
    with pytest.raises(QuestDBError, match=reason):
        change(op)
    assert live(questdb).structure() == before


def test_parquet_partitions_are_refused(op, questdb):
    questdb.execute(f"INSERT INTO {NAME} VALUES ('2025-03-01T00:00:00Z', 'b', 1.5, 2)")
    questdb.wait_for(NAME)
    questdb.execute(f"ALTER TABLE {NAME} CONVERT PARTITION TO PARQUET LIST '2025-01'")
    questdb.wait_for(NAME)
    for change in (
        lambda: op.add_questdb_column(NAME, "x", "LONG"),
        lambda: op.retire_questdb_column(NAME, "price", "FLOAT"),
    ):
        with pytest.raises(QuestDBError, match="Parquet"):
            change()


@pytest.fixture
def head(migrated, questdb, questdb_server):
    """Settings of both stores at head."""
    for table in SHARED_TABLES:
        ensure(questdb, table)
    return replace(migrated, questdb=QuestDBSettings(questdb_server.url))


def declare(monkeypatch, *tables):
    monkeypatch.setattr(questdb_compare, "SHARED_TABLES", tables)


def test_widening_stays_on_the_way_back(op, questdb):
    op.alter_questdb_column(NAME, "price", "DOUBLE", existing="FLOAT")
    op.alter_questdb_column(NAME, "price", "FLOAT", existing="DOUBLE", keep_wider=True)
    assert column(questdb, "price") == "DOUBLE"
    with pytest.raises(QuestDBError, match="would lose values"):
        op.alter_questdb_column(NAME, "price", "FLOAT", existing="DOUBLE")


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


def with_parquet(questdb, name):
    """Give a table of these columns two months, the first of them in Parquet."""
    for month in ("2025-01", "2025-03"):
        questdb.execute(f"INSERT INTO {name} (timestamp, run_id) VALUES ('{month}-01', 'r')")
    questdb.wait_for(name)
    questdb.execute(f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET LIST '2025-01'")
    questdb.wait_for(name)


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
    ],
    ids=["column", "TTL", "dedup keys", "extra column", "symbol capacity"],
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
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


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


INVERSES = {
    "add column": ops.QuestDBColumnOp(NAME, "volume", "DOUBLE"),
    "retire column": ops.QuestDBColumnOp(NAME, "price", "FLOAT", "retire"),
    "TTL": ops.AlterQuestDBTableOp(NAME, existing={"ttl_months": None}, ttl_months=1200),
    "dedup keys": ops.AlterQuestDBTableOp(
        NAME, existing={"dedup_keys": ["timestamp", "venue"]}, dedup_keys=["timestamp"]
    ),
    "no dedup": ops.AlterQuestDBTableOp(
        NAME, existing={"dedup_keys": ["timestamp", "venue"]}, dedup_keys=[]
    ),
    "parameters": ops.AlterQuestDBTableOp(
        NAME,
        existing={"max_uncommitted_rows": 500_000, "o3_max_lag_ms": 600_000},
        max_uncommitted_rows=777,
        o3_max_lag_ms=5000,
    ),
    "symbol": ops.AlterQuestDBColumnOp(
        NAME, "venue", "SYMBOL CAPACITY 64 NOCACHE INDEX", existing="SYMBOL CAPACITY 64"
    ),
    "rename": ops.RenameQuestDBTableOp(NAME, "ticks"),
    "create": CreateQuestDBTableOp(**replace(BARS, name="ticks").to_data()),
    "retire": RetireQuestDBTableOp(**BARS.to_data()),
}


@pytest.mark.parametrize("operation", INVERSES.values(), ids=list(INVERSES))
def test_the_way_back_ends_where_it_began(op, questdb, operation):
    """Structure and rows, and the way there again."""

    def stands():
        data = {name: table.structure() for name, table in live_tables(questdb).items()}
        for each in data.values():
            each["columns"].sort()
        return data

    rows = questdb.query(f"SELECT venue, price, size FROM {NAME}")
    before = stands()
    for _ in range(2):
        op.invoke(operation)
        after = stands()
        assert after != before
        op.invoke(operation.reverse())
        assert stands() == before
        assert questdb.query(f"SELECT venue, price, size FROM {NAME}") == rows


def test_symbol_that_grew_stays_on_the_way_back(op, questdb):
    larger = ops.AlterQuestDBColumnOp(
        NAME, "venue", "SYMBOL CAPACITY 1024", existing="SYMBOL CAPACITY 64"
    )
    op.invoke(larger)
    op.invoke(larger.reverse())
    assert live(questdb).column("venue").type.capacity == 1024


REVISION = '''"""Change

Revises: 0013
"""
from alembic import op
revision, down_revision = "0014", "0013"
def upgrade():
    {}
def downgrade():
    {}
'''


@pytest.fixture
def planned(head, checkout, monkeypatch):
    """Plan revision 0014 that does what is given, on stores that stand at head."""

    def plan_of(*does):
        path = checkout / "migrations" / "versions" / "0014_change.py"
        body = "\n    ".join(does)
        path.write_text(REVISION.format(body, body))
        return plan.make(head)

    monkeypatch.chdir(checkout)
    return plan_of


EQUITY = TRADING_SIM_EQUITY.name
NARROW = f'op.alter_questdb_column("{EQUITY}", "equity", "LONG", existing="DOUBLE")'
RETIRE_KEY = f'op.retire_questdb_column("{EQUITY}", "mode", "SYMBOL")'


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        pytest.param(NARROW, "from DOUBLE to LONG would lose values", id="narrowing"),
        pytest.param(
            NARROW.replace('existing="DOUBLE"', 'existing="INT"'),
            "from DOUBLE to LONG would lose values",
            id="narrowing of what stands",
        ),
        pytest.param(RETIRE_KEY, "mode is a deduplication key", id="key column"),
        pytest.param(
            f'op.add_questdb_column("{TRADES.name}", "x", "LONG")', "Parquet", id="Parquet"
        ),
        pytest.param(
            'op.add_questdb_column("nowhere", "x", "LONG")', "no table nowhere", id="gone"
        ),
        pytest.param(
            f'op.rename_questdb_table("{EQUITY}", "{TRADES.name}")', "has both", id="name taken"
        ),
        pytest.param(
            f'op.create_questdb_table("{EQUITY}", columns={{"x": "LONG"}})',
            "would create",
            id="another table stands",
        ),
    ],
)
def test_refused_operation_stops_the_plan(planned, questdb, does, reason):
    if reason == "Parquet":
        with_parquet(questdb, TRADES.name)
    with pytest.raises(Stage1Error, match=reason):
        planned(does)


def test_plan_looks_at_each_operation_after_those_before_it(planned, questdb):
    keys = list(TRADING_SIM_EQUITY.dedup_keys)
    left = [key for key in keys if key != "mode"]
    made = planned(
        f'op.alter_questdb_table("{EQUITY}", dedup_keys={left}, existing={{"dedup_keys": {keys}}})',
        RETIRE_KEY,
        f'op.rename_questdb_table("{EQUITY}", "equity")',
        'op.add_questdb_column("equity", "x", "LONG")',
        'op.create_questdb_table("y", columns={"x": "INT"})',
        'op.alter_questdb_column("y", "x", "LONG", existing="INT")',
    )
    assert len(made.revisions[0].questdb) == 6


def test_plan_names_what_a_change_of_questdb_costs(planned):
    changes = {
        f'op.retire_questdb_column("{EQUITY}", "equity", "DOUBLE")': "puts data away",
        f'op.retire_questdb_table("{EQUITY}")': "puts data away",
        f'op.alter_questdb_table("{EQUITY}", dedup_keys=[], existing={{}})': "drops deduplication",
        f'op.alter_questdb_table("{EQUITY}", ttl_months=9, existing={{}})': "deletes data",
    }
    for does, hazard in changes.items():
        assert planned(does).hazards == (hazard,)


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


def test_statements_go_into_the_script_or_a_file(checkout, tmp_path):
    from tests.migrations.commands import alembic

    path = checkout / "migrations" / "versions" / "0014_change.py"
    path.write_text(
        '''
        """Change"""
        from alembic import op
        revision, down_revision = "0014", "0013"
        def upgrade():
            op.add_questdb_column("bars", "volume", "DOUBLE")
            op.alter_questdb_column("bars", "price", "DOUBLE", existing="FLOAT")
            op.alter_questdb_table("bars", ttl_months=24, existing={"ttl_months": None})
            op.rename_questdb_table("bars", "ticks")
    '''.replace("\n        ", "\n")
    )
    statements = [
        'ALTER TABLE "bars" ADD COLUMN IF NOT EXISTS "volume" DOUBLE',
        'ALTER TABLE "bars" ALTER COLUMN price TYPE DOUBLE',
        'ALTER TABLE "bars" SET TTL 24 MONTHS',
        'RENAME TABLE "bars" TO "ticks"',
    ]
    script = alembic(checkout, None, "upgrade", "0013:0014", "--sql")
    assert [each for each in statements if f"-- QuestDB: {each}\n" in script] == statements
    file = tmp_path / "questdb.sql"
    script = alembic(checkout, None, "-x", f"questdb_sql={file}", "upgrade", "0013:0014", "--sql")
    assert "QuestDB" not in script
    assert file.read_text().splitlines() == [f"{each};" for each in statements]
