-- Buckets that count more wins than trades.
SELECT format('%s/%s', simulation_id, side) AS id,
       format('%s wins of %s trades', win_count, trade_count) AS detail
  FROM simulation_trade_buckets
 WHERE win_count > trade_count
 ORDER BY 1;
