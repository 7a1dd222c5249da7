-- Folds, buckets and trades that hold NaN or an infinity, which no JSON reader can show.
SELECT id, detail
  FROM (SELECT format('%s/%s', run_id, fold_number) AS id,
               format('fold, best_score %s', best_score) AS detail,
               ARRAY[best_score] AS numbers
          FROM walkforward_folds
         UNION ALL
        SELECT format('%s/%s', simulation_id, side),
               format('bucket, profit_factor %s, avg_return_pct %s, max_drawdown_pct %s',
                      profit_factor, avg_return_pct, max_drawdown_pct),
               ARRAY[profit_factor, avg_return_pct, max_drawdown_pct]
          FROM simulation_trade_buckets
         UNION ALL
        SELECT trade_id::text,
               format('trade, size %s, prices %s and %s, pnl %s, return_pct %s, cumulative %s',
                      size, entry_price, exit_price, pnl, return_pct, cumulative_return_pct),
               ARRAY[size, entry_price, exit_price, pnl, return_pct, cumulative_return_pct]
          FROM simulation_trades) held
 WHERE numbers && ARRAY['NaN', 'Infinity', '-Infinity']::double precision[]
 ORDER BY 1;
