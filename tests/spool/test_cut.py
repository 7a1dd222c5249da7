"""What has not arrived whole is never run, however it was cut, and gets in once it is whole."""

import re
import sys
from contextlib import contextmanager

import pytest

from stage1_schema.connect import connect
from stage1_schema.errors import Stage1Error
from stage1_schema.locks import UPGRADE_LOCK
from tests.spool import generator
from tests.spool.test_replay import stands

module = sys.modules["stage1_schema.ops.spool.replay"]


def lines(*statements):
    return "\n".join(statements) + "\n"


@pytest.fixture
def run():
    """A run of generation A and its three folds."""
    made = generator.Spool()
    made.run("A", folds=3)
    return made


def test_plain_insert_that_a_cut_left_is_not_run_later_either(field, run):
    row, first, second, third = run.statements
    field.replay(f"{lines(row, first)}{second.partition(' ON CONFLICT')[0]}")
    field.append("\n" + lines(third))
    for _ in range(3):
        assert field.replay().exit_code == 3
        assert field.all("SELECT fold_number FROM walkforward_folds ORDER BY 1") == [(0,), (2,)]
        assert [kind for _, kind, _, _ in field.quarantine()] == ["broken"]
    field.append(lines(second))
    field.replay()
    assert field.count("walkforward_folds") == 3


NOTES = {
    "failed": "log: INSERT INTO datasets (x) VALUES (1) failed; -- /* $$ twice",
    "valid": "log: INSERT INTO datasets (dataset_id, dataset_slug)"
    " VALUES ($$9c5a7c0e-5f0e-4c7e-8d5c-0123456789ab$$, $$evil$$); more text",
    "digits": "log: INSERT INTO datasets (x) VALUES (1); more text",
    "long": "log: INSERT INTO datasets " + 300_000 * "y",
}


@pytest.mark.parametrize("kind", NOTES)
def test_text_that_looks_like_a_statement_is_text(field, kind):
    spool = generator.Spool()
    spool.simulation(None, trades=1)
    spool.statements[1] = spool.statements[1].replace("it''s a cap", NOTES[kind])
    data = lines(*spool.statements)
    field.replay(data[: data.index(NOTES[kind]) + len(NOTES[kind]) - 4])
    assert [held[1] for held in field.quarantine()] == ["tail"]
    assert field.count("datasets") == field.count("simulation_trade_buckets") + 1 == 1
    report = field.replay(data)
    assert (report.exit_code, report.open_quarantine) == (0, 0)
    stands(field, spool)


def test_statement_behind_one_that_breaks_off_in_its_line_is_taken(field, run):
    row, first, second, third = run.statements
    half = second[: second.index("'") + 9]
    field.replay(lines(row, half + first, third))
    assert [held[1] for held in field.quarantine()] == ["broken"]
    assert field.all("SELECT fold_number FROM walkforward_folds ORDER BY 1") == [(0,), (2,)]


SQL = NOTES["valid"].removesuffix(" more text")
INVALID = [
    pytest.param(f"'{SQL} more text') oops ON CONFLICT", id="a word too many"),
    pytest.param(f"'{SQL}', ) ON CONFLICT", id="a value missing"),
    pytest.param(f'"{SQL}" oops) ON CONFLICT', id="an identifier"),
    pytest.param(f"E'\\'{SQL}' oops) ON CONFLICT", id="an escaped string"),
]


@pytest.mark.parametrize("ending", INVALID)
@pytest.mark.parametrize("next_line", [False, True], ids=["alone", "and another line"])
@pytest.mark.parametrize("whole", [False, True], ids=["without its end", "with its end"])
def test_text_in_a_statement_that_is_none_is_text(field, run, ending, whole, next_line):
    spool = generator.Spool()
    spool.simulation(None, trades=0)
    simulation, bucket = spool.statements
    kind = "syntax" if whole else "broken" if next_line else "tail"
    bad = bucket.replace("'it''s a cap') ON CONFLICT", ending)
    assert bad != bucket
    if not whole:
        bad = bad.partition(" ON CONFLICT")[0]
    field.replay(lines(simulation, bad, *run.statements * next_line))
    assert [held[1] for held in field.quarantine()] == [kind]
    assert field.one("SELECT count(*) FROM datasets WHERE dataset_slug = 'evil'") == 0
    assert field.count("walkforward_folds") == 3 * next_line


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["failed", "valid"])
def test_cut_anywhere_and_then_whole(field, kind):
    spool = generator.Spool()
    spool.simulation(None, trades=1)
    spool.statements[1] = spool.statements[1].replace("it''s a cap", NOTES[kind])
    data = lines(*spool.statements).encode()
    ends = [m.end() for m in re.finditer(rb";\n", data)]
    noted = data.index(NOTES[kind].encode())
    cuts = {*range(noted, noted + len(NOTES[kind])), *range(0, len(data), 11)}
    for cut in sorted(cuts | {end - n for end in ends for n in (1, 2, 3)}):
        field.connection.execute("DELETE FROM datasets; TRUNCATE spool_replays, spool_quarantine")
        field.replay(data[:cut])
        arrived = sum(end - 1 <= cut for end in ends)
        found = [
            field.count(table)
            for table in ("simulation_runs", "simulation_trade_buckets", "simulation_trades")
        ]
        assert found == [int(arrived > n) for n in range(3)], cut
        report = field.replay(data)
        assert (report.exit_code, report.open_quarantine) == (0, 0), cut
        stands(field, spool)


@pytest.mark.parametrize("opening", ["/*", "DO $$", "DO $a$"])
def test_statements_in_what_is_left_open_are_not_run(field, run, opening):
    closing = {"/*": "*/", "DO $$": "$$;", "DO $a$": "$a$;"}[opening]
    for end in ("", closing[:-1], closing):
        field.replay(f"{opening} {lines(*run.statements)}{end}")
        assert field.count("walkforward_runs") == 0


def test_tail_of_more_than_a_megabyte_is_closed_when_it_is_whole(field, run):
    field.connection.execute("TRUNCATE datasets CASCADE")
    long = run.statements[0].replace("'desktop'", f"'{'x' * (2 << 20)}'")
    field.replay(long[:-20])
    assert [kind for _, kind, _, _ in field.quarantine()] == ["tail"]
    field.write(lines(long, *run.statements[1:]))
    assert field.replay().exit_code == 0
    stands(field, run)


@pytest.mark.parametrize(
    ("sent", "instead"),
    [
        ("TO_TIMESTAMP(1700000500)", b"TO_TIMESTAMP(nan)"),
        ("TO_TIMESTAMP(1700000500)", b"TO_TIMESTAMP(-nan(ind))"),
        ("TO_TIMESTAMP(1700000500)", b"TO_TIMESTAMP(1e400)"),
        ("'desktop'", b"'desk\xfftop'"),
        ("'desktop'", b"'desk\0top'"),
    ],
    ids=["nan", "nan(ind)", "too large", "invalid UTF-8", "NUL"],
)
def test_folds_wait_for_a_run_that_cannot_be_read(field, run, sent, instead):
    row, *folds = run.statements
    assert sent in row
    field.replay(row.encode().replace(sent.encode(), instead, 1) + b"\n" + lines(*folds).encode())
    held = field.all("SELECT target, row_key IS NOT NULL, kind FROM spool_quarantine ORDER BY line")
    assert [each[:2] for each in held] == [("walkforward_runs", True)] + [
        ("walkforward_folds", True)
    ] * 3
    assert [each[2] for each in held[1:]] == ["parent"] * 3
    assert field.count("walkforward_runs") == 0
    field.append(lines(row))
    field.replay()
    assert field.replay().exit_code == 0
    stands(field, run)


def test_file_that_is_rewritten_while_it_is_replayed_is_read_again(field, run, monkeypatch):
    old = lines(*run.statements)
    new = old.replace("COMPLETED", "FAILED   ")
    read = module._Run._read

    def rewritten(self, *arguments):
        read(self, *arguments)
        with field.path.open("r+b") as file:
            file.write(new.encode())

    monkeypatch.setattr(module._Run, "_read", rewritten)
    field.replay(old)
    monkeypatch.setattr(module._Run, "_read", read)
    assert field.replay().mode == "full"
    assert field.one("SELECT btrim(status) FROM walkforward_runs") == "FAILED"


def test_file_that_is_replaced_when_it_was_opened_is_the_old_one(field, run, monkeypatch):
    """As rsync replaces it, by another under the same name."""
    opened, other = module._opened, field.path.with_name("other.sql")

    @contextmanager
    def replaced(path):
        with opened(path) as file:
            if other.exists():
                other.replace(path)
            yield file

    monkeypatch.setattr(module, "_opened", replaced)
    other.write_text("TABLE later;\n" * 9)
    field.replay(lines("TABLE sooner;", *run.statements))
    assert [held[3] for held in field.quarantine()] == ["TABLE sooner;"]
    field.replay()
    assert {held[3] for held in field.quarantine()} == {"TABLE sooner;", "TABLE later;"}


@pytest.mark.parametrize("change", ["shrunk", "replaced", "truncated"])
def test_file_that_is_another_one_is_read_from_its_start(field, run, change):
    field.replay(lines(*run.statements))
    other = generator.Spool(7)
    other.run("C", folds=9 if change == "replaced" else 1)
    field.write("" if change == "truncated" else lines(*other.statements))
    assert field.replay().mode == "full"
    if change != "truncated":
        stands_both = field.count("walkforward_folds")
        assert stands_both == 3 + len(other.rows["walkforward_folds"])


def test_link_and_relative_path_are_the_same_file(field, run, monkeypatch):
    field.replay(lines(*run.statements))
    link = field.path.with_name("link.sql")
    link.symlink_to(field.path)
    monkeypatch.chdir(field.path.parent)
    for path in (link, type(field.path)(field.path.name)):
        field.path = path
        assert field.replay().mode == "unchanged"


def test_column_that_the_server_fills_is_never_set(field, run):
    fold = run.statements[1]
    head = fold.replace("(run_id,", "(train_start_ts_ms, run_id,", 1).replace(
        "VALUES (", "VALUES (NULL, "
    )
    assert "train_start_ts_ms = EXCLUDED" not in head
    evil = head.rstrip(";") + ", train_start_ts_ms = EXCLUDED.train_start_ts_ms;"
    field.replay(lines(run.statements[0], evil))
    ((_, kind, reason, _),) = field.quarantine()
    assert (kind, "train_start_ts_ms" in reason) == ("refused", True)


def test_waiting_says_for_what(field, run):
    said = []
    module.replay(field.settings, _written(field, run), progress=lambda _, what: said.append(what))
    waiting = said.index("waiting for an upgrade")
    assert set(said[:waiting]) == {"reading"}
    assert said[waiting : waiting + 2] == ["waiting for an upgrade", "waiting for another replay"]


def _written(field, run):
    field.write(lines(*run.statements))
    return field.path


def test_schema_is_looked_at_once_the_upgrade_has_ended(empty, tmp_path):
    """Below head a replay waits for the upgrade that is under way, and says so when it cannot."""
    path = tmp_path / "spool.sql"
    path.write_text("")
    with connect(empty.postgres, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (UPGRADE_LOCK,))
        with pytest.raises(Stage1Error, match="for an upgrade to end"):
            module.replay(empty, path, module.Options(wait_s=0))
