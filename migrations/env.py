"""Wire Alembic to Stage1. How a run behaves is stage1_schema.alembic_plugin.environment."""

from __future__ import annotations

import logging.config
from typing import TYPE_CHECKING

from alembic import context

from stage1_schema.alembic_plugin import environment

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from questdb_ddl import Table

# Alembic's own command line logs as alembic.ini says; a caller keeps the logging it has.
if context.config.config_file_name and "keep_logging" not in context.config.attributes:
    logging.config.fileConfig(context.config.config_file_name, disable_existing_loggers=False)


def recorded(connection: Connection, standing: Collection[str]) -> Collection[Table]:
    """Return the QuestDB tables of datasets, runs and simulations, for a comparison."""
    from stage1_schema.ops import drift  # noqa: PLC0415 - an upgrade does without

    return drift.recorded(connection, standing)


environment.run(context, recorded)  # type: ignore[arg-type]  # the module stands for the context
