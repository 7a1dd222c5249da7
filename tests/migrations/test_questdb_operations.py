"""Operations on QuestDB tables: carried out, read back, repeated, taken back, written down."""

from dataclasses import replace

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from questdb_ddl import Column, Float, Long, Symbol, Table, live_tables
from questdb_ddl import ensure_table as ensure
from stage1_schema.alembic_plugin import questdb_alter as ops
from stage1_schema.alembic_plugin.questdb_ops import (
    CreateQuestDBTableOp,
    QuestDBTarget,
    RetireQuestDBTableOp,
)
from stage1_schema.connect import engine
from stage1_schema.errors import QuestDBError
from tests.migrations.commands import alembic

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


def test_widening_stays_on_the_way_back(op, questdb):
    op.alter_questdb_column(NAME, "price", "DOUBLE", existing="FLOAT")
    op.alter_questdb_column(NAME, "price", "FLOAT", existing="DOUBLE", keep_wider=True)
    assert column(questdb, "price") == "DOUBLE"
    with pytest.raises(QuestDBError, match="would lose values"):
        op.alter_questdb_column(NAME, "price", "FLOAT", existing="DOUBLE")


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


def test_statements_go_into_the_script_or_a_file(checkout, tmp_path):
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
