-- The folds of a run in their order.
CREATE OR REPLACE FUNCTION fn_list_folds(
    p_run_id uuid,
    p_limit integer DEFAULT 500,
    p_offset integer DEFAULT 0,
    p_after integer DEFAULT NULL)
RETURNS TABLE (
    run_id uuid,
    fold_number integer,
    train_start_idx bigint,
    train_end_idx bigint,
    test_start_idx bigint,
    test_end_idx bigint,
    train_start_ts_ms bigint,
    train_end_ts_ms bigint,
    test_start_ts_ms bigint,
    test_end_ts_ms bigint,
    samples_train bigint,
    samples_test bigint,
    best_iteration bigint,
    best_score double precision,
    thresholds jsonb,
    metrics jsonb,
    total bigint,
    "offset" bigint,
    has_more boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH asked AS (
        SELECT CASE WHEN coalesce(p_limit, 0) = 0 THEN 500 ELSE stage1_page_size(p_limit) END AS size,
               greatest(coalesce(p_offset, 0), 0) AS skipped
    ), counted AS (
        SELECT count(f.fold_number) AS total,
               count(*) FILTER (WHERE f.fold_number <= p_after) + min(asked.skipped) AS before
          FROM asked LEFT JOIN walkforward_folds f ON f.run_id = p_run_id
    )
    SELECT f.run_id, f.fold_number, f.train_start_idx, f.train_end_idx, f.test_start_idx,
           f.test_end_idx, f.train_start_ts_ms, f.train_end_ts_ms, f.test_start_ts_ms,
           f.test_end_ts_ms, f.samples_train, f.samples_test, f.best_iteration, f.best_score,
           f.thresholds, f.metrics, counted.total, counted.before,
           counted.before + asked.size < counted.total
      FROM walkforward_folds f, counted, asked
     WHERE f.run_id = p_run_id AND (p_after IS NULL OR f.fold_number > p_after)
     ORDER BY f.fold_number
     LIMIT (SELECT size FROM asked) OFFSET (SELECT skipped FROM asked)
$$;
COMMENT ON FUNCTION fn_list_folds(uuid, integer, integer, integer) IS
'Folds of a run by fold_number. p_limit: NULL or 0 means 500, clamped to 1..1000. p_offset: NULL or
negative means 0. p_after: the fold_number that the last page ended with. total: the folds of the
run; offset: how many of them come before this page; has_more: another page follows.';
