"""The QuestDB tables that PostgreSQL knows: of datasets, of runs and of simulations, declared.

Names recorded with a dataset win (columns, then manifest); the canonical pair is the default where
none is recorded (contract, part 5). For databases at head; `datasets.recorded_tables` reads every
variant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from questdb_ddl import DeclarationError
from questdb_ddl.tables import (
    SHARED_TABLES,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from questdb_ddl import Table


class Role(StrEnum):
    """What a table holds."""

    SHARED = "shared"
    OHLCV = "bars"
    INDICATORS = "indicators"
    PREDICTIONS = "predictions"
    SIMULATION = "simulation"


@dataclass(frozen=True)
class Owned:
    """One declared table and whose it is: a dataset's slug, None for a shared table."""

    table: Table
    role: Role
    dataset: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """Every declared table, and the recorded names that QuestDB would not take, with reasons."""

    owned: tuple[Owned, ...]
    unusable: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """The declarations alone."""
        return tuple(owned.table for owned in self.owned)

    def find(self, name: str) -> Owned | None:
        """Return the table called `name` in any letter case."""
        return next((o for o in self.owned if o.table.name.lower() == name.lower()), None)

    def of_dataset(self, slug: str) -> tuple[Owned, ...]:
        """Return the tables of one dataset, of its runs and of its simulations."""
        return tuple(owned for owned in self.owned if owned.dataset == slug)


SHARED = Catalogue(tuple(Owned(table, Role.SHARED) for table in SHARED_TABLES))
"""What is declared without asking PostgreSQL."""

_DATASETS = text("""
SELECT dataset_slug, ohlcv_measurement, indicator_measurement, metadata
  FROM datasets ORDER BY dataset_slug
""")
_RUNS = text("""
SELECT d.dataset_slug,
       coalesce(nullif(r.prediction_measurement, ''),
                r.walk_config ->> 'prediction_measurement') AS name
  FROM walkforward_runs r JOIN datasets d USING (dataset_id) ORDER BY 1, 2
""")
_SIMULATIONS = text("""
SELECT d.dataset_slug, s.questdb_namespace AS name
  FROM simulation_runs s JOIN datasets d USING (dataset_id) ORDER BY 1, 2
""")


def read(connection: Connection) -> Catalogue:
    """Return every declared table: the shared ones first, then those that PostgreSQL records.

    A name that two records claim belongs to the first: bars, indicators, predictions, simulations.
    """
    owned = {found.table.name.lower(): found for found in SHARED.owned}
    unusable = []
    for role, slug, name in _claims(connection):
        try:
            table = declare(role, slug, name)
        except DeclarationError as error:
            unusable.append(f"{role} of {slug}: {error}")
            continue
        owned.setdefault(table.name.lower(), Owned(table, role, slug))
    return Catalogue(tuple(owned.values()), tuple(unusable))


def declare(role: Role, slug: str, name: str | None) -> Table:
    """Return the declaration of one table; raises DeclarationError for a name QuestDB refuses."""
    if role is Role.OHLCV:
        return ohlcv_table(slug, name=name)
    if role is Role.INDICATORS:
        return indicators_table(slug, name=name)
    return (
        predictions_table(name or "") if role is Role.PREDICTIONS else simulation_table(name or "")
    )


def recorded_pair(row: Any) -> tuple[str | None, str | None]:  # noqa: ANN401 - a row of datasets
    """Return the names of bars and indicators that a row of `datasets` records, None where not."""
    manifest = row.metadata
    if isinstance(manifest, str):  # a writer sends JSON inside a JSON string
        try:
            manifest = json.loads(manifest)
        except ValueError:
            manifest = {}
    manifest = manifest if isinstance(manifest, dict) else {}
    return (
        row.ohlcv_measurement or manifest.get("ohlcv_measurement") or None,
        row.indicator_measurement or manifest.get("indicator_measurement") or None,
    )


def _claims(connection: Connection) -> Iterator[tuple[Role, str, str | None]]:
    datasets = connection.execute(_DATASETS).all()
    for row in datasets:
        bars, indicators = recorded_pair(row)
        yield Role.OHLCV, row.dataset_slug, bars
        yield Role.INDICATORS, row.dataset_slug, indicators
    yield from _named(connection.execute(_RUNS), Role.PREDICTIONS)
    yield from _named(connection.execute(_SIMULATIONS), Role.SIMULATION)


def _named(rows: Iterable[Any], role: Role) -> Iterator[tuple[Role, str, str]]:
    return ((role, row.dataset_slug, row.name) for row in rows if row.name)
