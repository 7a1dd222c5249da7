"""A dataset taken out of both stores: kept aside or for good, whatever fails."""

import json

import pytest

from questdb_ddl import live_tables
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.ops import registration_drop
from tests.plugins.databases import ROLES, as_role
from tests.series.test_registration import (
    Failed,
    dataset,  # noqa: F401 - a fixture
    fail_at,
    names,
)

pytestmark = pytest.mark.usefixtures("dataset")


@pytest.mark.parametrize("step", range(4))
def test_drop_keeps_rows_aside_and_goes_on_after_a_failure(
    stores, questdb, execute, lines, tmp_path, step
):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    intent = registration_drop.plan_drop(stores, "btc")
    assert "ohlcv_btc (1 rows)" in intent.summary
    assert "walkforward_runs 1" in intent.summary
    with pytest.raises(ConfirmationError, match="--confirm btc"):
        registration_drop.confirm(intent, "eth")
    registration_drop.confirm(intent, "btc")
    if step < 3:
        with pytest.raises(Failed):
            registration_drop.drop(
                stores, intent, keep=True, directory=tmp_path, on_step=fail_at(step)
            )
    if step < 2 or step == 3:
        intent = registration_drop.plan_drop(stores, "btc")
        _, path = registration_drop.drop(stores, intent, keep=True, directory=tmp_path)
    else:
        (path,) = tmp_path.iterdir()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["table"] for record in records] == [
        "datasets", "walkforward_runs", "simulation_runs",
    ]  # fmt: skip
    assert execute("SELECT count(*) FROM walkforward_runs") == [(0,)]
    (kept,) = names(questdb)
    assert kept.startswith("ohlcv_btc_retired_")


@pytest.mark.parametrize("recorded", ["indicator_bars", "bad/name"], ids=["shared", "unusable"])
def test_a_dataset_without_a_table_of_its_own(stores, questdb, execute, tmp_path, recorded):
    execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, ohlcv_measurement, indicator_measurement)"
        " VALUES (gen_random_uuid(), 'old', %s, %s)",
        recorded,
        recorded,
    )
    intent = registration_drop.plan_drop(stores, "old")
    assert intent.series.targets == ()
    registration_drop.drop(stores, intent, keep=True, directory=tmp_path)
    assert execute("SELECT dataset_slug FROM datasets") == [("btc",)]
    assert "indicator_bars" in live_tables(questdb)


def test_drop_for_good(stores, questdb, execute, lines, tmp_path):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    registration_drop.drop(
        stores, registration_drop.plan_drop(stores, "btc"), keep=False, directory=tmp_path
    )
    assert names(questdb) == set()
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    assert list(tmp_path.iterdir()) == []


def test_a_role_without_rights_takes_nothing(stores, questdb, execute, lines, tmp_path):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    app = as_role(stores, ROLES.app)
    intent = registration_drop.plan_drop(app, "btc")
    with pytest.raises(Stage1Error, match=r"lacks DELETE on datasets.*owner of the schema"):
        registration_drop.drop(app, intent, keep=False, directory=tmp_path)
    assert "ohlcv_btc" in names(questdb)


def test_a_directory_that_cannot_be_written_stops_it_before(stores, questdb, tmp_path):
    (tmp_path / "file").write_text("")
    intent = registration_drop.plan_drop(stores, "btc")
    with pytest.raises(Stage1Error, match=r"cannot be written.*--directory"):
        registration_drop.drop(stores, intent, keep=True, directory=tmp_path / "file")
    assert names(questdb) == {"ohlcv_btc", "indicators_btc"}
