"""Materialized views: every plan names those that it would invalidate, and wants that allowed."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from questdb_ddl import Hazard, PlanRefused, read_views
from stage1_schema.errors import QuestDBError
from stage1_schema.ops import (
    dropping,
    registration,
    registration_drop,
    retention,
    retention_apply,
    series,
    validation,
)
from tests.series.conftest import OLD_RUN, OLD_SERVERS
from tests.series.test_retention import LIMIT, NOW, bar, ns, prediction, rows

ALLOWED = (str(Hazard.INVALIDATES_VIEWS),)
NAMED = r"invalidates materialized views \(v_daily, v_weekly\)"


@pytest.fixture
def view(questdb):
    """Make a view of a table, and a view of that view."""
    if questdb.version_numbers() < (9,):
        pytest.skip("QuestDB 8.2 has no materialized views")

    made = []

    def view(table, column):
        for name, base, unit in (("v_daily", table, "1d"), ("v_weekly", "v_daily", "1w")):
            questdb.execute(
                f"CREATE MATERIALIZED VIEW {name} AS (SELECT timestamp, max({column}) {column}"
                f" FROM {base} SAMPLE BY {unit}) PARTITION BY MONTH"
            )
            made.append(name)

    yield view
    for name in reversed(made):
        questdb.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")


def invalid(questdb):
    return {each.name for each in read_views(questdb) if each.invalid}


def becomes_invalid(questdb):
    """Tell whether the daily view becomes invalid; a job of the server notes it a moment later."""
    deadline = time.monotonic() + 20
    while "v_daily" not in invalid(questdb):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def btc(stores, lines, view):
    registration.create(stores, "btc", registration.Attributes())
    lines(f"ohlcv_btc Date=1i,open=1.5 {ns(NOW)}")
    view("ohlcv_btc", "open")


@pytest.mark.core
@pytest.mark.parametrize("keep", [True, False], ids=["keep", "drop"])
def test_a_drop_names_them_and_wants_that_allowed(stores, questdb, btc, keep):
    intent = dropping.plan_table(stores, "ohlcv_btc")
    assert "(1 rows; invalidates materialized views: v_daily, v_weekly)" in intent.summary
    for refused in (dropping.confirm, dropping.carry_out):
        with pytest.raises(QuestDBError, match=NAMED):
            refused(stores, intent, keep=keep) if refused is dropping.carry_out else refused(
                intent, "ohlcv_btc", ""
            )
    assert invalid(questdb) == set()
    intent = dropping.plan_table(stores, "ohlcv_btc", allow=ALLOWED)
    dropping.carry_out(stores, intent, keep=keep, watch_seconds=0)
    assert becomes_invalid(questdb)


def test_a_dataset_is_not_dropped_either(stores, btc):
    intent = registration_drop.plan_drop(stores, "btc")
    with pytest.raises(QuestDBError, match=NAMED):
        registration_drop.confirm(intent, "btc")
    intent = registration_drop.plan_drop(stores, "btc", allow=ALLOWED)
    registration_drop.confirm(intent, "btc")


def test_views_that_are_dropped_too_are_no_hazard(stores, btc):
    assert dropping.plan_everything(stores).refusals == ()


def test_a_rebuild_names_views_of_views(stores, btc):
    intent = series.plan_rebuild(stores, "ohlcv_btc", fix_timestamps=False, writers_stopped=True)
    assert "the materialized view v_daily, v_weekly reads it" in "; ".join(intent.refusals)


@pytest.mark.core
@pytest.mark.parametrize(
    ("table", "column", "old"),
    [
        ("indicator_bars", "open", bar(LIMIT - timedelta(days=100))),
        ("btc_run1", "prediction", f"btc_run1 bar_index=1i,fold_number=0i,prediction=1 {ns(NOW)}"),
    ],
    ids=["bars", "table of a run"],
)
def test_retention_promises_only_what_it_does(
    stores, questdb, lines, runs, view, tmp_path, table, column, old
):
    lines(old)
    view(table, column)
    intent = retention.plan(stores, **OLD_SERVERS)
    assert intent.going == ()
    assert NAMED.replace("\\", "") in intent.refusals[0]
    retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert (rows(questdb, table), invalid(questdb)) == (1, set())
    intent = retention.plan(stores, **OLD_SERVERS, allow=ALLOWED)
    assert [going.views for going in intent.going] == [("v_daily", "v_weekly")]
    retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert becomes_invalid(questdb)


def test_retention_does_not_promise_a_trim_that_a_view_stops(stores, questdb, lines, runs, view):
    lines(prediction(OLD_RUN, 1, NOW))
    view("walkforward_predictions", "prediction")
    intent = retention.plan(stores, **OLD_SERVERS, allow=ALLOWED)
    assert intent.going == ()
    assert "the materialized view v_daily, v_weekly reads it" in intent.refusals[0]


def test_a_view_that_came_after_the_plan_stops_retention(
    stores, questdb, lines, runs, view, tmp_path
):
    lines(bar(LIMIT - timedelta(days=100)))
    intent = retention.plan(stores, **OLD_SERVERS)
    view("indicator_bars", "open")
    with pytest.raises(QuestDBError, match=r"not planned for .v_daily, v_weekly"):
        retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert (rows(questdb, "indicator_bars"), invalid(questdb)) == (1, set())


@pytest.mark.core
def test_apply_wants_a_type_change_allowed(stores, questdb, view):
    declared = series.owned.SHARED.find("trading_sim_equity").table
    questdb.execute("DROP TABLE trading_sim_equity")
    columns = ", ".join(
        f"{c.name} {'FLOAT' if c.name == 'equity' else c.type}" for c in declared.columns
    )
    questdb.execute(
        f"CREATE TABLE trading_sim_equity ({columns}) TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
        f" DEDUP UPSERT KEYS({', '.join(declared.dedup_keys)})"
    )
    view("trading_sim_equity", "drawdown")
    intent = series.plan(questdb)
    assert "rewrites a column, invalidates materialized views (v_daily, v_weekly)]" in str(intent)
    assert intent.to_data()["steps"][0]["views"] == ["v_daily", "v_weekly"]
    with pytest.raises(PlanRefused, match=NAMED):
        series.carry_out(questdb, intent, allow=["rewrites a column"])
    assert invalid(questdb) == set()
    series.carry_out(questdb, intent, allow=["rewrites a column", *ALLOWED])
    assert becomes_invalid(questdb)


@pytest.mark.core
def test_invalid_ones_are_found(stores, questdb, lines, view):
    lines(bar(datetime(2020, 1, 5, tzinfo=UTC)), bar(NOW))
    view("indicator_bars", "open")
    (outcome,) = validation.validate(stores, ["questdb_invalid_views"]).outcomes
    assert outcome.count == 0
    questdb.execute("ALTER TABLE indicator_bars DROP PARTITION LIST '2020-01'")
    questdb.wait_for("indicator_bars")
    assert becomes_invalid(questdb)
    (outcome,) = validation.validate(stores, ["questdb_invalid_views"]).outcomes
    assert ("v_daily", "drop partition operation") in [(e.id, e.detail) for e in outcome.examples]
