-- Placeholders that no run and no simulation refers to. The application may delete from this view, and
-- from no other place a dataset.
CREATE OR REPLACE VIEW stage1_unused_placeholders AS
SELECT d.dataset_id,
       d.dataset_slug
  FROM datasets d
 WHERE d.is_placeholder
   AND NOT EXISTS (SELECT FROM walkforward_runs r WHERE r.dataset_id = d.dataset_id)
   AND NOT EXISTS (SELECT FROM simulation_runs s WHERE s.dataset_id = d.dataset_id);
