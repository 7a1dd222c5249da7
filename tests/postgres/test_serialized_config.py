"""serialized_config is made from the JSON columns until a client writes its own text."""

import pytest

from tests.postgres import clients, rows
from tests.postgres.test_contract import one

TABLES = {"walkforward_runs": "walk_config", "simulation_runs": "config"}
OWN = "# Stage1 RunConfig v1\n[METADATA]\nmine=1\n"

RUN_TEXT = """\
# Stage1 RunConfig v1

[METADATA]
dataset_id=0f0e0d0c-0000-4000-8000-000000000001
prediction_measurement=btc25_4h_wf1738400000
run_id=0f0e0d0c-0000-4000-8000-000000000002

[FEATURES]
feature_columns=["ema_20", "rsi_14", "it's"]
target_column=close_return_1

[WALKFORWARD]
prediction_measurement=btc25_4h_wf1738400000
train=600

[HYPERPARAMETERS]
eta=0.05
max_depth=4

[TRADE]
"""


@pytest.fixture(params=TABLES)
def table(request, app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    app.execute(clients.a_run(rows.RUN_ROW))
    app.execute(clients.simulation(rows.SIMULATION_ROW))
    return request.param


def config(app, table):
    return one(app, f"SELECT * FROM {table}")["serialized_config"]


def change(app, table):
    app.execute(f"UPDATE {table} SET {TABLES[table]} = '{{\"changed\": true}}'")


def test_the_text_of_a_run(app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    app.execute(clients.c_run(rows.RUN_ROW))
    assert config(app, "walkforward_runs") == RUN_TEXT


def test_generated_text_follows_the_json(app, table):
    change(app, table)
    assert "changed=true" in config(app, table)


@pytest.mark.parametrize("text", [OWN, None], ids=["another text", "the generated text"])
def test_a_clients_own_text_stays(app, table, text):
    text = text or config(app, table)
    app.execute(f"UPDATE {table} SET serialized_config = %s", [text])
    change(app, table)
    assert config(app, table) == text
    app.execute(clients.a_run(rows.RUN_ROW))
    app.execute(clients.c_run(rows.RUN_ROW))
    app.execute(clients.simulation(rows.SIMULATION_ROW))
    assert config(app, table) == text


def test_null_keeps_a_clients_own_text_and_renews_a_generated_one(app, table):
    generated = config(app, table)
    app.execute(f"UPDATE {table} SET serialized_config = NULL")
    assert config(app, table) == generated
    app.execute(f"UPDATE {table} SET serialized_config = %s", [OWN])
    app.execute(f"UPDATE {table} SET serialized_config = NULL")
    assert config(app, table) == OWN
    app.execute(f"UPDATE {table} SET serialized_config_generated = true")
    assert config(app, table) == generated


def test_an_upsert_with_null_keeps_a_clients_own_text(app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    for text in (None, OWN, None):
        values = clients.pick(rows.RUN_ROW, clients.C_RUN) | {"serialized_config": text}
        app.execute(clients.insert("walkforward_runs", values, "run_id", "created_at"))
    found = one(app, "SELECT * FROM walkforward_runs")
    assert (found["serialized_config"], found["serialized_config_generated"]) == (OWN, False)


def test_a_text_sent_with_the_first_insert_is_the_clients(app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    values = clients.pick(rows.RUN_ROW, clients.C_RUN) | {"serialized_config": OWN}
    app.execute(clients.insert("walkforward_runs", values, "run_id"))
    change(app, "walkforward_runs")
    assert config(app, "walkforward_runs") == OWN


def test_the_measurement_follows_walk_config(app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    app.execute(clients.a_run(rows.RUN_ROW | {"prediction_measurement": "", "walk_config": {}}))
    assert one(app, "SELECT * FROM walkforward_runs")["prediction_measurement"] is None
    for name, expected in (("one", "one"), ("two", "two"), ("", "two"), ("two", "two")):
        row = rows.RUN_ROW | {"walk_config": {"prediction_measurement": name}}
        app.execute(clients.c_run(row))
        found = one(app, "SELECT * FROM walkforward_runs")
        assert found["prediction_measurement"] == expected
        assert expected in found["serialized_config"]


def test_the_best_of_a_fold_follows_its_metrics(app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    app.execute(clients.a_run(rows.RUN_ROW))

    def best(statement):
        app.execute(statement)
        found = one(app, "SELECT * FROM walkforward_folds")
        return found["best_iteration"], found["best_score"]

    row = rows.FOLD_ROW
    assert best(clients.c_fold(row)) == (42, 0.625)
    newer = row | {"metrics": {"best_iteration": 7, "best_score": "0.25"}}
    assert best(clients.c_fold(newer)) == (7, 0.25)
    assert best(clients.a_fold(newer | {"best_iteration": 9, "best_score": 0.5})) == (9, 0.5)
    assert best(clients.c_fold(newer)) == (9, 0.5)  # the metrics did not change
    assert best(clients.a_fold(newer | {"best_score": None})) == (42, 0.25)
    assert best(clients.c_fold(row | {"metrics": {"best_score": None}})) == (42, 0.25)
