"""A fill reaches every row that stands, once, wherever a writer moves it meanwhile."""

import string
import threading
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from alembic import command
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from stage1_schema.alembic_plugin import backfill, limits
from stage1_schema.alembic_plugin.backfill import PAGE, BackfillOp
from stage1_schema.alembic_plugin.limits import HELD_MS, Limits
from stage1_schema.connect import engine
from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

SKIP = ("questdb=skip",)
UPDATE = f"UPDATE filled SET done = done + 1 WHERE {PAGE}"
TABLE = "CREATE TABLE filled ({columns}, n int, done int DEFAULT 0, PRIMARY KEY ({key}))"
NOTE = """
CREATE TABLE noted (at bigint GENERATED ALWAYS AS IDENTITY, n int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noted (n) SELECT NEW.n; RETURN NEW; END $$;
CREATE TRIGGER tg_note BEFORE UPDATE OF done ON filled FOR EACH ROW EXECUTE FUNCTION note();
"""


@pytest.fixture
def owner(empty):
    with client(empty, ROLES.owner) as connection:
        yield connection


@pytest.fixture
def session(empty):
    """A session of SQLAlchemy's, each statement a transaction of its own."""
    with engine(empty.postgres).connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def fill(session, key, statement=UPDATE, batch=5_000):
    operation = BackfillOp("filled", "", key=key, batch=batch)
    backfill._Batches(session, operation, statement, Limits(retries=0)).run()


@pytest.fixture(params=["by page", "by key"])
def in_line(request, owner, monkeypatch):
    """Whether a writer moves all rows as soon as the fill begins."""
    by_page = backfill._Batches._by_page

    def moves_first(*arguments):
        owner.execute("UPDATE filled SET n = n")
        by_page(*arguments)

    if request.param == "by key":
        monkeypatch.setattr(backfill._Batches, "_by_page", moves_first)


KEYS = {
    "uuid": ({"k": "uuid"}, "md5(n::text)::uuid"),
    "two columns": ({"k": "uuid", "fold": "int"}, "md5((n / 5)::text)::uuid, n % 5"),
    "a time": ({"k": "timestamptz"}, "'2025-01-01'::timestamptz + n * interval '1.000001 s'"),
    "a number": ({"k": "numeric"}, "1e30 + n / 7.0"),
    "a double": ({"k": "float8"}, "n / 7.0"),
    "padded": ({"k": "char(7)"}, "n::text"),
    "bytes": ({"k": "bytea"}, "decode(md5(n::text), 'hex')"),
    "a domain": ({"k": "name_of"}, "'it''s ' || n"),
    "an enum and a day": ({"k": "side", "day": "date"}, "'LO\"NG', '2025-01-01'::date + n"),
    "short rows": ({"k": "int2"}, "n"),
    "a name with quotes": ({'The "k"': "text"}, "'NULL' || n"),
}


@pytest.mark.usefixtures("in_line")
@pytest.mark.parametrize(("columns", "values"), KEYS.values(), ids=KEYS)
def test_every_row_is_changed_once(empty, owner, session, columns, values):
    owner.execute("CREATE DOMAIN name_of AS text; CREATE TYPE side AS ENUM ('LO\"NG')")
    quoted = {'"' + name.replace('"', '""') + '"': kind for name, kind in columns.items()}
    columns_sql = ", ".join(f"{name} {kind}" for name, kind in quoted.items())
    owner.execute(TABLE.format(columns=columns_sql, key=", ".join(quoted)))
    owner.execute(f"INSERT INTO filled SELECT {values}, n FROM generate_series(1, 500) n")
    fill(session, columns, batch=90)
    counts = owner.execute("SELECT done, count(*) AS n FROM filled GROUP BY done").fetchall()
    assert counts == [{"done": 1, "n": 500}]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.text(
    "{},\"'\\%: \n" + string.ascii_letters[:3], max_size=6
)


@pytest.mark.usefixtures("in_line")
@given(keys=st.lists(TEXTS, unique=True, max_size=30), batch=st.integers(10, 40))
@example(keys=["", "NULL", "null", '"', "\\", "{}", "%s", ":x", "'"], batch=10)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_key(empty, owner, session, keys, batch):
    owner.execute("DROP TABLE IF EXISTS filled")
    owner.execute(TABLE.format(columns='k text COLLATE "C"', key="k"))
    with owner.cursor() as cursor:
        cursor.executemany("INSERT INTO filled (k) VALUES (%s)", [(key,) for key in keys])
    fill(session, ["k"], batch=batch)
    done = owner.execute("SELECT done FROM filled").fetchall()
    assert done == [{"done": 1}] * len(keys)


def uuids(owner, count):
    owner.execute(TABLE.format(columns="k uuid", key="k"))
    owner.execute(
        f"INSERT INTO filled SELECT md5(n::text)::uuid, n FROM generate_series(1, {count}) n"
    )
    owner.execute(NOTE)


def noted(owner):
    return [each["n"] for each in owner.execute("SELECT n FROM noted ORDER BY at")]


def test_rows_are_changed_in_the_order_of_the_disk(empty, owner, session):
    uuids(owner, 3000)
    owner.execute("VACUUM ANALYZE filled")
    session.exec_driver_sql("SET enable_seqscan = off")  # an index has the keys in their order
    fill(session, ["k"], batch=100)
    changed = noted(owner)
    assert sorted(changed) == list(range(1, 3001))
    # Inside a batch the order is the planner's.
    assert max(abs(n - place) for place, n in enumerate(changed, 1)) < 100


def test_a_row_that_a_writer_moves_is_changed_all_the_same(empty, owner, session, monkeypatch):
    uuids(owner, 2000)
    owner.execute("ANALYZE filled")
    execute = backfill._Batches._execute
    batches = []

    def moved(batch, statement, *settings):
        """Before the fifth batch, what is left goes to the pages that are behind the fill."""
        batches.append(statement)
        if len(batches) == 5:
            owner.execute("DELETE FROM filled WHERE done = 1 AND n % 10 > 0")
            owner.execute("VACUUM filled")
            owner.execute("UPDATE filled SET n = n WHERE done = 0")
            left = "SELECT count(*) AS n FROM filled WHERE done = 0 AND ctid < '(1,0)'"
            assert owner.execute(left).fetchone()["n"] > 0
        return execute(batch, statement, *settings)

    monkeypatch.setattr(backfill._Batches, "_execute", moved)
    fill(session, ["k"], batch=100)
    assert owner.execute("SELECT DISTINCT done FROM filled").fetchall() == [{"done": 1}]


def test_no_row_escapes_while_writers_move_them(empty, owner, session):
    """Each of them goes to the first page with room, and VACUUM makes room behind the fill."""
    uuids(owner, 20_000)
    stop = threading.Event()
    moved = []

    def move():
        with client(empty, ROLES.owner) as writer:
            while not stop.is_set():
                some = "SELECT k FROM filled TABLESAMPLE SYSTEM (20) LIMIT 200"
                moved.append(
                    writer.execute(f"UPDATE filled SET n = n WHERE k IN ({some})").rowcount
                )

    def vacuum():
        with client(empty, ROLES.owner) as other:
            while not stop.is_set():
                other.execute("VACUUM (TRUNCATE false) filled")

    threads = [threading.Thread(target=each) for each in (move, vacuum)]
    for thread in threads:
        thread.start()
    try:
        fill(session, ["k"], f"UPDATE filled SET done = done + 1 WHERE done = 0 AND {PAGE}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(moved) > 1000
    counts = owner.execute("SELECT done, count(*) AS n FROM filled GROUP BY done").fetchall()
    assert counts == [{"done": 1, "n": 20_000}]


@pytest.mark.usefixtures("in_line")
def test_a_fill_that_failed_can_be_tried_again_in_its_session(empty, owner, session):
    uuids(owner, 300)
    with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
        fill(session, ["k"], f"UPDATE filled SET done = 1 / (n - 200) WHERE {PAGE}")
    owner.execute("UPDATE filled SET done = 0")
    fill(session, ["k"])
    assert owner.execute("SELECT DISTINCT done FROM filled").fetchall() == [{"done": 1}]


RUNS = 5000
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_sleep(CASE WHEN NEW.n = 3040 THEN 0.2 ELSE 0.01 END); RETURN NEW; END $$;
CREATE TRIGGER tg_slow BEFORE UPDATE OF done ON filled FOR EACH ROW EXECUTE FUNCTION slow();
"""


@pytest.mark.usefixtures("in_line")
def test_no_batch_holds_its_rows_for_long(empty, owner, session):
    """Behind rows that were done by an earlier run, batches are as large as they get."""
    uuids(owner, 3100)
    owner.execute("ALTER TABLE noted ADD xid xid8 DEFAULT pg_current_xact_id()")
    owner.execute(SLOW)
    fill(session, ["k"], f"UPDATE filled SET done = 1 WHERE done = 0 AND n > 3000 AND {PAGE}")
    rows_of = "SELECT count(*) AS n FROM noted GROUP BY xid ORDER BY n"
    batches = [each["n"] for each in owner.execute(rows_of)]
    assert sum(batches) == 100
    assert max(batches) <= HELD_MS / 10


DIGESTS = " AND ".join(["md5(text) > ''"] * 12)
LATE = f"""
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE text text; BEGIN
    text := repeat(repeat('a', 1000), 10000);
    RETURN CASE WHEN {DIGESTS} THEN NEW END; END $$;
CREATE TRIGGER tg_late AFTER UPDATE OF done ON filled FOR EACH ROW
    WHEN (NEW.n = 20) EXECUTE FUNCTION late();
"""
"""Behind the digests, which take longer than the limit, PostgreSQL looks for no interrupt."""


@pytest.mark.usefixtures("in_line")
def test_a_limit_that_fires_too_late_for_its_batch_stops_no_other(empty, owner, session):
    uuids(owner, 100)
    owner.execute(LATE)
    fill(session, ["k"])
    assert owner.execute("SELECT DISTINCT done FROM filled").fetchall() == [{"done": 1}]


def test_a_fill_that_somebody_cancels_stops(empty, owner, session, monkeypatch):
    monkeypatch.setattr(limits, "HELD_MS", 60_000)  # one that takes this long is not by a limit
    uuids(owner, 100)
    owner.execute(
        """CREATE SEQUENCE tries;
           CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               PERFORM nextval('tries'), pg_cancel_backend(pg_backend_pid()), pg_sleep(9); END $$;
           CREATE TRIGGER tg_cancel BEFORE UPDATE ON filled
               FOR EACH ROW EXECUTE FUNCTION cancel()"""
    )
    with pytest.raises(sa.exc.OperationalError, match="due to user request"):
        fill(session, ["k"])
    assert owner.execute("SELECT last_value FROM tries").fetchone()["last_value"] == 1


def to(settings, revision):
    command.upgrade(migrate.config(settings, SKIP), revision)


@contextmanager
def updates_of(table):
    found = []

    def note(*arguments):
        _, update, after = arguments[2].partition(f"UPDATE {table}")
        if update:
            found.append(update + after)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def before_0009(empty, owner):
    """Runs and folds of which 0009 fills each one; the runs are all of one dataset."""
    to(empty, "0008")
    owner.execute(clients.c_dataset(rows.C_DATASET))
    owner.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id, walk_config) SELECT md5(n::text)::uuid,"
        f" dataset_id, jsonb_build_object('prediction_measurement', 'm' || n)"
        f"   FROM datasets, generate_series(1, {RUNS}) n"
    )
    owner.execute(
        "INSERT INTO walkforward_folds (run_id, fold_number, metrics)"
        ' SELECT run_id, f, \'{"best_iteration": 1, "best_score": 2}\''
        "   FROM walkforward_runs, generate_series(0, 4) f"
    )
    owner.execute("ANALYZE")


@pytest.mark.usefixtures("before_0009")
def test_names_are_looked_up_and_not_compared_with_every_run_of_the_dataset(empty, owner):
    query = """SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_user_tables
                WHERE relname = 'walkforward_runs'"""
    before = owner.execute(query).fetchone()["n"]
    to(empty, "0009")
    named = "SELECT count(DISTINCT prediction_measurement) AS n FROM walkforward_runs"
    assert owner.execute(named).fetchone() == {"n": RUNS}
    assert owner.execute(query).fetchone()["n"] - before < RUNS * RUNS / 10


@pytest.mark.usefixtures("before_0009")
def test_batches_of_a_large_table_go_by_its_key(empty, owner):
    """Else the whole table is read for each of them."""
    with updates_of("walkforward_folds") as batches:
        to(empty, "0009")
    assert len(batches) > 5
    (plan,) = owner.execute(f"EXPLAIN (FORMAT JSON) {batches[3]}").fetchone()["QUERY PLAN"]
    assert scans(plan["Plan"]) == {
        ("walkforward_folds", each) for each in ("ModifyTable", "Index Scan", "Tid Range Scan")
    }


def scans(plan):
    """Return how each table of a plan is read."""
    own = {(plan["Relation Name"], plan["Node Type"])} if "Relation Name" in plan else set()
    return own.union(*map(scans, plan.get("Plans", ())))


def test_fill_goes_on_where_it_stopped(empty, owner):
    to(empty, "0001")
    owner.execute(clients.c_dataset(rows.C_DATASET))
    owner.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id)"
        " SELECT gen_random_uuid(), dataset_id FROM datasets, generate_series(1, 300)"
    )
    owner.execute("CREATE TABLE made (n int)")
    config = migrate.config(empty, SKIP)
    stop = "DO $$ BEGIN PERFORM 1; END $$"
    owner.execute(stop)
    owner.execute(
        """CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF (SELECT count(*) FROM made) >= 100 THEN RAISE EXCEPTION 'stopped'; END IF;
           INSERT INTO made VALUES (1); RETURN NEW; END $$;
           CREATE TRIGGER tg_00_fail BEFORE UPDATE ON walkforward_runs
               FOR EACH ROW EXECUTE FUNCTION fail_late()"""
    )
    with pytest.raises(Exception, match="stopped"):
        command.upgrade(config, "0002")
    query = "SELECT count(*) FROM walkforward_runs WHERE serialized_config IS NOT NULL"
    done = owner.execute(query).fetchone()["count"]
    assert 0 < done <= 100
    owner.execute("DROP FUNCTION fail_late CASCADE; TRUNCATE made")
    command.upgrade(config, "0002")
    assert owner.execute(query).fetchone()["count"] == 300
