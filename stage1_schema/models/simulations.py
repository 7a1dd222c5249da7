"""Trading simulations over a run's predictions, their trades and per-side summaries."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from stage1_schema.models.base import Base, Created, Touched, one_of

MODES = ("long", "short", "dual")
BUCKET_SIDES = (*MODES, "all")
TRADE_SIDES = ("long", "short")


class SimulationRun(Touched, Base):
    """One simulation of one run. `questdb_namespace` names its QuestDB tables."""

    __tablename__ = "simulation_runs"
    __table_args__ = (
        CheckConstraint(one_of("mode", *MODES), name="mode"),
        UniqueConstraint("run_id", "questdb_namespace"),
        Index("idx_simulation_runs_namespace", "questdb_namespace"),
        Index(None, "run_id", "created_at", "simulation_id"),
        Index(None, "dataset_id", "created_at", "simulation_id"),
        Index(None, "created_at", "simulation_id"),
        Index(None, "completed_at"),
    )

    simulation_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("walkforward_runs.run_id", ondelete="CASCADE"))
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.dataset_id", ondelete="CASCADE"))
    input_run_measurement: Mapped[str | None]
    questdb_namespace: Mapped[str | None]
    mode: Mapped[str | None]
    config: Mapped[dict[str, Any] | None]
    status: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    summary_metrics: Mapped[dict[str, Any] | None]
    serialized_config: Mapped[str | None] = mapped_column(sort_order=910)
    serialized_config_generated: Mapped[bool] = mapped_column(
        server_default=false(), sort_order=911
    )


class SimulationTrade(Created, Base):
    """One trade. `bar_timestamp` is the entry; `return_pct` values are in percent."""

    __tablename__ = "simulation_trades"
    __table_args__ = (
        CheckConstraint(one_of("side", *TRADE_SIDES), name="side"),
        Index(None, "simulation_id", "bar_timestamp", "trade_id"),
    )

    trade_id: Mapped[UUID] = mapped_column(primary_key=True)
    simulation_id: Mapped[UUID] = mapped_column(
        ForeignKey("simulation_runs.simulation_id", ondelete="CASCADE")
    )
    bar_timestamp: Mapped[datetime | None]
    side: Mapped[str | None]
    size: Mapped[float | None]
    entry_price: Mapped[float | None]
    exit_price: Mapped[float | None]
    pnl: Mapped[float | None]
    return_pct: Mapped[float | None]
    exit_timestamp: Mapped[datetime | None]
    exit_reason: Mapped[str | None]
    cumulative_return_pct: Mapped[float | None]
    fold_index: Mapped[int | None] = mapped_column(BigInteger)
    trade_metadata: Mapped[dict[str, Any] | None] = mapped_column("metadata")


class SimulationTradeBucket(Created, Base):
    """The summary of one side of a simulation; a `profit_factor` of 999 is a cap."""

    __tablename__ = "simulation_trade_buckets"
    __table_args__ = (CheckConstraint(one_of("side", *BUCKET_SIDES), name="side"),)

    simulation_id: Mapped[UUID] = mapped_column(
        ForeignKey("simulation_runs.simulation_id", ondelete="CASCADE"), primary_key=True
    )
    side: Mapped[str] = mapped_column(primary_key=True)
    trade_count: Mapped[int | None] = mapped_column(BigInteger)
    win_count: Mapped[int | None] = mapped_column(BigInteger)
    profit_factor: Mapped[float | None]
    avg_return_pct: Mapped[float | None]
    max_drawdown_pct: Mapped[float | None]
    notes: Mapped[str | None]
