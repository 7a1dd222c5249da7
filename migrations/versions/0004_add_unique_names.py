"""Make the names of runs and simulations unique

A run's prediction_measurement names its QuestDB table within the dataset, a simulation's
questdb_namespace its tables within the run: two rows of one name would write into one table. The
indexes are built CONCURRENTLY and then made constraints; the revision can be repeated.

Locks: SHARE UPDATE EXCLUSIVE on each table while its index is built, then ACCESS EXCLUSIVE for an
instant.
Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"

RUN_NAME = "uq_walkforward_runs_dataset_id_prediction_measurement"
SIMULATION_NAME = "uq_simulation_runs_run_id_questdb_namespace"


def upgrade() -> None:
    op.refuse_duplicates("walkforward_runs", ["dataset_id", "prediction_measurement"])
    op.refuse_duplicates("simulation_runs", ["run_id", "questdb_namespace"])
    op.create_unique_online(RUN_NAME, "walkforward_runs", ["dataset_id", "prediction_measurement"])
    op.create_unique_online(SIMULATION_NAME, "simulation_runs", ["run_id", "questdb_namespace"])


def downgrade() -> None:
    op.drop_constraint(SIMULATION_NAME, "simulation_runs")
    op.drop_constraint(RUN_NAME, "walkforward_runs")
