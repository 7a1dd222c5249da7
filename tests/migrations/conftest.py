"""A checkout of its own for a test that writes revisions, and both stores at head."""

import shutil
from dataclasses import replace

import pytest
import sqlalchemy as sa

from questdb_ddl import ensure_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema import sql
from stage1_schema.models import Base
from stage1_schema.settings import QuestDBSettings
from tests.migrations.commands import ROOT
from tests.migrations.developer import Developer


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a developer edits, so that a generated revision stays out of the project."""
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def head(migrated, questdb, questdb_server):
    """Settings of both stores at head."""
    for table in SHARED_TABLES:
        ensure_table(questdb, table)
    return replace(migrated, questdb=QuestDBSettings(questdb_server.url))


@pytest.fixture
def developer(migrated, checkout, monkeypatch, tmp_path):
    files = tmp_path / "sql"
    shutil.copytree(sql.DIRECTORY, files)
    monkeypatch.setattr(sql, "DIRECTORY", files)
    monkeypatch.chdir(checkout)
    return Developer(migrated, checkout, files)


@pytest.fixture
def models(monkeypatch):
    """The declared tables, as a copy that the test may change: it stands for them meanwhile."""
    copy = sa.MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.tables.values():
        table.to_metadata(copy)
    monkeypatch.setattr(Base, "metadata", copy)
    return copy
