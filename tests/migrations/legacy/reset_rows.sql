INSERT INTO datasets
SELECT md5('dataset' || n)::uuid, (ARRAY['btc25_4h', 'BTC25-4h', 'btc25_4H', 'eth25_1h'])[n],
       CASE n WHEN 3 THEN NULL ELSE 'BTCUSDT' END, '4h', CASE n WHEN 4 THEN 0 ELSE 14400000 END, n * 10,
       1735689600000, CASE n WHEN 2 THEN NULL ELSE 1735689600 END,
       CASE n WHEN 1 THEN '{"version": 2, "ohlcv_measurement": "btc25_4h_ohlcv"}'::jsonb
              WHEN 2 THEN to_jsonb('{"version": 3}'::text) WHEN 3 THEN '"plain"' END,
       CASE n WHEN 4 THEN NULL ELSE timestamptz '2025-01-01' + n * interval '1 day' END
  FROM generate_series(1, 4) n;
INSERT INTO walkforward_runs
SELECT md5('run' || n)::uuid, md5('dataset' || n % 4 + 1)::uuid, 'COMPLETED', '["ema_20"]', 'close_return_1',
       '{"max_depth": 3}', jsonb_build_object('prediction_measurement', 'btc25_4h_run' || n),
       '{"folds": 8}', to_timestamp(1735689600), to_timestamp(1735689700), timestamptz '2025-02-01'
  FROM generate_series(1, 6) n;
INSERT INTO walkforward_folds
SELECT r.run_id, n, n * 100, n * 100 + 600, n * 100 + 600, n * 100 + 750,
       CASE WHEN n > 2 THEN 1735689600000 + n END, NULL, NULL, NULL, 590, 150,
       '{"best_score": 0.5, "best_iteration": 12}', '{"long": 0.03}'
  FROM walkforward_runs r, generate_series(0, 7) n;
