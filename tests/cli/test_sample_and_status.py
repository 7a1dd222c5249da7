"""The sample lands as an exporter's data would, and the status shows what stands."""

import json
from datetime import UTC, datetime

import pytest

from questdb_ddl import live_tables, render
from stage1_schema.connect import connect
from stage1_schema.ops import migrate, sample, status
from tests.plugins.databases import as_role


@pytest.fixture
def filled(both):
    migrate.upgrade(both)
    assert sample.load(as_role(both, both.roles.app).postgres, both.questdb)
    return both


def rows(settings, query, *values):
    with connect(settings.postgres) as connection:
        return connection.execute(query, values).fetchall()


def test_bars_land_in_utc_and_in_monthly_partitions(filled, questdb):
    table = f"ohlcv_{sample.SLUG}"
    (row,) = questdb.query(f"SELECT min(timestamp) f, max(timestamp) l, count() n FROM {table}")
    assert (row["f"], row["l"]) == ("2024-01-01T00:00:00.000000Z", "2025-02-28T20:00:00.000000Z")
    assert row["n"] == len(sample.Sample().bars)
    parts = questdb.query(f"SELECT name, numRows FROM table_partitions('{table}') ORDER BY name")
    assert [part["name"] for part in parts] == [
        f"{month:%Y-%m}"
        for month in (datetime(2024 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(14))
    ]
    assert parts[0]["numRows"] == 31 * 6


def test_every_table_is_monthly_with_wal_and_dedup(filled, questdb):
    live = live_tables(questdb)
    assert len(live) == 6
    for table in live.values():
        assert (str(table.partition_by), table.wal) == ("MONTH", True)
        assert "timestamp" in table.dedup_keys


def test_sending_it_again_doubles_nothing(filled, questdb):
    before = {name: t.row_count for name, t in live_tables(questdb, counts=True).items()}
    assert not sample.load(filled.postgres, filled.questdb)
    sample._write_questdb(filled.questdb, sample.Sample())
    assert {name: t.row_count for name, t in live_tables(questdb, counts=True).items()} == before


def test_interrupted_sample_is_finished(both, questdb):
    migrate.upgrade(both)
    sample._write_questdb(both.questdb, sample.Sample())  # and then PostgreSQL was not reached
    assert sample.load(both.postgres, both.questdb)
    assert rows(both, "SELECT count(*) FROM walkforward_folds") == [(sample.FOLDS,)]
    assert live_tables(questdb, counts=True)[f"ohlcv_{sample.SLUG}"].row_count == 2550


def test_sample_is_the_same_every_time():
    first, second = sample.Sample(), sample.Sample()
    assert first.bars == second.bars
    assert first.trades == second.trades
    assert first.indicators == second.indicators


def test_sample_makes_sense():
    made = sample.Sample()
    assert all(bar.low <= min(bar.open, bar.close) for bar in made.bars)
    assert all(bar.high >= max(bar.open, bar.close) for bar in made.bars)
    assert len(made.trades) > 50
    assert {trade.side for trade in made.trades} == {"long", "short"}
    assert all(a.exit.at <= b.entry.at for a, b in zip(made.trades, made.trades[1:], strict=False))
    assert made.folds[-1][3] <= len(made.bars)


def test_readers_see_the_sample(filled):
    hierarchy = rows(
        filled,
        "SELECT dataset_slug, prediction_measurement, questdb_namespace FROM dataset_hierarchy",
    )
    assert [row[0] for row in hierarchy] == [sample.SLUG]
    assert hierarchy[0][2] == sample.NAMESPACE
    runs = rows(
        filled,
        "SELECT run_id, dataset_slug, fold_count FROM fn_list_runs(%s, 5)",
        sample.DATASET_ID,
    )
    assert runs == [(sample.RUN_ID, sample.SLUG, sample.FOLDS)]


def test_status_of_two_whole_stores(filled):
    read = status.read(filled)
    assert read.healthy
    data = json.loads(json.dumps(read.to_data()))
    assert data["postgres"]["revision"] == data["postgres"]["head"] == migrate.head()
    tables = {table["name"]: table for table in data["postgres"]["tables"]}
    assert tables["walkforward_folds"] == {"name": "walkforward_folds", "rows": 12, "exact": True}
    series = {table["name"]: table for table in data["questdb"]["tables"]}
    assert series["walkforward_predictions"]["partition_by"] == "MONTH"
    assert series["walkforward_predictions"]["rows"] == 1800
    assert data["questdb"]["version"].startswith("9.")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        pytest.param("ALTER TABLE datasets ADD COLUMN odd text", "datasets.odd", id="column"),
        pytest.param("DROP INDEX ix_walkforward_runs_completed_at", "completed_at", id="index"),
        pytest.param(
            "ALTER TABLE datasets DROP CONSTRAINT uq_datasets_dataset_slug",
            "uq_datasets_dataset_slug",
            id="unique",
        ),
    ],
)
def test_drift_in_postgres_is_one_line(filled, statement, told):
    with connect(filled.postgres, autocommit=True) as connection:
        connection.execute(statement)
    read = status.read(filled)
    (line,) = read.postgres.drift
    assert told in line
    assert not read.healthy


def test_tables_of_other_software_are_no_drift(filled):
    with connect(filled.postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE of_others (id int PRIMARY KEY)")
    assert status.read(filled).postgres.drift == ()


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        pytest.param(
            [render.drop_table("trading_sim_equity")], "trading_sim_equity: missing", id="missing"
        ),
        pytest.param(
            ["ALTER TABLE indicator_bars DEDUP DISABLE"], "indicator_bars: dedup", id="dedup"
        ),
        pytest.param(
            ["ALTER TABLE walkforward_predictions ALTER COLUMN score TYPE FLOAT"],
            "walkforward_predictions.score",
            id="another type",
        ),
    ],
)
def test_drift_in_questdb_is_one_line(filled, questdb, statements, told):
    for statement in statements:
        questdb.execute(statement)
        if "DROP" not in statement:
            questdb.wait_for(statement.split()[2])
    (line,) = status.read(filled).questdb.drift
    assert told in line


def test_column_that_the_exporter_added_is_no_drift(filled, questdb):
    questdb.execute(f"ALTER TABLE indicators_{sample.SLUG} ADD COLUMN macd DOUBLE")
    questdb.wait_for(f"indicators_{sample.SLUG}")
    assert status.read(filled).questdb.drift == ()


def test_status_before_the_first_upgrade(shell, both):
    ran = shell("stage1", "status", settings=both)
    assert ran.code == 1
    assert "none, head is" in ran.out
    assert "alembic upgrade head" in ran.out
