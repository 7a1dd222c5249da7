"""A dropped dataset comes back whole, or nothing changes: the file is hostile until checked."""

import json
import os

import pytest

from questdb_ddl import live_tables, render
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.ops import registration_drop, registration_restore
from tests.cli.conftest import shell  # noqa: F401 - a fixture here too
from tests.series.test_registration import (
    Failed,
    dataset,  # noqa: F401 - a fixture
    fail_at,
    names,
)

pytestmark = pytest.mark.usefixtures("dataset")
RUN = "0f0e0d0c-0000-4000-8000-000000000002"
SIMULATION = "0f0e0d0c-0000-4000-8000-000000000003"


@pytest.fixture
def filled(execute, lines, dataset):  # noqa: F811 - the fixture above
    """Rows in every table, numbers with more digits than a float holds among them."""
    (found,) = execute("SELECT dataset_id FROM datasets")[0]
    execute("UPDATE datasets SET metadata = metadata || '{\"n\": 0.12345678901234567890}'")
    execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, hyperparameters)"
        " VALUES (%s, %s, 'btc_wf1', '{\"rate\": 1.10}')", RUN, found,
    )  # fmt: skip
    execute("INSERT INTO walkforward_folds (run_id, fold_number, best_score) VALUES (%s, 0, 'nan')",
            RUN)  # fmt: skip
    execute(
        "INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, mode, questdb_namespace)"
        " VALUES (%s, %s, %s, 'long', 'btc_sim1')", SIMULATION, RUN, found,
    )  # fmt: skip
    execute("INSERT INTO simulation_trade_buckets (simulation_id, side, trade_count)"
            " VALUES (%s, 'long', 1)", SIMULATION)  # fmt: skip
    execute("INSERT INTO simulation_trades (trade_id, simulation_id, side, size, bar_timestamp,"
            " entry_price, exit_price, pnl, return_pct) VALUES (gen_random_uuid(), %s, 'long', 1,"
            " now(), 1.5, 2, 3, 4)", SIMULATION)  # fmt: skip
    lines(
        "ohlcv_btc Date=1i,open=1.5 1735689600000000000",
        "btc_wf1 bar_index=1i,prediction=0.5 1735689600000000000",
    )


def contents(execute):
    return {
        table: sorted(row for (row,) in execute(f"SELECT to_jsonb(t)::text FROM {table} t"))
        for table in registration_drop.RECORDS
    }


@pytest.fixture
def dropped(stores, filled, execute, tmp_path):
    """What was there, and the file of the drop."""
    before = contents(execute)
    intent = registration_drop.plan_drop(stores, "btc")
    _, path = registration_drop.drop(stores, intent, keep=True, directory=tmp_path / "new" / "kept")
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    return before, path


def test_all_of_it_comes_back(stores, questdb, execute, dropped):
    before, path = dropped
    tables = names(questdb)
    tried = registration_restore.restore(stores, path, dry_run=True)
    assert (execute("SELECT count(*) FROM datasets"), names(questdb)) == ([(0,)], tables)
    done = registration_restore.restore(stores, path)
    assert done == tried
    assert done.slug == "btc"
    assert done.rows == {table: len(rows) for table, rows in before.items()}
    assert contents(execute) == before
    assert '"rate": 1.10' in "".join(before["walkforward_runs"])
    assert "0.12345678901234567890" in "".join(before["datasets"])
    assert names(questdb) == {"ohlcv_btc", "btc_wf1"}
    assert questdb.query("select count() n from ohlcv_btc")[0]["n"] == 1


def test_it_goes_on_after_a_failure(stores, questdb, execute, dropped):
    before, path = dropped
    with pytest.raises(Failed):
        registration_restore.restore(stores, path, on_step=fail_at(1))
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    registration_restore.restore(stores, path)
    assert contents(execute) == before
    assert names(questdb) == {"ohlcv_btc", "btc_wf1"}


def again(execute, questdb, lines):
    execute("INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'btc')")


def run(execute, questdb, lines):
    execute("INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'other')")
    execute("INSERT INTO walkforward_runs (run_id, dataset_id)"
            " SELECT %s, dataset_id FROM datasets", RUN)  # fmt: skip


def table(execute, questdb, lines):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")


def two(execute, questdb, lines):
    lines("x Date=1i 1735689600000000000")
    questdb.execute(render.rename_table("x", "ohlcv_btc_retired_20200101T000000Z"))
    questdb.wait_for("ohlcv_btc_retired_20200101T000000Z")


@pytest.mark.parametrize(
    ("put", "told"),
    [
        pytest.param(again, "dataset btc", id="slug"),
        pytest.param(run, f"walkforward_runs {RUN}", id="run"),
        pytest.param(table, "the table ohlcv_btc of QuestDB", id="table"),
        pytest.param(two, "of which one can be ohlcv_btc", id="two kept tables"),
    ],
)
def test_what_is_in_the_way_stops_all_of_it(stores, questdb, execute, lines, dropped, put, told):
    _, path = dropped
    put(execute, questdb, lines)
    before, tables = contents(execute), names(questdb)
    for dry_run in (True, False):
        with pytest.raises(Stage1Error, match=f"In the way: .*{told}"):
            registration_restore.restore(stores, path, dry_run=dry_run)
    assert (contents(execute), names(questdb)) == (before, tables)


def change(number, **values):
    def edit(records):
        records[number]["row"] |= values

    return edit


OTHER = "0f0e0d0c-0000-4000-8000-00000000000f"
HOSTILE = {
    "empty": lambda r: r.clear(),
    "no dataset": lambda r: r.pop(0),
    "two datasets": lambda r: r.append(r[0]),
    "another table": lambda r: r.append({"table": "alembic_version", "row": {"version_num": "1"}}),
    "SQL for a table": lambda r: r.append({"table": "datasets; DROP TABLE x", "row": {}}),
    "a row that is none": lambda r: r.append({"table": "walkforward_runs", "row": [1]}),
    "a list": lambda r: r.append([]),
    "more in the line": lambda r: r[0].update(more=1),
    "unknown column": change(0, **{'x"; DROP TABLE datasets --': 1}),
    "run of another dataset": change(1, dataset_id=OTHER),
    "no UUID": change(0, dataset_id="x"),
    "a slug that is cleaned": change(0, dataset_slug="B T C!"),
    "a value that does not fit": change(0, created_at="yesterday noon"),
    "a status that no check allows": change(1, status="WRONG"),
    "a NUL": change(0, symbol="a\0b"),
    "an object for a number": change(0, lookback_rows={}),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_changes_nothing(stores, questdb, execute, dropped, edit):
    _, path = dropped
    tables = names(questdb)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    edit(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(Stage1Error) as caught:
        registration_restore.restore(stores, path)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, QuestDBError)
    assert (execute("SELECT count(*) FROM datasets"), names(questdb)) == ([(0,)], tables)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b"{}", b"null\n"], ids=repr)
def test_what_is_no_archive_at_all(stores, tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(Stage1Error, match="is no file of stage1 dataset drop"):
        registration_restore.restore(stores, path)


@pytest.mark.parametrize("kind", ["missing", "link", "pipe"])
def test_a_file_that_is_none(stores, dropped, tmp_path, kind):
    path = tmp_path / "file"
    if kind == "link":
        path.symlink_to(dropped[1])
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Stage1Error, match="is no file of stage1 dataset drop"):
        registration_restore.restore(stores, path)


def test_a_foreign_table_is_left_alone(stores, questdb, lines, execute, dropped):
    """Kept tables of others are not renamed, whatever they are called."""
    lines("theirs n=1i 1735689600000000000")
    questdb.execute(render.rename_table("theirs", "theirs_retired_20200101T000000Z"))
    questdb.wait_for("theirs_retired_20200101T000000Z")
    registration_restore.restore(stores, dropped[1])
    assert "theirs_retired_20200101t000000z" in live_tables(questdb)


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_the_file_is_its_users_alone(stores, filled, tmp_path, umask):
    before = os.umask(umask)
    try:
        intent = registration_drop.plan_drop(stores, "btc")
        directory = tmp_path / "new" / "kept"
        _, path = registration_drop.drop(stores, intent, keep=True, directory=directory)
    finally:
        os.umask(before)
    for each in (path, directory, directory.parent):
        assert each.stat().st_mode & 0o077 == 0


def test_the_command(shell, stores, dropped):  # noqa: F811 - the fixture above
    _, path = dropped
    dry = shell("stage1", "dataset", "restore", str(path), "--dry-run", settings=stores)
    assert (dry.code, dry.error_lines) == (0, [])
    assert dry.out.startswith("Would restore dataset btc: datasets 1, ")
    assert "QuestDB: would rename ohlcv_btc_retired_" in dry.out
    done = shell("stage1", "dataset", "restore", str(path), settings=stores)
    assert done.out.startswith("Restored dataset btc: datasets 1, ")
    assert "ould" not in done.out
    again = shell("stage1", "dataset", "restore", str(path), settings=stores)
    assert (again.code, again.out, len(again.error_lines)) == (1, "", 1)
