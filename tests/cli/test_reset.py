"""`stage1 reset` empties both stores, of every known variant, and rebuilds them at head."""

from dataclasses import replace

import pytest

from questdb_ddl import live_tables
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.connect import connect
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.ops import migrate, reset, sample
from tests.plugins.databases import as_role

SHARED = {table.name for table in SHARED_TABLES}
DESKTOP_13 = """
CREATE TABLE indicator_datasets (dataset_id uuid PRIMARY KEY, symbol text, questdb_tag text UNIQUE);
CREATE TABLE walkforward_runs (run_id uuid PRIMARY KEY,
    dataset_id uuid REFERENCES indicator_datasets, prediction_measurement text NOT NULL);
CREATE VIEW dataset_hierarchy AS SELECT * FROM indicator_datasets;
CREATE FUNCTION fn_list_datasets() RETURNS SETOF indicator_datasets
    LANGUAGE sql AS 'SELECT * FROM indicator_datasets';
INSERT INTO indicator_datasets VALUES
    ('00000000-0000-0000-0000-000000000001', 'BTC', 'Old-Tag');
INSERT INTO walkforward_runs VALUES
    ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'old_run7');
"""


@pytest.fixture
def filled(both):
    """Two stores at head with the sample in them."""
    migrate.upgrade(both)
    sample.load(as_role(both, both.roles.app).postgres, both.questdb)
    return both


def local(settings):
    return replace(
        settings,
        postgres=replace(settings.postgres, local=True),
        questdb=replace(settings.questdb, local=True),
    )


def done(settings, *, keep=False, everything=False):
    intent = reset.plan(settings, everything=everything)
    return reset.run(settings, intent, keep=keep, watch_seconds=0)


def failed(result):
    return [check for check in result.checks if check.passed is not True]


def rows_in(settings, table):
    with connect(settings.postgres) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_nothing_to_drop(both, questdb):
    result = done(both)
    assert (failed(result), result.kept) == ([], ())
    assert set(live_tables(questdb)) == SHARED


def test_all_of_stage1_is_dropped(filled, questdb):
    intent = reset.plan(filled)
    assert {each.name: each.rows for each in intent.series}[f"ohlcv_{sample.SLUG}"] == 2550
    assert intent.postgres.rows > 0
    result = done(filled)
    assert (failed(result), result.kept) == ([], ())
    live = live_tables(questdb, counts=True)
    assert {name: table.row_count for name, table in live.items()} == dict.fromkeys(SHARED, 0)
    assert rows_in(filled, "datasets") == 0
    assert result.revision in result.message


def test_kept_rows_are_in_both_stores(filled, questdb):
    trades = rows_in(filled, "simulation_trades")
    result = done(filled, keep=True)
    assert failed(result) == []
    (schema,) = [line.split()[-1] for line in result.kept if line.startswith("PostgreSQL")]
    assert rows_in(filled, f"{schema}.simulation_trades") == trades
    kept = [line.split()[-1] for line in result.kept if line.startswith("QuestDB")]
    live = live_tables(questdb, counts=True)
    assert sum(live[name.lower()].row_count for name in kept) > 3 * 2550
    assert rows_in(filled, "simulation_trades") == 0


def test_another_variant_and_its_series(both, questdb):
    """Tables of Stage 1.3: their rows name the QuestDB tables, in every way a client names one."""
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(DESKTOP_13)
    ours = ("Old-Tag", "ohlcv_old_tag", "indicators_old_tag", "old_tag_ind", "old_run7")
    for name in (*ours, "of_somebody_else"):
        columns = "(timestamp_ms LONG, t TIMESTAMP) TIMESTAMP(t)"
        questdb.execute(f"CREATE TABLE '{name}' {columns} PARTITION BY DAY WAL")
    result = done(both)
    assert failed(result) == []
    assert set(live_tables(questdb)) == {*SHARED, "of_somebody_else"}


def test_objects_of_other_software_stop_it_before_anything_changes(filled, questdb):
    with connect(filled.postgres, autocommit=True) as connection:
        connection.execute("CREATE VIEW report_of_others AS SELECT * FROM datasets")
    before = set(live_tables(questdb))
    with pytest.raises(Stage1Error, match=r"view report_of_others.*Nothing was changed"):
        done(filled)
    assert set(live_tables(questdb)) == before
    assert rows_in(filled, "datasets") == 1


def test_reset_that_failed_half_way_goes_on(filled, questdb, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(migrate, "upgrade", lambda *_, **__: (_ for _ in ()).throw(Stage1Error("x")))
        with pytest.raises(Stage1Error):
            done(filled)
    result = done(filled)
    assert failed(result) == []
    assert set(live_tables(questdb)) == SHARED


def test_role_that_does_not_exist_is_skipped(both):
    other = replace(both, roles=replace(both.roles, readonly="nobody_here"))
    result = done(other)
    (check,) = failed(result)
    assert (check.passed, check.detail) == (None, "the role does not exist")
    assert result.passed


def test_missing_grant_fails_the_checklist(both, monkeypatch):
    original = migrate.upgrade

    def and_revoke(*arguments, **options):
        original(*arguments, **options)
        with connect(both.postgres, autocommit=True) as connection:
            connection.execute("REVOKE INSERT ON datasets FROM stage1_app")

    monkeypatch.setattr(migrate, "upgrade", and_revoke)
    result = done(both)
    (check,) = failed(result)
    assert check.detail == "datasets INSERT"
    assert not result.passed


@pytest.mark.parametrize("where", ["local", "remote"])
@pytest.mark.parametrize(
    ("confirmation", "refused"),
    [
        pytest.param(None, "was not confirmed", id="nothing"),
        pytest.param("", "is not ''", id="empty"),
        pytest.param("stage1", "is not 'stage1'", id="another_name"),
        pytest.param("THE NAME", None, id="its_name"),
    ],
)
def test_confirmation(filled, where, confirmation, refused):
    """A wrong name is refused everywhere; local servers alone need none."""
    intent = reset.plan(local(filled) if where == "local" else filled)
    name = filled.postgres.database
    if refused is None or (where == "local" and confirmation is None):
        reset.confirm(intent, confirmation and name)
        return
    with pytest.raises(ConfirmationError, match=refused) as error:
        reset.confirm(intent, confirmation)
    text = str(error.value)
    assert f"CONFIRM={name}" in text
    assert filled.postgres.where in text
    assert filled.questdb.where in text
    assert rows_in(filled, "datasets") == 1


def test_command_refuses_then_does_it(shell, filled):
    refused = shell("stage1", "reset", settings=filled)
    assert refused.code == 1
    assert "CONFIRM=" in refused.err
    name = filled.postgres.database
    done = shell("stage1", "reset", "--confirm", name, "--drop", settings=filled)
    assert done.code == 0, done
    assert "FAILED" not in done.out
    assert "For the application team:" in done.out
    again = shell("stage1", "status", "--json", settings=filled)
    assert again.code == 0, again
