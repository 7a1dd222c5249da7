"""Which QuestDB tables belong to the datasets that PostgreSQL knows, in any variant of its tables.

Names recorded with a dataset win (columns, then manifest); the canonical pair is the default
(contract, part 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.ops.series_names import slug_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

# Columns that name a QuestDB table, wherever a variant has them (contract, parts 1 and 4).
_NAMING_COLUMNS = {
    "datasets": ("ohlcv_measurement", "indicator_measurement"),
    "stage1_datasets": ("ohlcv_measurement", "indicator_measurement"),
    "indicator_datasets": ("questdb_tag", "questdb_measurement"),
    "walkforward_runs": ("prediction_measurement",),
    "simulation_runs": ("questdb_namespace", "input_run_measurement"),
}
_MANIFESTS = {
    "datasets": ("metadata", ("ohlcv_measurement", "indicator_measurement")),
    "stage1_datasets": ("metadata", ("ohlcv_measurement", "indicator_measurement")),
    "walkforward_runs": ("walk_config", ("prediction_measurement",)),
}
_SLUG_COLUMNS = {
    "datasets": ("dataset_slug",),
    "stage1_datasets": ("dataset_slug",),
    "indicator_datasets": ("questdb_tag", "questdb_measurement"),
}

_COLUMNS = text("""
SELECT table_name, column_name FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name = ANY(:tables)
""")


def recorded_tables(connection: Connection) -> list[str]:
    """Return every QuestDB name that datasets, runs and simulations may own, without repeats.

    A name need not exist in QuestDB: the caller keeps those that do. Works on every variant of the
    PostgreSQL tables, because a reset has to.
    """
    tables = sorted({*_NAMING_COLUMNS, *_SLUG_COLUMNS})
    rows = connection.execute(_COLUMNS, {"tables": tables}).all()
    present = {(row.table_name, row.column_name) for row in rows}
    names: dict[str, None] = {}
    for name in _recorded(connection, present):
        names.setdefault(name)
    for stem in _distinct(connection, _existing(_SLUG_COLUMNS, present)):
        for name in slug_tables(stem):
            names.setdefault(name)
    return list(names)


def _recorded(connection: Connection, present: set[tuple[str, str]]) -> Iterator[str]:
    yield from _distinct(connection, _existing(_NAMING_COLUMNS, present))
    expressions = [
        (table, f"{column} ->> '{key}'")
        for table, (column, keys) in _MANIFESTS.items()
        if (table, column) in present
        for key in keys
    ]
    yield from _distinct(connection, expressions)


def _existing(
    columns: dict[str, tuple[str, ...]], present: set[tuple[str, str]]
) -> list[tuple[str, str]]:
    return [(t, name) for t, names in columns.items() for name in names if (t, name) in present]


def _distinct(connection: Connection, expressions: Iterable[tuple[str, str]]) -> Iterator[str]:
    for table, expression in expressions:
        query = text(f'SELECT DISTINCT {expression} AS name FROM public."{table}" ORDER BY 1')
        yield from (name for name in connection.execute(query).scalars() if name)
