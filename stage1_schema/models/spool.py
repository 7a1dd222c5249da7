"""What replays of spool files leave behind: history, statements held back, units that are known."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from stage1_schema.models.base import EMPTY_OBJECT, NOW, Base, one_of

QUARANTINE_STATES = ("open", "applied", "superseded", "discarded")


class SpoolReplay(Base):
    """One replay of one file. Without `finished_at` it was interrupted.

    `consumed_bytes` and `consumed_lines` say how far the file was taken up, and `digest` is the
    SHA-256 of that part: the next replay goes on there if it still is the same.
    """

    __tablename__ = "spool_replays"
    __table_args__ = (Index(None, "source", "replay_id"),)

    replay_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str]
    mode: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    consumed_bytes: Mapped[int | None] = mapped_column(BigInteger)
    consumed_lines: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str | None]
    report: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    exit_code: Mapped[int | None]


class SpoolQuarantine(Base):
    """A statement that was not applied, with its text and the reason.

    An `open` one that may be applied later is tried again by every replay; that writes nothing
    while the reason stays.
    `position` is its offset in the file in bytes, `digest` the SHA-256 of its text; `target` and
    `row_key` name the row, where that is known, or its rows, with commas between them.
    """

    __tablename__ = "spool_quarantine"
    __table_args__ = (
        CheckConstraint(one_of("state", *QUARANTINE_STATES), name="state"),
        UniqueConstraint("source", "digest"),
        Index(
            "ix_spool_quarantine_open",
            "quarantine_id",
            postgresql_where=text("state = 'open'"),
        ),
        # A hash takes a key of any length.
        Index(
            "ix_spool_quarantine_row_key",
            "row_key",
            postgresql_using="hash",
            postgresql_where=text("state = 'open'"),
        ),
        Index(
            "ix_spool_quarantine_row_keys",
            "quarantine_id",
            postgresql_where=text("state = 'open' AND row_key LIKE '%,%'"),
        ),
    )

    quarantine_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    reason: Mapped[str]
    statement: Mapped[str]
    digest: Mapped[str]
    target: Mapped[str | None]
    row_key: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default="open")
    first_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SpoolUnit(Base):
    """How a dataset, run or simulation stood after several statements for the same row.

    Whether those change anything only shows once they have run: while the digest of what was
    `sent` and the digest of the rows that `stand` are the same, they need not.
    """

    __tablename__ = "spool_units"

    target: Mapped[str] = mapped_column(primary_key=True)
    unit: Mapped[UUID] = mapped_column(primary_key=True)
    sent: Mapped[str]
    stand: Mapped[str]
