-- Trades entered before March 1973 (a time in another unit) or more than 100 days ahead, or left that far ahead.
SELECT trade_id::text AS id,
       format('simulation %s, entry %s, exit %s', simulation_id, bar_timestamp,
              coalesce(exit_timestamp::text, 'unknown')) AS detail
  FROM simulation_trades
 WHERE bar_timestamp < '1973-03-03 09:46:40+00'
    OR greatest(bar_timestamp, exit_timestamp) > now() + interval '100 days'
 ORDER BY 1;
