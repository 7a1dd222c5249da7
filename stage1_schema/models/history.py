"""What was applied to a database, when and by whom: kept beside Alembic's own version table.

It is no part of `Base.metadata`. Like `alembic_version` it exists before the first revision and
survives the last downgrade and a reset, so no revision can create it (docs/decisions/0010).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

MIGRATION_HISTORY = Table(
    "stage1_migration_history",
    MetaData(schema="public"),
    Column("id", BigInteger, Identity(always=True)),
    Column("revision", Text, nullable=False),
    Column("direction", Text, nullable=False),  # upgrade, downgrade, stamp or reset
    Column("file_sha256", Text),  # of the revision's file and its frozen bodies
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("db_user", Text, nullable=False, server_default=text("current_user")),
    Column("os_user", Text),
    Column("host", Text),
    Column("application_version", Text),
    Column("questdb", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    PrimaryKeyConstraint("id", name="stage1_migration_history_pkey"),
)
