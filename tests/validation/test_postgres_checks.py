"""Each query of sql/checks finds its own kind of broken row, and nothing that is legal."""

import re
from pathlib import Path

import pytest

from stage1_schema import sql
from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError, Stage1Error
from stage1_schema.ops import spool, validation
from tests.plugins.databases import ROLES, as_role
from tests.postgres import clients, rows
from tests.postgres.clients import At, Uncast
from tests.spool.generator import usual

CHECKS = tuple(each.name for each in validation.checks() if each.store == "PostgreSQL")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "validation.md"
FIRST_FOLD = "WHERE fold_number = 0"
SET_FOLD, SET_RUN = "UPDATE walkforward_folds SET", "UPDATE walkforward_runs SET"
SET_SIMULATION, SET_JOB = "UPDATE simulation_runs SET", "UPDATE stage1_jobs SET"
SET_LONG = "UPDATE simulation_trades SET {} WHERE side = 'long'"
LONG_AGO = "now() - interval '8 days'"
STUCK = f"status = 'RUNNING', started_at = {LONG_AGO}, updated_at = {LONG_AGO}"
MARKED = """'{"legacy": {"placeholder": true}}'"""
EARLIER_MS, LATER_MS = rows.FIRST * 1000, rows.LAST * 1000
PLACEHOLDER = (
    "INSERT INTO datasets (dataset_id, dataset_slug, is_placeholder, created_at)"
    " VALUES (gen_random_uuid(), 'guessed', true, now())"
)
SURPLUS = (
    "INSERT INTO simulation_trades (trade_id, simulation_id, side)"
    f" VALUES (gen_random_uuid(), '{rows.SIMULATION}', 'short')"
)
AGES_AGO = "'2020-01-01', '2020-01-01'"
GIVEN_UP = (
    "INSERT INTO spool_quarantine"
    " (source, position, line, kind, reason, statement, digest, state, first_seen_at)"
    f" VALUES ('pending.sql', 0, 1, 'INSERT', 'x', 'x', 'd1', 'discarded', {LONG_AGO})"
)
BROKEN = [
    ("folds_missing", "DELETE FROM walkforward_folds WHERE fold_number = 2"),
    ("fold_gaps", f"{SET_FOLD} fold_number = 3 WHERE fold_number = 2"),
    ("fold_gaps", f"{SET_FOLD} fold_number = -1 WHERE fold_number = 0"),
    ("fold_ranges", f"{SET_FOLD} train_start_idx = 601 {FIRST_FOLD}"),
    ("fold_ranges", f"{SET_FOLD} train_start_idx = -5 {FIRST_FOLD}"),
    ("fold_overlaps", f"{SET_FOLD} test_start_idx = 599 {FIRST_FOLD}"),
    ("fold_samples", f"{SET_FOLD} samples_test = 151 {FIRST_FOLD}"),
    ("fold_times", f"{SET_FOLD} train_start_ts_ms = {rows.FIRST} {FIRST_FOLD}"),
    ("fold_times", f"{SET_FOLD} test_end_ts_ms = {rows.FIRST * 10**6} {FIRST_FOLD}"),
    (
        "fold_times",
        f"{SET_FOLD} test_start_ts_ms = {LATER_MS}, test_end_ts_ms = {EARLIER_MS} {FIRST_FOLD}",
    ),
    ("runs_running_long", f"{SET_RUN} {STUCK}"),
    ("runs_completion", f"{SET_RUN} completed_at = NULL"),
    ("runs_completion", f"{SET_RUN} completed_at = to_timestamp(0), started_at = NULL"),
    ("runs_completion", f"{SET_RUN} completed_at = started_at - interval '1 second'"),
    ("runs_completion", f"{SET_RUN} completed_at = now() + interval '2 days'"),
    ("simulations_running_long", f"{SET_SIMULATION} {STUCK}"),
    ("simulations_completion", f"{SET_SIMULATION} completed_at = NULL"),
    ("simulations_completion", f"{SET_SIMULATION} started_at = now()"),
    ("jobs_running_long", f"{SET_JOB} {STUCK}"),
    ("datasets_not_recorded", PLACEHOLDER),
    ("placeholders_old", f"{SET_RUN} is_placeholder = true, created_at = {LONG_AGO}"),
    ("placeholders_old", f"{SET_SIMULATION} summary_metrics = {MARKED}, created_at = {LONG_AGO}"),
    ("trade_counts", "DELETE FROM simulation_trades WHERE side = 'long'"),
    ("trade_counts", SURPLUS),
    ("bucket_wins", "UPDATE simulation_trade_buckets SET win_count = 3 WHERE side = 'all'"),
    ("trade_times", SET_LONG.format("bar_timestamp = '1970-01-21'")),
    ("trade_times", SET_LONG.format("bar_timestamp = '57000-01-01'")),
    ("trade_exits", SET_LONG.format("exit_timestamp = bar_timestamp - interval '4 hours'")),
    ("trade_exits", SET_LONG.format("""metadata = '{"exit_timestamp_unix": 1736999999000}'""")),
    ("dataset_bounds", "UPDATE datasets SET ohlcv_last_ts = ohlcv_first_ts - interval '1 day'"),
    ("dataset_times", "UPDATE datasets SET indicator_first_ts = '1970-01-21'"),
    ("dataset_times", "UPDATE datasets SET ohlcv_last_ts = '57000-01-01'"),
    ("numbers_not_finite", SET_LONG.format("pnl = 'NaN'")),
    ("numbers_not_finite", f"{SET_FOLD} best_score = '-Infinity' {FIRST_FOLD}"),
    (
        "numbers_not_finite",
        "UPDATE simulation_trade_buckets SET profit_factor = 'Infinity' WHERE side = 'all'",
    ),
    ("quarantine_old", f"UPDATE spool_quarantine SET first_seen_at = {LONG_AGO}"),
]


def found(settings, only=CHECKS):
    done = validation.validate(settings, only)
    assert done.not_run == ()
    return {each.check.name: each.count for each in done.found}


def test_an_empty_database_has_no_findings(migrated):
    assert found(migrated) == {}


def test_healthy_rows_have_no_findings(migrated, healthy):
    assert found(migrated) == {}


@pytest.mark.parametrize(
    ("name", "statement"),
    [pytest.param(*case, id=f"{n}-{case[0]}") for n, case in enumerate(BROKEN)],
)
def test_a_broken_row_is_found_by_its_check_alone(migrated, healthy, broken, name, statement):
    broken(statement)
    assert found(migrated) == {name: 1}


def run(number, **values):
    name = f"odd_run{number}"
    row = {"run_id": f"{rows.RUN[:-4]}f00{number}", "prediction_measurement": name}
    return rows.RUN_ROW | row | {"walk_config": {}} | values


def fold(run_row, number, **values):
    return clients.a_fold(
        rows.FOLD_ROW | {"run_id": run_row["run_id"], "fold_number": number} | values
    )


def simulation(number, **values):
    row = {
        "simulation_id": f"{rows.SIMULATION[:-4]}f00{number}",
        "questdb_namespace": f"odd{number}",
    }
    return rows.SIMULATION_ROW | row | values


def trade(of, number, **values):
    row = {"trade_id": f"{of['simulation_id'][:-6]}{number:02}{of['simulation_id'][-4:]}"}
    return clients.trade(rows.TRADE_ROW | row | {"simulation_id": of["simulation_id"]} | values)


def bucket(of, **values):
    return clients.bucket(rows.BUCKET_ROW | {"simulation_id": of["simulation_id"]} | values)


UNFINISHED = run(1, status="INCOMPLETE", summary_metrics={"folds": 500}, completed_at=None)
RESUMED = run(2, status="RUNNING", started_at=At(1_738_400_300))
BARE = run(3, summary_metrics={"folds": "some"})
WINDOWS = run(4, summary_metrics={"folds": 3})
DUAL, SIDES, UNCOUNTED = simulation(1), simulation(2), simulation(3)
SAVING = simulation(4, status="RUNNING", completed_at=None)
ODD = [
    clients.b_call(rows.B_DATASET),  # its times are in the year 57,000
    clients.a_run(UNFINISHED),
    fold(UNFINISHED, 0),
    fold(UNFINISHED, 7),
    clients.a_run(RESUMED),
    clients.a_run(BARE),
    clients.a_run(WINDOWS),
    fold(WINDOWS, 0, samples_train=1, samples_test=None),
    fold(WINDOWS, 1, test_end_idx=900),
    fold(WINDOWS, 2, train_start_idx=-1, train_end_idx=-1, test_start_idx=0, test_end_idx=0),
    fold(WINDOWS, 3, test_start_idx=10, test_end_idx=10),
    f"{SET_FOLD} train_start_ts_ms = 0, test_start_ts_ms = {LATER_MS}, test_end_ts_ms = -1",
    clients.simulation(DUAL),
    bucket(DUAL, side="dual", trade_count=4),
    bucket(DUAL, side="long", trade_count=1),
    trade(DUAL, 0, metadata=Uncast(exit_timestamp_unix=0)),  # still open
    trade(DUAL, 1, metadata=Uncast(exit_timestamp_unix=1_737_000_000)),  # left on the same bar
    trade(DUAL, 2, metadata=Uncast(exit_timestamp_unix=1_737_000_000_000), side="short"),
    trade(DUAL, 3, metadata=Uncast(exit_timestamp_unix=10**400), bar_timestamp=None),
    clients.simulation(SIDES),
    bucket(SIDES, side="long", trade_count=1),  # and none for the other side
    trade(SIDES, 0),
    trade(SIDES, 1, side="short", metadata=None),
    "UPDATE simulation_trades SET exit_timestamp = to_timestamp(0) WHERE metadata IS NULL",
    clients.simulation(UNCOUNTED),
    bucket(UNCOUNTED, side="long", trade_count=None, win_count=None),
    bucket(UNCOUNTED, side="short", trade_count=5),
    trade(UNCOUNTED, 0, metadata='"just a text"'),
    clients.simulation(SAVING),
    bucket(SAVING, trade_count=900),
    f"{SET_JOB} status = 'RUNNING', started_at = {LONG_AGO}, progress = 5",  # it reports progress
    f"INSERT INTO stage1_jobs (job_type, updated_at, created_at) VALUES ('x', {AGES_AGO})",
    GIVEN_UP,
]


def test_legal_but_odd_rows_have_no_findings(migrated, healthy, app, broken):
    for statement in ODD:
        app.execute(statement)
    broken.age()
    assert found(migrated) == {}


def test_the_spool_of_the_field_lacks_datasets_and_no_more(migrated, broken, tmp_path):
    path = tmp_path / "pending_postgres_inserts.sql"
    path.write_bytes(usual(runs=4, folds=12, trades=40).bytes())
    spool.replay(as_role(migrated, ROLES.app), path, spool.Options())
    broken.age()
    assert found(migrated) == {"datasets_not_recorded": 6}  # three, with a run each


def test_what_is_still_being_saved_is_left_alone(migrated, app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.a_run(rows.RUN_ROW | {"summary_metrics": {"folds": 3}}))
    app.execute(clients.simulation(rows.SIMULATION_ROW))
    app.execute(clients.bucket(rows.BUCKET_ROW))
    assert found(migrated) == {}


def test_the_first_examples_are_told(migrated, healthy, broken):
    broken(
        *(
            "INSERT INTO stage1_jobs (job_type, status, started_at, created_at, updated_at)"
            f" VALUES ('job {number}', 'RUNNING', {LONG_AGO}, {LONG_AGO}, {LONG_AGO})"
            for number in range(7)
        )
    )
    (outcome,) = validation.validate(migrated, ["jobs_running_long"]).found
    assert outcome.count == 7
    assert len(outcome.examples) == 5
    assert re.match(r"job \d, started \d{4}-", outcome.examples[0].detail)


def test_the_reader_may_run_every_check(migrated, healthy):
    assert found(as_role(migrated, ROLES.readonly)) == {}


def test_a_check_without_the_right_to_read_does_not_stop_the_others(migrated, root):
    root.execute("REVOKE SELECT ON stage1_jobs FROM stage1_readonly")
    done = validation.validate(as_role(migrated, ROLES.readonly), CHECKS)
    (outcome,) = done.not_run
    assert (outcome.check.name, outcome.not_run) == (
        "jobs_running_long",
        "permission denied for table stage1_jobs.",
    )
    assert len(done.outcomes) == len(CHECKS)


def test_a_slow_check_does_not_stop_the_others(migrated, healthy):
    with connect(migrated.postgres) as other:
        other.execute("LOCK TABLE simulation_trades")
        done = validation.validate(migrated, CHECKS, timeout_ms=500)
        other.rollback()
    assert {each.check.name: each.not_run for each in done.not_run} == dict.fromkeys(
        ("numbers_not_finite", "trade_counts", "trade_exits", "trade_times"),
        "it did not end within 0.5 s.",
    )


def test_a_check_cannot_write(migrated, monkeypatch, tmp_path):
    body = (
        "-- It writes.\nSELECT ensure_dataset_placeholder(gen_random_uuid()) AS id, '' AS detail;"
    )
    (tmp_path / "writes.sql").write_text(body)
    monkeypatch.setattr(validation, "DIRECTORY", tmp_path)
    (outcome,) = validation.validate(migrated, ["writes"]).not_run
    assert "read-only transaction" in outcome.not_run


def test_a_database_that_is_not_at_head_is_told_the_way(empty):
    with pytest.raises(PostgresError, match=r"revision none; .* Next: alembic upgrade head"):
        validation.validate(empty)


def test_an_unknown_check_is_told_the_list():
    with pytest.raises(Stage1Error, match=r"no check nothing\. Next: stage1 validate --list"):
        validation.checks(["nothing"])


@pytest.mark.parametrize("check", validation.checks(), ids=lambda check: check.name)
def test_every_check_says_what_it_finds_and_is_documented(check):
    assert re.fullmatch(r"[A-Z].*\.", check.finds), "the first line is `-- <sentence>.`"
    assert f"| `{check.name}` |" in DOCS.read_text()


def test_every_query_has_a_broken_row_here():
    assert {path.stem for path in validation.DIRECTORY.glob("*.sql")} == {
        name for name, _ in BROKEN
    }


def test_no_query_is_a_database_object():
    declared = {f"{each.kind}/{each.name}" for each in sql.objects()}
    assert not declared & {f"checks/{name}" for name in CHECKS}
    assert "checks" not in sql.KINDS
