"""Create the shared QuestDB tables

Exporters of all datasets write into these four. Created here and not by the first line that comes
in: an auto-created table is partitioned by day and has no deduplication keys, so a re-export would
double every row. A table that an exporter has created already is compared before the first step of
the upgrade, which names the command that rebuilds it; its own columns stay.

Locks: none in PostgreSQL; new tables in QuestDB.
Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_questdb_table(
        "indicator_bars",
        columns={
            "timestamp": "TIMESTAMP",
            "dataset": "SYMBOL CAPACITY 1024",
            "source": "SYMBOL CAPACITY 64",
            "granularity": "SYMBOL CAPACITY 64",
            "date_i": "LONG",
            "time_i": "LONG",
            "timestamp_unix": "LONG",
            "open": "DOUBLE",
            "high": "DOUBLE",
            "low": "DOUBLE",
            "close": "DOUBLE",
        },
        designated_timestamp="timestamp",
        partition_by="MONTH",
        wal=True,
        dedup_keys=["timestamp", "dataset", "source", "granularity"],
        extensible=True,
    )
    op.create_questdb_table(
        "walkforward_predictions",
        columns={
            "timestamp": "TIMESTAMP",
            "run_id": "SYMBOL CAPACITY 4096",
            "fold": "SYMBOL CAPACITY 2048",
            "dataset": "SYMBOL CAPACITY 1024",
            "target": "SYMBOL CAPACITY 256",
            "bar_index": "LONG",
            "prediction": "DOUBLE",
            "target_value": "DOUBLE",
            "long_threshold": "DOUBLE",
            "short_threshold": "DOUBLE",
            "score": "DOUBLE",
        },
        designated_timestamp="timestamp",
        partition_by="MONTH",
        wal=True,
        dedup_keys=["timestamp", "run_id", "fold", "dataset", "target"],
        extensible=True,
    )
    op.create_questdb_table(
        "trading_sim_traces",
        columns={
            "timestamp": "TIMESTAMP",
            "simulation_id": "SYMBOL CAPACITY 4096",
            "run_id": "SYMBOL CAPACITY 4096",
            "mode": "SYMBOL CAPACITY 16",
            "entry_price": "DOUBLE",
            "exit_price": "DOUBLE",
            "position_size": "DOUBLE",
            "pnl": "DOUBLE",
            "return_pct": "DOUBLE",
            "cumul_return_pct": "DOUBLE",
            "entry_signal": "DOUBLE",
            "exit_signal": "DOUBLE",
            "exit_timestamp_unix": "LONG",
        },
        designated_timestamp="timestamp",
        partition_by="MONTH",
        wal=True,
        dedup_keys=["timestamp", "simulation_id", "run_id", "mode", "exit_timestamp_unix"],
        extensible=True,
    )
    op.create_questdb_table(
        "trading_sim_equity",
        columns={
            "timestamp": "TIMESTAMP",
            "simulation_id": "SYMBOL CAPACITY 4096",
            "run_id": "SYMBOL CAPACITY 4096",
            "mode": "SYMBOL CAPACITY 16",
            "equity": "DOUBLE",
            "drawdown": "DOUBLE",
            "drawdown_pct": "DOUBLE",
            "cumul_return_pct": "DOUBLE",
            "position_size": "DOUBLE",
        },
        designated_timestamp="timestamp",
        partition_by="MONTH",
        wal=True,
        dedup_keys=["timestamp", "simulation_id", "run_id", "mode"],
        extensible=True,
    )


def downgrade() -> None:
    op.retire_questdb_table("trading_sim_equity")
    op.retire_questdb_table("trading_sim_traces")
    op.retire_questdb_table("walkforward_predictions")
    op.retire_questdb_table("indicator_bars")
