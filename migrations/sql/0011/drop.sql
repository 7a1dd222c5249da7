DROP FUNCTION ensure_run_placeholder(uuid, uuid, text);
DROP FUNCTION ensure_dataset_placeholder(uuid, text, text);
DROP TRIGGER tg_10_placeholder ON walkforward_runs;
DROP TRIGGER tg_10_placeholder ON datasets;
DROP FUNCTION stage1_replace_run_placeholder();
DROP FUNCTION stage1_replace_dataset_placeholder();
