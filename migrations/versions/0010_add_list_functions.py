"""Add dataset_catalog and the functions that list datasets, simulations and folds

Dashboards page through these as through fn_list_runs, and show how many runs and simulations a
dataset has without asking for each.

Locks: none that a reader or writer could feel.
Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"

FILES = (
    "dataset_catalog",
    "fn_list_datasets",
    "fn_list_simulations",
    "fn_list_folds",
)


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0010/{name}.sql")


def downgrade() -> None:
    op.run_sql_file("0010/drop.sql")
