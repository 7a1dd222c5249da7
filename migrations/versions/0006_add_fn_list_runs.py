"""Add the function fn_list_runs

Clients page through the runs of a dataset by this function, so that the query behind it can change
without a new client.

Locks: none that a reader or writer could feel.
Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"

FILES = (
    "stage1_page_size",
    "stage1_cursor_gone",
    "fn_list_runs",
)


def upgrade() -> None:
    for name in FILES:
        op.run_sql_file(f"0006/{name}.sql")


def downgrade() -> None:
    op.run_sql_file("0006/drop.sql")
