"""A checkout of its own for a test that writes revisions."""

import shutil

import pytest

from tests.migrations.commands import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a developer edits, so that a generated revision stays out of the project."""
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path
