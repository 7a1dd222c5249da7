"""The quarantine has room for so much, and what is given up stays given up."""

import gzip
import json
from pathlib import Path

import pytest

from stage1_schema.errors import Stage1Error
from stage1_schema.locks import UPGRADE_LOCK
from stage1_schema.ops import spool as library
from stage1_schema.ops.spool import quarantine
from tests.spool import generator
from tests.spool.test_replay import stands
from tests.spool.test_units import lines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run():
    made = generator.Spool()
    made.run("A", folds=20)
    return made


def refused(count, name="x"):
    return [f"DROP TABLE {name}_{n};" for n in range(count)]


@pytest.mark.parametrize("limit", ["FILE_ROWS", "FILE_BYTES", "ALL_ROWS", "ALL_BYTES"])
def test_what_finds_no_room_is_counted(field, run, monkeypatch, limit):
    monkeypatch.setattr(
        quarantine, limit, 5 if limit.endswith("ROWS") else 5 * len("DROP TABLE x_1;")
    )
    report = field.replay(lines(*refused(10), *run.statements))
    assert (report.exit_code, report.open_quarantine, report.left_out) == (3, 5, 5)
    assert library.left_out(field.connection) == {report.source: 5}
    stands(field, run)
    again = field.replay()
    assert (again.mode, again.exit_code, again.left_out) == ("unchanged", 3, 5)
    field.append(lines(*refused(2, "y")))
    assert field.replay().left_out == 7
    library.discard(field.connection, library.Which(all=True))
    report = field.replay()
    assert (report.exit_code, report.left_out, library.left_out(field.connection)) == (0, 0, {})


def test_room_of_all_files_is_shared(field, run, monkeypatch):
    monkeypatch.setattr(quarantine, "ALL_ROWS", 5)
    field.replay(lines(*refused(4), *run.statements))
    field.path = field.path.with_name("another.sql")
    report = field.replay(lines(*refused(4), *run.statements))
    assert (report.open_quarantine, report.left_out) == (5, 3)


@pytest.mark.parametrize("before", [0, 1], ids=["from the start", "in what is appended"])
def test_what_may_be_applied_later_is_read_again(field, run, monkeypatch, before):
    monkeypatch.setattr(quarantine, "FILE_ROWS", 5)
    other = generator.Spool(2)
    other.run("C", folds=1)
    field.write(lines(*other.statements * before))
    assert field.replay(placeholders=True).exit_code == 0
    field.append(lines(*run.statements))
    for _ in range(2):
        report = field.replay(placeholders=False)
        assert (report.open_quarantine, report.left_out) == (5, 16)
    dataset = generator.Spool(3)
    dataset.dataset("C", run.parents[0][1])
    field.append(lines(*dataset.statements))
    report = field.replay(placeholders=False)
    assert (report.exit_code, report.left_out) == (0, 0)
    stands(field, run) if not before else None
    assert field.count("walkforward_folds") == 20 + before
    assert field.replay().mode == "unchanged"


def test_oldest_closed_statements_are_forgotten(field, run, monkeypatch):
    monkeypatch.setattr(quarantine, "ALL_ROWS", 12)
    for name in "abc":
        field.replay(lines(*run.statements, *refused(5, name)))
        library.discard(field.connection, library.Which(all=True))
    field.replay(lines(*run.statements))
    assert field.count("spool_quarantine") == 12
    assert field.one("SELECT min(statement) FROM spool_quarantine") == "DROP TABLE a_3;"


def test_same_text_again_and_again_is_one_row(field, run):
    report = field.replay(lines(*run.statements, *["DROP TABLE x;"] * 1_000))
    assert (report.open_quarantine, report.left_out) == (1, 0)


def test_what_never_clears_is_not_tried_again(field, run):
    bad = run.statements[0].replace("'COMPLETED'", "'NONSENSE'")
    held = ["DROP TABLE x;", "a b c;", "INSERT INTO datasets (a\xff) VALUES;", bad]
    field.replay("\n".join(held).encode("latin-1") + b"\n")
    field.replay()
    found = {each.kind: each.attempts for each in library.listing(field.connection)}
    assert found == {"refused": 1, "syntax": 1, "unreadable": 1, "constraint": 2}


README = "Stage1\n\nRun `stage1 replay`; it's quick. Example:\n\n{}\n\nThe end.\n" + "text " * 900


def no_spools(spool):
    text = spool.bytes().decode()
    return {
        "README": (ROOT / "README.md").read_bytes(),
        "README with a statement": README.format(spool.statements[1]).encode(),
        "hostname": b"laptop\n",
        "gzip": gzip.compress(text.encode()),
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "zeros": bytes(5_000),
        "program": Path("/bin/sh").read_bytes(),
        "JSON": json.dumps([{"text": 'it\'s; a "row"', "id": n} for n in range(99)]).encode(),
        "log": b"2026-12-01 ERROR:  it is 'late'; DETAIL: none\n" * 300,
    }


NO_SPOOLS = no_spools(generator.usual(runs=1, folds=20, trades=0))
WHAT = {"gzip": "gzip data", "UTF-16": "UTF-16", "zeros": "zeros", "program": "a program"}


@pytest.mark.parametrize("kind", NO_SPOOLS)
def test_file_that_is_no_spool_is_refused_whole(field, kind):
    field.write(NO_SPOOLS[kind])
    with pytest.raises(library.NoSpoolError, match="is no spool: it holds") as refusal:
        field.replay()
    assert WHAT.get(kind, "") in str(refusal.value)
    for table in ("spool_replays", "spool_quarantine", "walkforward_folds", "datasets"):
        assert field.count(table) == 0


def test_spool_with_zeros_that_a_crash_left_behind_is_one(field, run):
    report = field.replay(lines(*run.statements).encode() + bytes(1 << 20))
    assert (report.exit_code, [row[1] for row in field.quarantine()]) == (3, ["tail"])
    stands(field, run)


ENDS = {
    "ROLLBACK;": True,
    "COMMIT;": True,
    "END;": True,
    "ABORT;": True,
    "COMMIT AND CHAIN;\nROLLBACK;": True,
    "ROLLBACK TO SAVEPOINT a;\nROLLBACK;": True,
    "PREPARE TRANSACTION 'x';": True,
    "": False,
}


@pytest.mark.parametrize("begin", ["BEGIN;", "START TRANSACTION;", "begin read only;"])
@pytest.mark.parametrize("end", ENDS)
def test_transaction_of_its_own_is_refused_together(field, run, begin, end):
    other = generator.Spool(2)
    other.run("C", folds=2)
    field.replay(
        lines(*other.statements, begin, *run.statements, end, *other.statements * ENDS[end])
    )
    ((line, kind, reason, statement),) = field.quarantine()
    assert (line, kind) == (4, "refused")
    assert reason.startswith("a transaction of its own is never run: 2")
    assert ("no COMMIT" in reason) is not ENDS[end]
    assert statement.startswith(begin)
    stands(field, other)
    assert field.replay().statements == 0


def test_commit_without_a_transaction_is_refused_by_itself(field, run):
    field.replay(lines("COMMIT;", *run.statements, "ROLLBACK;"))
    assert [row[0] for row in field.quarantine()] == [1, 23]
    stands(field, run)


def test_file_is_read_before_the_locks_are_taken(field, run):
    field.connection.execute("SELECT pg_advisory_lock(%s)", (UPGRADE_LOCK,))
    said = []
    field.write(lines(*run.statements, *refused(3)))
    with pytest.raises(Stage1Error, match="for an upgrade to end"):
        library.replay(
            field.settings, field.path, library.Options(wait_s=0), lambda *each: said.append(each)
        )
    assert [what for _, what in said[-2:]] == ["reading", "waiting for an upgrade"]
    assert said[-2][0] > 0.49
    assert field.count("spool_replays") == field.count("spool_quarantine") == 0


def test_file_that_another_replay_took_meanwhile_is_read_again(field, run):
    field.write(lines(*run.statements, *refused(3)))
    others = []

    def told(_, what):
        if what == "waiting for another replay" and not others:
            others.append(None)
            others[0] = field.replay()

    report = library.replay(field.settings, field.path, progress=told)
    assert (others[0].mode, report.mode) == ("full", "unchanged")
    assert (report.statements, report.open_quarantine) == (0, 3)
    stands(field, run)
