-- Trades that were left before they were entered.
SELECT trade_id::text AS id,
       format('simulation %s, entry %s, exit %s', simulation_id, bar_timestamp, exit_at) AS detail
  FROM (SELECT t.*, coalesce(
                   t.exit_timestamp,
                   -- Seconds or ms, told apart by their magnitude.
                   CASE WHEN told.number BETWEEN 1 AND 1e11 - 1 THEN to_timestamp(told.number::float8)
                        WHEN told.number BETWEEN 1e11 AND 1e14
                        THEN to_timestamp(told.number::float8 / 1000) END
               ) AS exit_at
          FROM simulation_trades t
         CROSS JOIN LATERAL (
               SELECT CASE WHEN jsonb_typeof(t.metadata -> 'exit_timestamp_unix') = 'number'
                           THEN (t.metadata ->> 'exit_timestamp_unix')::numeric END
                      AS number) told) trade
 -- 1970-01-01 and before are "unknown".
 WHERE exit_at > 'epoch' AND exit_at < bar_timestamp
 ORDER BY 1;
