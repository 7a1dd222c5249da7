"""What was changed by hand in PostgreSQL is named in one line, and repaired by a revision."""

import pytest
from alembic import command
from alembic.util import CommandError

from stage1_schema.connect import engine
from stage1_schema.ops import drift, migrate
from tests.migrations.catalogue import catalogue
from tests.plugins.databases import ROLES, as_role, client

CASES = {
    "nothing": ("SELECT 1", None),
    "check text": (
        (
            "ALTER TABLE stage1_jobs DROP CONSTRAINT ck_stage1_jobs_status,"
            " ADD CONSTRAINT ck_stage1_jobs_status CHECK (status <> '')"
        ),
        "constraint stage1_jobs.ck_stage1_jobs_status: declared ",
    ),
    "check not validated": (
        (
            "ALTER TABLE simulation_runs DROP CONSTRAINT ck_simulation_runs_mode,"
            " ADD CONSTRAINT ck_simulation_runs_mode"
            " CHECK (mode IN ('long', 'short', 'dual')) NOT VALID"
        ),
        "constraint simulation_runs.ck_simulation_runs_mode: declared",
    ),
    "check added": (
        "ALTER TABLE datasets ADD CONSTRAINT by_hand CHECK (symbol <> 'x')",
        "constraint datasets.by_hand: there, not declared",
    ),
    "primary key": (
        "ALTER TABLE walkforward_folds DROP CONSTRAINT pk_walkforward_folds",
        "constraint walkforward_folds.pk_walkforward_folds: declared, not there",
    ),
    "index predicate": (
        (
            "DROP INDEX ix_stage1_jobs_pending;"
            " CREATE INDEX ix_stage1_jobs_pending ON stage1_jobs (created_at, job_id)"
            " WHERE status = 'FAILED'"
        ),
        "index ix_stage1_jobs_pending: declared 'PENDING'::text), live 'FAILED'::text)",
    ),
    "index include": (
        (
            "DROP INDEX ix_walkforward_runs_completed_at;"
            " CREATE INDEX ix_walkforward_runs_completed_at ON walkforward_runs (completed_at)"
            " INCLUDE (status)"
        ),
        "index ix_walkforward_runs_completed_at: declared",
    ),
    "operator class": (
        (
            "DROP INDEX ix_walkforward_runs_prediction_measurement; CREATE INDEX"
            " ix_walkforward_runs_prediction_measurement"
            " ON walkforward_runs (prediction_measurement text_pattern_ops)"
        ),
        "index ix_walkforward_runs_prediction_measurement: declared",
    ),
    "function body": (
        (
            "CREATE OR REPLACE FUNCTION stage1_touch() RETURNS trigger LANGUAGE plpgsql"
            " SET search_path = pg_catalog, pg_temp AS $$BEGIN RETURN OLD; END$$"
        ),
        "function stage1_touch(): declared",
    ),
    "function comment": (
        "COMMENT ON FUNCTION stage1_slug(text) IS 'by hand'",
        "function stage1_slug(text): comment declared None, live 'by hand'",
    ),
    "function gone": (
        "DROP FUNCTION fn_list_folds(uuid, integer, integer, integer)",
        "function fn_list_folds(uuid,integer,integer,integer): declared, not there",
    ),
    "second signature": (
        "CREATE FUNCTION fn_list_runs(x integer) RETURNS integer LANGUAGE sql AS 'SELECT x'",
        "function fn_list_runs(integer): there, not declared",
    ),
    "view": (
        (
            "CREATE OR REPLACE VIEW dataset_hierarchy AS"
            " SELECT *, 1 AS extra FROM (SELECT * FROM dataset_hierarchy_before) x"
        ),
        "view dataset_hierarchy: declared",
    ),
    "trigger gone": (
        "DROP TRIGGER tg_90_touch ON datasets",
        "trigger datasets.tg_90_touch: declared, not there",
    ),
    "trigger disabled": (
        "ALTER TABLE walkforward_runs DISABLE TRIGGER tg_20_normalise",
        "trigger walkforward_runs.tg_20_normalise: declared enabled, live disabled",
    ),
    "right given": (
        "GRANT DELETE ON datasets TO stage1_app",
        "right DELETE on TABLE datasets to app: there, not declared",
    ),
    "right taken": (
        "REVOKE SELECT ON walkforward_runs FROM stage1_readonly",
        "right SELECT on TABLE walkforward_runs to readonly: declared, not there",
    ),
    "right of everybody": (
        "REVOKE EXECUTE ON FUNCTION stage1_slug(text) FROM PUBLIC",
        "right EXECUTE on FUNCTION stage1_slug(text) to PUBLIC: declared, not there",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM stage1_readonly",
        "right SELECT on later TABLES to readonly: declared, not there",
    ),
    "column": (
        "ALTER TABLE simulation_trades DROP COLUMN exit_reason",
        "column simulation_trades.exit_reason: declared, not there",
    ),
    "type": (
        "ALTER TABLE stage1_jobs ALTER total TYPE numeric",
        "column stage1_jobs.total: type declared DOUBLE, live NUMERIC",
    ),
    "default": (
        "ALTER TABLE stage1_jobs ALTER status SET DEFAULT 'FAILED'",
        "column stage1_jobs.status: default declared PENDING, live 'FAILED'::text",
    ),
}
BEFORE = {"view": "ALTER VIEW dataset_hierarchy RENAME TO dataset_hierarchy_before"}


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=list(CASES))
def test_a_change_by_hand_is_one_line(migrated, name, case):
    statement, line = case
    with engine(migrated.postgres).connect() as connection:
        connection.exec_driver_sql(BEFORE.get(name, "SELECT 1"))
        connection.exec_driver_sql(statement)
        found = drift.postgres(connection, migrated.roles)
    assert len(found) == (line is not None)
    assert not line or found[0].startswith(line)


def test_one_revision_repairs_everything(migrated, checkout, connection, monkeypatch):
    """And its downgrade runs, and the way up again ends in the same catalogue."""
    whole = catalogue(migrated)
    for name, (statement, _) in CASES.items():
        if name not in BEFORE:
            connection.execute(statement)
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    with pytest.raises(CommandError) as told:
        command.check(config)
    assert str(told.value).count("\n  ") == len(CASES) - 2
    command.revision(config, "repair", autogenerate=True)
    for what, target in (("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")):
        getattr(command, what)(config, target)
        if what == "upgrade":
            command.check(config)
    after = catalogue(migrated)
    del after["columns"], whole["columns"]  # a column that comes back stands last
    assert after == whole


def test_a_foreign_object_is_skipped_with_a_reason(migrated, connection):
    connection.execute("CREATE FUNCTION elsewhere() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    connection.execute("CREATE VIEW grafana AS SELECT symbol FROM datasets")
    with engine(migrated.postgres).connect() as open_connection:
        found = drift.compare_postgres(open_connection, migrated.roles)
    assert [str(each) for each in found if not each.equal] == [
        "function elsewhere(): skipped: not of Stage1",
        "view grafana: skipped: not of Stage1",
    ]


def test_a_role_that_may_not_create_a_schema_is_told_so(migrated):
    with engine(as_role(migrated, ROLES.app).postgres).connect() as connection:
        found = drift.compare_postgres(connection, migrated.roles)
    (skipped,) = [str(each) for each in found if not each.equal]
    assert "run it as the owner of the database" in skipped


def test_nobody_feels_the_comparison(migrated):
    """A reader in a long transaction and a writer that holds locks: nobody waits for anybody."""
    role = as_role(migrated, ROLES.app)
    with (
        client(role, ROLES.app) as reader,
        client(role, ROLES.app) as writer,
        client(role, ROLES.app) as other,
        engine(migrated.postgres).connect() as checking,
    ):
        checking.exec_driver_sql("SET lock_timeout = '100ms'")
        checking.commit()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM dataset_hierarchy, stage1_jobs")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO stage1_jobs (job_type) VALUES ('x')")
        writer.execute("LOCK TABLE datasets, walkforward_runs IN ROW EXCLUSIVE MODE")
        assert drift.postgres(checking, migrated.roles) == ()
        modes = other.execute(
            "SELECT DISTINCT l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.pid = %s AND c.relnamespace = 'public'::regnamespace",
            [checking.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()],
        ).fetchall()
        other.execute("SET lock_timeout = '100ms'")
        other.execute("INSERT INTO stage1_jobs (job_type) VALUES ('y')")
        other.execute("SELECT * FROM dataset_catalog")
    assert {row["mode"] for row in modes} <= {"AccessShareLock"}
