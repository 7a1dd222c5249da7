"""Each check of QuestDB finds its own kind of broken table, and nothing that is legal."""

import pytest

from questdb_ddl import TableSuspended
from stage1_schema.ops import sample, series_checks, validation
from tests.plugins.databases import NO_QUESTDB, ROLES, as_role

NS = 10**9
JANUARY = 1_735_689_600
DATASET = (
    "INSERT INTO datasets (dataset_id, dataset_slug, ohlcv_measurement, indicator_measurement,"
    " ohlcv_row_count, indicator_row_count) VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)"
)


def bar(table, number=0, at=JANUARY * NS):
    return f"{table} open=1.5,close={number}.5 {at + number * 3600 * NS}"


@pytest.fixture
def recorded(execute, lines):
    """One dataset whose two tables hold what it records."""
    execute(DATASET, "btc", "BTC_bars", "btc_ind", 3, 2)
    lines(*(bar("btc_bars", n) for n in range(3)), *(bar("btc_ind", n) for n in range(2)))


def found(settings):
    done = validation.validate(settings, series_checks.CHECKS)
    assert done.not_run == ()
    return {
        each.check.name: [f"{example.id}: {example.detail}" for example in each.examples]
        for each in done.found
    }


def test_stores_without_datasets_have_no_findings(stores):
    assert found(stores) == {}


def test_healthy_tables_have_no_findings(stores, recorded):
    assert found(stores) == {}
    assert found(as_role(stores, ROLES.readonly)) == {}


def test_the_sample_has_no_findings(stores, broken):
    assert sample.load(as_role(stores, ROLES.app).postgres, stores.questdb)
    broken.age()
    done = validation.validate(stores)
    assert (done.found, done.not_run) == ((), ())


def test_legal_but_odd_tables_have_no_findings(stores, recorded, execute, lines):
    execute(DATASET, "unnamed", None, None, 7, 7)
    execute(DATASET, "nothing_exported", "not_yet", None, 0, None)
    execute(DATASET, "in_shared", None, "tagged", None, 2)
    execute(DATASET, "all_of_shared", None, "indicator_bars", None, 9)
    execute(DATASET, "one", "together", None, 1, None)
    execute(DATASET, "other", "Together", None, 2, None)
    execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement)"
        " SELECT gen_random_uuid(), dataset_id, dataset_slug || '_run1' FROM datasets"
    )
    execute("SELECT ensure_dataset_placeholder(gen_random_uuid(), 'unheard_of')")
    lines(
        f"indicator_bars,dataset=tagged,source=s,granularity=4h open=1.5 {JANUARY * NS}",
        *(bar("together", number) for number in range(3)),
        bar("nobodys", at=0),
    )
    assert found(stores) == {}


def test_a_table_that_is_missing(stores, recorded, execute):
    execute(DATASET, "eth", "ohlcv_eth", "BTC 4h/€", 5, None)
    assert found(stores) == {
        "questdb_missing_tables": [
            "ohlcv_eth: recorded by dataset eth",
            "BTC 4h/€: recorded by dataset eth",
        ]
    }


def test_rows_that_are_missing_or_left_over(stores, recorded, execute):
    execute("UPDATE datasets SET ohlcv_row_count = 1003, indicator_row_count = 1")
    assert found(stores) == {
        "questdb_row_counts": [
            "btc_bars: dataset btc records 1,003 rows, 3 stand",
            "btc_ind: dataset btc records 1 rows, 2 stand",
        ]
    }


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (1_735_689_600_000_000, "sent in microseconds"),  # nanoseconds of 1970-01-21
        (2_500_000_000 * NS, "ahead of the server's clock"),
    ],
    ids=["1970", "future"],
)
def test_rows_at_a_wrong_time(stores, recorded, execute, lines, at, said):
    lines(bar("btc_bars", at=at))
    execute("UPDATE datasets SET ohlcv_row_count = 4")
    (told,) = found(stores)["questdb_times"]
    assert told.startswith("btc_bars: 1 rows")
    assert said in told


def test_a_suspended_table(stores, recorded, questdb):
    # As it happens in the field: a change fails while it is applied.
    questdb.execute("CREATE TABLE stuck (a LONG, t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY WAL")
    questdb.execute("INSERT INTO stuck VALUES (9223372036854775807, '2025-01-01T00:00:00Z')")
    questdb.wait_for("stuck")
    questdb.execute("ALTER TABLE stuck ALTER COLUMN a TYPE DECIMAL(10,2)")
    with pytest.raises(TableSuspended):
        questdb.wait_for("stuck")
    assert found(stores) == {"questdb_suspended": ["stuck: what is written to it is not applied"]}


def test_without_questdb_the_checks_of_postgresql_are_run(migrated):
    assert migrated.questdb is NO_QUESTDB
    done = validation.validate(migrated)
    assert {each.check.name for each in done.not_run} == set(series_checks.CHECKS)
    assert all("cannot be reached" in each.not_run for each in done.not_run)
    assert done.found == ()
