"""How the columns of an old table become those of a new one: a plan in SQL, made without a server.

Columns go by name, then by RENAMED. A type that differs is converted, a value outside a CHECK is
brought into it, and what has no home in the new table is kept in the row's JSON under the key
`legacy`. The functions `pg_temp.stage1_*` are those of migrations/sql/0001/import_functions.sql.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# New tables, parents first, and the old tables whose rows they take.
SOURCES = {
    "datasets": ("datasets", "stage1_datasets", "indicator_datasets"),
    "stage1_jobs": ("stage1_jobs", "jobs"),
    "walkforward_runs": ("walkforward_runs",),
    "simulation_runs": ("simulation_runs",),
    "walkforward_folds": ("walkforward_folds",),
    "simulation_trade_buckets": ("simulation_trade_buckets",),
    "simulation_trades": ("simulation_trades",),
}
# The JSON column that takes in what has no column of its own.
HOMES = {
    "datasets": "metadata",
    "stage1_jobs": "result",
    "walkforward_runs": "summary_metrics",
    "simulation_runs": "summary_metrics",
    "walkforward_folds": "metrics",
    "simulation_trades": "metadata",
}
# Old names of a column, the first that stands wins (contract, parts 1 and 4).
RENAMED: dict[str, dict[str, tuple[str, ...]]] = {
    "indicator_datasets": {
        "indicator_measurement": ("questdb_measurement", "questdb_tag"),
        "indicator_row_count": ("row_count",),
        "indicator_first_ts": ("first_bar_ts",),
        "indicator_last_ts": ("last_bar_ts",),
    },
    "stage1_datasets": {
        "dataset_slug": ("slug",),
        "ohlcv_row_count": ("ohlcv_rows",),
        "indicator_row_count": ("indicator_rows",),
        "ohlcv_first_ts": ("ohlcv_first",),
        "ohlcv_last_ts": ("ohlcv_last",),
        "indicator_first_ts": ("indicator_first",),
        "indicator_last_ts": ("indicator_last",),
    },
}
# Kept in the JSON under their own name instead of under `legacy`.
KEPT_BY_NAME = {"column_schema"}
# A writer's empty text names no QuestDB table; NULL does not collide with another NULL.
NAMES = {
    ("walkforward_runs", "prediction_measurement"),
    ("simulation_runs", "questdb_namespace"),
}
# Where the value stands if the column is missing or empty (contract, generation C).
FILLED_FROM = {
    ("walkforward_runs", "prediction_measurement"): ("walk_config", "prediction_measurement"),
}
# A row whose parent was never written down is its own parent (contract, part 6).
OWN_PARENT = {
    ("walkforward_runs", "dataset_id"): "run_id",
    ("simulation_runs", "run_id"): "simulation_id",
    ("simulation_runs", "dataset_id"): "simulation_id",
}
_RUN = ("COMPLETED", "INCOMPLETE", "PENDING", "QUEUED", "RUNNING", "FAILED")
_JOB = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
_SIDES = ("long", "short")
# The CHECKs of revision 0001: letter case, the values, and what stands for any other ("" keeps
# it). A job of an unknown status must not be claimed by a worker.
DOMAINS: dict[tuple[str, str], tuple[str, tuple[str, ...], str]] = {
    ("walkforward_runs", "status"): ("upper", _RUN, "NULL"),
    ("stage1_jobs", "status"): ("upper", _JOB, "'CANCELLED'"),
    ("simulation_runs", "status"): ("upper", _RUN, ""),
    ("simulation_runs", "mode"): ("lower", (*_SIDES, "dual"), "NULL"),
    ("simulation_trades", "side"): ("lower", _SIDES, "NULL"),
    ("simulation_trade_buckets", "side"): ("lower", (*_SIDES, "dual", "all"), "NULL"),
}
_TEXTS = ("text", "character varying", "character", "name", "citext")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_ZONED = "timestamp with time zone"
_LOCAL = ("timestamp without time zone", "date")


@dataclass(frozen=True)
class Column:
    """A column as the catalogue has it; `type` without its modifiers."""

    name: str
    type: str
    not_null: bool = False
    default: str | None = None


@dataclass(frozen=True)
class TableMapping:
    """How one old table becomes rows of a new one.

    `select` gives every column of the new table, with its type; `mapped` are those that the old
    table has a value for. `kept` go into the row's JSON, `late` belong to a column that a later
    revision adds, `left` stay behind.
    """

    source: str
    target: str
    select: str
    mapped: tuple[str, ...]
    kept: tuple[str, ...]
    late: tuple[str, ...]
    left: tuple[str, ...]


def plan(
    source: str,
    target: str,
    old: Sequence[Column],
    new: Sequence[Column],
    *,
    schema: str,
    declared: Collection[str] = (),
) -> TableMapping:
    """Return the mapping of `schema`.`source` onto `target`.

    `declared` are the columns that `target` has at head: one that the new table does not have yet
    is carried when its revision adds it.
    """
    pair = _Pair(source, target, old, new)
    homeless = [name for name in pair.standing if name not in set(pair.origin.values())]
    late = [name for name in homeless if name in declared and source == target]
    kept = [name for name in homeless if name not in late] if target in HOMES else []
    left = [name for name in homeless if name not in late and name not in kept]
    values = {column.name: _value(pair, column) for column in new}
    _fill(pair, values)
    if target in HOMES:
        values[HOMES[target]] = _home(pair, values[HOMES[target]], kept)
    items = ",\n       ".join(f"{value} AS {_quote(name)}" for name, value in values.items())
    mapped = [column.name for column in new if values[column.name] != f"NULL::{column.type}"]
    return TableMapping(
        source=source,
        target=target,
        select=f"SELECT {items}\n  FROM {_quote(schema)}.{_quote(source)} o",
        mapped=tuple(mapped),
        kept=tuple(kept),
        late=tuple(late),
        left=tuple(left),
    )


def nothing(target: str, new: Sequence[Column]) -> TableMapping:
    """Return the mapping of a table that does not stand: every column, no row."""
    items = ", ".join(f"NULL::{column.type} AS {_quote(column.name)}" for column in new)
    return TableMapping("", target, f"SELECT {items} WHERE false", (), (), (), ())


def convert(value: str, old: str, new: str) -> str:
    """Return SQL that turns the expression `value` of type `old` into type `new`."""
    if old == new:
        return value
    rules = (
        (new == "uuid", f"pg_temp.stage1_uuid({value}::text)"),
        (new == "jsonb" and old in _TEXTS, f"pg_temp.stage1_json({value}::text)"),
        (new == "jsonb" and old == "json", f"{value}::jsonb"),
        (new == "jsonb", f"to_jsonb({value})"),
        (new == _ZONED and old in _NUMBERS, f"pg_temp.stage1_time({value}::numeric)"),
        (new == _ZONED and old in _LOCAL, f"({value}::timestamp AT TIME ZONE 'UTC')"),
        (
            new in _NUMBERS and old in (_ZONED, *_LOCAL),
            f"(extract(epoch FROM {value}) * 1000)::{new}",
        ),
        (new == "text" and old in ("json", "jsonb"), f"({value} #>> '{{}}')"),
        (old in _NUMBERS, f"{value}::{new}"),
    )
    return next((sql for applies, sql in rules if applies), f"{value}::text::{new}")


class _Pair:
    """An old table and the new one that takes its rows."""

    def __init__(
        self, source: str, target: str, old: Sequence[Column], new: Sequence[Column]
    ) -> None:
        self.target = target
        self.new = new
        self.standing: Mapping[str, Column] = {column.name: column for column in old}
        renamed = RENAMED.get(source, {})
        self.origin: dict[str, str] = {}
        for column in new:
            names = (column.name, *renamed.get(column.name, ()))
            if found := [name for name in names if name in self.standing]:
                self.origin[column.name] = found[0]

    def old(self, name: str) -> Column | None:
        """Return the old column that the new column `name` comes from."""
        return self.standing.get(self.origin.get(name, ""))


def _value(pair: _Pair, column: Column) -> str:
    old = pair.old(column.name)
    if old is None:
        return f"NULL::{column.type}"
    value = convert(f"o.{_quote(old.name)}", old.type, column.type)
    place = (pair.target, column.name)
    if place in NAMES:
        return f"nullif({value}, '')"
    if place in DOMAINS:
        function, values, other = DOMAINS[place]
        folded = f"{function}(btrim({value}))"
        known = ", ".join(f"'{each}'" for each in values)
        return (
            f"CASE WHEN {value} IS NULL THEN NULL WHEN {folded} IN ({known}) THEN {folded}"
            f" ELSE {other or value} END"
        )
    if place == ("datasets", "metadata"):
        return f"pg_temp.stage1_manifest({value})"
    return value


def _fill(pair: _Pair, values: dict[str, str]) -> None:
    """Complete `values` where the contract says where else a value stands."""
    for (table, name), (config, key) in FILLED_FROM.items():
        old = pair.old(config)
        if table == pair.target and old is not None:
            source = convert(f"o.{_quote(old.name)}", old.type, "jsonb")
            values[name] = f"coalesce({values[name]}, nullif({source} ->> '{key}', ''))"
    for (table, name), parent in OWN_PARENT.items():
        if table == pair.target:
            values[name] = f"coalesce({values[name]}, {values[parent]})"


def _home(pair: _Pair, value: str, kept: Sequence[str]) -> str:
    """Return the row's JSON with what has no column of its own."""
    by_name = [_entry(name) for name in kept if name in KEPT_BY_NAME]
    legacy = [_entry(name) for name in kept if name not in KEPT_BY_NAME]
    for column in pair.new:
        old = pair.old(column.name)
        if old is not None and (changed := _changed(pair.target, column, old)):
            legacy.append(_entry(old.name, changed))
    if not by_name and not legacy:
        return value
    return (
        f"pg_temp.stage1_keep({value}, {' || '.join(by_name) or _EMPTY},"
        f" {' || '.join(legacy) or _EMPTY})"
    )


_EMPTY = "'{}'::jsonb"


def _entry(name: str, condition: str | None = None) -> str:
    value = f"o.{_quote(name)}"
    key = name.replace("'", "''")
    return (
        f"CASE WHEN {condition or f'{value} IS NOT NULL'}"
        f" THEN jsonb_build_object('{key}', to_jsonb({value})) ELSE {_EMPTY} END"
    )


def _changed(target: str, column: Column, old: Column) -> str | None:
    """Return SQL that tells whether the old value must be kept because the new one differs."""
    value = f"o.{_quote(old.name)}"
    if column.type == "uuid" and old.type != "uuid":
        return f"NOT pg_temp.stage1_is_uuid({value}::text)"
    function, values, other = DOMAINS.get((target, column.name), ("", (), ""))
    if other:
        known = ", ".join(f"'{each}'" for each in values)
        return f"{function}(btrim({value}::text)) NOT IN ({known})"
    return None


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
