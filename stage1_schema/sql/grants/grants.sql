-- Roles are those of STAGE1_APP_ROLE and STAGE1_READONLY_ROLE; one that does not exist is left out.
DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
    tables text := 'datasets, walkforward_runs, walkforward_folds, simulation_runs, simulation_trades, simulation_trade_buckets, stage1_jobs, indicator_datasets, stage1_datasets, spool_replays, spool_quarantine, spool_units';
    views text := 'dataset_hierarchy, dataset_catalog, stage1_unused_placeholders, alembic_version';
    name text;
    relation regclass;
    routine regprocedure;
BEGIN
    FOREACH name IN ARRAY ARRAY[app, readonly] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            RAISE NOTICE 'role % does not exist: nothing was granted to it', name;
            CONTINUE;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', name);
        EXECUTE format('GRANT SELECT ON %s, %s TO %I', tables, views, name);
        IF name <> current_user THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO %I', name);
        END IF;
        FOR routine IN
            SELECT p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = 'public'::regnamespace AND starts_with(p.proname, 'fn_list_')
               AND pg_has_role(p.proowner, 'USAGE')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', routine, name);
        END LOOP;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = app) THEN
        EXECUTE format('GRANT INSERT, UPDATE ON %s TO %I', tables, app);
        -- After a reset the default privileges below are there before the views. An owner keeps its rights.
        FOR relation IN
            SELECT c.oid::regclass FROM pg_class c
             WHERE c.oid = ANY (string_to_array(views, ', ')::regclass[])
               AND pg_get_userbyid(c.relowner) <> app
        LOOP
            EXECUTE format('REVOKE INSERT, UPDATE ON %s FROM %I', relation, app);
        END LOOP;
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE spool_replays_replay_id_seq, spool_quarantine_quarantine_id_seq TO %I', app);
        -- The worker purges jobs; a replay removes surplus trades and the oldest closed statements; a real
        -- dataset takes the place of its placeholders.
        EXECUTE format('GRANT DELETE ON stage1_jobs, simulation_trades, spool_quarantine, stage1_unused_placeholders TO %I', app);
        FOR routine IN
            SELECT p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = 'public'::regnamespace
               AND (starts_with(p.proname, 'stage1_') OR p.proname IN ('upsert_stage1_dataset',
                    'ensure_dataset_placeholder', 'ensure_run_placeholder'))
               AND pg_has_role(p.proowner, 'USAGE')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', routine, app);
        END LOOP;
        IF app <> current_user THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT, UPDATE ON TABLES TO %I', app);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO %I', app);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO %I', app);
        END IF;
    END IF;
END $$;
