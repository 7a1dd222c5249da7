"""Add the view dataset_hierarchy

The dashboard shows datasets, runs and simulations as one tree. Outer joins: a dataset without runs
and a run without simulations still show.

Locks: ACCESS SHARE on the tables for an instant.
Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.run_sql_file("0005/dataset_hierarchy.sql")


def downgrade() -> None:
    op.run_sql_file("0005/drop.sql")
