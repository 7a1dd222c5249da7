-- The first id is in the other dataset tables as well, the second stands here alone.
INSERT INTO stage1_datasets
SELECT md5('dataset' || n)::uuid, 'merged_' || n, 'BTCUSD', '4h', 'generation-b', '', 'ind_' || n, 5000, 0,
       to_timestamp(1735689600), NULL, NULL, NULL, '{"exported_at": "2025-01-01", "version": 9}',
       '2024-12-01', '2024-12-02'
  FROM unnest(ARRAY[1, 9]) n;
