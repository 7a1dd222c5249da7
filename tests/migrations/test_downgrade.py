"""Up, down to base and up again, with rows in the tables; and the fill of rows that stood."""

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from stage1_schema.ops import migrate
from tests.postgres import clients, rows

TABLES = (
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trades",
)


def fill(connection):
    for statement in (
        clients.a_dataset(rows.A_DATASET),
        clients.c_dataset(rows.C_DATASET),
        clients.c_run(rows.RUN_ROW),
        clients.c_fold(rows.FOLD_ROW),
        clients.simulation(rows.SIMULATION_ROW),
        clients.bucket(rows.BUCKET_ROW),
        clients.trade(rows.TRADE_ROW),
    ):
        connection.execute(statement)


def config(database):
    return migrate.config(database.settings, ["questdb=skip"])


def counts(connection):
    return [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()["count"] for table in TABLES
    ]


def test_down_to_base_and_up_again_with_rows(database, connection):
    fill(connection)
    command.downgrade(config(database), "base")
    assert connection.execute("SELECT to_regclass('public.datasets') AS t").fetchone()["t"] is None
    left = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert left == []
    command.upgrade(config(database), "head")
    assert counts(connection) == [0] * 5
    fill(connection)
    assert counts(connection) == [1] * 5


def revisions():
    return [
        each.revision for each in ScriptDirectory.from_config(migrate.config()).walk_revisions()
    ]


@pytest.mark.parametrize("target", [each for each in revisions() if each > "0001"])
def test_one_step_down_and_up_with_rows(database, connection, target):
    fill(connection)
    command.downgrade(config(database), f"{int(target) - 1:04d}")
    assert counts(connection) == [1] * 5
    command.upgrade(config(database), "head")
    run = connection.execute("SELECT * FROM fn_list_runs(%s)", [rows.DATASET]).fetchone()
    assert run["prediction_measurement"] == "btc25_4h_wf1738400000"
    assert run["serialized_config"]


def test_rows_that_stood_are_brought_to_one_form(new_database, roles):
    with new_database() as database:
        command.upgrade(config(database), "0007")
        with database.connect() as connection:
            fill_raw(connection)
            command.upgrade(config(database), "head")
            dataset = connection.execute("SELECT * FROM datasets").fetchone()
            run = connection.execute("SELECT * FROM walkforward_runs").fetchone()
            fold = connection.execute("SELECT * FROM walkforward_folds").fetchone()
    assert dataset["first_ohlcv_ts"] == rows.FIRST * 1000
    assert dataset["metadata"]["symbol"] == dataset["symbol"] == "BTCUSDT"
    assert dataset["source"] == "binance"
    assert run["prediction_measurement"] == "btc25_4h_wf1738400000"
    assert run["prediction_measurement"] in run["serialized_config"]
    assert (fold["best_iteration"], fold["best_score"]) == (42, 0.625)


def fill_raw(connection):
    """What stood before anything was normalised: year 57,000, a manifest as a JSON string."""
    connection.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, symbol, ohlcv_first_ts, metadata)"
        " VALUES (%s, 'x', 'BTCUSDT', to_timestamp(%s), to_jsonb(%s::text))",
        [rows.DATASET, rows.FIRST * 1000, '{"source": "binance"}'],
    )
    connection.execute(clients.c_run(rows.RUN_ROW))
    connection.execute(clients.c_fold(rows.FOLD_ROW))
