"""How clients and this project name QuestDB tables, in one place (contract, part 5).

QuestDB ignores the case of a table's name, and so does everything here.
"""

from __future__ import annotations

import re

from questdb_ddl import DeclarationError, slug
from questdb_ddl.rebuild_names import rebuilt_table

_NAMED = {
    "dataset": r"(?:ohlcv|indicators)_.+|.+_(?:ohlcv|ind)",
    "run": r".+_(?:wf|run)[0-9]+|run_[0-9]+",  # <slug>_wf<epoch>, <slug>_run<N>, run_<ticks>
    "simulation": r".+_sim[0-9]+",  # <label>_sim<N>
}
_PATTERNS = {whose: re.compile(pattern, re.IGNORECASE) for whose, pattern in _NAMED.items()}
_KEPT = re.compile(r".+_(?:retired|old)_[0-9]{8}T[0-9]{6}Z", re.IGNORECASE)
_DROPPING = re.compile(r"(.+)__dropping", re.IGNORECASE)


def named_for(table: str) -> str | None:
    """Return what a table is for by its name alone: "dataset", "run", "simulation", else None.

    >>> named_for("OHLCV_btc"), named_for("btc_wf1735689600"), named_for("trades")
    ('dataset', 'run', None)
    """
    return next((whose for whose, each in _PATTERNS.items() if each.fullmatch(table)), None)


def is_kept_copy(table: str) -> bool:
    """Return whether a reset, a downgrade or a rebuild kept rows under this name.

    >>> is_kept_copy("ohlcv_btc_retired_20250301T120000Z"), is_kept_copy("ohlcv_btc_old")
    (True, False)
    """
    return _KEPT.fullmatch(table) is not None


def origin(table: str) -> str:
    """Return the table whose rebuild or drop left `table` unfinished; `table` itself for others.

    >>> origin("ohlcv_btc__old__dropping"), origin("ohlcv_btc")
    ('ohlcv_btc', 'ohlcv_btc')
    """
    while True:
        dropping, rebuilt = _DROPPING.fullmatch(table), rebuilt_table(table)
        if dropping is None and rebuilt is None:
            return table
        table = dropping[1] if dropping else rebuilt[0] if rebuilt else table


def slug_tables(stem: str) -> list[str]:
    """Return the table names that clients make of a slug, the canonical pair first."""
    try:
        name = slug(stem)
    except DeclarationError:
        return []
    return [f"ohlcv_{name}", f"indicators_{name}", f"{name}_ohlcv", f"{name}_ind", name, stem]
