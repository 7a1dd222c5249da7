"""Register a dataset in PostgreSQL and create its tables in QuestDB, or take both away.

Neither store can undo the other. Each step therefore converges: whatever failed, the same command
run again goes on from what stands.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import text

from questdb_ddl import (
    DeclarationError,
    Plan,
    Table,
    VerificationFailed,
    apply,
    create_table,
    live_tables,
    plan_for,
    slug,
)
from questdb_ddl.tables import INDICATOR_BARS
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.ops import owned
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection, Row

    from stage1_schema.settings import Settings

_FIND = text("SELECT * FROM datasets WHERE dataset_slug = :slug")
_INSERT = text("""
INSERT INTO datasets (dataset_id, dataset_slug, symbol, granularity, source, bar_interval_ms,
                      lookback_rows, ohlcv_measurement, indicator_measurement, metadata, created_at)
VALUES (:dataset_id, :dataset_slug, :symbol, :granularity, :source, :bar_interval_ms,
        :lookback_rows, :ohlcv_measurement, :indicator_measurement, CAST(:metadata AS jsonb), now())
ON CONFLICT (dataset_id) DO UPDATE SET
  symbol = coalesce(EXCLUDED.symbol, datasets.symbol),
  granularity = coalesce(EXCLUDED.granularity, datasets.granularity),
  source = coalesce(EXCLUDED.source, datasets.source),
  bar_interval_ms = coalesce(EXCLUDED.bar_interval_ms, datasets.bar_interval_ms),
  lookback_rows = coalesce(EXCLUDED.lookback_rows, datasets.lookback_rows),
  ohlcv_measurement = EXCLUDED.ohlcv_measurement,
  indicator_measurement = EXCLUDED.indicator_measurement,
  metadata = datasets.metadata || EXCLUDED.metadata
""")


@dataclass(frozen=True)
class Attributes:
    """What a user can say about a dataset; None leaves what is recorded."""

    symbol: str | None = None
    granularity: str | None = None
    source: str | None = None
    bar_interval_ms: int | None = None
    lookback_rows: int | None = None


@dataclass(frozen=True)
class CreatePlan:
    """The row and the tables of a dataset; `known` tells that PostgreSQL has the row.

    `tables` are those of bars and of indicators, one where both have one name, and with
    `indicators` (all that were ever declared) the shared bars that get them too. `collisions` say
    what other records do with them.
    """

    dataset_id: UUID
    slug: str
    known: bool
    attributes: Attributes
    names: tuple[str, str]
    indicators: tuple[str, ...]
    tables: tuple[Table, ...]
    collisions: tuple[str, ...]

    def __str__(self) -> str:
        verb = "updates" if self.known else "registers"
        given = {k: v for k, v in asdict(self.attributes).items() if v is not None}
        words = ", ".join(f"{key} {value}" for key, value in given.items())
        lines = [f"-- PostgreSQL: {verb} dataset {self.slug} {self.dataset_id} ({words})"]
        lines += [f"{create_table(table)};" for table in self.tables]
        lines += [f"-- collision: {told}" for told in self.collisions]
        return "\n".join(lines)


class Outcome(StrEnum):
    """What `create` did to a table."""

    CREATED = "created"
    EXTENDED = "got the columns that it lacked"
    UNCHANGED = "already there"


def plan_create(
    settings: Settings, name: str, attributes: Attributes, indicators: Iterable[str] = ()
) -> CreatePlan:
    """Return what `create` would do; changes nothing.

    `indicators` are columns to declare ahead as DOUBLE, besides those declared before. Names that
    are recorded with the dataset win over the canonical pair. Raises Stage1Error.
    """
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        return _plan(connection, name, attributes, tuple(indicators))


def _plan(
    connection: Connection, name: str, attributes: Attributes, indicators: tuple[str, ...]
) -> CreatePlan:
    try:
        stem = slug(name)
        row = connection.execute(_FIND, {"slug": name}).one_or_none()
        row = row or connection.execute(_FIND, {"slug": stem}).one_or_none()
        known = row.dataset_slug if row else stem
        bars, values = owned.recorded_pair(row) if row else (None, None)
        declared = {n.lower(): n for n in indicators}
        declared |= {n.lower(): n for n in (owned.recorded_indicators(row) if row else ())}
        mine = (
            owned.Claim(owned.Role.OHLCV, known, bars),
            owned.Claim(owned.Role.INDICATORS, known, values, tuple(declared.values())),
        )
        names = tuple(claim.declare().name for claim in mine)
    except DeclarationError as error:
        raise Stage1Error(
            str(error),
            next_step="choose another slug or indicator, or mend the name that is recorded.",
        ) from None
    lower = {found.lower() for found in names}
    others = [c for c in owned.claims(connection) if c.dataset != known or c.role not in _PAIR]
    named = [c for c in others if (c.name or _canonical(c)).lower() in lower]
    catalogue = owned.Catalogue.of([*mine, *named])
    concerned = (*names, INDICATOR_BARS.name) if declared else names
    tables = {found.table.name: found.table for n in concerned if (found := catalogue.find(n))}
    return CreatePlan(
        dataset_id=row.dataset_id if row else uuid4(),
        slug=known,
        known=row is not None,
        attributes=attributes,
        names=(names[0], names[1]),
        indicators=tuple(declared.values()),
        tables=tuple(tables.values()),
        collisions=catalogue.collisions,
    )


_PAIR = {owned.Role.OHLCV, owned.Role.INDICATORS}


def _canonical(claim: owned.Claim) -> str:
    try:
        return claim.declare().name
    except DeclarationError:
        return ""


def create(
    settings: Settings,
    name: str,
    attributes: Attributes,
    indicators: Iterable[str] = (),
    on_step: Callable[[str], None] = lambda _: None,
) -> tuple[CreatePlan, tuple[Outcome, ...]]:
    """Register the dataset and create its tables; safe to repeat after a failure at any point.

    Columns that a table lacks are added. The row is committed last, so PostgreSQL never names
    tables that do not stand. A table that stands with another structure is registered too, because
    what plans and rebuilds it needs the record, and then told with its remedy: Stage1Error.
    """
    with plain_errors(settings.postgres), engine(settings.postgres).begin() as connection:
        # Two that register the same slug at once wait for each other here.
        connection.execute(_LOCK, {"key": f"stage1 dataset {slug(name)}"})
        intent = _plan(connection, name, attributes, tuple(indicators))
        connection.execute(_INSERT, _values(intent))
        if intent.indicators:  # and two that add columns to the bars of all here
            connection.execute(_LOCK, {"key": f"stage1 {INDICATOR_BARS.name}"})
        on_step("registered")
        done, differing = _bring_about(settings, intent, on_step)
    on_step("committed")
    if differing:
        raise differing[0]
    return intent, done


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext(:key))")


def _values(intent: CreatePlan) -> dict[str, Any]:
    given = asdict(intent.attributes)
    row = {
        "dataset_id": str(intent.dataset_id),
        "dataset_slug": intent.slug,
        "ohlcv_measurement": intent.names[0],
        "indicator_measurement": intent.names[1],
    }
    manifest = row | {key: value for key, value in given.items() if value is not None}
    if intent.indicators:
        manifest[owned.INDICATORS_KEY] = intent.indicators
    return given | row | {"metadata": json.dumps(manifest)}


def _bring_about(
    settings: Settings, intent: CreatePlan, on_step: Callable[[str], None]
) -> tuple[tuple[Outcome, ...], tuple[QuestDBError, ...]]:
    done, differing = [], []
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        for table in intent.tables:
            plan = plan_for(questdb, [table])
            if plan.refusals or plan.hazards:
                differing.append(_differs(intent, table, plan))
                continue
            try:
                steps = apply(questdb, plan)
            except VerificationFailed:  # a writer was quicker than CREATE
                differing.append(_differs(intent, table, plan_for(questdb, [table])))
                continue
            created = any(step.sql.startswith("CREATE") for step in steps)
            done.append(
                Outcome.CREATED if created else Outcome.EXTENDED if steps else Outcome.UNCHANGED
            )
            on_step(f"{done[-1]}: {table.name}")
    return tuple(done), tuple(differing)


def _differs(intent: CreatePlan, table: Table, plan: Plan) -> QuestDBError:
    """Return what to do about a table that only a rebuild, or a step with a cost, can mend."""
    reasons = [refusal.reason for refusal in plan.refusals] or [s.reason for s in plan.steps]
    remedy = f"stage1 questdb rebuild {table.name} --dry-run"
    if any(reason.startswith("suspended") for reason in reasons):
        remedy = "run that statement once the cause is gone"
    elif not plan.refusals:
        remedy += ", or stage1 questdb apply" + "".join(f' --allow "{h}"' for h in plan.hazards)
    return QuestDBError(
        f"The table {table.name} is not as declared ({'; '.join(reasons)}); the dataset "
        f"{intent.slug} is registered.",
        next_step=f"{remedy}, then the same command again.",
    )


@dataclass(frozen=True)
class Shown:
    """One dataset as PostgreSQL records it, with its tables as they stand."""

    dataset_id: str
    slug: str
    symbol: str | None
    granularity: str | None
    source: str | None
    is_placeholder: bool
    runs: int
    simulations: int
    tables: tuple[dict[str, Any], ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


_LIST = text("""
SELECT d.dataset_id, d.dataset_slug, d.symbol, d.granularity, d.source, d.is_placeholder,
       (SELECT count(*) FROM walkforward_runs r WHERE r.dataset_id = d.dataset_id) AS runs,
       (SELECT count(*) FROM simulation_runs s WHERE s.dataset_id = d.dataset_id) AS simulations
  FROM datasets d ORDER BY d.dataset_slug
""")


def read_all(settings: Settings, only: str | None = None) -> tuple[Shown, ...]:
    """Return every dataset, or the one with the slug `only`. Raises Stage1Error."""
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        rows = [r for r in connection.execute(_LIST) if only is None or r.dataset_slug == only]
        declared = owned.read(connection).by_dataset()
    if only is not None and not rows:
        raise Stage1Error(f"There is no dataset {only}.", next_step="stage1 dataset list.")
    mine = {row.dataset_slug: declared.get(row.dataset_slug, ()) for row in rows}
    names = [found.table.name for tables in mine.values() for found in tables]
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        live = live_tables(questdb, names, counts=True)
    return tuple(_shown(row, mine[row.dataset_slug], live) for row in rows)


def _shown(row: Row[Any], tables: Iterable[owned.Owned], live: Any) -> Shown:  # noqa: ANN401
    def state(found: owned.Owned) -> dict[str, Any]:
        stands = live.get(found.table.name.lower())
        return {
            "name": found.table.name,
            "role": str(found.role),
            "stands": stands is not None,
            "suspended": stands is not None and stands.suspended,
            "rows": stands.row_count if stands and not stands.unread else None,
            "unread": stands.unread if stands else None,
            "detached": [str(each) for each in stands.detached or ()] if stands else [],
            "first": stands.min_timestamp if stands else None,
            "last": stands.max_timestamp if stands else None,
        }

    return Shown(
        dataset_id=str(row.dataset_id),
        slug=row.dataset_slug,
        symbol=row.symbol,
        granularity=row.granularity,
        source=row.source,
        is_placeholder=row.is_placeholder,
        runs=row.runs,
        simulations=row.simulations,
        tables=tuple(map(state, tables)),
    )
