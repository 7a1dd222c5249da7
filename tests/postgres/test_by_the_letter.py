"""Every documented name and statement at head, verbatim, as the role that runs it (contract, 1)."""

import psycopg
import pytest
from alembic import command

from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows
from tests.postgres.test_contract import at, one

DDL = """
CREATE INDEX IF NOT EXISTS idx_walkforward_runs_measurement ON walkforward_runs (prediction_measurement);
CREATE INDEX IF NOT EXISTS idx_simulation_runs_namespace ON simulation_runs (questdb_namespace);
ALTER TABLE walkforward_runs ADD COLUMN IF NOT EXISTS serialized_config TEXT;
ALTER TABLE simulation_runs ADD COLUMN IF NOT EXISTS serialized_config TEXT;
""".strip().splitlines()  # noqa: E501 - as documented
RUNS = ("p_dataset_id", "p_limit", "p_offset", "p_status", "p_measurement", "p_after")
ARGUMENTS = {
    "fn_list_datasets": (
        *("p_limit", "p_offset", "p_symbol", "p_measurement"),
        *("p_after", "p_after_updated_at"),
    ),
    "fn_list_runs": RUNS,
    "fn_list_simulations": ("p_run_id", *RUNS[1:], "p_dataset_id"),
    "fn_list_folds": ("p_run_id", "p_limit", "p_offset", "p_after"),
    "upsert_stage1_dataset": (
        *("p_dataset_id", "p_dataset_slug", "p_symbol", "p_granularity", "p_source"),
        *("p_ohlcv_measurement", "p_indicator_measurement", "p_ohlcv_rows", "p_indicator_rows"),
        *("p_ohlcv_first", "p_ohlcv_last", "p_indicator_first", "p_indicator_last"),
        "p_metadata",
    ),
    "ensure_dataset_placeholder": ("p_dataset_id", "p_slug", "p_symbol"),
    "ensure_run_placeholder": ("p_run_id", "p_dataset_id", "p_measurement"),
}
STAGE1_DATASETS = (
    *("dataset_id", "dataset_slug", "symbol", "granularity", "source", "ohlcv_measurement"),
    *("indicator_measurement", "ohlcv_row_count", "indicator_row_count", "ohlcv_first_ts"),
    *("ohlcv_last_ts", "indicator_first_ts", "indicator_last_ts", "metadata", "created_at"),
    "updated_at",
)
HIERARCHY = {
    *("dataset_slug", "ohlcv_measurement", "indicator_measurement", "run_id", "status"),
    *("prediction_measurement", "serialized_config", "simulation_id", "questdb_namespace"),
    "created_at",
}
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
COLUMNS = """
SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position
"""


@pytest.fixture
def filled(app):
    for statement in (
        clients.c_dataset(rows.C_DATASET),
        clients.a_run(rows.RUN_ROW),
        clients.a_fold(rows.FOLD_ROW),
        clients.simulation(rows.SIMULATION_ROW),
    ):
        app.execute(statement)


def test_the_operators_ddl_changes_nothing(migrated, connection):
    before = connection.execute(INDEXES).fetchall()
    for statement in DDL:
        connection.execute(statement)
    assert connection.execute(INDEXES).fetchall() == before
    for table, column in (
        ("walkforward_runs", "prediction_measurement"),
        ("simulation_runs", "questdb_namespace"),
    ):
        definitions = [row["indexdef"] for row in before]
        same = [d for d in definitions if d.endswith(f"public.{table} USING btree ({column})")]
        assert len(same) == 1
    command.check(migrate.config(migrated, ["questdb=skip"]))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(connection, name):
    query = "SELECT proargnames[1:pronargs] AS names FROM pg_proc WHERE proname = %s"
    assert tuple(one(connection, query, name)["names"]) == ARGUMENTS[name]


@pytest.mark.parametrize("role", [ROLES.app, ROLES.readonly])
@pytest.mark.parametrize(
    "call",
    [
        "fn_list_runs(p_dataset_id => '{dataset}', p_limit => 20)",
        "fn_list_runs('{dataset}', 20)",
        "fn_list_runs('{dataset}', 20, 0, 'COMPLETED', 'btc25_4h_wf1738400000', NULL)",
        "fn_list_runs(p_status => 'COMPLETED', p_measurement => 'btc25_4h_wf1738400000')",
        "fn_list_datasets(50, 0)",
        "fn_list_datasets(p_limit => 50, p_offset => 0)",
        "fn_list_datasets()",
        "fn_list_datasets(50, 0, 'BTCUSDT', 'ohlcv_btc25_4h', NULL)",
        "fn_list_simulations('{run}', 50)",
        "fn_list_simulations(p_run_id => '{run}', p_status => 'COMPLETED', p_limit => 5)",
        "fn_list_simulations(p_dataset_id => '{dataset}', p_measurement => 'btc_sim1')",
        "fn_list_folds('{run}', 500)",
        "fn_list_folds(p_run_id => '{run}', p_limit => 500, p_offset => 0, p_after => NULL)",
    ],
)
def test_calls_by_name_and_by_position(migrated, filled, call, role):
    call = call.format(dataset=rows.DATASET, run=rows.RUN)
    with client(migrated, role) as connection:
        found = one(connection, f"SELECT * FROM {call}")
        assert str(found.get("run_id") or found["dataset_id"]) in (rows.RUN, rows.DATASET)


@pytest.mark.parametrize("named", [True, False])
def test_the_upsert_with_all_arguments(app, named):
    names = [f"{name} => " for name in ARGUMENTS["upsert_stage1_dataset"]]
    values = [clients.quoted(rows.B_DATASET[name]) for name in clients.B_ARGUMENTS.split()]
    given = [f"{n * named}{value}" for n, value in zip(names, values, strict=True)]
    app.execute(f"SELECT upsert_stage1_dataset({', '.join(given)})")
    found = one(app, "SELECT * FROM stage1_datasets")
    assert found["ohlcv_first_ts"] == at(rows.FIRST)
    assert (found["dataset_slug"], found["indicator_row_count"]) == ("btc25_4h", 181)


def test_views_have_the_documented_columns(connection):
    columns = [row["column_name"] for row in connection.execute(COLUMNS, ["stage1_datasets"])]
    assert tuple(columns) == STAGE1_DATASETS
    assert {row["column_name"] for row in connection.execute(COLUMNS, ["dataset_hierarchy"])} >= (
        HIERARCHY
    )


def test_the_deepest_level_of_the_hierarchy(app, filled):
    query = "SELECT status, created_at, serialized_config FROM dataset_hierarchy"
    found = one(app, query)
    assert found["created_at"] == at(1_738_400_300)
    assert found["serialized_config"].startswith("# Stage1 RunConfig v1")
    app.execute("UPDATE simulation_runs SET status = NULL")
    assert one(app, query)["status"] is None  # the simulation's, and not its run's
    another = {"run_id": rows.NOBODY, "prediction_measurement": "m", "walk_config": {}}
    app.execute(clients.a_run(rows.RUN_ROW | another | {"status": "FAILED"}))
    found = one(app, f"{query} WHERE run_id = %s", rows.NOBODY)
    assert (found["status"], found["created_at"]) == ("FAILED", at(1_738_400_050))
    app.execute(clients.a_dataset(rows.A_DATASET | {"dataset_id": rows.TRADE, "questdb_tag": "e"}))
    found = one(app, f"{query} WHERE dataset_id = %s", rows.TRADE)
    assert (found["status"], found["created_at"]) == (None, at(1_738_400_000))


def test_an_orm_reads_and_writes_stage1_datasets(app):
    sent = {"dataset_id": rows.DATASET, "dataset_slug": "btc25_4h", "symbol": "BTCUSDT"}
    app.execute(clients.insert("stage1_datasets", sent, "dataset_id"))
    app.execute(clients.insert("stage1_datasets", sent | {"symbol": "BTC"}, "dataset_id"))
    ignored = clients.insert("stage1_datasets", sent | {"symbol": "X"}, "dataset_slug")
    app.execute(ignored.partition(" DO UPDATE")[0] + " DO NOTHING")
    nothing = dict.fromkeys(STAGE1_DATASETS[3:])
    another = sent | {"dataset_id": rows.NOBODY, "dataset_slug": "eth"} | nothing
    inserted = clients.insert("stage1_datasets", another, "dataset_id") + " RETURNING *"
    assert tuple(one(app, inserted)) == STAGE1_DATASETS
    changed = app.execute(
        "UPDATE stage1_datasets SET ohlcv_row_count = 5 WHERE dataset_slug = 'btc25_4h'"
    )
    assert changed.rowcount == 1
    found = app.execute("SELECT * FROM stage1_datasets ORDER BY dataset_slug").fetchall()
    assert [(r["symbol"], r["ohlcv_row_count"]) for r in found] == [("BTC", 5), ("BTCUSDT", None)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("DELETE FROM stage1_datasets")
