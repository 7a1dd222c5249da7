"""Walk-forward runs and their folds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from stage1_schema.models.base import Base, Created, Touched, one_of

RUN_STATUSES = ("COMPLETED", "INCOMPLETE", "PENDING", "QUEUED", "RUNNING", "FAILED")


class WalkforwardRun(Touched, Base):
    """One walk-forward run over a dataset; `duration_ms` is in ms."""

    __tablename__ = "walkforward_runs"
    __table_args__ = (
        CheckConstraint(one_of("status", *RUN_STATUSES), name="status"),
        UniqueConstraint("dataset_id", "prediction_measurement"),
        Index("idx_walkforward_runs_measurement", "prediction_measurement"),
        Index(None, "dataset_id", "created_at", "run_id"),
        Index(None, "created_at", "run_id"),
        Index(None, "completed_at"),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.dataset_id", ondelete="CASCADE"))
    prediction_measurement: Mapped[str | None]
    target_column: Mapped[str | None]
    feature_columns: Mapped[dict[str, Any] | None]
    hyperparameters: Mapped[dict[str, Any] | None]
    walk_config: Mapped[dict[str, Any] | None]
    status: Mapped[str | None]
    requested_by: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    summary_metrics: Mapped[dict[str, Any] | None]
    serialized_config: Mapped[str | None] = mapped_column(sort_order=910)
    serialized_config_generated: Mapped[bool] = mapped_column(
        server_default=false(), sort_order=911
    )
    is_placeholder: Mapped[bool] = mapped_column(server_default=false())


class WalkforwardFold(Created, Base):
    """One fold of a run. Index ranges are half-open `[start, end)`; `*_ts_ms` are ms UTC."""

    __tablename__ = "walkforward_folds"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("walkforward_runs.run_id", ondelete="CASCADE"), primary_key=True
    )
    fold_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    train_start_idx: Mapped[int | None] = mapped_column(BigInteger)
    train_end_idx: Mapped[int | None] = mapped_column(BigInteger)
    test_start_idx: Mapped[int | None] = mapped_column(BigInteger)
    test_end_idx: Mapped[int | None] = mapped_column(BigInteger)
    train_start_ts_ms: Mapped[int | None] = mapped_column(BigInteger)
    train_end_ts_ms: Mapped[int | None] = mapped_column(BigInteger)
    test_start_ts_ms: Mapped[int | None] = mapped_column(BigInteger)
    test_end_ts_ms: Mapped[int | None] = mapped_column(BigInteger)
    samples_train: Mapped[int | None] = mapped_column(BigInteger)
    samples_test: Mapped[int | None] = mapped_column(BigInteger)
    best_iteration: Mapped[int | None] = mapped_column(BigInteger)
    best_score: Mapped[float | None]
    thresholds: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any] | None]
