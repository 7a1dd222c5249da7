"""Add the lookup indexes

Clients look a run up by prediction_measurement and a simulation by questdb_namespace, page through
lists newest first, and delete parents; without an index each of these reads the whole table.

Locks: SHARE on each table while its index is built (writers wait).
Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INDEXES = (
    ("walkforward_runs", ("prediction_measurement",)),
    ("simulation_runs", ("questdb_namespace",)),
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
JOB_INDEXES = (
    ("ix_stage1_jobs_pending", ("created_at", "job_id"), "status = 'PENDING'"),
    ("ix_stage1_jobs_purge", ("completed_at",), "status = 'COMPLETED'"),
)


def name_of(table: str, columns: tuple[str, ...]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def upgrade() -> None:
    for table, columns in INDEXES:
        op.create_index(name_of(table, columns), table, list(columns))
    for name, columns, where in JOB_INDEXES:
        op.create_index(name, "stage1_jobs", list(columns), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, _, _ in reversed(JOB_INDEXES):
        op.drop_index(name, "stage1_jobs")
    for table, columns in reversed(INDEXES):
        op.drop_index(name_of(table, columns), table)
