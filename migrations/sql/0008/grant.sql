-- Roles are those of STAGE1_APP_ROLE and STAGE1_READONLY_ROLE; one that does not exist is left out.
DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
    tables text := 'datasets, walkforward_runs, walkforward_folds, simulation_runs, simulation_trades, simulation_trade_buckets, stage1_jobs';
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = app) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', app);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO %I', tables, app);
        -- The worker purges jobs; a replay with --prune removes surplus trades.
        EXECUTE format('GRANT DELETE ON stage1_jobs, simulation_trades TO %I', app);
        EXECUTE format('GRANT SELECT ON dataset_hierarchy, alembic_version TO %I', app);
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE ON TABLES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO %I', app);
    ELSE
        RAISE NOTICE 'role % does not exist: nothing was granted to it', app;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = readonly) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', readonly);
        EXECUTE format('GRANT SELECT ON %s, dataset_hierarchy, alembic_version TO %I', tables, readonly);
        EXECUTE format('GRANT EXECUTE ON FUNCTION fn_list_runs(uuid, integer, integer, text, text, uuid) TO %I', readonly);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO %I', readonly);
    ELSE
        RAISE NOTICE 'role % does not exist: nothing was granted to it', readonly;
    END IF;
END $$;
