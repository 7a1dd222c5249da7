"""Add serialized_config to runs and simulations

Clients copy and paste a run's configuration as text; until now that text lived in no table.
Adds the text and a flag that tells generated text from a client's own (catalogue-only change, no
rewrite), the functions and triggers that fill it from the JSON columns, then fills the rows that
stand by touching them.

Locks: ACCESS EXCLUSIVE for an instant on both tables, then row locks of the fill until commit.
Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = ("walkforward_runs", "simulation_runs")
FILES = (
    "stage1_config_section",
    "stage1_config_text",
    "stage1_own_config",
    "stage1_run_serialized_config",
    "stage1_simulation_serialized_config",
    "walkforward_runs_tg_25_own_config",
    "walkforward_runs_tg_30_serialized_config",
    "simulation_runs_tg_25_own_config",
    "simulation_runs_tg_30_serialized_config",
)


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("serialized_config", sa.Text()))
        op.add_column(
            table,
            sa.Column(
                "serialized_config_generated",
                sa.Boolean(),
                server_default=sa.false(),
                nullable=False,
            ),
        )
    for name in FILES:
        op.run_sql_file(f"0002/{name}.sql")
    op.run_sql_file("0002/backfill.sql")


def downgrade() -> None:
    op.run_sql_file("0002/drop.sql")
    for table in TABLES:
        op.drop_column(table, "serialized_config_generated")
        op.drop_column(table, "serialized_config")
