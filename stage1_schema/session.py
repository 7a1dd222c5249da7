"""What every session of ours is set to, whatever a role, a database or the environment says."""

from __future__ import annotations

SETTINGS = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    # Unless pg_temp is named, it is searched first: a temporary table would hide one of ours.
    "search_path": "public, pg_temp",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "quote_all_identifiers": "off",
    "array_nulls": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "row_security": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "lc_messages": "C",
}
PARAMETERS = {"client_encoding": SETTINGS["client_encoding"]}
"""libpq's parameters: what counts before the first statement, and what every pooler takes."""

_MAY = {
    "transaction_timeout": "current_setting('transaction_timeout', true) IS NOT NULL",  # 17+
    "lc_messages": "current_setting('is_superuser') = 'on'",
}


def sql(*, local: bool = False) -> str:
    """Return the SELECT that sets all of it, for the session or for the open transaction."""
    return "SELECT " + ", ".join(
        _column(name, f"set_config('{name}', '{value}', {str(local).lower()})")
        for name, value in SETTINGS.items()
    )


def options() -> str:
    """Return the same as `PGOPTIONS`, for a program that connects by itself.

    Time limits and search_path are left out: pg_dump and pg_restore set their own.
    """
    own = ("search_path", "row_security")
    names = [n for n in SETTINGS if n not in (*own, *_MAY) and not n.endswith("_timeout")]
    return " ".join(f"-c {name}={SETTINGS[name].replace(' ', chr(92) + ' ')}" for name in names)


def _column(name: str, call: str) -> str:
    condition = _MAY.get(name)
    return f"CASE WHEN {condition} THEN {call} END" if condition else call
