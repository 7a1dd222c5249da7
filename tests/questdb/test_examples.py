"""The examples of the package's page and of the modules that talk to a server."""

import doctest
import importlib
from pathlib import Path

import pytest

import questdb_ddl

ROOT = Path(questdb_ddl.__file__).parent
SERVER = ("client", "introspect", "apply", "rebuild", "export")


@pytest.mark.core
def test_page(client):
    result = doctest.testfile(str(ROOT / "README.md"), False, globs={"url": client.url})
    assert result.attempted > 15
    assert result.failed == 0


@pytest.mark.core
@pytest.mark.parametrize("name", SERVER)
def test_docstrings(client, tmp_path, name):
    module = importlib.import_module(f"questdb_ddl.{name}")
    result = doctest.testmod(module, extraglobs={"client": client, "directory": tmp_path})
    assert result.attempted > 0
    assert result.failed == 0
