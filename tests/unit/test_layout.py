"""Rules of the layout: who may import whom, and what a revision may do."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REVISIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))


def imports(text):
    for node in ast.walk(ast.parse(text)):
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
        for name in imports(path.read_text())
        if name.startswith(forbidden)
    }
    assert not wrong


def what_can_change(text):
    """Yield what a revision imports or names that another commit could change under it."""
    allowed = ("alembic", "sqlalchemy", "collections", "uuid")
    yield from (name for name in imports(text) if name.partition(".")[0] not in allowed)
    for said in strings(ast.parse(text)):
        named = re.fullmatch(r"\S*(\.sql|stage1_schema)\S*", said)
        if named and not re.fullmatch(r"\d{4}/[^/]+\.sql", said):
            yield said


def strings(node):
    """Yield every string; what is put into one reads `{}`."""
    if isinstance(node, ast.JoinedStr):
        parts = (getattr(part, "value", None) for part in node.values)
        yield "".join(part if isinstance(part, str) else "{}" for part in parts)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from strings(child)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in REVISIONS])
def test_revision_uses_nothing_that_can_change(path):
    assert not list(what_can_change(path.read_text()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("from alembic import op\nop.run_sql_file('0005/x.sql')", [], id="frozen"),
        pytest.param(
            "from stage1_schema.models import Base", ["stage1_schema.models"], id="models"
        ),
        pytest.param("def upgrade():\n    import questdb_ddl", ["questdb_ddl"], id="inside"),
        pytest.param(
            "import_module('stage1_schema.models')", ["stage1_schema.models"], id="by its name"
        ),
        pytest.param(
            "op.run_sql_file('../../stage1_schema/sql/views/x.sql')",
            ["../../stage1_schema/sql/views/x.sql"],
            id="live SQL",
        ),
        pytest.param("op.run_sql_file(f'{x}/y.sql')", ["{}/y.sql"], id="of any place"),
        pytest.param("op.backfill('t', '0005/../x.sql')", ["0005/../x.sql"], id="another way"),
    ],
)
def test_the_rule_finds_what_can_change(text, found):
    assert list(what_can_change(text)) == found


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
