CREATE TABLE IF NOT EXISTS "indicator_bars" (
    "timestamp" TIMESTAMP,
    "dataset" SYMBOL CAPACITY 1024,
    "source" SYMBOL CAPACITY 64,
    "granularity" SYMBOL CAPACITY 64,
    "date_i" LONG,
    "time_i" LONG,
    "timestamp_unix" LONG,
    "open" DOUBLE,
    "high" DOUBLE,
    "low" DOUBLE,
    "close" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "dataset", "source", "granularity");
CREATE TABLE IF NOT EXISTS "walkforward_predictions" (
    "timestamp" TIMESTAMP,
    "run_id" SYMBOL CAPACITY 4096,
    "fold" SYMBOL CAPACITY 2048,
    "dataset" SYMBOL CAPACITY 1024,
    "target" SYMBOL CAPACITY 256,
    "bar_index" LONG,
    "prediction" DOUBLE,
    "target_value" DOUBLE,
    "long_threshold" DOUBLE,
    "short_threshold" DOUBLE,
    "score" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "run_id", "fold", "dataset", "target");
CREATE TABLE IF NOT EXISTS "trading_sim_traces" (
    "timestamp" TIMESTAMP,
    "simulation_id" SYMBOL CAPACITY 4096,
    "run_id" SYMBOL CAPACITY 4096,
    "mode" SYMBOL CAPACITY 16,
    "entry_price" DOUBLE,
    "exit_price" DOUBLE,
    "position_size" DOUBLE,
    "pnl" DOUBLE,
    "return_pct" DOUBLE,
    "cumul_return_pct" DOUBLE,
    "entry_signal" DOUBLE,
    "exit_signal" DOUBLE,
    "exit_timestamp_unix" LONG
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "simulation_id", "run_id", "mode", "exit_timestamp_unix");
CREATE TABLE IF NOT EXISTS "trading_sim_equity" (
    "timestamp" TIMESTAMP,
    "simulation_id" SYMBOL CAPACITY 4096,
    "run_id" SYMBOL CAPACITY 4096,
    "mode" SYMBOL CAPACITY 16,
    "equity" DOUBLE,
    "drawdown" DOUBLE,
    "drawdown_pct" DOUBLE,
    "cumul_return_pct" DOUBLE,
    "position_size" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "simulation_id", "run_id", "mode");
CREATE TABLE IF NOT EXISTS "ohlcv_btc25_4h" (
    "timestamp" TIMESTAMP,
    "Date" LONG,
    "Time" LONG,
    "open" DOUBLE,
    "high" DOUBLE,
    "low" DOUBLE,
    "close" DOUBLE,
    "volume" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp");
CREATE TABLE IF NOT EXISTS "indicators_btc25_4h" (
    "timestamp" TIMESTAMP,
    "dataset_id" SYMBOL CAPACITY 256,
    "Date" LONG,
    "Time" LONG,
    "rsi_14" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "dataset_id");
CREATE TABLE IF NOT EXISTS "btc25_4h_wf1735689600" (
    "timestamp" TIMESTAMP,
    "bar_index" LONG,
    "fold_number" LONG,
    "prediction" DOUBLE,
    "target_value" DOUBLE,
    "long_threshold" DOUBLE,
    "short_threshold" DOUBLE,
    "roc_threshold" DOUBLE,
    "short_entry_threshold" DOUBLE,
    "fold_score" DOUBLE,
    "fold_profit_factor" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "fold_number");
CREATE TABLE IF NOT EXISTS "base_sim1" (
    "timestamp" TIMESTAMP,
    "dataset_id" SYMBOL CAPACITY 256,
    "mode" SYMBOL CAPACITY 16,
    "run_id" SYMBOL CAPACITY 256,
    "simulation_id" SYMBOL CAPACITY 256,
    "side_label" SYMBOL CAPACITY 16,
    "exit_timestamp_unix" LONG,
    "trade_index" LONG,
    "fold_index" LONG,
    "position_size" DOUBLE,
    "entry_price" DOUBLE,
    "exit_price" DOUBLE,
    "pnl" DOUBLE,
    "return_pct" DOUBLE,
    "entry_signal" DOUBLE,
    "exit_signal" DOUBLE,
    "is_long" BOOLEAN
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "dataset_id", "mode", "run_id", "simulation_id", "side_label", "fold_index", "trade_index");
CREATE TABLE IF NOT EXISTS "every clause" (
    "ts" TIMESTAMP,
    "c_Boolean" BOOLEAN,
    "c_Byte" BYTE,
    "c_Short" SHORT,
    "c_Char" CHAR,
    "c_Int" INT,
    "c_Long" LONG,
    "c_Long128" LONG128,
    "c_Long256" LONG256,
    "c_Float" FLOAT,
    "c_Double" DOUBLE,
    "c_Date" DATE,
    "c_Timestamp" TIMESTAMP,
    "c_TimestampNs" TIMESTAMP_NS,
    "c_String" STRING,
    "c_Varchar" VARCHAR,
    "c_Binary" BINARY,
    "c_Uuid" UUID,
    "c_IPv4" IPV4,
    "symbol" SYMBOL CAPACITY 4096 NOCACHE INDEX CAPACITY 512,
    "geohash" GEOHASH(4c),
    "decimal" DECIMAL(18,4),
    "array" DOUBLE[][]
)
TIMESTAMP("ts")
PARTITION BY WEEK
TTL 24 MONTHS
WAL
WITH maxUncommittedRows=1000, o3MaxLag=5000ms
DEDUP UPSERT KEYS("ts", "symbol");
CREATE TABLE IF NOT EXISTS "plain" (
    "timestamp" TIMESTAMP
)
TIMESTAMP("timestamp")
PARTITION BY NONE
BYPASS WAL;
