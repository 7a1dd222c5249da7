"""The queue that job workers claim from."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from stage1_schema.models.base import Base, Touched, one_of

JOB_STATUSES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")


class Job(Touched, Base):
    """One job. Workers claim the oldest PENDING one with FOR UPDATE SKIP LOCKED."""

    __tablename__ = "stage1_jobs"
    __table_args__ = (
        CheckConstraint(one_of("status", *JOB_STATUSES), name="status"),
        Index(
            "ix_stage1_jobs_pending",
            "created_at",
            "job_id",
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index(
            "ix_stage1_jobs_purge",
            "completed_at",
            postgresql_where=text("status = 'COMPLETED'"),
        ),
    )

    job_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    job_type: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="PENDING")
    progress: Mapped[float | None] = mapped_column(server_default=text("0"))
    total: Mapped[float | None]
    message: Mapped[str | None]
    error: Mapped[str | None]
    payload: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
