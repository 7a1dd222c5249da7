"""Datasets: the master table that everything else refers to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from stage1_schema.models.base import EMPTY_OBJECT, Base, Touched


class Dataset(Touched, Base):
    """One exported dataset: its slug, its two QuestDB tables, and how far they reach.

    Integer times are ms since 1970 UTC. `metadata` is the exporter's manifest (contract, part 2).
    """

    __tablename__ = "datasets"
    __table_args__ = (
        UniqueConstraint("dataset_slug"),
        Index(None, "created_at", "dataset_id"),
        Index(None, "updated_at", "dataset_id"),
    )

    dataset_id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_slug: Mapped[str]
    symbol: Mapped[str | None]
    granularity: Mapped[str | None]
    source: Mapped[str | None]
    bar_interval_ms: Mapped[int | None] = mapped_column(BigInteger)
    lookback_rows: Mapped[int | None] = mapped_column(BigInteger)
    ohlcv_measurement: Mapped[str | None]
    indicator_measurement: Mapped[str | None]
    ohlcv_row_count: Mapped[int | None] = mapped_column(BigInteger)
    indicator_row_count: Mapped[int | None] = mapped_column(BigInteger)
    ohlcv_first_ts: Mapped[datetime | None]
    ohlcv_last_ts: Mapped[datetime | None]
    indicator_first_ts: Mapped[datetime | None]
    indicator_last_ts: Mapped[datetime | None]
    first_ohlcv_ts: Mapped[int | None] = mapped_column(BigInteger)
    first_indicator_ts: Mapped[int | None] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY_OBJECT)
    is_placeholder: Mapped[bool] = mapped_column(server_default=false())
