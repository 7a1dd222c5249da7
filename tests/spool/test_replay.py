"""What a replay leaves behind: every row once, nothing rewritten, nothing lost."""

import re

import pytest

from stage1_schema.errors import Stage1Error
from stage1_schema.locks import REPLAY_LOCK, UPGRADE_LOCK
from stage1_schema.ops import spool as library
from tests.spool import generator


def keys(field, table):
    columns = {
        "datasets": "dataset_id::text",
        "walkforward_runs": "run_id::text",
        "walkforward_folds": "run_id::text, fold_number",
        "simulation_runs": "simulation_id::text",
        "simulation_trade_buckets": "simulation_id::text, side",
        "simulation_trades": "trade_id::text",
    }[table]
    placeholder = " WHERE NOT is_placeholder" if table in ("datasets", "walkforward_runs") else ""
    rows = field.all(f"SELECT {columns} FROM {table}{placeholder}")
    return [row[0] if len(row) == 1 else row for row in rows]


def stands(field, spool):
    for table, wanted in spool.rows.items():
        found = keys(field, table)
        assert set(found) == wanted, table
        assert len(found) == len(wanted), table


@pytest.fixture
def small():
    return generator.usual(runs=3, folds=4, trades=6)


def test_empty_file_is_nothing_to_do(field):
    report = field.replay("")
    assert (report.exit_code, report.statements) == (0, 0)


def test_every_row_of_the_usual_file_is_in_once(field):
    spool = generator.usual(runs=10, folds=500, trades=2000)
    report = field.replay(spool.bytes())
    assert report.exit_code == 0, report.entries
    stands(field, spool)
    applied = sum(counts.applied + counts.unchanged for counts in report.tables.values())
    assert applied == len(spool.statements)
    assert report.incomplete_runs == []


@pytest.mark.parametrize("again", [False, True], ids=["unchanged", "read again"])
def test_second_replay_changes_no_row_and_grows_no_table(field, small, again):
    field.replay(small.bytes())
    before = field.state()
    report = field.replay(again=again)
    assert field.state() == before
    assert report.mode == ("full" if again else "unchanged")
    assert sum(counts.applied for counts in report.tables.values()) == 0


def test_order_does_not_matter(field, small):
    small.random.shuffle(small.statements)
    assert field.replay(small.bytes()).exit_code == 0
    stands(field, small)


def test_appended_part_is_taken_up_where_the_last_replay_ended(field, small):
    field.replay(small.bytes())
    done = len(small.statements)
    small.run("C", folds=3)
    field.append("\n".join(small.statements[done:]) + "\n")
    report = field.replay()
    assert (report.mode, report.statements) == ("append", 4)
    stands(field, small)


def test_edited_file_is_read_from_its_start(field, small):
    field.replay(small.bytes())
    field.write(small.bytes().replace(b"COMPLETED", b"FAILED   "))
    report = field.replay()
    assert report.mode == "full"
    assert field.all("SELECT DISTINCT status FROM walkforward_runs WHERE NOT is_placeholder") == [
        ("FAILED",)
    ]


def test_cut_file_is_taken_when_it_is_complete(field):
    """Cut at many places: what is applied is what was whole, and the rest comes later."""
    spool = generator.usual(runs=2, folds=2, trades=2)
    data = spool.bytes(crlf=0, comments=False)
    ends = [n for n, byte in enumerate(data) if byte == ord(";") and data[n + 1 : n + 2] == b"\n"]
    for cut in sorted({*range(1, len(data), len(data) // 25), ends[3], ends[3] + 1, ends[4] + 2}):
        field.replay(data[:cut])
        tails = field.one("SELECT count(*) FROM spool_quarantine WHERE state = 'open'")
        tail = data[:cut].rpartition(b";\n")[2].strip()
        assert tails == bool(tail and not tail.endswith(b";"))
        rows = sum(field.count(table) for table in ("walkforward_folds", "simulation_trades"))
        assert rows == len(
            re.findall(rb"INSERT INTO (?:walkforward_folds|simulation_trades) .*;", data[:cut])
        )
    assert field.replay(data).exit_code == 0
    stands(field, spool)


def test_valid_plain_insert_without_its_end_is_never_run(field, small):
    statement = small.statements[0]
    cut = statement[: statement.index(" ON CONFLICT")]
    report = field.replay(cut)
    assert report.exit_code == 3
    assert field.count("walkforward_runs") == 0
    assert [row[:2] for row in field.quarantine()] == [(1, "tail")]
    report = field.replay(statement)
    assert report.exit_code == 0
    assert field.quarantine() == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="byte-order mark"),
        pytest.param(lambda data: b"-- \xff\xfe\0\n" + data, id="bytes in a comment"),
        pytest.param(lambda data: data.rstrip(), id="no newline at the end"),
        pytest.param(lambda data: data.replace(b", ", b" ,\n\t"), id="other blanks"),
        pytest.param(lambda data: data.replace(b"INSERT", b"/* a */ insert"), id="comments"),
    ],
)
def test_forms_of_the_file(field, small, changed):
    report = field.replay(changed(small.bytes()))
    assert report.exit_code == 0, report.entries
    stands(field, small)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(b"\xff", "unreadable", id="invalid UTF-8"),
        pytest.param(b"\0", "unreadable", id="NUL byte"),
        pytest.param(b"x'y", "broken", id="stray quote"),
    ],
)
def test_one_bad_statement_does_not_stop_the_others(field, small, bad, kind):
    lines = small.statements
    bucket = next(n for n, line in enumerate(lines) if "_buckets" in line)
    good = lines[bucket]
    lines[bucket] = "HERE"
    data = small.bytes(comments=False, crlf=0).replace(
        b"HERE", good.encode().replace(b"a cap", b"a " + bad)
    )
    report = field.replay(data)
    assert report.exit_code == 3
    assert [row[:2] for row in field.quarantine()] == [(bucket + 1, kind)]
    small.rows["simulation_trade_buckets"].remove(
        next(key for key in small.rows["simulation_trade_buckets"] if key[0] in good)
    )
    stands(field, small)


HOSTILE = [
    "DROP TABLE datasets;",
    "UPDATE datasets SET symbol = 'x';",
    "DELETE FROM walkforward_runs;",
    "TRUNCATE datasets CASCADE;",
    "DO $$ BEGIN PERFORM 1; END $$;",
    "COPY datasets TO '/tmp/x';",
    "SELECT pg_sleep(10);",
    "SELECT 1;",
    "SET ROLE postgres;",
    "COMMIT;",
    "INSERT INTO stage1_jobs (job_type) VALUES ('x');",
    "INSERT INTO datasets SELECT * FROM datasets;",
    "INSERT INTO datasets (dataset_id) VALUES ((SELECT gen_random_uuid()));",
    "INSERT INTO datasets (dataset_id) VALUES (gen_random_uuid());",
    "INSERT INTO public.datasets (dataset_id) VALUES ('x') RETURNING 1;",
    "INSERT INTO datasets (dataset_id, is_placeholder) VALUES ('x', true);",
    "WITH x AS (DELETE FROM datasets RETURNING 1) INSERT INTO datasets (dataset_id) VALUES ('x');",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    "INSERT INTO datasets (dataset_id) VALUES ('x') ON CONFLICT (dataset_id) DO UPDATE SET a = 1;",
    "\\! touch /tmp/x",
]


def test_hostile_statements_are_reported_and_never_run(field, small):
    clean = len(small.statements)
    for number, statement in enumerate(HOSTILE):
        small.statements.insert(number * 2, statement)
    report = field.replay(small.bytes(comments=False))
    assert report.exit_code == 3
    assert sum(counts.refused for counts in report.tables.values()) == len(HOSTILE)
    assert [row[0] for row in field.quarantine()] == [2 * n + 1 for n in range(len(HOSTILE))]
    assert report.statements == clean + len(HOSTILE)
    stands(field, small)


def test_numbers_that_are_none_are_mended_and_counted(field, small):
    data = small.bytes()
    data = data.replace(b"0.250000", b"-nan(ind)", 2).replace(b'"m_3":', b'"m_3":inf,"m_3b":', 4)
    report = field.replay(data)
    assert report.exit_code == 0, report.entries
    assert sum(counts.mended for counts in report.tables.values()) == 6
    nulls = "SELECT count(*) FROM walkforward_folds WHERE metrics -> 'm_3' = 'null'"
    assert (
        field.one(nulls)
        + field.one(nulls.replace("metrics", "thresholds"))
        + field.one(nulls.replace("metrics", "summary_metrics").replace("folds", "runs"))
        == 4
    )
    stands(field, small)


def test_nan_in_a_key_or_a_time_is_held_back(field, small):
    fold = next(s for s in small.statements if "walkforward_folds" in s)
    trade = next(s for s in small.statements if "simulation_trades" in s)
    bad = [
        fold.replace("', 0, ", "', nan, ", 1),
        trade.replace("TO_TIMESTAMP(1700000000)", "TO_TIMESTAMP(nan)"),
    ]
    report = field.replay("\n".join(bad) + "\n")
    assert [row[:2] for row in field.quarantine()] == [(1, "value"), (2, "value")]
    assert report.exit_code == 3


def test_missing_parents_get_placeholders_with_the_names_the_file_knows(field):
    spool = generator.Spool()
    _, run, dataset, measurement = spool.simulation(trades=2)
    field.replay(spool.bytes())
    assert field.all(
        "SELECT run_id::text, dataset_id::text, prediction_measurement, is_placeholder"
        " FROM walkforward_runs"
    ) == [(run, dataset, measurement, True)]
    assert field.all("SELECT dataset_slug, is_placeholder FROM datasets") == [("eth25_1h", True)]
    real = generator.Spool(seed=2)
    real.dataset("C", dataset, slug="real")
    field.append(real.bytes())
    report = field.replay()
    assert report.tables["datasets"].applied == 1
    assert field.all("SELECT dataset_slug, is_placeholder FROM datasets") == [("real", False)]
    assert field.count("simulation_trades") == 2


def test_missing_parents_are_held_back_on_demand(field):
    spool = generator.Spool()
    run, dataset, _ = spool.run("A", folds=2)
    spool.simulation((run, dataset, "x"), trades=2)
    report = field.replay(spool.bytes(), placeholders=False)
    assert report.exit_code == 3
    assert {row[1] for row in field.quarantine()} == {"parent"}
    assert len(field.quarantine()) == len(spool.statements)
    assert field.count("walkforward_runs") == 0
    parent = generator.Spool(seed=2)
    parent.dataset("A", dataset)
    field.append(parent.bytes())
    assert field.replay(placeholders=False).exit_code == 0
    assert field.quarantine() == []
    stands(field, merged(spool, parent))


def merged(*spools):
    together = generator.Spool()
    for spool in spools:
        for table, wanted in spool.rows.items():
            together.rows.setdefault(table, set()).update(wanted)
    return together


def test_taken_name_is_held_until_it_is_free(field):
    first, second = generator.Spool(1), generator.Spool(2)
    _, dataset, measurement = first.run("A", folds=1)
    other = second.run("A", dataset, folds=2)
    data = second.bytes(comments=False).replace(other[2].encode(), measurement.encode())
    report = field.replay(first.bytes(comments=False) + data)
    assert report.exit_code == 3
    assert [row[1] for row in field.quarantine()] == ["constraint", "parent", "parent"]
    assert field.count("walkforward_folds") == 1
    field.connection.execute("UPDATE walkforward_runs SET prediction_measurement = 'free'")
    assert field.replay().exit_code == 0
    assert field.count("walkforward_folds") == 3
    assert field.quarantine() == []


def test_value_out_of_range_holds_its_statement_only(field):
    spool = generator.Spool()
    spool.run("A", folds=5)
    data = spool.bytes(comments=False).replace(b"', 3, 150,", b"', 3, 99999999999999999999,")
    report = field.replay(data)
    assert report.exit_code == 3
    assert [row[:2] for row in field.quarantine()] == [(5, "value")]
    assert field.count("walkforward_folds") == 4
    assert [(r.expected, r.found) for r in report.incomplete_runs] == [(5, 4)]


def test_later_statement_supersedes_one_in_quarantine(field):
    spool = generator.Spool()
    spool.run("A", folds=2)
    bad = spool.statements[0].replace("'COMPLETED'", "'NONSENSE'")
    report = field.replay("\n".join([bad, *spool.statements[1:]]) + "\n")
    assert report.exit_code == 3
    assert {row[1] for row in field.quarantine()} == {"constraint", "parent"}
    field.append(spool.statements[0] + "\n")
    assert field.replay().exit_code == 0
    stands(field, spool)
    assert field.all("SELECT status FROM walkforward_runs") == [("COMPLETED",)]
    assert field.one("SELECT count(*) FROM spool_quarantine WHERE state = 'superseded'") == 1


def test_last_statement_for_a_row_wins(field):
    spool = generator.Spool()
    spool.run("A", folds=1)
    early = [
        s.replace("'COMPLETED'", "'RUNNING'").replace("0.250000", "0.1") for s in spool.statements
    ]
    field.replay("\n".join(early + spool.statements) + "\n")
    assert field.all("SELECT status, requested_by FROM walkforward_runs") == [
        ("COMPLETED", "desktop")
    ]
    before = field.state()
    field.replay(again=True)
    assert field.state() == before


def test_generations_converge_and_server_filled_values_survive(field):
    a = generator.Spool()
    run, _, _ = a.run("A", folds=2)
    field.replay(a.bytes())
    field.connection.execute("UPDATE walkforward_folds SET train_start_ts_ms = 7")
    c = generator.Spool()
    c.fold("C", run, 0)
    field.write("\n".join(c.statements) + "\n")
    field.replay()
    assert field.all(
        "SELECT train_start_ts_ms, best_iteration FROM walkforward_folds WHERE fold_number = 0"
    ) == [(7, 0)]
    assert field.count("walkforward_folds") == 2


def test_surplus_trades_are_reported_and_pruned_on_demand(field):
    spool = generator.Spool()
    simulation = spool.simulation(trades=9)[0]
    lines = spool.statements
    field.replay("\n".join(lines) + "\n")
    resaved = [lines[0], lines[1].replace("', 9, ", "', 4, "), *lines[2:6]]
    resaved[1] = lines[1].replace("'long', 9", "'long', 4")
    field.append("\n".join(resaved) + "\n")
    report = field.replay()
    assert [(s.simulation_id, s.trades, s.pruned) for s in report.surplus_trades] == [
        (simulation, 5, False)
    ]
    assert field.count("simulation_trades") == 9
    report = field.replay(prune=True)
    assert [s.trades for s in report.surplus_trades] == [5]
    assert field.count("simulation_trades") == 4


def test_dry_run_changes_nothing(field, small):
    report = field.replay(small.bytes(), dry_run=True)
    assert report.tables["walkforward_folds"].applied == 12
    assert all(field.count(table) == 0 for table in ("datasets", "spool_replays"))


def test_history_has_a_row_for_each_replay(field, small):
    field.replay(small.bytes())
    field.replay()
    rows = field.all("SELECT mode, exit_code, finished_at IS NOT NULL FROM spool_replays")
    assert rows == [("full", 0, True), ("unchanged", 0, True)]


@pytest.mark.parametrize(
    ("lock", "told"), [(REPLAY_LOCK, "another replay"), (UPGRADE_LOCK, "an upgrade")]
)
def test_locks_are_waited_for_and_named(field, small, lock, told):
    field.connection.execute("SELECT pg_advisory_lock(%s)", (lock,))
    with pytest.raises(Stage1Error, match=f"Waited 0 s for {told} to end"):
        field.replay(small.bytes(), wait_s=0)
    field.connection.execute("SELECT pg_advisory_unlock(%s)", (lock,))
    assert field.replay().exit_code == 0


def test_schema_that_is_not_at_head_is_named(empty, tmp_path):
    path = tmp_path / "spool.sql"
    path.write_text("")
    with pytest.raises(Stage1Error, match="alembic upgrade head"):
        library.replay(empty, path)
