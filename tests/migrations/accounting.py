"""Account for every old row: where it stands now, and what became of each of its columns.

This knows the rules of docs/taking-over.md and nothing of the code that follows them.
"""

import hashlib
import json
import math
import re
from datetime import UTC, datetime
from uuid import UUID

TARGETS = {
    "indicator_datasets": "datasets",
    "stage1_datasets": "datasets",
    "jobs": "stage1_jobs",
}
KEYS = {
    "datasets": ["dataset_id"],
    "stage1_jobs": ["job_id"],
    "walkforward_runs": ["run_id"],
    "walkforward_folds": ["run_id", "fold_number"],
    "simulation_runs": ["simulation_id"],
    "simulation_trades": ["trade_id"],
    "simulation_trade_buckets": ["simulation_id", "side"],
}
ALIASES = {
    "questdb_tag": "indicator_measurement",
    "questdb_measurement": "indicator_measurement",
    "row_count": "indicator_row_count",
    "first_bar_ts": "indicator_first_ts",
    "last_bar_ts": "indicator_last_ts",
}
HOMES = {
    "datasets": "metadata",
    "stage1_jobs": "result",
    "walkforward_runs": "summary_metrics",
    "simulation_runs": "summary_metrics",
    "walkforward_folds": "metrics",
    "simulation_trades": "metadata",
}
STAYS = {("simulation_trade_buckets", "rank")}  # a bucket has no JSON


def identifier(value):
    """Return the UUID that an old id becomes."""
    text = str(value).strip()
    if re.fullmatch(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", text):
        return str(UUID(text))
    return str(UUID(hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest()))


def key_of(target, row):
    return tuple(
        identifier(row[name]) if name.endswith("_id") else row[name] for name in KEYS[target]
    )


def unaccounted(old, new):
    """Return what is missing of `old` (rows by table) in `new`, one line for each column."""
    lines = []
    for source, rows in old.items():
        target = TARGETS.get(source, source)
        index = {key_of(target, row): row for row in new[target]}
        for row in rows:
            found = index.get(key_of(target, row))
            if found is None:
                lines.append(f"{source} {key_of(target, row)}: no row")
                continue
            lines += [
                f"{source} {key_of(target, row)}: {name} {value!r} is not in {found}"
                for name, value in row.items()
                if not stands(source, target, name, value, found)
            ]
    return lines


def stands(source, target, name, value, row):
    """Tell whether the value of an old column can be found in the new row."""
    if value in (None, "") or (target, name) in STAYS:
        return True
    home = row.get(HOMES.get(target)) if target in HOMES else None
    legacy = home.get("legacy", {}) if isinstance(home, dict) else {}
    column = ALIASES.get(name, name)
    merged = legacy.get(source, {}) if isinstance(legacy, dict) else {}
    places = [row.get(column), legacy.get(name), merged.get(column)]
    if name == "column_schema":
        places = [row["metadata"].get(name)]
    if HOMES.get(target) == name:
        return any(holds(place, value) for place in places)
    return any(same(value, place) for place in places)


def holds(new, old):
    """Tell whether JSON `new` says all that `old` said."""
    old = decoded(old)
    if old in (None, ""):
        return True
    if same(old, new):
        return True
    if isinstance(old, dict) and isinstance(new, dict):
        return all(holds(new.get(key), value) for key, value in old.items())
    return isinstance(new, dict) and same(old, new.get("value"))


def decoded(value):
    """Return JSON that a writer sent as text."""
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
    except ValueError:
        return value


def same(old, new):
    if old == new:
        return True
    if old is None or new is None:
        return False
    if isinstance(old, int | float) and isinstance(new, str):
        return str(old) == new or moment(old) == moment(new) or identifier(old) == new
    if isinstance(old, int | float) and isinstance(new, int | float):
        return math.isclose(old, new, rel_tol=1e-12)
    if isinstance(old, str) and isinstance(new, str):
        return old.strip().lower() == new.strip().lower() or (
            identifier(old) == new or (moment(old) or old) == moment(new)
        )
    return decoded(old) == new


def moment(value):
    """Return an old time as UTC: text without zone is UTC, integers go by magnitude."""
    if isinstance(value, int | float):
        for limit, unit in ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9)):
            if abs(value) < limit:
                return datetime.fromtimestamp(value / unit, UTC)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time.replace(tzinfo=time.tzinfo or UTC)
