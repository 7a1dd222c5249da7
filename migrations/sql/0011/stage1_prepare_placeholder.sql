-- Gives a placeholder its slug, and makes one of the INSERT that operators write by hand: there the
-- tag is the slug, and times, count and granularity are made up.
CREATE OR REPLACE FUNCTION stage1_prepare_placeholder()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF stage1_current_dataset(NEW.dataset_id) <> NEW.dataset_id THEN
        RETURN NULL;  -- a placeholder of this id was already merged into its dataset
    END IF;
    IF NOT NEW.is_placeholder THEN
        NEW.is_placeholder := true;
        NEW.dataset_slug := coalesce(NEW.dataset_slug, NEW.indicator_measurement);
        NEW.indicator_measurement := NULL;
        NEW.granularity := NULL;
        NEW.indicator_row_count := NULL;
        NEW.indicator_first_ts := NULL;
        NEW.indicator_last_ts := NULL;
    END IF;
    NEW.dataset_slug := stage1_checked_slug(nullif(NEW.dataset_slug, ''));
    IF EXISTS (SELECT FROM datasets d
                WHERE d.dataset_slug = NEW.dataset_slug AND d.dataset_id <> NEW.dataset_id) THEN
        NEW.dataset_slug := stage1_spare_slug(NEW.dataset_slug, NEW.dataset_id);
    END IF;
    RETURN NEW;
END
$$;
