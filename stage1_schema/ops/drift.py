"""How the stores differ from the declarations: equal, different or skipped, each with a reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stage1_schema.connect import reading
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from questdb_ddl import LiveTable, Table
    from stage1_schema.alembic_plugin.comparison import Comparison
    from stage1_schema.settings import Roles, Settings


@dataclass(frozen=True)
class Check:
    """What was compared in both stores."""

    postgres: tuple[Comparison, ...]
    questdb: tuple[Comparison, ...]

    @property
    def different(self) -> tuple[Comparison, ...]:
        """What is not as declared."""
        return tuple(each for each in (*self.postgres, *self.questdb) if each.difference)

    @property
    def skipped(self) -> tuple[Comparison, ...]:
        """What was not compared."""
        return tuple(each for each in (*self.postgres, *self.questdb) if each.skipped)

    @property
    def equal(self) -> bool:
        """Whether nothing differs, and no QuestDB table is suspended: then nobody can tell."""
        return not self.different and not any(each.left_out for each in self.questdb)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {**asdict(self), "equal": self.equal}


def check(settings: Settings) -> Check:
    """Compare both stores with the declarations; no reader and no writer can feel it.

    Raises Stage1Error when a store cannot be reached.
    """
    from questdb_ddl import live_tables  # noqa: PLC0415 - status loads this module without it

    with reading(settings.postgres) as connection:
        with plain_questdb_errors(), client(settings.questdb) as questdb:
            live = live_tables(questdb)
        tables = recorded(connection, live)
        postgres = compare_postgres(connection, settings.roles)
    return Check(postgres, compare_questdb(live, tables))


def compare_postgres(connection: Connection, roles: Roles | None = None) -> tuple[Comparison, ...]:
    """Compare everything in PostgreSQL with the models and the `.sql` files."""
    from alembic.autogenerate import produce_migrations  # noqa: PLC0415 - heavy, and rarely run
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy import text  # noqa: PLC0415

    from stage1_schema.alembic_plugin import ownership  # noqa: PLC0415
    from stage1_schema.alembic_plugin.environment import COMPARISON  # noqa: PLC0415
    from stage1_schema.models import Base  # noqa: PLC0415
    from stage1_schema.ops import migrate  # noqa: PLC0415

    if roles is not None:
        said = (
            "SELECT set_config('stage1.app_role', :app, true),"
            " set_config('stage1.readonly_role', :readonly, true)"
        )
        connection.execute(text(said), {"app": roles.app, "readonly": roles.readonly})
        # Who owns sees its own default privileges, and not its own rights.
        ownership.act_as_owner(connection, roles.owner, creates=False)
    script = ScriptDirectory.from_config(migrate.config())
    context = MigrationContext.configure(connection, opts={**COMPARISON, "script": script})
    produce_migrations(context, Base.metadata)
    found: tuple[Comparison, ...] = context.opts["comparisons"]
    return found


def recorded(connection: Connection, standing: Iterable[str]) -> tuple[Table, ...]:
    """Return what PostgreSQL declares beside the shared QuestDB tables; nothing before head.

    That is the tables of datasets, those of runs and simulations that are among the `standing`,
    and a shared one with more indicators.
    """
    from stage1_schema.ops import migrate, owned  # noqa: PLC0415 - as above

    if migrate.revision(connection) != migrate.head():
        return ()
    tables = owned.read(connection, standing).tables
    return tuple(table for table in tables if table not in owned.SHARED.tables)


def compare_questdb(
    live: Mapping[str, LiveTable], recorded: Iterable[Table]
) -> tuple[Comparison, ...]:
    """Compare the shared tables, and those that PostgreSQL records."""
    from questdb_ddl.tables import SHARED_TABLES  # noqa: PLC0415 - as above
    from stage1_schema.alembic_plugin.questdb_compare import (  # noqa: PLC0415
        compared,
        recorded_tables,
    )

    more = {table.name: table for table in recorded}
    return (
        *(
            comparison
            for table in SHARED_TABLES
            for comparison in compared(more.pop(table.name, table), live.get(table.name.lower()))
        ),
        *recorded_tables(more.values(), live),
    )


def postgres(connection: Connection, roles: Roles | None = None) -> tuple[str, ...]:
    """Return how PostgreSQL differs, one line for each difference."""
    return tuple(str(each) for each in compare_postgres(connection, roles) if each.difference)


def questdb(live: Mapping[str, LiveTable], recorded: Iterable[Table]) -> tuple[str, ...]:
    """Return how the tables that stand and the shared ones differ, one line for each difference.

    A suspended table is one too.
    """
    standing = [table for table in recorded if table.name.lower() in live]
    return tuple(str(each) for each in compare_questdb(live, standing) if not each.equal)
