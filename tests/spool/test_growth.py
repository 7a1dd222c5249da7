"""Reading a spool again changes no row and grows no table, whatever it holds."""

import re

import pytest

from stage1_schema.ops import spool as library
from tests.spool import generator
from tests.spool.conftest import TABLES
from tests.spool.test_units import lines, several

# spool_replays is left out: each replay has a row there.
SIZES = (*TABLES, "spool_quarantine", "spool_units")


def sizes(field):
    return {table: field.one(f"SELECT pg_total_relation_size('{table}')") for table in SIZES}


def versions(field):
    return {
        table: field.all(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY 1")
        for table in SIZES
    }


def saved_twice():
    """A run that an older and then a newer client saved, its folds too."""
    spool = generator.Spool(2)
    run, dataset, _ = spool.run("A", folds=40)
    ids = iter([run])
    again = generator.Spool(3)
    again.id = lambda: next(ids)
    again.run("C", dataset, folds=40, name="renamed")
    return [*spool.statements, *again.statements]


@pytest.mark.parametrize("again", [False, True], ids=["unchanged", "read again"])
def test_replays_of_the_same_file(field, again):
    spool = generator.Spool()
    for number in range(400):
        spool.dataset("ABC"[number % 3], slug=f"slug_{number}")
    spool.simulation(trades=50)
    spool.run("A", folds=1)
    plain = spool.statements[-2].partition(" ON CONFLICT")[0].replace("'COMPLETED'", "'completed'")
    statements = [*spool.statements[:-2], f"{plain};", spool.statements[-1], *saved_twice()]
    held = generator.Spool(4)
    held.run("A", folds=300)
    held.statements[0] = held.statements[0].replace("'COMPLETED'", "'NONSENSE'")
    tail = "INSERT INTO walkforward_runs (run_id"
    field.write(lines(*statements, *held.statements, "DROP TABLE datasets;") + tail)
    assert field.replay().open_quarantine == 303
    before = versions(field)
    size = sizes(field)
    for _ in range(3):
        report = field.replay(again=again)
        assert report.open_quarantine == 303
        assert sum(counts.applied for counts in report.tables.values()) == 0
        after = versions(field)
        assert [table for table in SIZES if after[table] != before[table]] == []
        assert sizes(field) == size


def test_what_a_later_statement_closed_stays_closed(field):
    """Until the file is another one, in which none follows."""
    spool = generator.Spool()
    spool.run("A", folds=3)
    run, *folds = spool.statements
    bad = [run.replace("'COMPLETED'", "'NONSENSE'"), folds[0].replace(", 490, 50,", ", 1e99, 50,")]
    rows = several([folds[1].replace(", 490, 50,", ", 1e99, 50,"), folds[2]])
    field.write(lines(*bad, rows, *spool.statements))
    assert field.replay().exit_code == 0
    field.replay(again=True)
    before = versions(field)
    for _ in range(2):
        assert field.replay(again=True).exit_code == 0
        assert versions(field) == before
    for text, left in ((lines(*bad, rows, *spool.statements[:3]), 1), (lines(*bad), 2)):
        assert field.replay(text).open_quarantine == left
    assert field.replay(lines(*bad, rows, *spool.statements)).exit_code == 0


def test_what_was_changed_since_is_written_again(field):
    statements = saved_twice()
    field.replay(lines(*statements))
    field.connection.execute("UPDATE walkforward_folds SET samples_test = 1 WHERE fold_number = 7")
    assert field.replay(again=True).tables["walkforward_folds"].applied > 0
    assert field.one("SELECT samples_test FROM walkforward_folds WHERE fold_number = 7") == 50


def test_listing_says_how_often_a_statement_was_tried(field):
    spool = generator.Spool()
    spool.run("A", folds=0)
    field.replay(lines(spool.statements[0].replace("'COMPLETED'", "'NONSENSE'"), "SELECT 1;"))
    field.replay()
    found = {each.kind: each.attempts for each in library.listing(field.connection)}
    assert found == {"constraint": 2, "refused": 1}


def with_now(spool):
    """Let the server's clock fill times that an ON CONFLICT updates, and one that none does."""
    times = "|".join(str(generator.EPOCH + n) for n in (10, 60, 500, 9000))
    return [re.sub(rf"TO_TIMESTAMP\((?:{times})\)", "NOW()", each) for each in spool.statements]


@pytest.mark.parametrize(
    ("repeated", "plain"),
    [(False, False), (True, False), (False, True)],
    ids=["once", "twice in the file", "plain"],
)
def test_rows_of_now_arrive_by_another_file(field, repeated, plain):
    spool = generator.Spool()
    spool.dataset("A", slug="a")
    spool.dataset("B", slug="b")
    spool.simulation(spool.run("A", folds=2), trades=2)
    spool.simulation(None, trades=2)
    spool.run("C", folds=2)
    statements = with_now(spool)
    assert sum("NOW()" in each for each in statements) > 5
    if plain:
        statements = [
            each.partition(" ON CONFLICT")[0].rstrip(";") + ";"
            for each in statements
            if "dataset" not in each.partition("(")[0]
        ]
    data = lines(*statements, *statements * repeated)
    assert field.replay(data).exit_code == 0
    before = field.state()
    field.path = field.path.with_name("another.sql")
    report = field.replay(data)
    assert (report.mode, report.exit_code) == ("full", 0)
    assert field.state() == before
    field.write(data.replace("'COMPLETED'", "'FAILED'"))
    changed = field.replay()
    if not plain:
        assert changed.tables["walkforward_runs"].applied > 0
        newest = "SELECT count(*) FROM walkforward_runs WHERE completed_at > now() - interval '1h'"
        assert field.one(f"{newest} AND status = 'FAILED'") == 2
