"""Reset: take over what stood and create the tables

Three shapes of these tables are in the field, none of them complete, and CREATE TABLE IF NOT EXISTS
over another shape silently changes nothing. What stood is therefore dropped where it is empty;
where it holds rows nothing changes until `-x legacy=` says what becomes of them
(docs/taking-over.md).

The way back drops the tables where they are empty; rows go to a schema `stage1_retired_<date>`.
`-x legacy=import:stage1_retired_<date>` brings them back.

Locks: ACCESS EXCLUSIVE on the tables that stood, until commit.
Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    moved = op.take_over_legacy()
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_slug", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("granularity", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("bar_interval_ms", sa.BigInteger(), nullable=True),
        sa.Column("lookback_rows", sa.BigInteger(), nullable=True),
        sa.Column("ohlcv_measurement", sa.Text(), nullable=True),
        sa.Column("indicator_measurement", sa.Text(), nullable=True),
        sa.Column("ohlcv_row_count", sa.BigInteger(), nullable=True),
        sa.Column("indicator_row_count", sa.BigInteger(), nullable=True),
        sa.Column("ohlcv_first_ts", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ohlcv_last_ts", sa.DateTime(timezone=True), nullable=True),
        sa.Column("indicator_first_ts", sa.DateTime(timezone=True), nullable=True),
        sa.Column("indicator_last_ts", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_ohlcv_ts", sa.BigInteger(), nullable=True),
        sa.Column("first_indicator_ts", sa.BigInteger(), nullable=True),
        sa.Column("metadata", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("is_placeholder", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("dataset_slug", name=op.f("uq_datasets_dataset_slug")),
    )
    op.create_table(
        "stage1_jobs",
        sa.Column("job_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("progress", sa.Double(), server_default=sa.text("0"), nullable=True),
        sa.Column("total", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("payload", JSONB(), nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')",
            name=op.f("ck_stage1_jobs_status"),
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_stage1_jobs")),
    )
    op.create_table(
        "walkforward_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("prediction_measurement", sa.Text(), nullable=True),
        sa.Column("target_column", sa.Text(), nullable=True),
        sa.Column("feature_columns", JSONB(), nullable=True),
        sa.Column("hyperparameters", JSONB(), nullable=True),
        sa.Column("walk_config", JSONB(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("summary_metrics", JSONB(), nullable=True),
        sa.Column("is_placeholder", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('COMPLETED', 'INCOMPLETE', 'PENDING', 'QUEUED', 'RUNNING', 'FAILED')",
            name=op.f("ck_walkforward_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_walkforward_runs_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_walkforward_runs")),
    )
    op.create_table(
        "simulation_runs",
        sa.Column("simulation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("input_run_measurement", sa.Text(), nullable=True),
        sa.Column("questdb_namespace", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("config", JSONB(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("summary_metrics", JSONB(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "mode IN ('long', 'short', 'dual')", name=op.f("ck_simulation_runs_mode")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_simulation_runs_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["walkforward_runs.run_id"],
            name=op.f("fk_simulation_runs_run_id_walkforward_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("simulation_id", name=op.f("pk_simulation_runs")),
    )
    op.create_table(
        "walkforward_folds",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("fold_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("train_start_idx", sa.BigInteger(), nullable=True),
        sa.Column("train_end_idx", sa.BigInteger(), nullable=True),
        sa.Column("test_start_idx", sa.BigInteger(), nullable=True),
        sa.Column("test_end_idx", sa.BigInteger(), nullable=True),
        sa.Column("train_start_ts_ms", sa.BigInteger(), nullable=True),
        sa.Column("train_end_ts_ms", sa.BigInteger(), nullable=True),
        sa.Column("test_start_ts_ms", sa.BigInteger(), nullable=True),
        sa.Column("test_end_ts_ms", sa.BigInteger(), nullable=True),
        sa.Column("samples_train", sa.BigInteger(), nullable=True),
        sa.Column("samples_test", sa.BigInteger(), nullable=True),
        sa.Column("best_iteration", sa.BigInteger(), nullable=True),
        sa.Column("best_score", sa.Double(), nullable=True),
        sa.Column("thresholds", JSONB(), nullable=True),
        sa.Column("metrics", JSONB(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["walkforward_runs.run_id"],
            name=op.f("fk_walkforward_folds_run_id_walkforward_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "fold_number", name=op.f("pk_walkforward_folds")),
    )
    op.create_table(
        "simulation_trade_buckets",
        sa.Column("simulation_id", sa.Uuid(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("trade_count", sa.BigInteger(), nullable=True),
        sa.Column("win_count", sa.BigInteger(), nullable=True),
        sa.Column("profit_factor", sa.Double(), nullable=True),
        sa.Column("avg_return_pct", sa.Double(), nullable=True),
        sa.Column("max_drawdown_pct", sa.Double(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "side IN ('long', 'short', 'dual', 'all')",
            name=op.f("ck_simulation_trade_buckets_side"),
        ),
        sa.ForeignKeyConstraint(
            ["simulation_id"],
            ["simulation_runs.simulation_id"],
            name=op.f("fk_simulation_trade_buckets_simulation_id_simulation_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("simulation_id", "side", name=op.f("pk_simulation_trade_buckets")),
    )
    op.create_table(
        "simulation_trades",
        sa.Column("trade_id", sa.Uuid(), nullable=False),
        sa.Column("simulation_id", sa.Uuid(), nullable=False),
        sa.Column("bar_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("size", sa.Double(), nullable=True),
        sa.Column("entry_price", sa.Double(), nullable=True),
        sa.Column("exit_price", sa.Double(), nullable=True),
        sa.Column("pnl", sa.Double(), nullable=True),
        sa.Column("return_pct", sa.Double(), nullable=True),
        sa.Column("exit_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("cumulative_return_pct", sa.Double(), nullable=True),
        sa.Column("fold_index", sa.BigInteger(), nullable=True),
        sa.Column("metadata", JSONB(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("side IN ('long', 'short')", name=op.f("ck_simulation_trades_side")),
        sa.ForeignKeyConstraint(
            ["simulation_id"],
            ["simulation_runs.simulation_id"],
            name=op.f("fk_simulation_trades_simulation_id_simulation_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("trade_id", name=op.f("pk_simulation_trades")),
    )
    op.import_legacy(
        moved,
        functions="0001/import_functions.sql",
        placeholders="0001/import_placeholders.sql",
        slugs="0001/import_slugs.sql",
        missing="0001/import_missing.sql",
    )


def downgrade() -> None:
    op.retire_tables(
        "simulation_trades",
        "simulation_trade_buckets",
        "simulation_runs",
        "walkforward_folds",
        "walkforward_runs",
        "stage1_jobs",
        "datasets",
    )
