DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
    tables text := 'datasets, walkforward_runs, walkforward_folds, simulation_runs, simulation_trades, simulation_trade_buckets, stage1_jobs, indicator_datasets, stage1_datasets, dataset_hierarchy, dataset_catalog, stage1_unused_placeholders, alembic_version';
    name text;
    relation regclass;
    routine regprocedure;
BEGIN
    FOREACH name IN ARRAY ARRAY[app, readonly] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name);
        -- An owner keeps its rights: on what it owns now, and on what it will create.
        IF name <> current_user THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM %I', name);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM %I', name);
            EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON FUNCTIONS FROM %I', name);
        END IF;
        FOR routine IN
            SELECT p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = 'public'::regnamespace
               AND (starts_with(p.proname, 'fn_list_') OR starts_with(p.proname, 'stage1_')
                    OR p.proname IN ('upsert_stage1_dataset', 'ensure_dataset_placeholder',
                                     'ensure_run_placeholder'))
               AND pg_has_role(p.proowner, 'USAGE') AND pg_get_userbyid(p.proowner) <> name
        LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', routine, name);
        END LOOP;
        FOR relation IN
            SELECT c.oid::regclass FROM pg_class c
             WHERE c.oid = ANY (string_to_array(tables, ', ')::regclass[])
               AND pg_get_userbyid(c.relowner) <> name
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %I', relation, name);
        END LOOP;
    END LOOP;
END $$;
