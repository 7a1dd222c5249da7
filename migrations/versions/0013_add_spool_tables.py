"""Add spool_replays, spool_quarantine and spool_units

A replay of a spool file remembers how far it got, so that the next one goes on there, and keeps
the statements that could not be applied until they can be. It also remembers how datasets, runs
and simulations stood after several statements for one row, so that these are not run for nothing.

The way back drops them where they are empty, else moves them to a schema of their own.

Locks: none that a reader or writer could feel.
Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "spool_replays",
        sa.Column("replay_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("consumed_bytes", sa.BigInteger(), nullable=True),
        sa.Column("consumed_lines", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("report", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("replay_id", name=op.f("pk_spool_replays")),
    )
    op.create_index(
        op.f("ix_spool_replays_source_replay_id"), "spool_replays", ["source", "replay_id"]
    )
    op.create_table(
        "spool_quarantine",
        sa.Column("quarantine_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("row_key", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('open', 'applied', 'superseded', 'discarded')",
            name=op.f("ck_spool_quarantine_state"),
        ),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("pk_spool_quarantine")),
        sa.UniqueConstraint("source", "digest", name=op.f("uq_spool_quarantine_source_digest")),
    )
    op.create_index(
        "ix_spool_quarantine_open",
        "spool_quarantine",
        ["quarantine_id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_spool_quarantine_row_key",
        "spool_quarantine",
        ["row_key"],
        postgresql_using="hash",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_spool_quarantine_row_keys",
        "spool_quarantine",
        ["quarantine_id"],
        postgresql_where=sa.text("state = 'open' AND row_key LIKE '%,%'"),
    )
    op.create_table(
        "spool_units",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("unit", sa.Uuid(), nullable=False),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.Column("stand", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target", "unit", name=op.f("pk_spool_units")),
    )
    op.run_sql_file("0013/grant.sql")


def downgrade() -> None:
    op.retire_tables("spool_units", "spool_quarantine", "spool_replays")
