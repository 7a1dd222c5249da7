"""Rules of the layout: who may import whom, and what a revision may do."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REVISIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        pytest.param("questdb_ddl", ("stage1_schema",), id="questdb_ddl stands alone"),
        pytest.param(
            "stage1_schema/models",
            ("stage1_schema.ops", "stage1_schema.cli", "stage1_schema.alembic_plugin"),
            id="models",
        ),
        pytest.param(
            "stage1_schema/alembic_plugin", ("stage1_schema.ops", "stage1_schema.cli"), id="plugin"
        ),
        pytest.param("stage1_schema/ops", ("stage1_schema.cli",), id="ops"),
        pytest.param(
            "stage1_schema/servers", ("stage1_schema.ops", "stage1_schema.cli"), id="servers"
        ),
    ],
)
def test_imports_go_one_way(package, forbidden):
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(package)
        for name in imports(path)
        if name.startswith(forbidden)
    }
    assert not wrong


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in REVISIONS])
def test_revision_imports_nothing_that_can_change(path):
    allowed = ("alembic", "sqlalchemy", "collections", "uuid")
    assert not [name for name in imports(path) if name.partition(".")[0] not in allowed]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in REVISIONS])
def test_revision_says_why_and_what_it_locks(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    number = path.stem.split("_")[0]
    assert f"Revision ID: {number}" in text
    assert "Locks:" in text
    body = text.split("\n\n", 1)[1].split("Locks:")[0]
    assert len(body.split()) > 10


def test_env_is_wiring_only():
    assert len((ROOT / "migrations" / "env.py").read_text().splitlines()) < 65


def test_every_frozen_file_is_run_by_its_revision():
    for path in sorted((ROOT / "migrations" / "sql").rglob("*.sql")):
        (revision,) = [r for r in REVISIONS if r.stem.startswith(path.parent.name)]
        assert path.stem in revision.read_text(), f"{path} is not run by {revision.name}"
