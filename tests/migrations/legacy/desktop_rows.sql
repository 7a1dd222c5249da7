INSERT INTO indicator_datasets
SELECT md5('dataset' || n)::uuid, 'BTCUSDT', '4h', 'desktop',
       (ARRAY['btc25_4h', 'indicators_eth25_1h', 'SOL 2025/15m_ind', '§§§'])[n], n * 1000,
       to_timestamp(1735689600), to_timestamp(1735689600 * 1000.0),  -- ms taken for seconds
       timestamptz '2025-01-01' + n * interval '1 day'
  FROM generate_series(1, 4) n;
INSERT INTO walkforward_runs
SELECT md5('run' || n)::uuid, md5('dataset' || n % 4 + 1)::uuid, 'btc25_4h_wf' || n, 'close_return_1',
       '["ema_20", "rsi_20"]', jsonb_build_object('max_depth', n, 'note', 'a:b 100%'),
       '{"folds": 8}', CASE n % 3 WHEN 0 THEN 'completed' WHEN 1 THEN 'COMPLETED' END,
       CASE WHEN n > 2 THEN 'desktop' END, to_timestamp(1735689600 + n), to_timestamp(1735689700 + n),
       n * 12345678901, jsonb_build_object('folds', 8, 'score', 0.1 * n), timestamptz '2025-02-01' + n * interval '1 hour'
  FROM generate_series(1, 6) n;
INSERT INTO walkforward_folds
SELECT r.run_id, n, n * 100, n * 100 + 600, n * 100 + 600, n * 100 + 750, 590, 150,
       CASE WHEN n % 2 = 0 THEN n END,
       CASE n WHEN 3 THEN 'NaN' WHEN 4 THEN '-Infinity' ELSE n / 7.0::double precision END,
       '{"long": 0.03}', jsonb_build_object('hit_rate', n / 10.0)
  FROM walkforward_runs r, generate_series(0, 7) n;
INSERT INTO simulation_runs
SELECT md5('sim' || n)::uuid, r.run_id, r.dataset_id, r.prediction_measurement,
       CASE WHEN n > 1 THEN 'btc_sim' || n END, (ARRAY['long', 'SHORT', 'Dual', 'both'])[n],
       '{"fee": 0.001}', 'completed', to_timestamp(1735689600), NULL, '[1, 2]', timestamptz '2025-03-01'
  FROM generate_series(1, 4) n JOIN walkforward_runs r ON r.run_id = md5('run' || n)::uuid;
INSERT INTO simulation_trades
SELECT md5('trade' || s.simulation_id || n)::uuid, s.simulation_id, to_timestamp(1735689600 + n * 14400),
       (ARRAY['long', 'short', 'BUY', 'SHORT'])[n % 4 + 1], 1, 42000.123456 + n,
       (CASE WHEN n = 7 THEN 'NaN' ELSE (42100.0 + n)::text END)::double precision, n - 5, (n - 5) / 3.0,
       CASE n % 3 WHEN 0 THEN '{"fold": 1}'::jsonb WHEN 1 THEN '"text"' END
  FROM simulation_runs s, generate_series(1, 20) n;
INSERT INTO simulation_trade_buckets
SELECT s.simulation_id, side, 20, 11, CASE side WHEN 'all' THEN 999 ELSE 1.5 END, 0.1, 12.5, 'note: 50%'
  FROM simulation_runs s, unnest(ARRAY['long', 'short', 'dual', 'all']) side;
