DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
    tables text := 'datasets, walkforward_runs, walkforward_folds, simulation_runs, simulation_trades, simulation_trade_buckets, stage1_jobs, indicator_datasets, stage1_datasets, dataset_hierarchy, dataset_catalog, stage1_unused_placeholders, alembic_version';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[app, readonly] LOOP
        -- An owner keeps what is its own.
        CONTINUE WHEN name = current_user OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM %I', name);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM %I', name);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON FUNCTIONS FROM %I', name);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', name);
        EXECUTE format('REVOKE ALL ON %s FROM %I', tables, name);
    END LOOP;
END $$;
