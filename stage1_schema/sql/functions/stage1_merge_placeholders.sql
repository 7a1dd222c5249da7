-- Moves the runs and simulations of placeholders that have this dataset's slug to the dataset, which
-- from then on answers to their ids (`placeholder_ids` in its metadata). A run whose measurement the
-- dataset already has stays with its placeholder.
CREATE OR REPLACE FUNCTION stage1_merge_placeholders()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    old_id uuid;
BEGIN
    IF TG_OP = 'UPDATE' AND NOT OLD.is_placeholder AND OLD.dataset_slug = NEW.dataset_slug THEN
        RETURN NULL;
    END IF;
    -- The lock waits for whoever adds a run to the placeholder, and lets nobody add another.
    FOR old_id IN
        SELECT d.dataset_id FROM datasets d
         WHERE d.is_placeholder
           AND d.dataset_slug IN (stage1_suffixed_slug(NEW.dataset_slug, d.dataset_id),
                                  stage1_suffixed_slug(NEW.dataset_slug, d.dataset_id, 32))
         ORDER BY d.dataset_id FOR UPDATE
    LOOP
        UPDATE walkforward_runs r
           SET dataset_id = NEW.dataset_id,
               prediction_measurement = CASE WHEN taken.name IS NULL
                                             THEN r.prediction_measurement END
          FROM walkforward_runs o
          LEFT JOIN LATERAL (
                SELECT t.prediction_measurement AS name FROM walkforward_runs t
                 WHERE t.dataset_id = NEW.dataset_id
                   AND t.prediction_measurement = o.prediction_measurement
                   AND (o.is_placeholder OR NOT t.is_placeholder)) taken ON true
         WHERE o.dataset_id = old_id AND r.run_id = o.run_id
           AND (o.is_placeholder OR taken.name IS NULL);
        UPDATE simulation_runs s SET dataset_id = NEW.dataset_id
         WHERE s.dataset_id = old_id
           AND NOT EXISTS (SELECT FROM walkforward_runs r
                            WHERE r.run_id = s.run_id AND r.dataset_id = old_id);
        -- A writer without this right leaves the empty placeholder.
        CONTINUE WHEN NOT has_table_privilege('stage1_unused_placeholders', 'DELETE');
        DELETE FROM stage1_unused_placeholders p WHERE p.dataset_id = old_id;
        IF FOUND THEN
            UPDATE datasets d
               SET metadata = d.metadata || jsonb_build_object('placeholder_ids',
                       coalesce(d.metadata -> 'placeholder_ids', '[]')
                       || jsonb_build_array(old_id::text))
             WHERE d.dataset_id = NEW.dataset_id;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
