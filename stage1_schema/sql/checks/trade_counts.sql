-- COMPLETED simulations whose buckets count another number of trades than stand: lost, or left over from an earlier save.
SELECT s.simulation_id::text AS id,
       format('buckets count %s trades, %s stand', told.trades, stands.trades) AS detail
  FROM simulation_runs s
  -- As a replay has it: the bucket of all sides, else that of both, else the sum of the sides.
  JOIN LATERAL (
       SELECT coalesce(max(b.trade_count) FILTER (WHERE b.side = 'all'),
                       max(b.trade_count) FILTER (WHERE b.side = 'dual'),
                       CASE WHEN count(*) = count(b.trade_count) THEN sum(b.trade_count) END)
                  AS trades,
              count(b.trade_count) FILTER (WHERE b.side IN ('all', 'dual')) > 0 AS every_side,
              array_agg(b.side) AS sides
         FROM simulation_trade_buckets b
        WHERE b.simulation_id = s.simulation_id) told ON told.trades IS NOT NULL
  JOIN LATERAL (
       SELECT count(*) AS trades
         FROM simulation_trades t
        WHERE t.simulation_id = s.simulation_id
          AND (told.every_side OR t.side IS NULL OR t.side = ANY (told.sides))) stands
       ON stands.trades <> told.trades
 WHERE coalesce(s.status, 'COMPLETED') = 'COMPLETED'
   -- A client saves a simulation row by row: one that has only just come may not be whole yet.
   AND s.updated_at < now() - interval '1 hour'
 ORDER BY 1;
