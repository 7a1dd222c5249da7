-- Roles are those of STAGE1_APP_ROLE and STAGE1_READONLY_ROLE; one that does not exist is left out.
DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = app) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON spool_replays, spool_quarantine, spool_units TO %I', app);
        EXECUTE format('GRANT DELETE ON spool_quarantine TO %I', app);
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE spool_replays_replay_id_seq, spool_quarantine_quarantine_id_seq TO %I', app);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = readonly) THEN
        EXECUTE format('GRANT SELECT ON spool_replays, spool_quarantine, spool_units TO %I', readonly);
    END IF;
END $$;
