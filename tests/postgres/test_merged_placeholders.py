"""A placeholder made by hand is one; a real dataset takes the runs of those that have its slug."""

import time
from threading import Thread
from uuid import UUID

import psycopg
import pytest

from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows
from tests.postgres.test_contract import one

SLUG = "btc25_4h"
BY_HAND = (
    "INSERT INTO indicator_datasets (dataset_id, symbol, granularity, source, questdb_tag,"
    " row_count, first_bar_ts, last_bar_ts) VALUES ('{}', 'BTCUSDT', 'unknown', 'laptop_imgui',"
    " '{}', 0, NOW(), NOW()) ON CONFLICT (dataset_id) DO NOTHING"
)
ORM = {
    "dataset_id": rows.DATASET,
    "dataset_slug": SLUG,
    "symbol": "BTCUSDT",
    "granularity": "4h",
    "source": "binance",
    "ohlcv_measurement": "ohlcv_btc25_4h",
    "indicator_measurement": "indicators_btc25_4h",
    "ohlcv_row_count": 187,
    "indicator_row_count": 181,
    "ohlcv_first_ts": clients.At(rows.FIRST),
    "ohlcv_last_ts": clients.At(rows.LAST),
    "indicator_first_ts": clients.At(rows.IND_FIRST),
    "indicator_last_ts": clients.At(rows.IND_LAST),
    "metadata": rows.MANIFEST,
    "created_at": clients.At(1_738_400_000),
    "updated_at": None,
}
REAL = {
    "A": clients.a_dataset(rows.A_DATASET),
    "A, DO NOTHING": clients.a_dataset_or_nothing(rows.A_DATASET),
    "A, the slug as tag": clients.a_dataset(rows.A_DATASET | {"questdb_tag": SLUG}),
    "B": clients.b_call(rows.B_DATASET),
    "C": clients.c_dataset(rows.C_DATASET),
    "ORM": clients.insert("stage1_datasets", ORM, "dataset_id", "created_at"),
    "ORM, by slug": clients.insert("stage1_datasets", ORM, "dataset_slug", "dataset_id"),
}
OTHERS = [f"aaaabbb{number}-0000-4000-8000-000000000009" for number in range(4)]


def by_hand(dataset_id=rows.NOBODY, slug=SLUG):
    return BY_HAND.format(dataset_id, slug)


def run(number, dataset_id, name=None, **values):
    name = name or f"{SLUG}_wf{number}"
    row = {"run_id": OTHERS[number], "dataset_id": dataset_id, "prediction_measurement": name}
    return clients.a_run(rows.RUN_ROW | row | {"walk_config": {}} | values)


def datasets(app):
    query = "SELECT dataset_id, dataset_slug, is_placeholder FROM datasets ORDER BY 1"
    return [
        (str(r["dataset_id"]), r["dataset_slug"], r["is_placeholder"]) for r in app.execute(query)
    ]


def dataset_of_runs(app):
    query = (
        "SELECT prediction_measurement AS name, dataset_id FROM walkforward_runs ORDER BY run_id"
    )
    return [(row["name"], str(row["dataset_id"])) for row in app.execute(query)]


def test_by_hand_it_is_a_placeholder_like_any_other(app):
    app.execute(by_hand())
    made = one(app, "SELECT * FROM datasets")
    app.execute("SELECT ensure_dataset_placeholder(%s, 'Other', 'BTCUSDT')", [OTHERS[0]])
    other = one(app, "SELECT * FROM datasets WHERE dataset_id = %s", OTHERS[0])
    assert made["is_placeholder"]
    assert (made["dataset_slug"], made["source"]) == (SLUG, "laptop_imgui")
    own = {"dataset_id", "dataset_slug", "source", "metadata", "created_at", "updated_at"}
    assert {k: v for k, v in made.items() if k not in own} == {
        k: v for k, v in other.items() if k not in own
    }
    assert set(made["metadata"]) == {"dataset_id", "dataset_slug", "symbol", "source"}


@pytest.mark.parametrize("ending", ["DO NOTHING", "DO UPDATE SET row_count = EXCLUDED.row_count"])
def test_by_hand_it_changes_nothing_where_the_dataset_is_known(app, ending):
    app.execute(clients.a_dataset(rows.A_DATASET))
    before = one(app, "SELECT * FROM datasets")
    statement = by_hand(rows.DATASET, "other")
    assert app.execute(statement.replace("DO NOTHING", ending)).rowcount == ("UPDATE" in ending)
    assert one(app, "SELECT * FROM datasets") == before


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"granularity": "4h"}, id="granularity"),
        pytest.param({"row_count": 1}, id="rows"),
        pytest.param({"last_bar_ts": clients.At(rows.IND_LAST)}, id="times"),
    ],
)
def test_what_is_known_of_a_dataset_makes_it_real(app, changes):
    sent = {
        "dataset_id": rows.NOBODY,
        "granularity": "unknown",
        "questdb_tag": SLUG,
        "row_count": 0,
        "first_bar_ts": clients.At(rows.IND_FIRST),
        "last_bar_ts": clients.At(rows.IND_FIRST),
    }
    app.execute(clients.insert("indicator_datasets", sent | changes, "dataset_id"))
    assert not one(app, "SELECT * FROM datasets")["is_placeholder"]


def test_two_by_hand_of_one_slug_and_one_of_a_slug_that_is_known(app):
    app.execute(by_hand(OTHERS[0]))
    app.execute(by_hand(OTHERS[1]))
    app.execute(clients.a_dataset(rows.A_DATASET | {"questdb_tag": "eth"}))
    app.execute(by_hand(OTHERS[2], "eth"))
    assert datasets(app) == [
        (rows.DATASET, "eth", False),
        (OTHERS[0], SLUG, True),
        (OTHERS[1], f"{SLUG}_aaaabbb1", True),
        (OTHERS[2], "eth_aaaabbb2", True),
    ]


def test_ids_that_begin_alike(app):
    ids = [f"0f0e0d0c-0000-4000-8000-00000000000{number}" for number in (5, 6, 7)]
    for dataset_id in ids:
        app.execute(by_hand(dataset_id))
    assert [slug for _, slug, _ in datasets(app)] == [
        SLUG,
        f"{SLUG}_0f0e0d0c",
        f"{SLUG}_{ids[2].replace('-', '')}",
    ]
    app.execute(clients.c_dataset(rows.C_DATASET))
    assert datasets(app) == [(rows.DATASET, SLUG, False)]


@pytest.mark.parametrize("statement", REAL.values(), ids=REAL)
def test_the_real_dataset_under_this_id_takes_its_place(app, statement):
    app.execute(by_hand(rows.DATASET))
    app.execute(clients.a_run(rows.RUN_ROW))
    app.execute(statement)
    assert datasets(app) == [(rows.DATASET, SLUG, False)]
    assert "laptop_imgui" not in str(one(app, "SELECT * FROM datasets"))
    assert len(dataset_of_runs(app)) == 1


@pytest.mark.parametrize("statement", REAL.values(), ids=REAL)
def test_the_real_dataset_under_another_id_takes_its_runs(app, statement):
    for number in (0, 1):
        app.execute(by_hand(OTHERS[number]))
        app.execute(run(number, OTHERS[number]))
        app.execute(
            clients.simulation(
                rows.SIMULATION_ROW
                | {"simulation_id": OTHERS[number], "run_id": OTHERS[number]}
                | {"dataset_id": OTHERS[number]}
            )
        )
    app.execute(statement)
    assert datasets(app) == [(rows.DATASET, SLUG, False)]
    assert {dataset_id for _, dataset_id in dataset_of_runs(app)} == {rows.DATASET}
    found = app.execute("SELECT DISTINCT dataset_id FROM simulation_runs").fetchall()
    assert found == [{"dataset_id": UUID(rows.DATASET)}]
    real = one(app, "SELECT * FROM fn_list_datasets()")
    assert (real["run_count"], real["simulation_count"]) == (2, 2)
    app.execute(statement)
    assert datasets(app) == [(rows.DATASET, SLUG, False)]


def test_the_id_of_a_merged_placeholder_means_the_dataset(app):
    app.execute(by_hand())
    app.execute("SELECT ensure_run_placeholder(%s, %s)", [OTHERS[0], rows.NOBODY])
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(run(0, rows.NOBODY))  # the real run of a placeholder
    app.execute(run(1, rows.NOBODY))
    app.execute(
        clients.simulation(rows.SIMULATION_ROW | {"run_id": OTHERS[1], "dataset_id": rows.NOBODY})
    )
    assert app.execute(by_hand()).rowcount == 0
    found = one(app, "SELECT ensure_dataset_placeholder(%s, 'x') AS id", rows.NOBODY)["id"]
    assert found == UUID(rows.DATASET)
    assert datasets(app) == [(rows.DATASET, SLUG, False)]
    assert {dataset_id for _, dataset_id in dataset_of_runs(app)} == {rows.DATASET}
    assert one(app, "SELECT * FROM simulation_runs")["dataset_id"] == UUID(rows.DATASET)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        app.execute(run(2, OTHERS[2]))


def test_an_update_can_record_it_too(app):
    app.execute(by_hand(OTHERS[0]))
    app.execute(run(0, OTHERS[0]))
    app.execute(by_hand(rows.NOBODY, "guessed"))
    app.execute("UPDATE stage1_datasets SET symbol = 'X' WHERE dataset_slug = 'guessed'")
    assert [placeholder for *_, placeholder in datasets(app)] == [True, True]
    app.execute(
        "UPDATE stage1_datasets SET granularity = '4h', dataset_slug = %s WHERE dataset_id = %s",
        [SLUG, rows.NOBODY],
    )
    assert datasets(app) == [(rows.NOBODY, SLUG, False)]
    assert dataset_of_runs(app) == [(f"{SLUG}_wf0", rows.NOBODY)]


def test_a_name_that_two_runs_have(app):
    """The dataset has a run of that name already: a run that is real stays, and its placeholder."""
    app.execute(clients.c_dataset(rows.C_DATASET | {"dataset_slug": "old", "metadata": {}}))
    app.execute(run(0, rows.DATASET, "taken"))
    app.execute("SELECT ensure_run_placeholder(%s, %s, 'guess')", [OTHERS[1], rows.DATASET])
    app.execute(by_hand())
    app.execute(run(2, rows.NOBODY, "taken"))
    app.execute(run(3, rows.NOBODY, "guess"))
    app.execute("SELECT ensure_run_placeholder(%s, %s, 'free')", [rows.RUN, rows.NOBODY])
    app.execute(
        clients.simulation(rows.SIMULATION_ROW | {"run_id": OTHERS[2], "dataset_id": rows.NOBODY})
    )
    app.execute("UPDATE datasets SET dataset_slug = %s WHERE dataset_id = %s", [SLUG, rows.DATASET])
    assert datasets(app) == [(rows.DATASET, SLUG, False), (rows.NOBODY, f"{SLUG}_0f0e0d0c", True)]
    assert dataset_of_runs(app) == [
        ("free", rows.DATASET),
        ("taken", rows.DATASET),
        (None, rows.DATASET),  # a guess, which gave way to the run that has the name
        ("taken", rows.NOBODY),
        ("guess", rows.DATASET),
    ]
    assert one(app, "SELECT * FROM simulation_runs")["dataset_id"] == UUID(rows.NOBODY)


def test_a_writer_that_was_first_is_waited_for_and_a_later_one_finds_the_dataset(migrated, app):
    app.execute(by_hand())
    blocked = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )

    def until_one_waits():
        while not one(app, blocked)["n"]:
            time.sleep(0.01)

    with (
        client(migrated, ROLES.app) as first,
        client(migrated, ROLES.app) as real,
        client(migrated, ROLES.app) as second,
    ):
        first.autocommit = real.autocommit = False
        first.execute(run(0, rows.NOBODY))
        merging = Thread(target=real.execute, args=[clients.c_dataset(rows.C_DATASET)])
        merging.start()
        until_one_waits()
        first.commit()
        merging.join()
        later = Thread(target=second.execute, args=[run(1, rows.NOBODY)])
        later.start()
        until_one_waits()
        real.commit()
        later.join()
    assert datasets(app) == [(rows.DATASET, SLUG, False)]
    assert [dataset_id for _, dataset_id in dataset_of_runs(app)] == [rows.DATASET] * 2


def test_the_application_deletes_no_placeholder_that_is_referred_to(app):
    app.execute(by_hand(OTHERS[0]))
    app.execute(by_hand(OTHERS[1], "eth"))
    app.execute(run(0, OTHERS[0]))
    app.execute(clients.c_dataset(rows.C_DATASET | {"dataset_slug": "real", "metadata": {}}))
    assert app.execute("DELETE FROM stage1_unused_placeholders").rowcount == 1
    assert [dataset_id for dataset_id, *_ in datasets(app)] == [rows.DATASET, OTHERS[0]]


def test_a_writer_that_may_not_delete_leaves_an_empty_placeholder(app, root):
    app.execute(by_hand())
    app.execute(run(0, rows.NOBODY))
    root.execute("REVOKE DELETE ON stage1_unused_placeholders FROM stage1_app")
    app.execute(clients.c_dataset(rows.C_DATASET))
    assert datasets(app) == [(rows.DATASET, SLUG, False), (rows.NOBODY, f"{SLUG}_0f0e0d0c", True)]
    assert dataset_of_runs(app) == [(f"{SLUG}_wf0", rows.DATASET)]
