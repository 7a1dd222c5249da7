"""What SQLAlchemy reads or Alembic writes wrongly of a change by hand comes back as it stood."""

import pytest
from alembic import command
from alembic.util import CommandError

from tests.migrations.developer import lines

JOBS = "ALTER TABLE stage1_jobs "
STATUS = f"{JOBS}DROP CONSTRAINT ck_stage1_jobs_status, ADD CONSTRAINT ck_stage1_jobs_status "
CASES = {
    "check of a word behind a colon": f"{JOBS}ADD CONSTRAINT c CHECK (status !~ ':a b')",
    "default of such a word": f"{JOBS}ALTER message SET DEFAULT ':a'",
    "column with such a default": f"{JOBS}ADD c text DEFAULT ' :a'",
    "generated of such a word": f"{JOBS}ADD c text GENERATED ALWAYS AS (status || ':a') STORED",
    "index of such a word": "CREATE INDEX c ON stage1_jobs ((status || ':a') DESC)",
    "predicate of such a word": "CREATE INDEX c ON stage1_jobs (status) WHERE status <> ':a'",
    "unique with more": f"{JOBS}ADD CONSTRAINT c UNIQUE (job_id) INCLUDE (status)",
    "unique, later": f"{JOBS}ADD CONSTRAINT c UNIQUE (status) DEFERRABLE INITIALLY DEFERRED",
    "declared unique with more": (
        "ALTER TABLE datasets DROP CONSTRAINT uq_datasets_dataset_slug,"
        " ADD CONSTRAINT uq_datasets_dataset_slug UNIQUE (dataset_slug) INCLUDE (source)"
    ),
    "check not inherited": f"{JOBS}ADD CONSTRAINT c CHECK (status <> 'x') NO INHERIT",
    "declared check not inherited": f"{STATUS}CHECK (status <> '') NO INHERIT",
    "check not valid": f"{JOBS}ADD CONSTRAINT c CHECK (status <> 'x') NOT VALID",
    "primary key of another name and columns": (
        "ALTER TABLE simulation_trades DROP CONSTRAINT pk_simulation_trades,"
        " ADD PRIMARY KEY (trade_id, simulation_id)"
    ),
    "type that is not known": f"{JOBS}ALTER message TYPE point USING NULL",
    "column of such a type": f"{JOBS}ADD c point NOT NULL DEFAULT '(1,2)'",
    "an array": f"{JOBS}ALTER message TYPE text[] USING ARRAY[message]",
    "clustered": f"{JOBS}CLUSTER ON pk_stage1_jobs",
    "clustered on what goes": f"CREATE INDEX c ON stage1_jobs (status); {JOBS}CLUSTER ON c",
    "a parent": "CREATE TABLE parent (symbol text); ALTER TABLE datasets INHERIT parent",
    "a column with a check, unique": f"{JOBS}ADD c integer UNIQUE CHECK (c > 0)",
    "a column in the key": (
        "ALTER TABLE simulation_trade_buckets DROP CONSTRAINT pk_simulation_trade_buckets,"
        " ADD c integer GENERATED ALWAYS AS IDENTITY,"
        " ADD CONSTRAINT pk_simulation_trade_buckets PRIMARY KEY (simulation_id, c)"
    ),
}  # fmt: skip
ENFORCED = {
    "check not enforced": f"{JOBS}ADD CONSTRAINT c CHECK (status <> 'x') NOT ENFORCED",
    "declared check not enforced": f"{STATUS}CHECK (status <> '') NOT ENFORCED",
}


def there_and_back(developer):
    """Whatever the change, one revision and its second half repair it, and bring it back."""
    with pytest.raises(CommandError, match=r"declared"):
        command.check(developer.config)
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


@pytest.mark.parametrize("change", CASES.values(), ids=CASES)
def test_it_comes_back_as_it_stood(developer, connection, change):
    connection.execute(change)
    there_and_back(developer)


@pytest.mark.parametrize("change", ENFORCED.values(), ids=ENFORCED)
def test_what_is_not_enforced(developer, connection, change):
    if connection.info.server_version < 180000:
        pytest.skip("NOT ENFORCED is new in PostgreSQL 18")
    connection.execute(change)
    there_and_back(developer)


def test_a_partitioned_table_in_its_place_is_refused(developer, connection):
    connection.execute(
        "DROP TABLE spool_units;"
        "CREATE TABLE spool_units (replay_id bigint NOT NULL) PARTITION BY RANGE (replay_id)"
    )
    with pytest.raises(CommandError, match=r"spool_units declared plain, live partitioned.*Next"):
        developer.revise()


def test_a_table_in_the_place_of_a_view_is_told(developer, connection, caplog):
    connection.execute("DROP VIEW dataset_hierarchy; CREATE TABLE dataset_hierarchy (a integer)")
    developer.revise()
    told = "skipped: not of Stage1, and has the name of a view: rename or drop it"
    assert f"table dataset_hierarchy: {told}" in [each.message for each in caplog.records]


def test_an_index_is_renamed(developer, connection):
    connection.execute("ALTER INDEX ix_stage1_jobs_pending RENAME TO waiting")
    with pytest.raises(CommandError, match="index ix_stage1_jobs_pending: declared, live called"):
        command.check(developer.config)
    assert len(lines(developer.revise())) == 1
    developer.up_down_up()
