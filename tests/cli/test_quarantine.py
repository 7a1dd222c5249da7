"""`stage1 replay --discard`, and what `stage1 dataset backfill` says of a file that is no spool."""

import pytest

from tests.plugins.databases import as_role
from tests.spool import generator
from tests.spool.conftest import Field
from tests.spool.test_quarantine import NO_SPOOLS, refused
from tests.spool.test_units import lines


@pytest.fixture
def field(migrated, tmp_path):
    made = Field(migrated, tmp_path / "spool.sql")
    yield made
    made.connection.close()


@pytest.fixture
def run():
    made = generator.Spool()
    made.run("A", folds=9)
    return made


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["{0}"], 5),
        (["{0}", "{1}"], 4),
        (["{0},{1},{2}"], 3),
        (["syntax"], 5),
        (["syntax", "refused"], 2),
        (["{path}"], 2),
        (["all"], 0),
    ],
)
def test_discard(shell, migrated, field, run, words, left):
    settings = as_role(migrated, migrated.roles.app)
    field.replay(lines(*run.statements, *refused(3), "a b c;"))
    path = field.path
    field.path = path.with_name("another.sql")
    bad = run.statements[0].replace("'COMPLETED'", "'NONSENSE'")
    field.replay(lines(*run.statements, bad.replace("TGT", "X"), bad))
    ids = [row[0] for row in field.all("SELECT quarantine_id FROM spool_quarantine ORDER BY 1")]
    given = [each.format(*ids, path=path) for each in words]
    done = shell("stage1", "replay", *[f"--discard={each}" for each in given], settings=settings)
    assert done.code == 0, done.err
    assert f"{left} in quarantine." in done.out
    assert field.one("SELECT count(*) FROM spool_quarantine WHERE state = 'open'") == left


@pytest.mark.parametrize("word", ["7", "parent", "no/such/file", "{0},999"])
def test_discard_of_what_is_not_there(shell, migrated, field, run, word):
    settings = as_role(migrated, migrated.roles.app)
    field.replay(lines(*run.statements, *refused(3)))
    first = field.one("SELECT min(quarantine_id) FROM spool_quarantine")
    given = word.format(first) if word != "7" else str(first + 7)
    done = shell("stage1", "replay", "--discard", given, settings=settings)
    assert (done.code, len(done.error_lines)) == (1, 1)
    assert given.rpartition(",")[2] in done.error_lines[0]
    assert len(field.quarantine()) == 3


@pytest.mark.parametrize("kind", NO_SPOOLS)
def test_backfill_from_what_is_no_spool_says_so(shell, migrated, tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(NO_SPOOLS[kind])
    done = shell("stage1", "dataset", "backfill", "--from", str(path), settings=migrated)
    assert (done.code, len(done.error_lines)) == (1, 1), done.err
    assert f"{path} is no spool: it holds" in done.error_lines[0]
