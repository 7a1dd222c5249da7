"""The list functions: pages, cursors, filters, limits, and what a late page costs."""

import json
from uuid import UUID

import psycopg
import pytest

from tests.postgres import clients, rows
from tests.postgres.test_contract import one

MANY = 200_000
ANOTHER = "aaaabbbb-0000-4000-8000-000000000009"


def identifier(number):
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.fixture
def seven(app):
    """Seven runs and simulations; the last three of each were created in the same second."""
    app.execute(clients.a_dataset(rows.A_DATASET))
    for number in range(7):
        run = {
            "run_id": identifier(number),
            "prediction_measurement": f"m{number}",
            "walk_config": {},
            "status": "FAILED" if number % 2 else "COMPLETED",
            "created_at": clients.At(1_738_400_000 + min(number, 4)),
        }
        app.execute(clients.a_run(rows.RUN_ROW | run))
        simulation = {
            "simulation_id": identifier(100 + number),
            "run_id": identifier(0),
            "questdb_namespace": f"sim{number}",
            "created_at": run["created_at"],
        }
        app.execute(clients.simulation(rows.SIMULATION_ROW | simulation))
    return [UUID(identifier(number)) for number in (6, 5, 4, 3, 2, 1, 0)]


def runs(app, *arguments, **named):
    parts = ["%s"] * len(arguments) + [f"{name} => %s" for name in named]
    query = f"SELECT * FROM fn_list_runs({', '.join(parts)})"
    return app.execute(query, [*arguments, *named.values()]).fetchall()


def ids(found, name="run_id"):
    return [row[name] for row in found]


def test_pages_by_offset_and_by_cursor_are_the_same(app, seven):
    by_offset = [ids(runs(app, rows.DATASET, 3, skip)) for skip in (0, 3, 6, 9)]
    assert by_offset == [seven[:3], seven[3:6], seven[6:], []]
    after, by_cursor = None, []
    while True:
        page = runs(app, rows.DATASET, 3, p_after=after)
        by_cursor += ids(page)
        if not page[-1]["has_more"]:
            break
        after = page[-1]["run_id"]
    assert by_cursor == seven
    assert ids(runs(app, None, 50)) == seven


@pytest.mark.parametrize(
    ("limit", "count"), [(None, 7), (0, 7), (-5, 1), (1, 1), (7, 7), (2**31 - 1, 7)]
)
def test_limits(app, seven, limit, count):
    found = runs(app, rows.DATASET, limit)
    assert len(found) == count
    assert [row["has_more"] for row in found] == [count < 7] * count
    assert len(app.execute("SELECT * FROM fn_list_datasets(%s)", [limit]).fetchall()) == 1
    simulations = app.execute("SELECT * FROM fn_list_simulations(NULL, %s)", [limit]).fetchall()
    assert len(simulations) == count


@pytest.mark.parametrize("skip", [None, -1, 0])
def test_an_offset_that_is_none(app, seven, skip):
    assert ids(runs(app, rows.DATASET, 2, skip)) == seven[:2]


def test_filters(app, seven):
    assert ids(runs(app, rows.DATASET, 50, 0, "failed")) == seven[1::2]
    assert ids(runs(app, rows.DATASET, 50, 0, None, "m3")) == [seven[3]]
    assert runs(app, rows.NOBODY, 50) == []
    found = app.execute(
        "SELECT * FROM fn_list_simulations(NULL, 50, p_measurement => 'sim3')"
    ).fetchall()
    assert ids(found, "simulation_id") == [UUID(identifier(103))]
    query = "SELECT * FROM fn_list_simulations(p_dataset_id => %s)"
    assert len(app.execute(query, [rows.DATASET]).fetchall()) == 7
    query = "SELECT * FROM fn_list_datasets(p_measurement => %s)"
    assert len(app.execute(query, ["indicators_btc25_4h"]).fetchall()) == 1
    assert app.execute(query, ["x"]).fetchall() == []


def test_datasets_by_cursor(app):
    for number in range(5):
        row = {"dataset_id": identifier(number), "questdb_tag": f"t{number}"}
        app.execute(clients.a_dataset(rows.A_DATASET | row))
    first = app.execute("SELECT * FROM fn_list_datasets(3, 0)").fetchall()
    second = app.execute(
        "SELECT * FROM fn_list_datasets(3, p_after => %s)", [first[-1]["dataset_id"]]
    ).fetchall()
    expected = [UUID(identifier(number)) for number in (4, 3, 2, 1, 0)]
    assert ids(first + second, "dataset_id") == expected
    assert [row["has_more"] for row in first + second] == [True] * 3 + [False] * 2


def test_datasets_by_their_last_change(app):
    for number in range(5):
        row = {"dataset_id": identifier(number), "questdb_tag": f"t{number}"}
        app.execute(clients.a_dataset(rows.A_DATASET | row))

    def page(last=None):
        query = "SELECT * FROM fn_list_datasets(2, p_after => %s, p_after_updated_at => %s)"
        cursor = [last["dataset_id"], last["updated_at"]] if last else [None, None]
        return app.execute(query, cursor).fetchall()

    app.execute("UPDATE datasets SET lookback_rows = 7 WHERE dataset_id = %s", [identifier(1)])
    first = page()
    assert ids(first, "dataset_id") == [UUID(identifier(number)) for number in (1, 4)]
    # The last row of the page moves to the front; the next page goes on where the first ended.
    app.execute("UPDATE datasets SET lookback_rows = 7 WHERE dataset_id = %s", [identifier(4)])
    second = page(first[-1])
    assert ids(second, "dataset_id") == [UUID(identifier(number)) for number in (3, 2)]
    third = page(second[-1])
    assert ids(third, "dataset_id") == [UUID(identifier(0))]
    assert [row["has_more"] for row in (*first, *second, *third)] == [True] * 4 + [False]
    assert page()[0]["dataset_id"] == UUID(identifier(4))


@pytest.mark.parametrize(
    "call",
    [
        "fn_list_runs(NULL, 5, p_after => %s)",
        "fn_list_datasets(5, p_after => %s)",
        "fn_list_simulations(NULL, 5, p_after => %s)",
    ],
)
def test_a_cursor_that_is_gone_is_an_error_and_no_end(app, call):
    with pytest.raises(psycopg.errors.NoDataFound, match="cursor"):
        app.execute(f"SELECT * FROM {call}", [rows.NOBODY])


def test_folds(app, seven):
    run = identifier(0)
    for number in range(1200):
        app.execute(clients.c_fold(rows.FOLD_ROW | {"run_id": run, "fold_number": number}))

    def folds(*arguments):
        marks = ", ".join(["%s"] * len(arguments))
        query = f"SELECT * FROM fn_list_folds({marks})"
        return app.execute(query, arguments).fetchall()

    for arguments, numbers, offset, more in (
        ((run,), range(500), 0, True),
        ((run, 500), range(500), 0, True),
        ((run, 500, 500), range(500, 1000), 500, True),
        ((run, 500, 1000), range(1000, 1200), 1000, False),
        ((run, 5, 0, 499), range(500, 505), 500, True),
        ((run, 1000, None, 199), range(200, 1200), 200, False),
        ((run, None, None), range(500), 0, True),
        ((run, 0, -1), range(500), 0, True),
        ((run, -1), range(1), 0, True),
        ((run, 10**6), range(1000), 0, True),
    ):
        found = folds(*arguments)
        assert ids(found, "fold_number") == list(numbers)
        assert {(row["total"], row["offset"], row["has_more"]) for row in found} == {
            (1200, offset, more)
        }
    assert folds(rows.NOBODY) == []
    assert runs(app, rows.DATASET, 1, 6)[0]["fold_count"] == 1200


@pytest.mark.parametrize("name", ["runs", "datasets", "simulations", "folds"])
def test_the_clamps_are_documented(connection, name):
    query = "SELECT obj_description(oid) AS text FROM pg_proc WHERE proname = %s"
    text = one(connection, query, f"fn_list_{name}")["text"]
    assert "clamped to 1..1000" in text
    assert "NULL or 0 means" in text


@pytest.fixture
def many(root):
    """200,000 runs and simulations in two datasets, without the cost of triggers."""
    root.execute(clients.a_dataset(rows.A_DATASET))
    root.execute(clients.a_dataset(rows.A_DATASET | {"dataset_id": ANOTHER}))
    root.execute("SET session_replication_role = replica")
    root.execute(
        """
        INSERT INTO walkforward_runs (run_id, dataset_id, status, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, (ARRAY[%s, %s]::uuid[])[n %% 2 + 1], 'COMPLETED',
               timestamptz '2025-01-01 00:00+00' + make_interval(secs => n / 3)
          FROM generate_series(1, %s) n""",
        [rows.DATASET, ANOTHER, MANY],
    )
    root.execute(
        """
        INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, created_at)
        SELECT run_id, run_id, dataset_id, created_at FROM walkforward_runs"""
    )
    root.execute("SET session_replication_role = origin")
    root.execute("VACUUM ANALYZE walkforward_runs, simulation_runs")
    return root


def buffers(connection, call):
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM {call}"
    connection.execute(explain)  # what a session reads once: the catalogue
    plan = one(connection, explain)["QUERY PLAN"]
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"]


CALLS = {
    "runs of a dataset": f"fn_list_runs('{rows.DATASET}', 20, p_after => %s)",
    "all runs": "fn_list_runs(NULL, 20, p_after => %s)",
    "simulations of a dataset": (
        f"fn_list_simulations(NULL, 20, p_after => %s, p_dataset_id => '{rows.DATASET}')"
    ),
    "all simulations": "fn_list_simulations(NULL, 20, p_after => %s)",
}


def test_a_late_page_costs_what_the_first_costs(many):
    late = f"'{UUID(int=100)}'"  # some 10,000 pages of 20 behind the first
    for what, call in CALLS.items():
        first, last = buffers(many, call % "NULL"), buffers(many, call % late)
        assert last <= 2 * first, what
        assert first < 500, what


def test_a_late_page_of_datasets_costs_what_the_first_costs(root):
    root.execute("SET session_replication_role = replica")
    root.execute(
        """
        INSERT INTO datasets (dataset_id, dataset_slug, updated_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'd' || n, now() - make_interval(secs => n / 3)
          FROM generate_series(1, %s) n""",
        [MANY // 4],
    )
    root.execute("VACUUM ANALYZE datasets")
    late = UUID(int=MANY // 4 - 100)
    moment = one(root, "SELECT updated_at FROM datasets WHERE dataset_id = %s", late)["updated_at"]
    first = buffers(root, "fn_list_datasets(20)")
    for cursor in (f"'{late}'", f"'{late}', p_after_updated_at => '{moment}'"):
        assert buffers(root, f"fn_list_datasets(20, p_after => {cursor})") <= 2 * first
    assert first < 500
