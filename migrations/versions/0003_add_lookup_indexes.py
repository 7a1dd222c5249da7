"""Add the lookup indexes

Clients look a run up by prediction_measurement and a simulation by questdb_namespace, page through
lists newest first, and delete parents; without an index each of these reads the whole table. Each
index is built CONCURRENTLY and the revision can be repeated: an index that stands is left, an
INVALID one is built anew.

Locks: SHARE UPDATE EXCLUSIVE on each table while its index is built (readers and writers go on).
Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"

INDEXES = (
    ("datasets", ("updated_at", "dataset_id")),
    ("datasets", ("created_at", "dataset_id")),
    ("walkforward_runs", ("dataset_id", "created_at", "run_id")),
    ("walkforward_runs", ("created_at", "run_id")),
    ("walkforward_runs", ("completed_at",)),
    ("simulation_runs", ("run_id", "created_at", "simulation_id")),
    ("simulation_runs", ("dataset_id", "created_at", "simulation_id")),
    ("simulation_runs", ("created_at", "simulation_id")),
    ("simulation_runs", ("completed_at",)),
    ("simulation_trades", ("simulation_id", "bar_timestamp", "trade_id")),
)
# Operators know these by name and create them by hand (IF NOT EXISTS).
NAMED = (
    ("idx_walkforward_runs_measurement", "walkforward_runs", ("prediction_measurement",)),
    ("idx_simulation_runs_namespace", "simulation_runs", ("questdb_namespace",)),
)
JOB_INDEXES = (
    ("ix_stage1_jobs_pending", ("created_at", "job_id"), "status = 'PENDING'"),
    ("ix_stage1_jobs_purge", ("completed_at",), "status = 'COMPLETED'"),
)


def name_of(table: str, columns: tuple[str, ...]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def upgrade() -> None:
    for name, table, columns in NAMED:
        op.create_index_online(name, table, columns)
    for table, columns in INDEXES:
        op.create_index_online(name_of(table, columns), table, columns)
    for name, columns, where in JOB_INDEXES:
        op.create_index_online(name, "stage1_jobs", columns, where=where)


def downgrade() -> None:
    for name, _, _ in reversed(JOB_INDEXES):
        op.drop_index_online(name)
    for table, columns in reversed(INDEXES):
        op.drop_index_online(name_of(table, columns))
    for name, _, _ in reversed(NAMED):
        op.drop_index_online(name)
