"""The record of retention: one writer, cut and damaged lines, a directory that is none."""

import os
from datetime import UTC, datetime

import pytest

from stage1_schema.errors import Stage1Error
from stage1_schema.ops import retention, retention_apply, retention_record
from stage1_schema.ops.retention_record import Entry, Record, State
from tests.series.test_retention import LIMIT, bar


def test_two_at_a_time_and_a_line_that_was_cut(tmp_path):
    with Record(tmp_path) as record:
        with pytest.raises(Stage1Error, match="Another retention"), Record(tmp_path):
            pass
        kept = record.note(Entry("a", State.BEGUN, "bars", "old"), State.KEPT)
    old_line = '{"table": "t", "rows": 1, "why": "w", "archive": "t.parquet", "at": "x"}\n'
    with (tmp_path / "retention.jsonl").open("a") as file:
        file.write(old_line + '{"id": "b", "sta')
    with Record(tmp_path) as record:
        again = record.note(Entry("b", State.BEGUN, "bars", "old"), State.KEPT)
    first, older, last = retention_record.read(tmp_path / "retention.jsonl")
    assert (first, last) == (kept, again)
    assert (older.state, older.archive) == (State.GONE, "t.parquet")


def test_a_directory_that_cannot_be_written(stores, tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Stage1Error, match=r"cannot be written.*--directory"):
            retention_apply.apply(stores, retention.plan(stores), directory)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"\xff", b'{"id": "a"}', b'{"archive": "a", "state": "lost"}', b'"text"'],
    ids=["cut", "list", "not UTF-8", "lacks names", "unknown state", "text"],
)
def test_a_damaged_record_is_refused_whole(stores, tmp_path, line):
    (tmp_path / "retention.jsonl").write_bytes(line + b"\n")
    with pytest.raises(Stage1Error, match=r"Line 1 of .*retention.jsonl is damaged"):
        retention_apply.apply(stores, retention.plan(stores), tmp_path)
    assert (tmp_path / "retention.jsonl").read_bytes() == line + b"\n"


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_record_and_archives_are_their_users_alone(stores, lines, tmp_path, umask):
    lines(bar(LIMIT.replace(year=LIMIT.year - 1)), bar(datetime.now(UTC)))
    directory = tmp_path / "new" / "archive"
    before = os.umask(umask)
    try:
        (gone,) = retention_apply.apply(stores, retention.plan(stores), directory)
    finally:
        os.umask(before)
    made = [directory.parent, directory, *directory.rglob("*")]
    assert directory / gone.archive in made
    assert [path for path in made if path.stat().st_mode & 0o077] == []
