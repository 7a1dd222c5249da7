"""Placeholders: marked rows that stand in for parents which no client ever recorded.

They are made on purpose, here and nowhere else; the real row takes their place when it arrives.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from psycopg.rows import args_row, scalar_row

from questdb_ddl import DeclarationError, slug
from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import orphans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from stage1_schema.ops.orphans import MissingRun, References
    from stage1_schema.settings import Settings

NAMESPACE = uuid5(NAMESPACE_DNS, "datasets.stage1")
"""The namespace of the ids that are made from a slug (docs/data-rules.md)."""

_MISSING = {
    "datasets": "SELECT id FROM unnest(%s::uuid[]) AS id"
    " WHERE NOT EXISTS (SELECT FROM datasets d WHERE d.dataset_id = id)"
    " AND stage1_current_dataset(id) = id",
    "walkforward_runs": "SELECT id FROM unnest(%s::uuid[]) AS id"
    " WHERE NOT EXISTS (SELECT FROM walkforward_runs r WHERE r.run_id = id)",
}


@dataclass(frozen=True)
class Placeholder:
    """A dataset: a placeholder, or the real row; `made` tells that it was not there before."""

    dataset_id: UUID
    dataset_slug: str
    symbol: str | None
    is_placeholder: bool
    made: bool


@dataclass(frozen=True)
class MissingDataset:
    """A dataset that nobody recorded; the slug is a guess from a run's name."""

    dataset_id: UUID
    slug: str | None


@dataclass(frozen=True)
class Backfill:
    """What was missing and, unless it was a dry run, now has a placeholder."""

    datasets: tuple[MissingDataset, ...]
    runs: tuple[MissingRun, ...]
    unreadable: int
    unresolved: tuple[str, ...]
    dry_run: bool

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


def id_of(name: str) -> UUID:
    """Return the id that a placeholder of a slug gets: the same each time, for each spelling.

    Raises Stage1Error, with the rule, for a slug that cannot be one.
    """
    try:
        return uuid5(NAMESPACE, slug(name))
    except DeclarationError as error:
        raise Stage1Error(
            str(error), next_step="give the slug with ASCII letters or digits, such as btc25_4h."
        ) from None


def ensure_slug(settings: Settings, name: str, symbol: str | None = None) -> Placeholder:
    """Return the dataset of that slug, made as a placeholder where there is none.

    Raises Stage1Error, with the rule, for a slug that cannot be one.
    """
    made = id_of(name)
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        found = connection.execute(
            "SELECT dataset_id FROM datasets WHERE dataset_slug = %s", [slug(name)]
        ).fetchone()
        return _ensure(connection, found[0] if found else made, name, symbol)


def ensure_dataset(
    settings: Settings, dataset_id: UUID, name: str | None = None, symbol: str | None = None
) -> Placeholder:
    """Return the dataset of that id, made as a placeholder where there is none.

    Raises PostgresError, with the rule, for a slug that cannot be one.
    """
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        return _ensure(connection, dataset_id, name, symbol)


def _ensure(
    connection: Connection[Any], dataset_id: UUID, name: str | None, symbol: str | None
) -> Placeholder:
    made = bool(_absent(connection, "datasets", [dataset_id]))
    cursor = connection.cursor(row_factory=args_row(partial(Placeholder, made=made)))
    (ensured,) = connection.execute(
        "SELECT ensure_dataset_placeholder(%s, %s, %s)", [dataset_id, name, symbol]
    )
    (found,) = cursor.execute(
        "SELECT dataset_id, dataset_slug, symbol, is_placeholder FROM datasets"
        " WHERE dataset_id = %s",
        ensured,
    )
    connection.commit()
    return found


def backfill(settings: Settings, found: References, *, dry_run: bool = False) -> Backfill:
    """Make placeholders for what is neither in the database nor brought by the file itself.

    All or nothing. Raises PostgresError.
    """
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        runs = _missing_runs(connection, found)
        datasets = _missing_datasets(connection, found, runs)
        if not dry_run:
            for dataset in datasets:
                connection.execute(
                    "SELECT ensure_dataset_placeholder(%s, %s)", [dataset.dataset_id, dataset.slug]
                )
            for run in runs:
                connection.execute(
                    "SELECT ensure_run_placeholder(%s, %s, %s)",
                    [run.run_id, run.dataset_id, run.measurement],
                )
            connection.commit()
    return Backfill(datasets, runs, found.unreadable, found.unresolved, dry_run)


def _missing_runs(connection: Connection[Any], found: References) -> tuple[MissingRun, ...]:
    wanted = [run_id for run_id in found.runs if run_id not in found.brought_runs]
    return tuple(found.runs[each] for each in _absent(connection, "walkforward_runs", wanted))


def _missing_datasets(
    connection: Connection[Any], found: References, runs: tuple[MissingRun, ...]
) -> tuple[MissingDataset, ...]:
    names = {k: v for k, v in found.datasets.items() if k not in found.brought_datasets}
    for run in runs:  # its placeholder needs the dataset now, even where the file brings that later
        names.setdefault(run.dataset_id, run.measurement)
    return tuple(
        MissingDataset(each, orphans.slug_of(names[each]))
        for each in _absent(connection, "datasets", names)
    )


def _absent(connection: Connection[Any], table: str, ids: Iterable[UUID]) -> list[UUID]:
    """Return those of `ids` that the table lacks, in their order."""
    wanted = list(ids)
    cursor = connection.cursor(row_factory=scalar_row)
    absent = set(cursor.execute(_MISSING[table].encode(), [wanted]))
    return [each for each in wanted if each in absent]
