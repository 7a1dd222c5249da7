"""What stands in schema public, read by the queries of the plugin."""

from stage1_schema.alembic_plugin.catalogue import QUERIES, read
from stage1_schema.connect import engine

KINDS = [kind for kind in QUERIES if kind != "generated"]  # no table has one yet


def catalogue(settings):
    """Return {kind: {name: item}} as the role of `settings` sees it."""
    with engine(settings.postgres).connect() as connection:
        return read(connection)
