"""Take a dataset away from both stores.

QuestDB goes first, since PostgreSQL is what knows the tables' names; so what PostgreSQL would
refuse is asked before anything goes.
"""

from __future__ import annotations

import filecmp
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import ConfirmationError, Stage1Error
from stage1_schema.ops import dropping
from stage1_schema.servers.files import private_directory, private_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Connection

    from stage1_schema.settings import Settings

_FIND = text("SELECT dataset_id FROM datasets WHERE dataset_slug = :slug")
RECORDS = {
    "datasets": "dataset_id = :id",
    "walkforward_runs": "dataset_id = :id",
    "walkforward_folds": "run_id IN (SELECT run_id FROM walkforward_runs WHERE dataset_id = :id)",
    "simulation_runs": "dataset_id = :id",
    "simulation_trade_buckets": "simulation_id IN "
    "(SELECT simulation_id FROM simulation_runs WHERE dataset_id = :id)",
    "simulation_trades": "simulation_id IN "
    "(SELECT simulation_id FROM simulation_runs WHERE dataset_id = :id)",
}
"""What belongs to a dataset, parents before their children."""


@dataclass(frozen=True)
class DropPlan:
    """What dropping a dataset takes from both stores."""

    slug: str
    dataset_id: UUID
    records: tuple[tuple[str, int], ...]
    series: dropping.DropPlan

    @property
    def summary(self) -> str:
        """One line for people."""
        counted = ", ".join(f"{table} {count:,}" for table, count in self.records if count)
        return f"dataset {self.slug}: PostgreSQL {counted}; QuestDB {self.series.summary}"


def plan_drop(
    settings: Settings,
    name: str,
    *,
    give_up_detached: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
) -> DropPlan:
    """Return what `drop` would take, with counts; changes nothing. Raises Stage1Error."""
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        row = connection.execute(_FIND, {"slug": name}).one_or_none()
        if row is None:
            raise Stage1Error(f"There is no dataset {name}.", next_step="stage1 dataset list.")
        records = tuple(
            (table, connection.execute(_count(table), {"id": row.dataset_id}).scalar_one())
            for table in RECORDS
        )
    tables = dropping.plan_dataset(settings, name, give_up_detached=give_up_detached, allow=allow)
    return DropPlan(name, row.dataset_id, records, tables)


def _count(table: str) -> Any:  # noqa: ANN401 - SQLAlchemy's clause
    return text(f"SELECT count(*) FROM {table} WHERE {RECORDS[table]}")


def confirm(intent: DropPlan, given: str | None) -> None:
    """Raise ConfirmationError, with what would go, unless the slug was given.

    Raises QuestDBError where QuestDB's part is refused, whatever was given.
    """
    dropping.refuse(intent.series)
    if given != intent.slug:
        raise ConfirmationError(
            f"This takes away {intent.summary}. It was not confirmed.",
            next_step=f"stage1 dataset drop {intent.slug} --confirm {intent.slug}.",
        )


def drop(
    settings: Settings,
    intent: DropPlan,
    *,
    keep: bool,
    directory: Path,
    on_step: Callable[[str], None] = lambda _: None,
) -> tuple[dropping.Dropped, Path | None]:
    """Take a dataset away: QuestDB's tables, then its rows with those of runs and simulations.

    With `keep`, tables with rows are renamed and PostgreSQL's rows are written to a JSON-lines
    file in `directory`, whose path is returned. The shared tables keep its rows. Raises
    Stage1Error; run again it goes on where it stopped.
    """
    _refuse_beforehand(settings, directory if keep else None)
    done = dropping.carry_out(settings, intent.series, keep=keep)
    on_step("QuestDB done")
    path = None
    with plain_errors(settings.postgres), engine(settings.postgres).begin() as connection:
        for table in ("datasets", "walkforward_runs", "simulation_runs"):
            # Nobody adds a run, a fold or a trade between the saving and the DELETE.
            lock = text(f"SELECT FROM {table} WHERE dataset_id = :id FOR UPDATE")
            connection.execute(lock, {"id": intent.dataset_id})
        if keep:
            path = _save(connection, intent, directory)
            on_step("records saved")
        statement = text("DELETE FROM datasets WHERE dataset_id = :id")
        connection.execute(statement, {"id": intent.dataset_id})
    on_step("PostgreSQL done")
    return done, path


def rows(connection: Connection, table: str, dataset_id: UUID) -> Iterator[str]:
    """Return the rows of a dataset in one table as PostgreSQL's JSON: every digit of a number."""
    query = text(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {RECORDS[table]} ORDER BY 1")
    yield from connection.execute(query, {"id": dataset_id}).scalars()


_NEEDED = text("""
SELECT coalesce(string_agg(privilege || ' on ' || name, ', '), '')
  FROM (VALUES ('DELETE', 'datasets'), ('SELECT', 'walkforward_folds'),
               ('SELECT', 'simulation_trade_buckets'), ('SELECT', 'simulation_trades'),
               ('UPDATE', 'datasets'), ('UPDATE', 'walkforward_runs'),
               ('UPDATE', 'simulation_runs')) AS needed (privilege, name)
 WHERE NOT has_table_privilege(name, privilege)
""")


def _refuse_beforehand(settings: Settings, directory: Path | None) -> None:
    """Raise Stage1Error where the rows could not be saved or deleted once QuestDB's are gone."""
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        if lacks := connection.execute(_NEEDED).scalar_one():
            raise Stage1Error(
                f"This role may not take a dataset away: it lacks {lacks}.",
                next_step="run it as the owner of the schema.",
            )
    if directory is not None:
        try:
            private_directory(directory)
            (probe := directory / ".stage1-probe").touch()
            probe.unlink()
        except OSError as error:
            raise Stage1Error(
                f"{directory} cannot be written: {error.strerror}.",
                next_step="name another with --directory.",
            ) from None


def _save(connection: Connection, intent: DropPlan, directory: Path) -> Path:
    """Write the rows to a file; where a drop that was cut short wrote the same, it is that one."""
    kept = f"{intent.slug}_retired_"
    partial = directory / f"{kept}{intent.dataset_id}.partial"
    partial.unlink(missing_ok=True)
    with open(partial, "x", encoding="utf-8", opener=private_opener) as file:
        for table in RECORDS:
            file.writelines(
                f'{{"table": "{table}", "row": {record}}}\n'
                for record in rows(connection, table, intent.dataset_id)
            )
        file.flush()
        os.fsync(file.fileno())
    for earlier in sorted(directory.glob(f"{kept}*.jsonl")):
        if filecmp.cmp(earlier, partial, shallow=False):
            partial.unlink()
            return earlier
    return partial.replace(directory / f"{kept}{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
