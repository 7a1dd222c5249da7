"""Normalise runs, folds, simulations and jobs, whichever client writes them

The current desktop sends a run's measurement only inside walk_config and a fold's best score only
inside its metrics; readers want both as columns. Status, mode and side come in any case, and times
may be milliseconds taken for seconds. A run stays with its dataset. A finished job gets the time
that the 30-day purge goes by.

Rows that stand are brought to that form, some at a time; every step is safe to repeat. While the
runs get their names an index tells which runs could take the same one.

Locks: SHARE ROW EXCLUSIVE on each table for an instant; SHARE UPDATE EXCLUSIVE on the runs while
the index is built and dropped (readers and writers go on); row locks of one batch of the fill.
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
FILLED = (
    ("walkforward_runs", "backfill_walkforward_runs", ("run_id",)),
    ("walkforward_folds", "backfill_walkforward_folds", ("run_id", "fold_number")),
    ("simulation_runs", "backfill_simulation_runs", ("simulation_id",)),
    ("simulation_trades", "backfill_simulation_trades", ("trade_id",)),
    ("stage1_jobs", "backfill_stage1_jobs", ("job_id",)),
)


UNNAMED = "ix_walkforward_runs_unnamed"


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0009/{name}.sql")
    op.create_index_online(
        UNNAMED,
        "walkforward_runs",
        ("dataset_id", "(walk_config ->> 'prediction_measurement')"),
        where="coalesce(prediction_measurement, '') = ''",
    )
    op.backfill("walkforward_runs", "0009/backfill_run_names.sql", key=("run_id",))
    op.drop_index_online(UNNAMED)
    for table, name, key in FILLED:
        op.backfill(table, f"0009/{name}.sql", key=key)


def downgrade() -> None:
    op.run_sql_file("0009/drop.sql")
