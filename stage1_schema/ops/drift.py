"""How the stores differ from the declarations, one line for each difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from questdb_ddl import LiveTable


def postgres(connection: Connection) -> tuple[str, ...]:
    """Return how the tables differ from the models; it takes no lock beyond that of reading."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - status alone needs it
    from alembic.migration import MigrationContext  # noqa: PLC0415

    from stage1_schema.alembic_plugin.environment import COMPARISON  # noqa: PLC0415
    from stage1_schema.models import Base  # noqa: PLC0415

    context = MigrationContext.configure(connection, opts=COMPARISON)
    return tuple(_lines(compare_metadata(context, Base.metadata)))


def questdb(live: Mapping[str, LiveTable], recorded: Iterable[str]) -> tuple[str, ...]:
    """Return how the shared tables, and the dataset tables that stand, differ."""
    from questdb_ddl import compare  # noqa: PLC0415
    from stage1_schema.ops import series  # noqa: PLC0415

    return tuple(
        str(line)
        for table in series.declared(recorded, live)
        for comparison in [compare(table, live.get(table.name.lower()))]
        for line in ([comparison] if comparison.skipped else comparison.differences)
    )


def _lines(differences: Iterable[Any]) -> Iterator[str]:
    for difference in differences:
        if isinstance(difference, list):  # the changes of one column come together
            yield from _lines(difference)
            continue
        kind, *rest = difference
        named = [part for part in map(_name, rest) if part]
        yield f"{kind.replace('_', ' ')}: {'.'.join(named)}"


def _name(part: Any) -> str | None:  # noqa: ANN401 - Alembic's tuples hold anything
    table = getattr(getattr(part, "table", None), "name", None)
    name = getattr(part, "name", None) or (part if isinstance(part, str) else None)
    return f"{table}.{name}" if table and name else name
