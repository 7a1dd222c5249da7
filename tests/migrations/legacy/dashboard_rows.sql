INSERT INTO indicator_datasets
SELECT CASE n WHEN 1 THEN 'btc-legacy' WHEN 2 THEN upper(md5('dataset2')) ELSE md5('dataset' || n)::uuid::text END,
       'BTCUSDT', '4h', 'dashboard', (ARRAY['indicators_btc25_4h', 'btc25-4h', 'ETH_ind'])[n], n * 1000,
       timestamp '2025-01-01', timestamp '2025-06-01 12:34:56.789',
       jsonb_build_array(jsonb_build_object('name', 'ema_20', 'unit', NULL)),
       timestamptz '2025-01-01' + n * interval '1 day', timestamptz '2025-01-02'
  FROM generate_series(1, 3) n;
INSERT INTO walkforward_runs
SELECT CASE n WHEN 1 THEN 'run_638912345' ELSE md5('run' || n)::uuid::text END, d.dataset_id,
       CASE WHEN n > 4 THEN '' ELSE 'btc25_4h_wf' || n END, 'close_return_1', '["ema_20"]',
       '{"max_depth": 3, "max_depth": 4}', '{"prediction_measurement": ""}',
       (ARRAY['PENDING', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'COMPLETED'])[n], 'dashboard',
       CASE WHEN n > 3 THEN n END, '2025-02-01', NULL, n,
       CASE n WHEN 1 THEN '{"score": 1, "legacy": {"old": true}}'::jsonb WHEN 2 THEN 'null' WHEN 4 THEN '{}' END,
       '2025-02-01', '2025-02-02'
  FROM generate_series(1, 6) n
  JOIN (SELECT dataset_id, row_number() OVER (ORDER BY created_at) AS k FROM indicator_datasets) d ON d.k = n % 3 + 1;
INSERT INTO walkforward_folds
SELECT r.run_id, n, n * 100, n * 100 + 600, n * 100 + 600, n * 100 + 750, 590, 150, n,
       CASE n WHEN 3 THEN 'NaN' ELSE n / 7.0 END, '{"long": 0.03}', '{"hit_rate": 0.5}', '2025-02-03'
  FROM walkforward_runs r, generate_series(0, 7) n;
INSERT INTO simulation_runs
SELECT 'sim-' || n, r.run_id, r.dataset_id, r.prediction_measurement, (ARRAY['long', 'short', 'dual'])[n],
       NULL, 'COMPLETED', NULL, NULL, NULL, '2025-03-01'
  FROM generate_series(1, 3) n
  JOIN (SELECT *, row_number() OVER (ORDER BY run_id) AS k FROM walkforward_runs) r ON r.k = n;
INSERT INTO simulation_trades
SELECT s.simulation_id || '/' || n, s.simulation_id, 1735689600000 + n * 14400000,
       (ARRAY['long', 'short'])[n % 2 + 1], 1, 42000.123456 + n, 42100, n - 5, 0.33333333,
       CASE n % 4 WHEN 0 THEN '{"fold": 1}' WHEN 1 THEN '{"score": nan}' WHEN 2 THEN '' END, '2025-03-02'
  FROM simulation_runs s, generate_series(1, 20) n;
INSERT INTO simulation_trade_buckets
SELECT s.simulation_id, side, 20, 11, 999, 0.1, 12.5, 'note', 1, '2025-03-03'
  FROM simulation_runs s, unnest(ARRAY['long', 'short', 'all']) side;
