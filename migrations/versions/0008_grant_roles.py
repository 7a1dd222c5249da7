"""Grant the application and read-only roles what they need

The application reads and writes rows and never deletes them, but for finished jobs and for surplus
trades. Debuggers read. Default privileges let later tables inherit both.

Locks: none that a reader or writer could feel.
Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.run_sql_file("0008/grant.sql")


def downgrade() -> None:
    op.run_sql_file("0008/revoke.sql")
