"""What becomes of units of which something cannot be applied, and of statements of several rows."""

import random

import pytest

from stage1_schema.ops.spool import apply, quarantine
from tests.spool import generator
from tests.spool.test_replay import stands

FIRST, SECOND, THIRD = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


def lines(*statements):
    return "".join(f"{each}\n" for each in statements)


def dataset(ident, slug, symbol="BTCUSDT", generation="C"):
    spool = generator.Spool()
    spool.dataset(generation, ident, slug=slug)
    return [each.replace("'BTCUSDT'", f"'{symbol}'", 1) for each in spool.statements]


def several(statements):
    """Return one INSERT with the rows of all."""
    head, tail = statements[0].split(" VALUES ")[0], " ON CONFLICT"
    rows = [each[each.index(" VALUES ") + 8 : each.rindex(tail)] for each in statements]
    return f"{head} VALUES {', '.join(rows)}{statements[0][statements[0].rindex(tail) :]}"


def test_name_that_no_index_takes_is_left_out_of_the_placeholder(field):
    spool = generator.Spool()
    spool.simulation(trades=1)
    letters = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=9_000)  # noqa: S311
    data = spool.bytes().replace(b"eth25_1h_wf", "".join(letters).encode() + b"_wf")
    report = field.replay(data)
    assert report.exit_code == 0, report.entries
    assert field.all("SELECT is_placeholder, prediction_measurement FROM walkforward_runs") == [
        (True, None)
    ]
    stands(field, spool)


def test_what_no_placeholder_can_stand_in_for_is_held_alone(field):
    field.connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no guesses'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON walkforward_runs FOR EACH ROW"
        " WHEN (NEW.is_placeholder) EXECUTE FUNCTION refuse()"
    )
    orphan, whole = generator.Spool(1), generator.Spool(2)
    orphan.simulation(trades=2)
    whole.run("A", folds=2)
    report = field.replay(orphan.bytes() + whole.bytes())
    assert {(row[1], row[2][-10:]) for row in field.quarantine()} == {("parent", "no guesses")}
    assert len(field.quarantine()) == len(orphan.statements)
    assert report.exit_code == 3
    stands(field, whole)


def test_simulation_that_is_held_leaves_no_placeholder(field):
    spool = generator.Spool()
    spool.simulation(trades=1)
    broken = [each.replace("'long', '{", "'sideways', '{", 1) for each in spool.statements]
    report = field.replay(lines(*broken))
    assert report.exit_code == 3
    assert len(field.quarantine()) == 3
    assert field.count("walkforward_runs") == field.count("datasets") == 0
    assert all(counts.placeholders == 0 for counts in report.tables.values())
    field.append(lines(*spool.statements))
    assert field.replay().exit_code == 0
    stands(field, spool)


def test_batch_with_faults_in_its_middle(field):
    spool = generator.Spool()
    for generation in "ABCABC":
        spool.run(generation, folds=5)
    runs = [n for n, each in enumerate(spool.statements) if "INTO walkforward_runs" in each]
    statements = list(spool.statements)
    statements[runs[2]] = statements[runs[2]].replace("'COMPLETED'", "'NONSENSE'")
    statements[runs[4] + 3] = statements[runs[4] + 3].replace(", 490, 50,", ", 1e300, 50,")
    report = field.replay(lines(*statements))
    held = {*range(runs[2] + 1, runs[2] + 7), runs[4] + 4}
    assert {row[0] for row in field.quarantine()} == held
    assert report.tables["walkforward_runs"].applied == 5
    assert report.tables["walkforward_folds"].applied == 24
    field.append(lines(*spool.statements))
    assert field.replay().exit_code == 0
    stands(field, spool)


def test_unit_larger_than_a_batch_lands_in_one_transaction(field, monkeypatch):
    monkeypatch.setattr(apply, "BATCH_ROWS", 10)
    spool = generator.usual(runs=3, folds=40, trades=0)
    assert field.replay(spool.bytes()).exit_code == 0
    stands(field, spool)
    commits = field.all(
        "SELECT count(DISTINCT x) FROM walkforward_runs r, LATERAL (SELECT r.xmin::text AS x"
        " UNION ALL SELECT f.xmin::text FROM walkforward_folds f WHERE f.run_id = r.run_id) v"
        " GROUP BY r.run_id"
    )
    assert commits == [(1,)] * 3


def test_statement_of_several_rows_waits_for_all_of_them(field):
    spool = generator.Spool()
    spool.run("A", folds=3)
    run, *folds = spool.statements
    bad = folds[2].replace(", 490, 50,", ", 99999999999999999999, 50,")
    assert field.replay(lines(run, several([*folds[:2], bad]))).exit_code == 3
    assert field.count("walkforward_folds") == 0
    field.append(lines(folds[0]))
    assert field.replay().exit_code == 3  # the other two are still to come
    field.append(lines(*folds))
    assert field.replay().exit_code == 0
    stands(field, spool)


@pytest.mark.parametrize("value", ["99999999999999999999", "1e99"])
def test_rows_of_a_statement_come_again_one_by_one(field, value):
    """What no column takes shows when it is copied in; that it is no integer before."""
    spool = generator.Spool()
    spool.run("A", folds=3)
    run, *folds = spool.statements
    bad = folds[2].replace(", 490, 50,", f", {value}, 50,")
    field.replay(lines(run, several([*folds[:2], bad])))
    for number, code in enumerate((3, 3, 0)):
        field.append(lines(folds[number]))
        assert field.replay().exit_code == code
    stands(field, spool)


@pytest.mark.parametrize("again", [False, True], ids=["appended", "read again"])
@pytest.mark.parametrize("table", ["runs", "datasets"])
def test_rows_that_wait_never_run_over_newer_ones(field, table, again):
    """Two rows in one statement, of which the second has a name that is taken."""
    if table == "runs":
        spools = [generator.Spool(n) for n in (1, 2, 3)]
        made = [each.run("A", FIRST, folds=0) for each in spools]
        holder, new, other = (each.statements[0] for each in spools)
        old, other = new.replace("'desktop'", "'old'"), other.replace(made[2][2], made[0][2])
        free = "UPDATE walkforward_runs SET prediction_measurement = 'free' WHERE run_id = %s"
        holder_id, query = made[0][0], "SELECT requested_by FROM walkforward_runs"
    else:
        (holder,), (other,) = (
            dataset(SECOND, "taken", "desktop"),
            dataset(THIRD, "taken", "desktop"),
        )
        (old,), (new,) = dataset(FIRST, "first", "old"), dataset(FIRST, "first", "desktop")
        free = "UPDATE datasets SET dataset_slug = 'free' WHERE dataset_id = %s"
        holder_id, query = SECOND, "SELECT symbol FROM datasets"
    field.replay(lines(holder, several([old, other])))
    field.append(lines(new))
    assert field.replay().open_quarantine == 1
    before = field.state()[0]
    assert field.replay(again=again).open_quarantine == 1
    assert field.state()[0] == before
    field.connection.execute(free, (holder_id,))
    assert field.replay().exit_code == 0
    assert field.all(query) == [("desktop",)] * 3


def test_row_at_fault_came_again_and_the_others_are_applied(field):
    spool = generator.Spool()
    spool.run("A", folds=3)
    run, *folds = spool.statements
    bad = folds[2].replace(", 490, 50,", ", 1e99, 50,")
    assert field.replay(lines(run, several([*folds[:2], bad]), folds[2])).exit_code == 3
    assert field.replay().exit_code == 0
    stands(field, spool)


def test_runs_of_a_statement_that_is_held_get_no_placeholder(field):
    spool = generator.Spool()
    for _ in range(2):
        spool.run("A", FIRST, folds=1)
    first, fold, second, another = spool.statements
    bad = second.replace("490000", "1e99")
    field.replay(lines(several([first, bad]), fold, another))
    assert field.count("walkforward_runs") == 0
    assert [row[1] for row in field.quarantine()] == ["value", "parent", "parent"]


def test_statement_that_writes_a_row_twice_is_held(field):
    spool = generator.Spool()
    spool.run("A", folds=2)
    run, *folds = spool.statements
    report = field.replay(lines(run, several([*folds, folds[0]])))
    assert [row[:3] for row in field.quarantine()] == [(2, "value", "it writes the same row twice")]
    assert report.exit_code == 3
    nothing = several([*folds, folds[0]]).partition(" DO UPDATE")[0] + " DO NOTHING;"
    field.replay(lines(run, nothing))
    stands(field, spool)


def test_held_dataset_never_runs_over_a_newer_one(field):
    """One slug is taken by another dataset; the next statement names another slug."""
    field.replay(
        lines(*dataset(FIRST, "taken"), *dataset(SECOND, "taken", "OLD"))
        + lines(*dataset(SECOND, "mine", "NEW"))
    )
    assert field.quarantine() == []
    field.append(lines(*dataset(FIRST, "free")))
    assert field.replay().exit_code == 0
    assert field.all("SELECT dataset_slug, symbol FROM datasets ORDER BY 1") == [
        ("free", "BTCUSDT"),
        ("mine", "NEW"),
    ]


@pytest.mark.parametrize(
    ("held", "later", "closed"),
    [
        ("C", ["C"], True),
        ("C", ["B"], True),
        ("A", ["C"], True),
        ("C", ["A"], False),  # it has no slug and no manifest
    ],
)
def test_dataset_that_came_again_is_no_longer_held(field, held, later, closed):
    bad = dataset(FIRST, "x", generation=held)[-1].replace("TO_TIMESTAMP(1700000000)", "'x'")
    assert field.replay(lines(bad)).exit_code == 3
    field.append(lines(*[each for one in later for each in dataset(FIRST, "x", generation=one)]))
    assert field.replay().exit_code == (0 if closed else 3)


def test_dataset_that_does_nothing_on_conflict_is_not_lost_to_a_taken_slug(field):
    statement = dataset(SECOND, "taken")[0].partition(" DO UPDATE")[0] + " DO NOTHING;"
    field.replay(lines(*dataset(FIRST, "taken"), statement))
    assert [row[:2] for row in field.quarantine()] == [(2, "constraint")]
    field.append(lines(*dataset(FIRST, "free")))
    field.replay()
    assert field.replay().exit_code == 0
    assert field.count("datasets") == 2


def test_plain_insert_of_what_stands_is_unchanged(field):
    """Its triggers wrote COMPLETED: what is compared is what they make of it."""
    spool = generator.Spool()
    spool.run("A", folds=2)
    spool.dataset("C", slug="Some Slug")
    run, *others, last = [each.partition(" ON CONFLICT")[0] + ";" for each in spool.statements]
    run = run.replace("'COMPLETED'", "'completed'")
    assert field.replay(lines(run, last)).exit_code == 0
    field.append(lines(*others))
    assert field.replay().exit_code == 0
    before = field.state()[0]
    report = field.replay(again=True)
    assert (report.exit_code, field.quarantine()) == (0, [])
    assert field.state()[0] == before
    field.write(lines(run.replace("'desktop'", "'another'")))
    assert field.replay().exit_code == 3
    assert field.quarantine()[0][1] == "constraint"
    assert field.state()[0] == before


def test_prune_of_the_same_file_does_nothing_again(field):
    spool = generator.Spool()
    spool.simulation(trades=9)
    first = spool.statements
    fewer = first[1].replace("'long', 9", "'long', 4")
    field.write(lines(*first, first[0], fewer, *first[2:6]))
    report = field.replay(prune=True)
    assert field.count("simulation_trades") == 4
    before = field.state()
    report = field.replay(prune=True)
    assert (report.tables["simulation_trades"].applied, report.surplus_trades) == (0, [])
    assert field.state() == before


def test_prune_leaves_trades_where_none_came_again(field):
    """The buckets say 0, and the simulation's row alone was sent again."""
    spool = generator.Spool()
    spool.simulation(trades=5)
    simulation, bucket, *trades = spool.statements
    bucket = bucket.replace("'long', 5", "'long', 0")
    field.replay(lines(simulation, bucket, *trades, simulation.replace("'long', '", "'dual', '")))
    assert field.replay(prune=True).surplus_trades == []
    assert field.count("simulation_trades") == 5


LONG = "x" * (2 << 20)


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        pytest.param("'desktop'", ("parent", True), id="waits for its parent"),
        pytest.param("'NONSENSE'", ("constraint", True), id="a constraint"),
        pytest.param("version()", ("refused", True), id="refused"),
        pytest.param("'desk\0top'", ("unreadable", False), id="a NUL byte"),
    ],
)
def test_long_statement_is_kept_whole(field, sent, held):
    spool = generator.Spool()
    spool.run("A", folds=0)
    statement = spool.statements[0].replace('"eta":0.1', f'"note":"{LONG}"')
    column = "'COMPLETED'" if sent == "'NONSENSE'" else "'desktop'"
    field.replay(lines(statement.replace(column, sent)), placeholders=sent != "'desktop'")
    found = field.all("SELECT kind, octet_length(statement) > 2 << 20 FROM spool_quarantine")
    assert found == [held]
    if held[0] == "parent":
        assert field.replay().exit_code == 0
        stands(field, spool)


def test_long_statements_of_the_quarantine_come_one_by_one(field, monkeypatch):
    spool = generator.Spool()
    for _ in range(5):
        spool.run("A", folds=0)
    monkeypatch.setattr(quarantine, "_PAGE_BYTES", 1)
    assert field.replay(spool.bytes(), placeholders=False).open_quarantine == 5
    assert field.replay().exit_code == 0
    stands(field, spool)


@pytest.mark.parametrize("counted", [False, True], ids=["no bucket", "a bucket"])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(("'long', ", "'sideways', "), id="a constraint"),
        pytest.param((", 30000.000000,", ", 1e999,"), id="a value"),
        pytest.param(("TO_TIMESTAMP(", "TO_TIMESTAMP(nan + "), id="refused"),
        pytest.param(("'long', ", "'long', , "), id="no SQL"),
        pytest.param((" VALUES (", " VALUES ('"), id="a stray quote"),
        pytest.param((";", ""), id="a tail"),
    ],
)
def test_prune_leaves_trades_while_the_latest_of_one_waits(field, bad, counted):
    spool = generator.Spool()
    spool.simulation(trades=5)
    simulation, bucket, *trades = spool.statements
    saves = [simulation, *[bucket] * counted, *trades, simulation]
    saves += [bucket.replace("'long', 5", "'long', 3")] * counted + trades[:3]
    field.replay(lines(*saves[:-1], saves[-1].replace(*bad)))
    assert field.count("simulation_trades") == 5
    report = field.replay(prune=True)
    assert report.open_quarantine == 1
    assert [each for each in report.surplus_trades if each.pruned] == []
    assert field.count("simulation_trades") == 5
    field.replay(lines(*saves))
    if field.quarantine():  # without a key nothing tells that it came again
        field.connection.execute("UPDATE spool_quarantine SET state = 'discarded'")
    report = field.replay(prune=True)
    assert [(each.trades, each.pruned) for each in report.surplus_trades] == [(2, True)]
    assert field.count("simulation_trades") == 3
