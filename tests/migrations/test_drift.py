"""What was changed by hand in PostgreSQL is named in one line, and repaired by a revision."""

import logging
import subprocess

import pytest
from alembic import command
from alembic.util import CommandError

from questdb_ddl import render
from stage1_schema.connect import engine
from stage1_schema.ops import drift, migrate, status
from tests.migrations.catalogue import catalogue
from tests.migrations.commands import ALEMBIC, alembic
from tests.plugins.databases import ROLES, as_role, client, environment
from tests.postgres.test_roles import deployer  # noqa: F401 - a fixture

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
    "index columns": (
        (
            "DROP INDEX ix_walkforward_runs_created_at_run_id;"
            " CREATE INDEX ix_walkforward_runs_created_at_run_id ON walkforward_runs (status)"
        ),
        "index ix_walkforward_runs_created_at_run_id: declared ",
    ),
    "index unique": (
        (
            "DROP INDEX ix_stage1_jobs_purge; CREATE UNIQUE INDEX ix_stage1_jobs_purge"
            " ON stage1_jobs (completed_at) WHERE status = 'COMPLETED'"
        ),
        "index ix_stage1_jobs_purge: declared ",
    ),
    "foreign key": (
        (
            "ALTER TABLE walkforward_folds DROP CONSTRAINT"
            " fk_walkforward_folds_run_id_walkforward_runs,"
            " ADD CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs"
            " FOREIGN KEY (run_id) REFERENCES walkforward_runs"
        ),
        (
            "constraint walkforward_folds.fk_walkforward_folds_run_id_walkforward_runs:"
            " declared walkforward_runs(run_id) ON DELETE CASCADE, live walkforward_runs(run_id)"
        ),
    ),
    "unique": (
        (
            "ALTER TABLE datasets DROP CONSTRAINT uq_datasets_dataset_slug,"
            " ADD CONSTRAINT uq_datasets_dataset_slug UNIQUE (dataset_slug, symbol)"
        ),
        (
            "constraint datasets.uq_datasets_dataset_slug:"
            " declared UNIQUE (dataset_slug), live UNIQUE (dataset_slug, symbol)"
        ),
    ),
    "unlogged": (
        "ALTER TABLE simulation_trade_buckets SET UNLOGGED",
        "table simulation_trade_buckets: declared logged, live unlogged",
    ),
    "row security": (
        "ALTER TABLE datasets ENABLE ROW LEVEL SECURITY",
        "table datasets: declared row security off, live row security on",
    ),
    "row security of the owner": (
        "ALTER TABLE simulation_runs FORCE ROW LEVEL SECURITY",
        "table simulation_runs: declared for the owner not, live for the owner too",
    ),
    "table options": (
        "ALTER TABLE walkforward_runs SET (autovacuum_enabled = false, fillfactor = 50)",
        (
            "table walkforward_runs: declared options,"
            " live options autovacuum_enabled=false, fillfactor=50"
        ),
    ),
    "policy": (
        "CREATE POLICY nobody ON datasets USING (false)",
        "policy datasets.nobody: there, not declared",
    ),
    "rule": (
        "CREATE RULE never AS ON DELETE TO datasets DO INSTEAD NOTHING",
        "rule datasets.never: there, not declared",
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
            "DROP VIEW dataset_hierarchy;"
            " CREATE VIEW dataset_hierarchy AS SELECT dataset_id, 1 AS extra FROM datasets;"
            " REVOKE INSERT, UPDATE ON dataset_hierarchy FROM stage1_app"
        ),
        "view dataset_hierarchy: declared",
    ),
    "view default": (
        "ALTER VIEW dataset_catalog ALTER symbol SET DEFAULT 'x'",
        "view dataset_catalog: declared nothing more, live default of symbol: 'x'::text",
    ),
    "view column comment": (
        "COMMENT ON COLUMN indicator_datasets.source IS 'by hand'",
        "view indicator_datasets: declared nothing more, live comment on source: by hand",
    ),
    "trigger gone": (
        "DROP TRIGGER tg_90_touch ON datasets",
        "trigger datasets.tg_90_touch: declared, not there",
    ),
    "trigger disabled": (
        "ALTER TABLE walkforward_runs DISABLE TRIGGER tg_20_normalise",
        "trigger walkforward_runs.tg_20_normalise: declared enabled, live disabled",
    ),
    "trigger by hand": (
        (
            "CREATE TRIGGER by_hand BEFORE INSERT ON walkforward_folds"
            " FOR EACH ROW EXECUTE FUNCTION stage1_touch()"
        ),
        "trigger walkforward_folds.by_hand: there, not declared",
    ),
    "right given": (
        "GRANT DELETE ON datasets TO stage1_app",
        "right DELETE on TABLE datasets to app: there, not declared",
    ),
    "right on a column": (
        "GRANT UPDATE (status) ON walkforward_runs TO stage1_readonly",
        "right UPDATE (status) on TABLE walkforward_runs to readonly: there, not declared",
    ),
    "right to pass on": (
        "GRANT SELECT ON simulation_runs TO stage1_app WITH GRANT OPTION",
        "right GRANT OPTION FOR SELECT on TABLE simulation_runs to app: there, not declared",
    ),
    "right given and to pass on": (
        "GRANT DELETE ON simulation_runs TO stage1_readonly WITH GRANT OPTION",
        "right DELETE on TABLE simulation_runs to readonly: there, not declared",
    ),
    "right on a sequence": (
        "REVOKE USAGE ON SEQUENCE spool_replays_replay_id_seq FROM stage1_app",
        "right USAGE on SEQUENCE spool_replays_replay_id_seq to app: declared, not there",
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
        "column stage1_jobs.total: type declared DOUBLE PRECISION, live NUMERIC",
    ),
    "precision of a time": (
        "ALTER TABLE spool_replays ALTER started_at TYPE timestamptz(3)",
        (
            "column spool_replays.started_at:"
            " declared timestamp with time zone, live timestamp(3) with time zone"
        ),
    ),
    "collation": (
        'ALTER TABLE stage1_jobs ALTER message TYPE text COLLATE "C"',
        'column stage1_jobs.message: declared text, live text COLLATE "C"',
    ),
    "no identity": (
        "ALTER TABLE spool_quarantine ALTER quarantine_id DROP IDENTITY",
        "column spool_quarantine.quarantine_id: declared GENERATED BY DEFAULT, live no identity",
    ),
    "kind of identity": (
        "ALTER TABLE spool_replays ALTER replay_id SET GENERATED ALWAYS",
        "column spool_replays.replay_id: declared GENERATED BY DEFAULT, live GENERATED ALWAYS",
    ),
    "sequence": (
        "ALTER SEQUENCE stage1_migration_history_id_seq INCREMENT 7 CACHE 50 CYCLE",
        "sequence stage1_migration_history_id_seq: declared INCREMENT BY 1, live INCREMENT BY 7",
    ),
    "storage": (
        "ALTER TABLE datasets ALTER symbol SET STORAGE EXTERNAL",
        "column datasets.symbol: declared STORAGE EXTENDED, live STORAGE EXTERNAL",
    ),
    "statistics": (
        "ALTER TABLE datasets ALTER granularity SET STATISTICS 1000",
        "column datasets.granularity: declared STATISTICS -1, live STATISTICS 1000",
    ),
    "options of a column": (
        "ALTER TABLE datasets ALTER source SET (n_distinct = 5)",
        "column datasets.source: declared options, live options n_distinct=5",
    ),
    "replica identity": (
        "ALTER TABLE walkforward_folds REPLICA IDENTITY FULL",
        "table walkforward_folds: declared REPLICA IDENTITY DEFAULT, live REPLICA IDENTITY FULL",
    ),
    "exclusion": (
        "ALTER TABLE stage1_jobs ADD CONSTRAINT apart EXCLUDE USING btree (job_id WITH =)",
        "constraint stage1_jobs.apart: there, not declared",
    ),
    "foreign key not validated": (
        (
            "ALTER TABLE simulation_runs DROP CONSTRAINT"
            " fk_simulation_runs_run_id_walkforward_runs,"
            " ADD CONSTRAINT fk_simulation_runs_run_id_walkforward_runs FOREIGN KEY (run_id)"
            " REFERENCES walkforward_runs ON DELETE CASCADE NOT VALID"
        ),
        "constraint simulation_runs.fk_simulation_runs_run_id_walkforward_runs: declared",
    ),
    "column of the history": (
        "ALTER TABLE stage1_migration_history ADD by_hand text",
        "column stage1_migration_history.by_hand: there, not declared",
    ),
    "default of the history": (
        "ALTER TABLE stage1_migration_history ALTER questdb SET DEFAULT '{\"a\":true}'",
        "column stage1_migration_history.questdb: declared",
    ),
    "key of the history": (
        "ALTER TABLE stage1_migration_history DROP CONSTRAINT stage1_migration_history_pkey",
        ("constraint stage1_migration_history.stage1_migration_history_pkey: declared, not there"),
    ),
    "type in the version table": (
        "ALTER TABLE alembic_version ALTER version_num TYPE text",
        "column alembic_version.version_num: declared character varying(32), live text",
    ),
    "renamed key": (
        "ALTER TABLE alembic_version RENAME CONSTRAINT alembic_version_pkc TO other",
        "constraint alembic_version.alembic_version_pkc: declared, live called other",
    ),
    "renamed key that others refer to": (
        "ALTER TABLE datasets RENAME CONSTRAINT pk_datasets TO datasets_pkey",
        "constraint datasets.pk_datasets: declared, live called datasets_pkey",
    ),
    "check that children do not inherit": (
        "ALTER TABLE datasets ADD CONSTRAINT own CHECK (source <> 'x') NO INHERIT",
        "constraint datasets.own: there, not declared",
    ),
    "check of the version table": (
        "ALTER TABLE alembic_version ADD CONSTRAINT by_hand CHECK (version_num <> '')",
        "constraint alembic_version.by_hand: there, not declared",
    ),
    "right on the version table": (
        "GRANT INSERT ON alembic_version TO stage1_app",
        "right INSERT on TABLE alembic_version to app: there, not declared",
    ),
    "right on the history": (
        "GRANT UPDATE ON stage1_migration_history TO stage1_readonly",
        "right UPDATE on TABLE stage1_migration_history to readonly: there, not declared",
    ),
    "default": (
        "ALTER TABLE stage1_jobs ALTER status SET DEFAULT 'FAILED'",
        "column stage1_jobs.status: default declared PENDING, live 'FAILED'::text",
    ),
}


@pytest.mark.parametrize(("statement", "line"), CASES.values(), ids=list(CASES))
def test_a_change_by_hand_is_one_line(migrated, statement, line):
    with engine(migrated.postgres).connect() as connection:
        connection.exec_driver_sql(statement)
        found = drift.postgres(connection, migrated.roles)
    assert len(found) == (line is not None)
    assert not line or found[0].startswith(line)


def test_one_revision_repairs_everything(migrated, checkout, connection, monkeypatch):
    """And its downgrade runs, and the way up again ends in the same catalogue.

    `alembic check` names each change of all kinds at once, in one line.
    """
    whole = catalogue(migrated)
    head = connection.execute("SELECT version_num FROM alembic_version").fetchone()["version_num"]
    for statement, _ in CASES.values():
        connection.execute(statement)
    told = alembic(checkout, migrated, "-x", "questdb=skip", "check", code=255)
    lines = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    for _, line in CASES.values():
        assert line is None or len([each for each in lines if each.startswith(line)]) == 1, line
    assert len(lines) == len(CASES) - 1
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    for what, target in (("upgrade", "head"), ("downgrade", head), ("upgrade", "head")):
        getattr(command, what)(config, target)
        if what == "upgrade":
            command.check(config)
    after = catalogue(migrated)
    del after["columns"], whole["columns"]  # a column that comes back stands last
    assert after == whole


def test_disabled_triggers_of_a_foreign_key_are_a_difference(migrated, root, checkout, monkeypatch):
    """What the superuser does for a load, and forgets."""
    root.execute("ALTER TABLE walkforward_folds DISABLE TRIGGER ALL")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    key = "walkforward_folds.fk_walkforward_folds_run_id_walkforward_runs"
    said = rf"constraint {key}: declared .*, live .*, its triggers disabled\n"
    with pytest.raises(CommandError, match=said):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


def test_an_identity_that_comes_back_goes_on_after_the_rows(
    migrated, connection, checkout, monkeypatch
):
    insert = "INSERT INTO spool_replays (source, mode, file_bytes) VALUES ('a', 'x', 1)"
    connection.execute(insert)
    connection.execute("ALTER TABLE spool_replays ALTER replay_id DROP IDENTITY")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    connection.execute(insert)
    rows = connection.execute("SELECT replay_id FROM spool_replays ORDER BY 1").fetchall()
    assert [row["replay_id"] for row in rows] == [1, 2]


def test_what_a_role_gives_everywhere_by_default_is_not_declared(migrated, connection):
    """A revision would have granted it on every table that stands."""
    connection.execute(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO stage1_readonly;"
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO stage1_readonly"
    )
    with engine(migrated.postgres).connect() as checking:
        assert drift.postgres(checking, migrated.roles) == ()
        checking.rollback()
    assert (
        len(connection.execute("SELECT FROM pg_default_acl WHERE defaclnamespace = 0").fetchall())
        == 3
    )


def test_that_everybody_may_create_is_a_difference(migrated, root, checkout, monkeypatch):
    """Where the server does not give it to everybody by default: since PostgreSQL 15."""
    if root.info.server_version < 150000:
        pytest.skip("PostgreSQL 14 gives it by default")
    root.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with engine(migrated.postgres).connect() as connection:
        (found,) = drift.postgres(connection, migrated.roles)
    assert found == "right CREATE on SCHEMA public to PUBLIC: there, not declared"
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(
            "ALTER TABLE stage1_migration_history DROP COLUMN os_user",
            "column stage1_migration_history.os_user: declared, not there",
            id="column gone that a step is recorded in",
        ),
        pytest.param(
            "ALTER TABLE stage1_migration_history ALTER id DROP IDENTITY",
            "column stage1_migration_history.id: declared GENERATED ALWAYS, live no identity",
            id="no identity",
        ),
        pytest.param(
            "ALTER TABLE alembic_version ADD by_hand text UNIQUE",
            "column alembic_version.by_hand: there, not declared",
            id="column with a key",
        ),
    ],
)
def test_the_tables_of_the_history_are_repaired(
    migrated, connection, checkout, monkeypatch, statement, said
):
    connection.execute(statement)
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    with pytest.raises(CommandError, match=said):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


def test_a_history_that_is_gone_is_made_again(migrated, connection, checkout, monkeypatch):
    connection.execute("DROP TABLE stage1_migration_history")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    with pytest.raises(CommandError, match="table stage1_migration_history: declared, not there"):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    for what, target in (("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")):
        getattr(command, what)(config, target)
    command.check(config)


def test_a_foreign_object_is_skipped_with_a_reason(migrated, connection):
    connection.execute("CREATE FUNCTION elsewhere() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    connection.execute("CREATE VIEW grafana AS SELECT symbol FROM datasets")
    connection.execute(
        "CREATE TABLE stray (id integer);"
        "CREATE TRIGGER strange BEFORE INSERT ON stray FOR EACH ROW"
        " EXECUTE FUNCTION stage1_touch()"
    )
    with engine(migrated.postgres).connect() as open_connection:
        found = drift.compare_postgres(open_connection, migrated.roles)
    assert [str(each) for each in found if not each.equal] == [
        "table stray: skipped: not of Stage1",
        "function elsewhere(): skipped: not of Stage1",
        "view grafana: skipped: not of Stage1",
        "trigger stray.strange: skipped: not of Stage1",
    ]


def test_a_role_that_may_not_create_a_schema_is_told_so(migrated):
    with engine(as_role(migrated, ROLES.app).postgres).connect() as connection:
        found = drift.compare_postgres(connection, migrated.roles)
    (skipped,) = [str(each) for each in found if not each.equal]
    assert "run it as the owner of the database" in skipped


def test_a_member_of_the_owner_role_finds_no_difference(request):
    """Though its owner role does not own the schema, where all may look anyway."""
    root, settings = request.getfixturevalue("deployer")
    migrate.upgrade(settings, arguments=["questdb=skip"])
    command.check(migrate.config(settings, ["questdb=skip"]))
    with engine(settings.postgres).connect() as connection:
        assert drift.postgres(connection, settings.roles) == ()
        connection.rollback()
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == "deploy"
    assert status.read(settings).postgres.drift == ()
    root.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with engine(settings.postgres).connect() as connection:
        assert drift.postgres(connection, settings.roles) == (
            "right USAGE on SCHEMA public to app: declared, not there",
            "right USAGE on SCHEMA public to readonly: declared, not there",
        )


def test_the_command_line_names_it(both, questdb):
    """`stage1 check` and `stage1 status`, of both stores."""
    migrate.upgrade(both)
    with client(both, ROLES.owner) as connection:
        connection.execute("ALTER TABLE datasets ENABLE ROW LEVEL SECURITY")
    questdb.execute(render.set_ttl("indicator_bars", 24))
    questdb.wait_for("indicator_bars")
    for name in ("check", "status"):
        done = subprocess.run(
            [ALEMBIC.with_name("stage1"), name],
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", **environment(both)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "table datasets: declared row security off, live row security on" in done.stdout
        assert "QuestDB table indicator_bars: TTL: declared none, live 24 MONTHS" in done.stdout


def test_alembic_says_what_it_could_not_compare(migrated, connection, caplog):
    """What is of other software is none of it."""
    connection.execute("CREATE VIEW grafana AS SELECT symbol FROM datasets")
    app = as_role(migrated, ROLES.app)
    with caplog.at_level(logging.WARNING, "alembic.runtime.migration"):
        command.check(migrate.config(app, ["questdb=skip"]))
    told = [each.message for each in caplog.records]
    assert "run it as the owner of the database" in "".join(told)
    assert told[-1] == "QuestDB: skipped: -x questdb=skip"
    assert "grafana" not in "".join(told)


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
