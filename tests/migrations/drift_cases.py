"""Changes by hand in PostgreSQL, each with the line that `alembic check` has to name it by."""

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
    "options of what a table keeps beside": (
        "ALTER TABLE spool_quarantine SET (toast.autovacuum_enabled = false)",
        "table spool_quarantine: declared options, live options toast.autovacuum_enabled=false",
    ),
    "children": (
        'CREATE TABLE "the child" () INHERITS (spool_units)',
        'table spool_units: declared children none, live children "the child"',
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
            "DROP INDEX idx_walkforward_runs_measurement; CREATE INDEX"
            " idx_walkforward_runs_measurement"
            " ON walkforward_runs (prediction_measurement text_pattern_ops)"
        ),
        "index idx_walkforward_runs_measurement: declared",
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
    "trigger of a view by hand": (
        (
            "CREATE TRIGGER by_hand INSTEAD OF INSERT ON indicator_datasets"
            " FOR EACH ROW EXECUTE FUNCTION stage1_touch()"
        ),
        "trigger indicator_datasets.by_hand: there, not declared",
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
    "comment of a key that others refer to": (
        "COMMENT ON CONSTRAINT pk_walkforward_runs ON walkforward_runs IS 'by hand'",
        "constraint walkforward_runs.pk_walkforward_runs: comment declared None, live 'by hand'",
    ),
    "comment of an index": (
        "COMMENT ON INDEX idx_simulation_runs_namespace IS 'by hand'",
        "index idx_simulation_runs_namespace: comment declared None, live 'by hand'",
    ),
    "renamed table": (
        "ALTER TABLE simulation_trade_buckets RENAME TO buckets",
        "table simulation_trade_buckets: declared, live called buckets",
    ),
    "right that later tables get": (
        "GRANT UPDATE ON dataset_catalog TO stage1_app",
        "right UPDATE on TABLE dataset_catalog to app: there, not declared",
    ),
}
