"""Changes of QuestDB tables as revisions: generated, applied, read back, repeated, taken back."""

from dataclasses import replace

import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from questdb_ddl import Column, Double, Float, Long, PartitionBy, Symbol, Table, live_tables
from questdb_ddl import ensure_table as ensure
from questdb_ddl.tables import SHARED_TABLES, TRADING_SIM_EQUITY
from stage1_schema.alembic_plugin import questdb_compare
from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget
from stage1_schema.connect import engine
from stage1_schema.errors import QuestDBError
from stage1_schema.ops import migrate

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


def declare(monkeypatch, *tables):
    monkeypatch.setattr(questdb_compare, "SHARED_TABLES", tables)


def test_widening_stays_on_the_way_back(op, questdb):
    op.alter_questdb_column(NAME, "price", "DOUBLE", existing="FLOAT")
    op.alter_questdb_column(NAME, "price", "FLOAT", existing="DOUBLE")
    assert column(questdb, "price") == "DOUBLE"


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"partition_by": PartitionBy.DAY}, "rebuild the table", id="partitioning"),
        pytest.param(
            {
                "columns": tuple(
                    Column(c.name, Long()) if c.name == "equity" else c
                    for c in TRADING_SIM_EQUITY.columns
                )
            },
            "equity from DOUBLE to LONG would lose values",
            id="narrowing",
        ),
    ],
)
def test_refused_declaration_stops_the_revision(
    both, checkout, questdb, monkeypatch, change, reason
):
    migrate.upgrade(both)
    declare(monkeypatch, *SHARED_TABLES[:-1], replace(TRADING_SIM_EQUITY, **change))
    monkeypatch.chdir(checkout)
    config = migrate.config(both)
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
    ],
    ids=["column", "TTL", "dedup keys", "extra column"],
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
