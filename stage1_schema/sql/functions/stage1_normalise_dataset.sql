-- Keeps the redundant forms of a dataset in step, whichever of them was written.
-- On INSERT columns win over the manifest; on UPDATE what changed wins, a column before the
-- manifest. NULL and '' are "unknown" and erase nothing.
CREATE OR REPLACE FUNCTION stage1_normalise_dataset()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    fresh boolean;
    standing text;
    manifest jsonb;
    before jsonb := '{}';
    facts jsonb;
BEGIN
    NEW.metadata := stage1_json_object(NEW.metadata);
    IF TG_OP = 'UPDATE' AND OLD.is_placeholder THEN
        -- Nobody knows these facts of a placeholder: whoever writes one records the dataset.
        facts := stage1_manifest_facts(NEW.metadata) || stage1_time_facts(NEW)
            || stage1_column_facts(NEW);
        NEW.is_placeholder := NEW.is_placeholder
            AND facts - ARRAY['dataset_slug', 'symbol', 'source'] = '{}';
    END IF;
    fresh := TG_OP = 'INSERT' OR OLD.is_placeholder AND NOT NEW.is_placeholder;
    NEW.created_at := coalesce(stage1_moment(NEW.created_at), now());
    NEW.updated_at := coalesce(stage1_moment(NEW.updated_at), now());
    IF fresh OR NEW.dataset_slug IS DISTINCT FROM OLD.dataset_slug THEN
        NEW.dataset_slug := stage1_checked_slug(NEW.dataset_slug);
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT dataset_slug INTO standing FROM datasets WHERE dataset_id = NEW.dataset_id;
        IF FOUND THEN
            -- ON CONFLICT goes on with an UPDATE: EXCLUDED must hold what was sent and no more.
            NEW.dataset_slug := coalesce(NEW.dataset_slug, standing);
            RETURN NEW;
        END IF;
    END IF;
    facts := stage1_manifest_facts(NEW.metadata);
    IF fresh THEN
        facts := facts || stage1_time_facts(NEW) || stage1_column_facts(NEW);
    ELSE
        manifest := stage1_json_object(OLD.metadata);
        before := stage1_time_facts(OLD) || stage1_column_facts(OLD);
        facts := facts || before
            || stage1_changed_keys(stage1_manifest_facts(manifest), facts)
            || stage1_changed_keys(stage1_time_facts(OLD), stage1_time_facts(NEW))
            || stage1_changed_keys(stage1_column_facts(OLD), stage1_column_facts(NEW));
        NEW.metadata := manifest || NEW.metadata;
    END IF;
    facts := stage1_with_interval(before, facts);
    IF NOT facts ? 'dataset_slug' THEN
        facts := facts || jsonb_build_object(
            'dataset_slug', stage1_free_slug(NEW.dataset_id, facts, NEW.is_placeholder));
    END IF;
    IF NOT NEW.is_placeholder
       AND (fresh OR facts ->> 'dataset_slug' IS DISTINCT FROM OLD.dataset_slug) THEN
        PERFORM stage1_clear_slug(
            NEW.dataset_id, stage1_checked_slug(facts ->> 'dataset_slug'));
    END IF;
    RETURN stage1_with_facts(NEW, facts);
END
$$;
