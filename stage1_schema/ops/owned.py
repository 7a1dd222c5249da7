"""The QuestDB tables that PostgreSQL knows: of datasets, of runs and of simulations, declared.

Names recorded with a dataset win (columns, then manifest); the canonical pair is the default where
none is recorded (contract, part 5). For databases at head; `datasets.recorded_tables` reads every
variant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from questdb_ddl import Column, DeclarationError, Double
from questdb_ddl.tables import (
    INDICATOR_BARS,
    SHARED_TABLES,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
    unlike_indicators,
    unlike_ohlcv,
    unlike_predictions,
    unlike_simulation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from questdb_ddl import LiveTable, Table


class Role(StrEnum):
    """What a table holds."""

    SHARED = "shared"
    OHLCV = "bars"
    INDICATORS = "indicators"
    PREDICTIONS = "predictions"
    SIMULATION = "simulation"


_UNLIKE = {
    Role.OHLCV: unlike_ohlcv,
    Role.INDICATORS: unlike_indicators,
    Role.PREDICTIONS: unlike_predictions,
    Role.SIMULATION: unlike_simulation,
}


@dataclass(frozen=True)
class Claim:
    """A record that names a table: what for, and of which dataset. No name is the canonical one."""

    role: Role
    dataset: str
    name: str | None = None
    indicators: tuple[str, ...] = ()

    def declare(self) -> Table:
        """Return the declaration; raises DeclarationError for a name QuestDB refuses."""
        if self.role is Role.OHLCV:
            return ohlcv_table(self.dataset, name=self.name)
        if self.role is Role.INDICATORS:
            return indicators_table(self.dataset, name=self.name, indicators=self.indicators)
        name = self.name or ""
        return predictions_table(name) if self.role is Role.PREDICTIONS else simulation_table(name)

    def __str__(self) -> str:
        return f"{self.role} of {self.dataset}"


@dataclass(frozen=True)
class Owned:
    """One declared table, and who claims it; nobody does a shared one."""

    table: Table
    role: Role
    claims: tuple[Claim, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """The slugs of the datasets that claim it, of their runs or simulations."""
        return tuple(dict.fromkeys(claim.dataset for claim in self.claims))

    def foreign(self, live: LiveTable) -> str | None:
        """Return why `live` is somebody else's table, None where it has the columns of a claim.

        A record can name any table of the server; such a one is never dropped by its record.
        """
        reasons = []
        for role in dict.fromkeys(claim.role for claim in self.claims):
            if (why := _UNLIKE[role](live)) is None:
                return None
            reasons.append(f"it is recorded as {role}, and {why}")
        return "; ".join(reasons) or None

    @property
    def trouble(self) -> str | None:
        """What comes of several records that name this one table, None where nothing does."""
        who = " and ".join(dict.fromkeys(map(str, self.claims)))
        roles = {claim.role for claim in self.claims}
        if len(self.datasets) == 1 and roles == {Role.OHLCV, Role.INDICATORS}:
            return (
                f"{self.table.name} takes {who}: send indicators with the tag dataset_id, or one "
                "line for both, since without it the later line of a bar replaces the earlier"
            )
        if len(self.datasets) > 1 or len(roles) > 1:
            return (
                f"{self.table.name} is claimed as {who}: their rows share one table; record "
                "another name with one of them"
            )
        return None


@dataclass(frozen=True)
class Catalogue:
    """Every declared table, and the recorded names that QuestDB would not take, with reasons.

    `datasets` are the slugs of all, also of one that records no name but shared or unusable ones.
    """

    owned: tuple[Owned, ...]
    unusable: tuple[str, ...] = ()
    datasets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, claims: Iterable[Claim]) -> Catalogue:
        """Return the shared tables and what `claims` name; several claims of a name are one table.

        Such a table has the columns and the keys of all, so that no claim's rows are lost.
        """
        owned = {found.table.name.lower(): found for found in SHARED.owned}
        indicators: dict[str, str] = {}
        unusable = []
        datasets = set()
        for claim in claims:
            datasets.add(claim.dataset)
            try:
                table = claim.declare()
            except DeclarationError as error:
                unusable.append(f"{claim}: {error}")
                continue
            indicators |= {name.lower(): name for name in claim.indicators}
            key = table.name.lower()
            found = owned.get(key)
            if found is None:
                owned[key] = Owned(table, claim.role, (claim,))
            elif found.role is not Role.SHARED:
                both = _both(found.table, table)
                owned[key] = replace(found, table=both, claims=(*found.claims, claim))
        bars = with_indicators(INDICATOR_BARS, indicators.values())
        owned[bars.name] = Owned(bars, Role.SHARED)
        return cls(tuple(owned.values()), tuple(unusable), frozenset(datasets))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The declarations alone."""
        return tuple(owned.table for owned in self.owned)

    @property
    def collisions(self) -> tuple[str, ...]:
        """What to know of tables that several records name."""
        return tuple(owned.trouble for owned in self.owned if owned.trouble)

    def find(self, name: str) -> Owned | None:
        """Return the table called `name` in any letter case."""
        return next((o for o in self.owned if o.table.name.lower() == name.lower()), None)

    def of_dataset(self, slug: str) -> tuple[Owned, ...]:
        """Return the tables of one dataset, of its runs and of its simulations."""
        return self.by_dataset().get(slug, ())

    def by_dataset(self) -> dict[str, tuple[Owned, ...]]:
        """Return the tables of every dataset, of its runs and of its simulations, by slug."""
        found: dict[str, tuple[Owned, ...]] = {}
        for owned in self.owned:
            for slug in owned.datasets:
                found[slug] = (*found.get(slug, ()), owned)
        return found


def with_indicators(table: Table, indicators: Iterable[str]) -> Table:
    """Return `table` with a DOUBLE column for each indicator that it lacks."""
    lacking = [Column(name, Double()) for name in indicators if table.column(name) is None]
    return replace(table, columns=(*table.columns, *lacking)) if lacking else table


def _both(first: Table, second: Table) -> Table:
    if first.columns == second.columns:
        return first
    more = tuple(c for c in second.columns if first.column(c.name) is None)
    keys = dict.fromkeys(k.lower() for k in (*first.dedup_keys, *second.dedup_keys))
    return replace(first, columns=(*first.columns, *more), dedup_keys=tuple(keys), extensible=True)


SHARED = Catalogue(tuple(Owned(table, Role.SHARED) for table in SHARED_TABLES))
"""What is declared without asking PostgreSQL."""

INDICATORS_KEY = "declared_indicators"
"""Where `datasets.metadata` keeps the indicators that were declared; no client's manifest has it,
and what a client writes is merged into the manifest."""

_DATASETS = text("""
SELECT dataset_slug, ohlcv_measurement, indicator_measurement, metadata
  FROM datasets ORDER BY dataset_slug
""")
_RUNS = text("""
SELECT d.dataset_slug,
       coalesce(nullif(r.prediction_measurement, ''),
                r.walk_config ->> 'prediction_measurement') AS name
  FROM walkforward_runs r JOIN datasets d USING (dataset_id)
 WHERE CAST(:standing AS text[]) IS NULL
    OR lower(coalesce(nullif(r.prediction_measurement, ''),
                      r.walk_config ->> 'prediction_measurement')) = ANY(:standing)
 ORDER BY 1, 2
""")
_SIMULATIONS = text("""
SELECT d.dataset_slug, s.questdb_namespace AS name
  FROM simulation_runs s JOIN datasets d USING (dataset_id)
 WHERE CAST(:standing AS text[]) IS NULL OR lower(s.questdb_namespace) = ANY(:standing)
 ORDER BY 1, 2
""")


def read(connection: Connection, standing: Iterable[str] | None = None) -> Catalogue:
    """Return every declared table: the shared ones first, then those that PostgreSQL records.

    With the names of the `standing` tables, those of runs and simulations are only these: there
    can be millions of runs, whose rows are in the shared tables.
    """
    return Catalogue.of(claims(connection, standing))


def recorded_pair(row: Any) -> tuple[str | None, str | None]:  # noqa: ANN401 - a row of datasets
    """Return the names of bars and indicators that a row of `datasets` records, None where not."""
    manifest = _manifest(row)
    return (
        row.ohlcv_measurement or manifest.get("ohlcv_measurement") or None,
        row.indicator_measurement or manifest.get("indicator_measurement") or None,
    )


def recorded_indicators(row: Any) -> tuple[str, ...]:  # noqa: ANN401 - a row of datasets
    """Return the indicators that were declared with a row of `datasets`."""
    names = _manifest(row).get(INDICATORS_KEY)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _manifest(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of datasets
    manifest = row.metadata
    if isinstance(manifest, str):  # a writer sends JSON inside a JSON string
        try:
            manifest = json.loads(manifest)
        except ValueError:
            return {}
    return manifest if isinstance(manifest, dict) else {}


def claims(connection: Connection, standing: Iterable[str] | None = None) -> Iterator[Claim]:
    """Yield every record that names a table: of datasets, then of runs, then of simulations."""
    names = None if standing is None else [name.lower() for name in standing]
    for row in connection.execute(_DATASETS):
        bars, indicators = recorded_pair(row)
        yield Claim(Role.OHLCV, row.dataset_slug, bars)
        yield Claim(Role.INDICATORS, row.dataset_slug, indicators, recorded_indicators(row))
    for role, query in ((Role.PREDICTIONS, _RUNS), (Role.SIMULATION, _SIMULATIONS)):
        for row in connection.execute(query, {"standing": names}):
            if row.name:
                yield Claim(role, row.dataset_slug, row.name)
