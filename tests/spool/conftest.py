import pytest

from stage1_schema.connect import connect
from stage1_schema.ops import spool
from tests.plugins.databases import as_role

TABLES = (
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trade_buckets",
    "simulation_trades",
)


class Field:
    """A migrated database, a spool file, and what the application's role may do with them."""

    def __init__(self, settings, path):
        self.settings = as_role(settings, settings.roles.app)
        self.path = path
        self.connection = connect(settings.postgres, autocommit=True)

    def write(self, text):
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def append(self, text):
        with self.path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def replay(self, text=None, **options):
        if text is not None:
            self.write(text)
        return spool.replay(self.settings, self.path, spool.Options(**options))

    def all(self, query, *parameters):
        return self.connection.execute(query, parameters or None).fetchall()

    def one(self, query, *parameters):
        return self.all(query, *parameters)[0][0]

    def count(self, table):
        return self.one(f"SELECT count(*) FROM {table}")

    def state(self):
        """Every row of the contract with its version, and the size of every table."""
        rows = {
            table: self.all(f"SELECT xmin::text, t::text FROM {table} t ORDER BY 2")
            for table in TABLES
        }
        sizes = {table: self.one(f"SELECT pg_relation_size('{table}')") for table in TABLES}
        return rows, sizes

    def quarantine(self):
        return self.all(
            "SELECT line, kind, reason, statement FROM spool_quarantine"
            " WHERE state = 'open' ORDER BY quarantine_id"
        )


@pytest.fixture
def field(migrated, tmp_path):
    made = Field(migrated, tmp_path / "pending_postgres_inserts.sql")
    yield made
    made.connection.close()
