"""Wire Alembic to Stage1. How a run behaves is stage1_schema.alembic_plugin.environment."""

import logging.config

from alembic import context

from stage1_schema.alembic_plugin import environment

# Alembic's own command line logs as alembic.ini says; a caller keeps the logging it has.
if context.config.config_file_name and "keep_logging" not in context.config.attributes:
    logging.config.fileConfig(context.config.config_file_name, disable_existing_loggers=False)

environment.run(context)  # type: ignore[arg-type]  # the module stands for the context
