"""Whether the data of both stores keeps its promises; `drift` compares their structure.

A check of PostgreSQL is a query in `stage1_schema/sql/checks/`: its first line says what it finds,
its rows are what it found, as `id` and `detail`. Checks of QuestDB are in `series_checks`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Any

import psycopg

from questdb_ddl import QuestDBDDLError, live_tables
from stage1_schema import sql
from stage1_schema.connect import connect, engine, plain_errors
from stage1_schema.errors import PostgresError, Stage1Error
from stage1_schema.ops import migrate, owned, series_checks
from stage1_schema.questdb import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stage1_schema.settings import Settings

TIMEOUT_MS = 60_000
"""How long one query of PostgreSQL may take; QuestDB has STAGE1_QUESTDB_REST_TIMEOUT_MS."""

EXAMPLES = 5
DIRECTORY = sql.DIRECTORY / "checks"


@dataclass(frozen=True)
class Check:
    """A check by its name; `finds` says in a sentence what it finds in which `store`."""

    name: str
    store: str
    finds: str


@dataclass(frozen=True)
class Example:
    """One thing that was found: a row's key or a table's name, and what is wrong with it."""

    id: str
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What a check found: how many and the first of them; or `not_run`, the reason."""

    check: Check
    count: int = 0
    examples: tuple[Example, ...] = ()
    not_run: str | None = None


@dataclass(frozen=True)
class Validation:
    """The outcomes of all checks."""

    outcomes: tuple[Outcome, ...]

    @property
    def found(self) -> tuple[Outcome, ...]:
        """The checks that found something."""
        return tuple(each for each in self.outcomes if each.count)

    @property
    def not_run(self) -> tuple[Outcome, ...]:
        """The checks that could not be run."""
        return tuple(each for each in self.outcomes if each.not_run)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        checks = [asdict(each) for each in self.outcomes]
        return {
            "checks": [each.pop("check") | each for each in checks],
            "found": len(self.found),
            "not_run": len(self.not_run),
        }


def checks(only: Iterable[str] = ()) -> tuple[Check, ...]:
    """Return the checks called `only`, all without; raises Stage1Error for an unknown name."""
    found = [
        Check(path.stem, "PostgreSQL", _query(path.stem).partition("\n")[0].removeprefix("-- "))
        for path in sorted(DIRECTORY.glob("*.sql"))
    ]
    found += [Check(n, "QuestDB", finds) for n, (finds, _) in series_checks.CHECKS.items()]
    wanted = set(only)
    if unknown := sorted(wanted - {check.name for check in found}):
        raise Stage1Error(f"There is no check {unknown[0]}.", next_step="stage1 validate --list.")
    return tuple(check for check in found if not wanted or check.name in wanted)


def validate(
    settings: Settings,
    only: Iterable[str] = (),
    *,
    timeout_ms: int = TIMEOUT_MS,
    progress: Callable[[str], None] = lambda _: None,
) -> Validation:
    """Run the checks; nothing is changed, and one that fails or is slow does not stop the others.

    Raises Stage1Error for an unknown name, or when PostgreSQL cannot be reached or is not at head.
    """
    wanted = checks(only)
    _require_head(settings)
    series = [check for check in wanted if check.name in series_checks.CHECKS]
    rows = [check for check in wanted if check not in series]
    return Validation(
        (
            *_in_postgres(settings, rows, timeout_ms, progress),
            *_in_questdb(settings, series, progress),
        )
    )


def _require_head(settings: Settings) -> None:
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        standing, head = migrate.revision(connection), migrate.head()
    if standing != head:
        raise PostgresError(
            f"PostgreSQL at {settings.postgres.where} stands at revision {standing or 'none'}; the"
            f" checks are for {head}.",
            next_step="alembic upgrade head.",
        )


def _in_postgres(
    settings: Settings, wanted: list[Check], timeout_ms: int, progress: Callable[[str], None]
) -> Iterator[Outcome]:
    if not wanted:
        return
    with plain_errors(settings.postgres), connect(settings.postgres) as connection:
        connection.read_only = True
        for check in wanted:
            progress(check.name)
            yield _rows(connection, check, timeout_ms)


def _rows(connection: psycopg.Connection[Any], check: Check, timeout_ms: int) -> Outcome:
    query = (
        f"SELECT count(*) OVER (), id, detail FROM (\n{_query(check.name)}\n) found"
        f" LIMIT {EXAMPLES}"
    )
    try:
        with connection.transaction():
            limit = "SELECT set_config('statement_timeout', %s, true)"
            connection.execute(limit, [str(timeout_ms)])
            found = connection.execute(query.encode()).fetchall()
    except psycopg.errors.QueryCanceled:
        return Outcome(check, not_run=f"it did not end within {timeout_ms / 1000:g} s.")
    except psycopg.Error as error:
        if connection.closed:
            raise
        return Outcome(check, not_run=f"{error.diag.message_primary or error}.")
    count = found[0][0] if found else 0
    return Outcome(check, count, tuple(Example(key, detail) for _, key, detail in found))


def _query(name: str) -> str:
    return (DIRECTORY / f"{name}.sql").read_text(encoding="utf-8").rstrip().removesuffix(";")


def _in_questdb(
    settings: Settings, wanted: list[Check], progress: Callable[[str], None]
) -> Iterator[Outcome]:
    if not wanted:
        return
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        recorded = tuple(series_checks.recorded(connection))
        declared = owned.read(connection).tables
    with client(settings.questdb) as questdb:
        try:
            progress("tables of QuestDB")
            live = live_tables(questdb, counts=True)
        except QuestDBDDLError as error:
            yield from (Outcome(check, not_run=str(error)) for check in wanted)
            return
        series = series_checks.Series(questdb, live, recorded, declared)
        for check in wanted:
            progress(check.name)
            try:
                found = list(starmap(Example, series_checks.CHECKS[check.name][1](series)))
            except QuestDBDDLError as error:
                yield Outcome(check, not_run=str(error))
            else:
                yield Outcome(check, len(found), tuple(found[:EXAMPLES]))
