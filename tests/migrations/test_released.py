"""The ledger of released revisions, and the history that it belongs to."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner

from stage1_schema.cli.release import command
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate, release
from tests.migrations.commands import ROOT

STAGE1 = Path(sys.executable).with_name("stage1")


def test_no_released_file_was_changed():
    assert list(release.check()) == []


def test_the_history_has_one_head():
    assert len(ScriptDirectory.from_config(migrate.config()).get_heads()) == 1


@pytest.fixture
def migrations(tmp_path):
    return shutil.copytree(ROOT / "migrations", tmp_path / "migrations")


def test_release_lists_every_file_once_in_order(migrations):
    (migrations / release.LEDGER).write_text("")
    added = release.release(migrations)
    assert added[0].startswith("versions/0001_")
    assert len(added) == sum(1 for _ in migrations.glob("versions/*.py")) + sum(
        1 for _ in migrations.glob("sql/*/*.sql")
    )
    assert list(added) == [line.split("  ")[1] for line in ledger(migrations)]
    assert release.release(migrations) == ()


def ledger(migrations):
    return (migrations / release.LEDGER).read_text().splitlines()


def changed(path):
    path.write_text(path.read_text() + "-- more\n")


def changed_revision(path):
    changed(path.parents[2] / "versions" / "0005_add_dataset_hierarchy.py")


def added(path):
    path.with_name("more.sql").write_text("SELECT 1")


def squeezed_in(path):
    """A revision between the released ones, of a number that no released file has."""
    path.parents[2].joinpath("versions", "0005a_more.py").write_text("")


def unlisted(path):
    """A released revision whose line is taken out of the ledger."""
    listed = path.parents[2] / release.LEDGER
    lines = [line for line in listed.read_text().splitlines() if "versions/0005" not in line]
    listed.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(changed, "released and has been changed", id="changed"),
        pytest.param(
            changed_revision,
            "versions/0005_.* was released and has been changed",
            id="changed revision",
        ),
        pytest.param(lambda path: path.unlink(), "released and is gone", id="gone"),
        pytest.param(
            lambda path: (path.parents[2] / "versions" / "0005_add_dataset_hierarchy.py").unlink(),
            "versions/0005_.* was released and is gone",
            id="gone revision",
        ),
        pytest.param(added, "more.sql is not listed", id="another body"),
        pytest.param(squeezed_in, "0005a_more.py is not listed", id="another revision"),
        pytest.param(unlisted, "versions/0005_.* is not listed", id="unlisted"),
    ],
)
def test_what_was_released_stays(migrations, edit, said):
    release.release(migrations)
    edit(migrations / "sql" / "0005" / "dataset_hierarchy.sql")
    (problem,) = release.check(migrations)
    assert re.search(said, problem)
    with pytest.raises(Stage1Error, match=said):
        release.release(migrations)


def test_before_the_first_release_nothing_need_be_listed(migrations):
    (migrations / release.LEDGER).write_text("")
    changed(migrations / "sql" / "0005" / "dataset_hierarchy.sql")
    assert list(release.check(migrations)) == []


def test_a_new_revision_is_no_problem_until_released(migrations):
    release.release(migrations)
    (migrations / "versions" / "9999_new.py").write_text('"""New"""')
    assert list(release.check(migrations)) == []
    assert release.release(migrations) == ("versions/9999_new.py",)


def test_two_heads_are_not_released(checkout, monkeypatch):
    """A released file cannot be edited any more, and the second head has to be."""
    monkeypatch.chdir(checkout)
    head = migrate.head()
    for number in ("9998", "9999"):
        text = f'"""New"""\n\nrevision = "{number}"\ndown_revision = "{head}"\n'
        (checkout / "migrations" / "versions" / f"{number}_new.py").write_text(text)
    before = ledger(checkout / "migrations")
    ran = CliRunner().invoke(command)
    assert isinstance(ran.exception, Stage1Error)
    assert "The history has 2 heads: 9998, 9999. Nothing was changed. Next: put the" in str(
        ran.exception
    )
    assert ledger(checkout / "migrations") == before


BROKEN = {
    "a revision that is no Python": (
        "versions/9998_new.py",
        b"def upgrade(:\n",
        r"9998_new\.py, line 1: .*restore it from git",
    ),
    "SQL that is not UTF-8": (
        "sql/9998/new.sql",
        "SELECT '\xe9'".encode("latin-1"),
        r"sql/9998/new\.sql is not UTF-8 \(byte 8\).* Next: save it as UTF-8",
    ),
}


@pytest.mark.parametrize(("path", "content", "told"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_not_released(checkout, path, content, told):
    """And is one line, not a traceback."""
    file = checkout / "migrations" / path
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    before = ledger(checkout / "migrations")
    ran = subprocess.run(
        [STAGE1, "release"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert re.search(told, line)
    assert ledger(checkout / "migrations") == before
