"""The built-in tests of pytest-alembic, experimental ones too; its collector breaks pytest 9."""

import pytest
from pytest_alembic import Config
from pytest_alembic.tests import (  # noqa: F401
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from pytest_alembic.tests.experimental import (
    test_all_models_register_on_metadata as all_models_register_on_metadata,
)
from pytest_alembic.tests.experimental import test_downgrade_leaves_no_trace  # noqa: F401

from stage1_schema.connect import engine
from stage1_schema.models.history import MIGRATION_HISTORY
from stage1_schema.ops import migrate
from tests.plugins.databases import environment


@pytest.fixture
def alembic_engine(empty):
    given = engine(empty.postgres)
    MIGRATION_HISTORY.metadata.create_all(given)  # it outlives every downgrade, by design
    return given


@pytest.fixture
def alembic_config(empty):
    return Config(alembic_config=migrate.config(empty, ["questdb=skip"]))


def test_all_models_register_on_metadata(alembic_runner, empty, monkeypatch):
    given = empty.postgres.parameters
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}
    libpq = {names[k]: v for k, v in given.items() if k in names}
    for name, value in (environment(empty) | libpq | {"PGPASSWORD": given["password"]}).items():
        monkeypatch.setenv(name, value)  # it asks a new interpreter
    all_models_register_on_metadata(alembic_runner, model_package="stage1_schema.models")
