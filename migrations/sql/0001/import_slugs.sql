-- A slug for every dataset, by the contract's rule: ASCII letters and digits lower-cased, every run
-- of other characters one `_`, none at the ends. Where the old table has none it comes from the
-- measurement's name without its prefix or suffix. A slug that changed is kept in the metadata.
CREATE TEMP TABLE import_slugs ON COMMIT DROP AS
SELECT d.dataset_id, d.dataset_slug AS given, d.is_placeholder, d.created_at, '' AS slug,
       coalesce(
           nullif(lower(btrim(regexp_replace(d.dataset_slug, '[^A-Za-z0-9]+', '_', 'g'), '_') COLLATE "C"), ''),
           nullif(lower(btrim(regexp_replace(d.metadata ->> 'dataset_slug', '[^A-Za-z0-9]+', '_', 'g'), '_') COLLATE "C"), ''),
           nullif(regexp_replace(
               lower(btrim(regexp_replace(d.indicator_measurement, '[^A-Za-z0-9]+', '_', 'g'), '_') COLLATE "C"),
               '^indicators_|_ind(icators)?$', '', 'g'), ''),
           nullif(regexp_replace(
               lower(btrim(regexp_replace(d.ohlcv_measurement, '[^A-Za-z0-9]+', '_', 'g'), '_') COLLATE "C"),
               '^ohlcv_|_ohlcv$', '', 'g'), ''),
           nullif(lower(btrim(regexp_replace(concat_ws('_', d.symbol, d.granularity), '[^A-Za-z0-9]+', '_', 'g'), '_') COLLATE "C"), ''),
           'dataset_' || left(d.dataset_id::text, 8)) AS wanted
  FROM pg_temp.import_datasets d;
-- The one that had the slug keeps it; then the oldest. Others get `_<8 hex of the id>`.
UPDATE pg_temp.import_slugs s
   SET slug = CASE WHEN n.number = 1 THEN s.wanted ELSE s.wanted || '_' || left(s.dataset_id::text, 8) END
  FROM (SELECT dataset_id, row_number() OVER (
                   PARTITION BY wanted
                   ORDER BY given IS DISTINCT FROM wanted, is_placeholder IS TRUE,
                            created_at NULLS LAST, dataset_id) AS number
          FROM pg_temp.import_slugs) n
 WHERE n.dataset_id = s.dataset_id;
-- One that is taken even so gets its whole id.
UPDATE pg_temp.import_slugs s
   SET slug = s.wanted || '_' || replace(s.dataset_id::text, '-', '')
  FROM (SELECT dataset_id, row_number() OVER (
                   PARTITION BY slug ORDER BY slug <> wanted, dataset_id) AS number
          FROM pg_temp.import_slugs) n
 WHERE n.dataset_id = s.dataset_id AND n.number > 1;
UPDATE pg_temp.import_datasets d
   SET dataset_slug = s.slug,
       metadata = CASE WHEN s.given IS NULL OR s.given = s.slug THEN d.metadata
                       ELSE pg_temp.stage1_keep(d.metadata, '{}',
                                jsonb_build_object('dataset_slug', s.given)) END
  FROM pg_temp.import_slugs s
 WHERE s.dataset_id = d.dataset_id;
