"""Every row of the contract's SQL tables, by every generation in both orders on one database."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from tests.postgres import clients, rows
from tests.postgres.clients import At

CHILDREN = (
    clients.simulation(rows.SIMULATION_ROW),
    clients.bucket(rows.BUCKET_ROW),
    clients.trade(rows.TRADE_ROW),
)
GENERATIONS = {
    "A": (
        clients.a_dataset(rows.A_DATASET),
        clients.a_dataset_or_nothing(rows.A_DATASET),
        clients.a_run(rows.RUN_ROW),
        clients.a_fold(rows.FOLD_ROW),
        *CHILDREN,
    ),
    "B": (
        clients.b_call(rows.B_DATASET),
        clients.a_dataset(rows.A_DATASET),
        clients.a_run(rows.RUN_ROW),
        clients.a_fold(rows.FOLD_ROW),
        *CHILDREN,
    ),
    "C": (
        clients.c_dataset(rows.C_DATASET),
        clients.c_run(rows.RUN_ROW),
        clients.c_fold(rows.FOLD_ROW),
        *CHILDREN,
    ),
}
UUIDS = {name: UUID(getattr(rows, name)) for name in ("DATASET", "RUN", "SIMULATION", "TRADE")}


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


CREATED = at(1_738_400_000)
SIMULATION_FIELDS = (
    "input_run_measurement",
    "questdb_namespace",
    "mode",
    "config",
    "status",
    "summary_metrics",
)


def one(connection, query, *parameters):
    found = connection.execute(query, parameters).fetchall()
    assert len(found) == 1
    return found[0]


def holds(row, **expected):
    assert {name: row[name] for name in expected} == expected


@pytest.fixture
def write(app):
    def run(order):
        for generation in order:
            for statement in GENERATIONS[generation]:
                app.execute(statement)

    return run


def check_dataset(app, *, ohlcv=True, created=CREATED):
    dataset = one(app, "SELECT * FROM dataset_catalog")
    holds(
        dataset,
        dataset_id=UUIDS["DATASET"],
        dataset_slug="btc25_4h",
        symbol="BTCUSDT",
        granularity="4h",
        source="binance",
        bar_interval_ms=14_400_000,
        indicator_measurement="indicators_btc25_4h",
        indicator_row_count=181,
        indicator_first_ts=at(rows.IND_FIRST),
        indicator_last_ts=at(rows.IND_LAST),
        first_indicator_ts=rows.IND_FIRST * 1000,
        run_count=1,
        simulation_count=1,
        is_placeholder=False,
        created_at=created or dataset["created_at"],
    )
    if ohlcv:
        holds(
            dataset,
            lookback_rows=20,
            ohlcv_measurement="ohlcv_btc25_4h",
            ohlcv_row_count=187,
            ohlcv_first_ts=at(rows.FIRST),
            ohlcv_last_ts=at(rows.LAST),
            first_ohlcv_ts=rows.FIRST * 1000,
            metadata=rows.MANIFEST,
        )
    listed = one(app, "SELECT * FROM fn_list_datasets(50, 0)")
    assert {name: listed[name] for name in dataset} == dataset
    assert one(app, "SELECT * FROM indicator_datasets ORDER BY created_at DESC") == {
        "dataset_id": UUIDS["DATASET"],
        "symbol": "BTCUSDT",
        "granularity": "4h",
        "source": "binance",
        "questdb_tag": "indicators_btc25_4h",
        "questdb_measurement": "indicators_btc25_4h",
        "row_count": 181,
        "first_bar_ts": at(rows.IND_FIRST),
        "last_bar_ts": at(rows.IND_LAST),
        "created_at": dataset["created_at"],
        "dataset_slug": "btc25_4h",
        "metadata": dataset["metadata"],
        "updated_at": dataset["updated_at"],
        "is_placeholder": False,
    }


def check_run(app, *, all_fields=True, ohlcv=True):
    run = one(app, "SELECT * FROM fn_list_runs(%s, 200)", rows.DATASET)
    holds(
        run,
        run_id=UUIDS["RUN"],
        dataset_id=UUIDS["DATASET"],
        dataset_slug="btc25_4h",
        ohlcv_measurement="ohlcv_btc25_4h" if ohlcv else None,
        indicator_measurement="indicators_btc25_4h",
        prediction_measurement="btc25_4h_wf1738400000",
        target_column="close_return_1",
        feature_columns=rows.RUN_ROW["feature_columns"],
        hyperparameters=rows.RUN_ROW["hyperparameters"],
        walk_config=rows.RUN_ROW["walk_config"],
        status="COMPLETED",
        started_at=at(1_738_400_100),
        completed_at=at(1_738_400_200),
        summary_metrics=rows.RUN_ROW["summary_metrics"],
        created_at=at(1_738_400_050),
        fold_count=1,
        has_more=False,
    )
    assert run["serialized_config"].startswith("# Stage1 RunConfig v1\n\n[METADATA]\n")
    if all_fields:
        holds(run, requested_by="desktop", duration_ms=100_000)


def check_children(app, *, times=None):
    fold = one(app, "SELECT * FROM fn_list_folds(%s, 500)", rows.RUN)
    expected = {name: rows.FOLD_ROW[name] for name in rows.FOLD_ROW if name != "run_id"}
    holds(fold, **expected, total=1, offset=0, has_more=False, train_start_ts_ms=times)
    simulation = one(app, "SELECT * FROM fn_list_simulations(%s, 50)", rows.RUN)
    holds(simulation, **{name: rows.SIMULATION_ROW[name] for name in SIMULATION_FIELDS})
    holds(simulation, started_at=at(1_738_400_300), completed_at=at(1_738_400_400), trade_count=1)
    bucket = one(app, "SELECT * FROM simulation_trade_buckets")
    holds(bucket, **{n: v for n, v in rows.BUCKET_ROW.items() if n != "simulation_id"})
    trade = one(app, "SELECT * FROM simulation_trades")
    holds(trade, bar_timestamp=at(1_737_000_000), side="long", size=1.0, pnl=1.25)
    holds(trade, metadata={"exit_reason": "it's time"}, exit_timestamp=None, fold_index=None)
    tree = one(app, "SELECT * FROM dataset_hierarchy")
    holds(tree, dataset_id=UUIDS["DATASET"], run_id=UUIDS["RUN"], simulation_id=UUIDS["SIMULATION"])


@pytest.mark.parametrize("order", ["ABC", "CBA", "BAC", "ABCABC", "CBACBA"])
def test_all_generations_in_any_order(app, write, order):
    write(order)
    # Generation B's call sends no created_at; the first writer's stays.
    check_dataset(app, created=None if order[0] == "B" else CREATED)
    check_run(app)
    check_children(app)


def test_generation_a_alone(app, write):
    write("A")
    check_dataset(app, ohlcv=False)
    check_run(app, ohlcv=False)
    check_children(app)


def test_generation_c_alone(app, write):
    write("C")
    check_dataset(app)
    check_run(app, all_fields=False)
    check_children(app)


@pytest.mark.parametrize("order", ["AA", "BB", "CC", "ABCB"])
def test_an_identical_replay_leaves_updated_at(app, write, order):
    query = "SELECT updated_at FROM {}"
    tables = ("datasets", "walkforward_runs", "simulation_runs")
    write(order[:-1])
    before = [one(app, query.format(table)) for table in tables]
    write(order[-1])
    assert [one(app, query.format(table)) for table in tables] == before


def test_a_change_sets_updated_at(app, write):
    write("A")
    for table in ("datasets", "walkforward_runs", "simulation_runs"):
        before = one(app, f"SELECT updated_at FROM {table}")
        app.execute(f"UPDATE {table} SET created_at = created_at - interval '1 s'")
        assert one(app, f"SELECT updated_at FROM {table}") != before


@pytest.mark.parametrize("generation", ["A", "C"])
def test_fold_times_of_the_server_survive_a_replay(app, write, generation):
    write(generation)
    app.execute("UPDATE walkforward_folds SET train_start_ts_ms = 1735689600000")
    write("AC")
    check_children(app, times=1_735_689_600_000)


def test_the_first_dataset_row_of_generation_b_without_ohlcv(app):
    row = rows.B_DATASET | {
        "ohlcv_measurement": "",
        "ohlcv_rows": 0,
        "ohlcv_first": None,
        "ohlcv_last": None,
        "metadata": {},
    }
    returned = one(app, clients.b_call(row))
    assert returned == {"upsert_stage1_dataset": UUIDS["DATASET"]}
    holds(
        one(app, "SELECT * FROM datasets"),
        ohlcv_measurement=None,
        ohlcv_row_count=None,
        ohlcv_first_ts=None,
        indicator_row_count=181,
    )
    app.execute(clients.b_call(rows.B_DATASET))
    app.execute(clients.b_call(row))  # what is known stays known
    holds(
        one(app, "SELECT * FROM datasets"),
        ohlcv_measurement="ohlcv_btc25_4h",
        ohlcv_row_count=187,
        ohlcv_first_ts=at(rows.FIRST),
    )


def test_the_readers_orders(app, write):
    write("A")
    for table in ("walkforward_runs", "simulation_runs"):
        assert one(app, f"SELECT * FROM {table} ORDER BY completed_at DESC")


CLAIM = (
    "UPDATE stage1_jobs SET status='RUNNING', started_at=NOW() WHERE job_id=(SELECT job_id FROM "
    "stage1_jobs WHERE status='PENDING' ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) "
    "RETURNING *"
)


def test_two_workers_claim_two_jobs(app, database):
    for kind in ("first", "second"):
        app.execute("INSERT INTO stage1_jobs (job_type, payload) VALUES (%s, '{}')", [kind])
    with database.connect(user="stage1_app", password="test") as other, app.transaction():
        mine = one(app, CLAIM)
        theirs = one(other, CLAIM)
        assert other.execute(CLAIM).fetchall() == []
    assert (mine["job_type"], theirs["job_type"]) == ("first", "second")
    assert mine["started_at"] is not None
    assert (mine["status"], mine["progress"]) == ("RUNNING", 0)


def test_finished_jobs_are_purged_after_30_days(app):
    old = datetime.now(UTC) - timedelta(days=31)
    for status, completed in (("COMPLETED", old), ("FAILED", old), ("completed", None)):
        app.execute(
            "INSERT INTO stage1_jobs (job_type, status, completed_at) VALUES ('x', %s, %s)",
            [status, completed],
        )
    purge = (
        "DELETE FROM stage1_jobs WHERE status = 'COMPLETED'"
        " AND completed_at < NOW() - INTERVAL '30 days'"
    )
    assert app.execute(purge).rowcount == 1
    app.execute("UPDATE stage1_jobs SET completed_at = completed_at - interval '31 days'")
    assert app.execute(purge).rowcount == 1  # the server gave it the time that it lacked


@pytest.mark.parametrize(
    "status", ["COMPLETED", "INCOMPLETE", "PENDING", "QUEUED", "RUNNING", "FAILED", "failed ", None]
)
def test_run_statuses_of_all_writers(app, write, status):
    write("A")
    app.execute(clients.a_run(rows.RUN_ROW | {"status": status}))
    stored = one(app, "SELECT status FROM walkforward_runs")["status"]
    assert stored == (status and status.strip().upper())


def test_an_unknown_status_is_refused(app, write):
    write("A")
    with pytest.raises(psycopg.errors.CheckViolation):
        app.execute(clients.a_run(rows.RUN_ROW | {"status": "DONE"}))


@pytest.mark.parametrize("mode", ["long", "short", "dual", "Dual"])
def test_simulation_modes(app, write, mode):
    write("A")
    app.execute(clients.simulation(rows.SIMULATION_ROW | {"mode": mode}))
    assert one(app, "SELECT mode FROM simulation_runs")["mode"] == mode.lower()


@pytest.mark.parametrize("side", ["long", "short", "dual", "all", "ALL"])
def test_bucket_sides(app, write, side):
    write("A")
    app.execute(clients.bucket(rows.BUCKET_ROW | {"side": side, "trade_count": 7}))
    found = one(
        app, "SELECT trade_count FROM simulation_trade_buckets WHERE side = %s", side.lower()
    )
    assert found["trade_count"] == 7


def test_a_simulation_without_a_dataset_takes_its_runs(app, write):
    write("C")
    app.execute(
        clients.simulation(
            rows.SIMULATION_ROW
            | {"simulation_id": rows.NOBODY, "dataset_id": None, "questdb_namespace": ""}
        )
    )
    found = one(app, "SELECT * FROM simulation_runs WHERE simulation_id = %s", rows.NOBODY)
    holds(found, dataset_id=UUIDS["DATASET"], questdb_namespace=None)


def test_milliseconds_taken_for_seconds_in_runs_simulations_and_trades(app, write):
    late = {"started_at": At(1_738_400_100_000), "completed_at": At(1_738_400_200_000)}
    write("C")
    app.execute(clients.c_run(rows.RUN_ROW | late))
    app.execute(clients.simulation(rows.SIMULATION_ROW | late))
    app.execute(clients.trade(rows.TRADE_ROW | {"bar_timestamp": At(1_737_000_000_000)}))
    for table in ("walkforward_runs", "simulation_runs"):
        found = one(app, f"SELECT * FROM {table}")
        holds(found, started_at=at(1_738_400_100), completed_at=at(1_738_400_200))
    assert one(app, "SELECT * FROM simulation_trades")["bar_timestamp"] == at(1_737_000_000)


def test_a_second_writer_with_metadata_as_a_string_and_no_symbol(app, write):
    write("C")
    app.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, metadata) VALUES (%s, %s, %s::jsonb)"
        " ON CONFLICT (dataset_id) DO UPDATE SET dataset_slug = EXCLUDED.dataset_slug,"
        " symbol = EXCLUDED.symbol, metadata = EXCLUDED.metadata",
        [rows.DATASET, "btc25_4h", json.dumps(json.dumps({"note": "second"}))],
    )
    found = one(app, "SELECT * FROM datasets")
    holds(found, symbol="BTCUSDT", metadata=rows.MANIFEST | {"note": "second"})


def test_bad_numbers_inside_json_are_refused_whole(app, write):
    write("C")
    for statement, table in (
        (clients.a_run(rows.RUN_ROW | {"duration_ms": 7}), "walkforward_runs"),
        (clients.c_fold(rows.FOLD_ROW | {"samples_test": 7}), "walkforward_folds"),
        (clients.trade(rows.TRADE_ROW | {"size": 7.0}), "simulation_trades"),
    ):
        before = one(app, f"SELECT * FROM {table}")
        for value in ("nan", "inf", "-nan(ind)", "NaN"):
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                app.execute(
                    statement.replace('": "it\'\'s time"', f'": {value}')
                    .replace(": 0.5", f": {value}")
                    .replace('"metric_1": 0.125', f'"metric_1": {value}')
                )
        assert one(app, f"SELECT * FROM {table}") == before
