"""Add serialized_config to runs and simulations

Clients copy and paste a run's configuration as text; until now that text lived in no table.
Adds the text and a flag that tells generated text from a client's own (catalogue-only change, no
rewrite), the functions and triggers that fill it from the JSON columns, then fills the rows that
stand by touching them, 5,000 at most in a transaction. Every step is safe to repeat: the fill is
outside the transaction, so an interrupted run leaves the rest committed and not stamped.

A downgrade drops the columns, and with them the text that a client wrote itself.

Locks: ACCESS EXCLUSIVE for an instant on both tables; row locks of one batch of the fill.
Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TRIGGERS = {
    "simulation_runs": (
        "simulation_runs_tg_25_own_config",
        "simulation_runs_tg_30_serialized_config",
    ),
    "walkforward_runs": (
        "walkforward_runs_tg_25_own_config",
        "walkforward_runs_tg_30_serialized_config",
    ),
}
FUNCTIONS = (
    "stage1_config_section",
    "stage1_config_text",
    "stage1_own_config",
    "stage1_run_serialized_config",
    "stage1_simulation_serialized_config",
)


def upgrade() -> None:
    for name in FUNCTIONS:  # first: nothing may come between a table's lock and the commit
        op.run_sql_file(f"0002/{name}.sql")
    for table, triggers in TRIGGERS.items():
        op.add_column(table, sa.Column("serialized_config", sa.Text()), if_not_exists=True)
        op.add_column(
            table,
            sa.Column(
                "serialized_config_generated",
                sa.Boolean(),
                server_default=sa.false(),
                nullable=False,
            ),
            if_not_exists=True,
        )
        for name in triggers:
            op.run_sql_file(f"0002/{name}.sql")
    op.backfill("walkforward_runs", "0002/backfill_walkforward_runs.sql", key=["run_id"])
    op.backfill("simulation_runs", "0002/backfill_simulation_runs.sql", key=["simulation_id"])


def downgrade() -> None:
    op.run_sql_file("0002/drop.sql")
    for table in TRIGGERS:
        op.drop_column(table, "serialized_config_generated")
        op.drop_column(table, "serialized_config")
