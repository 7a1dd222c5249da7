"""Placeholders are deliberate, marked, and give way to the real row, whichever INSERT brings it."""

from uuid import UUID

import psycopg
import pytest

from tests.postgres import clients, rows
from tests.postgres.test_contract import check_children, check_dataset, check_run, one

A_ROW = rows.A_DATASET
PLAIN = clients.a_dataset(A_ROW).partition(" ON CONFLICT")[0]
REAL_DATASET = {
    "plain INSERT through the view": PLAIN,
    "A, DO UPDATE": clients.a_dataset(A_ROW),
    "A, DO NOTHING": clients.a_dataset_or_nothing(A_ROW),
    "B": clients.b_call(rows.B_DATASET),
    "C": clients.c_dataset(rows.C_DATASET),
    "C, plain": clients.c_dataset(rows.C_DATASET).partition(" ON CONFLICT")[0],
}
RUN = {
    "A": clients.a_run(rows.RUN_ROW),
    "C": clients.c_run(rows.RUN_ROW),
    "plain": clients.a_run(rows.RUN_ROW).partition(" ON CONFLICT")[0],
    "DO NOTHING": clients.a_run(rows.RUN_ROW).partition(" DO UPDATE")[0] + " DO NOTHING",
}


def dataset_placeholder(app, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return one(app, f"SELECT ensure_dataset_placeholder({marks}) AS id", *arguments)["id"]


def run_placeholder(app, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return one(app, f"SELECT ensure_run_placeholder({marks}) AS id", *arguments)["id"]


def test_idempotent_and_marked(app):
    for _ in range(2):
        assert dataset_placeholder(app, rows.DATASET, "btc", "BTCUSDT") == UUID(rows.DATASET)
        assert run_placeholder(app, rows.RUN, rows.DATASET, "m") == UUID(rows.RUN)
    dataset = one(app, "SELECT * FROM datasets")
    assert (dataset["dataset_slug"], dataset["symbol"]) == ("btc", "BTCUSDT")
    assert dataset["is_placeholder"]
    tree = one(app, "SELECT * FROM dataset_hierarchy")
    assert tree["dataset_is_placeholder"]
    assert tree["run_is_placeholder"]


def test_a_client_calls_them_with_literals(app):
    app.execute(f"SELECT ensure_dataset_placeholder('{rows.DATASET}', 'Btc 4h', NULL)")
    app.execute(f"SELECT ensure_run_placeholder('{rows.RUN}', '{rows.DATASET}', 'm')")
    assert one(app, "SELECT * FROM datasets")["dataset_slug"] == "btc_4h"


def test_what_stands_is_left_alone(app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.c_run(rows.RUN_ROW))
    before = one(app, "SELECT * FROM datasets"), one(app, "SELECT * FROM walkforward_runs")
    dataset_placeholder(app, rows.DATASET, "other", "X")
    run_placeholder(app, rows.RUN, rows.DATASET, "other")
    assert (one(app, "SELECT * FROM datasets"), one(app, "SELECT * FROM walkforward_runs")) == (
        before
    )


@pytest.mark.parametrize("statement", REAL_DATASET.values(), ids=REAL_DATASET)
def test_the_real_dataset_takes_its_place(app, statement):
    dataset_placeholder(app, rows.DATASET, "guessed", "GUESS")
    app.execute(clients.a_run(rows.RUN_ROW))
    app.execute(statement)
    real = one(app, "SELECT * FROM datasets")
    assert not real["is_placeholder"]
    assert (real["dataset_slug"], real["symbol"]) == ("btc25_4h", "BTCUSDT")
    assert "guessed" not in str(real["metadata"])
    if "created_at" in statement:
        assert real["created_at"].year == 2025
    assert one(app, "SELECT * FROM walkforward_runs")["dataset_id"] == UUID(rows.DATASET)


@pytest.mark.parametrize("statement", RUN.values(), ids=RUN)
def test_the_real_run_takes_its_place(app, statement):
    dataset_placeholder(app, rows.NOBODY, "nobody", None)
    run_placeholder(app, rows.RUN, rows.NOBODY, "guessed")
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.simulation(rows.SIMULATION_ROW))
    app.execute(statement)
    run = one(app, "SELECT * FROM walkforward_runs")
    assert (run["dataset_id"], run["is_placeholder"]) == (UUID(rows.DATASET), False)
    assert run["prediction_measurement"] == "btc25_4h_wf1738400000"
    assert "guessed" not in run["serialized_config"]
    assert run["created_at"].year == 2025
    assert one(app, "SELECT * FROM simulation_runs")["run_id"] == UUID(rows.RUN)


@pytest.mark.parametrize("order", ["A", "C"])
def test_all_of_it_over_placeholders(app, order):
    dataset_placeholder(app, rows.DATASET)
    run_placeholder(app, rows.RUN, rows.DATASET)
    for statement in (clients.simulation(rows.SIMULATION_ROW), clients.bucket(rows.BUCKET_ROW)):
        app.execute(statement)
    app.execute(clients.trade(rows.TRADE_ROW))
    if order == "A":
        app.execute(clients.a_dataset(rows.A_DATASET))
        app.execute(clients.a_run(rows.RUN_ROW))
        app.execute(clients.a_fold(rows.FOLD_ROW))
    else:
        app.execute(clients.c_dataset(rows.C_DATASET))
        app.execute(clients.c_run(rows.RUN_ROW))
        app.execute(clients.c_fold(rows.FOLD_ROW))
    check_dataset(app, ohlcv=order == "C")
    check_run(app, all_fields=order == "A", ohlcv=order == "C")
    check_children(app)


def test_a_placeholder_of_a_slug_that_is_taken_gets_another(app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    dataset_placeholder(app, "aaaabbbb-0000-4000-8000-000000000009", "btc25_4h", None)
    assert one(app, "SELECT * FROM datasets WHERE dataset_slug = 'btc25_4h_aaaabbbb'")


def test_a_placeholders_measurement_gives_way(app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    run_placeholder(app, rows.NOBODY, rows.DATASET, "btc25_4h_wf1738400000")
    app.execute(clients.c_run(rows.RUN_ROW))
    found = one(app, "SELECT * FROM walkforward_runs WHERE is_placeholder")
    assert found["prediction_measurement"] is None
    run_placeholder(app, rows.TRADE, rows.DATASET, "btc25_4h_wf1738400000")
    found = one(app, "SELECT * FROM walkforward_runs WHERE run_id = %s", rows.TRADE)
    assert found["prediction_measurement"] is None


def test_a_run_with_an_unknown_dataset_still_fails(app):
    for statement in (
        *RUN.values(),
        f"SELECT ensure_run_placeholder('{rows.RUN}', '{rows.NOBODY}')",
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="dataset_id"):
            app.execute(statement)


def test_a_run_keeps_its_dataset(app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.c_run(rows.RUN_ROW))
    other = "aaaabbbb-0000-4000-8000-000000000009"
    app.execute(clients.a_dataset(A_ROW | {"dataset_id": other}))
    for statement in (clients.a_run, clients.c_run):
        app.execute(statement(rows.RUN_ROW | {"dataset_id": other}))
    assert one(app, "SELECT * FROM walkforward_runs")["dataset_id"] == UUID(rows.DATASET)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="cannot be moved"):
        app.execute("UPDATE walkforward_runs SET dataset_id = %s", [other])


def test_a_run_can_leave_a_placeholder(app):
    dataset_placeholder(app, rows.NOBODY)
    app.execute(clients.a_run(rows.RUN_ROW | {"dataset_id": rows.NOBODY}))
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute("UPDATE walkforward_runs SET dataset_id = %s", [rows.DATASET])
    assert one(app, "SELECT * FROM walkforward_runs")["dataset_id"] == UUID(rows.DATASET)


def test_every_column_is_taken_over(app, connection):
    """A column that a later revision adds must be added to the replacing function too."""
    own = {"dataset_id", "run_id", "updated_at", "serialized_config_generated", "is_placeholder"}
    for table, function in (
        ("datasets", "stage1_replace_dataset_placeholder"),
        ("walkforward_runs", "stage1_replace_run_placeholder"),
    ):
        body = one(connection, "SELECT prosrc FROM pg_proc WHERE proname = %s", function)["prosrc"]
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
        ).fetchall()
        for name in {row["column_name"] for row in columns} - own:
            assert f"{name} = NEW.{name}" in body
