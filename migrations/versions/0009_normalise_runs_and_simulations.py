"""Normalise runs, folds, simulations and jobs, whichever client writes them

The current desktop sends a run's measurement only inside walk_config and a fold's best score only
inside its metrics; readers want both as columns. Status, mode and side come in any case, and times
may be milliseconds taken for seconds. A run stays with its dataset. A finished job gets the time
that the 30-day purge goes by.

Rows that stand are brought to that form.

Locks: SHARE ROW EXCLUSIVE on each table for an instant, then row locks of the fill until commit.
Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"

FILES = (
    "stage1_normalise_run",
    "stage1_refuse_move",
    "stage1_fold_best",
    "stage1_normalise_simulation",
    "stage1_normalise_trade",
    "stage1_normalise_bucket",
    "stage1_normalise_job",
    "walkforward_runs_tg_15_dataset",
    "walkforward_runs_tg_20_normalise",
    "walkforward_runs_tg_90_touch",
    "walkforward_folds_tg_20_best_on_insert",
    "walkforward_folds_tg_20_best_on_update",
    "simulation_runs_tg_20_normalise",
    "simulation_runs_tg_90_touch",
    "simulation_trades_tg_20_normalise",
    "simulation_trade_buckets_tg_20_normalise",
    "stage1_jobs_tg_20_normalise",
    "stage1_jobs_tg_90_touch",
)


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0009/{name}.sql")
    op.run_sql_file("0009/backfill.sql")


def downgrade() -> None:
    op.run_sql_file("0009/drop.sql")
