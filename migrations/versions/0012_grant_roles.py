"""Grant the application and read-only roles what they need

The application reads and writes rows and never deletes them, but for finished jobs and for surplus
trades. Debuggers read. Default privileges let later tables inherit both. An owner keeps its rights:
where the application owns the tables, nothing restricts it.

Locks: none that a reader or writer could feel.
Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.run_sql_file("0012/grants.sql")


def downgrade() -> None:
    op.run_sql_file("0012/revoke.sql")
