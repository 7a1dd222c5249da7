"""What only whole processes show: turns at the locks, the terminal, and memory."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path

import pytest

from benchmarks.replay import measured
from stage1_schema.connect import connect
from stage1_schema.locks import REPLAY_LOCK, UPGRADE_LOCK
from tests.plugins.databases import as_role, environment, superuser
from tests.spool import generator
from tests.spool.conftest import TABLES

ROOT = Path(__file__).resolve().parents[2]
STAGE1, ALEMBIC = (Path(sys.executable).with_name(name) for name in ("stage1", "alembic"))
LONGEST_S = 120
PLACEHOLDERS = ("datasets", "walkforward_runs")
LOCKS = pytest.mark.parametrize(
    ("lock", "other"),
    [
        pytest.param(REPLAY_LOCK, "another replay", id="replay"),
        pytest.param(UPGRADE_LOCK, "an upgrade", id="upgrade"),
    ],
)
TRIED = {
    REPLAY_LOCK: "SELECT pg_try_advisory_lock(%",
    UPGRADE_LOCK: "SELECT pg_try_advisory_lock_shared(%",
}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE %s"
HELD = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
 WHERE datname = %s AND locktype = 'advisory' AND objid = %s AND mode = 'ExclusiveLock' AND granted
"""
STORES = re.compile(rb"\APostgreSQL \S+ as \S+, QuestDB \S+\n")
"""What the first line of every run says."""
CONTROL = re.compile(rb"[^\n -~\x80-\xff]")
ERASED = b"\r\x1b[1A\x1b[2K"  # up one line, and that line away


@pytest.fixture(scope="module")
def block():
    """Some 7 MB, of which files are made."""
    return generator.usual(runs=9, folds=500, trades=2000)


@pytest.fixture
def start():
    """Start a program; what still runs when the test ends is killed."""
    with ExitStack() as stack:

        def begin(settings, *arguments, program=STAGE1, **options):
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = subprocess.Popen(
                [program, *arguments],
                cwd=ROOT,
                env=os.environ | environment(settings) | options.pop("variables", {}),
                stdin=subprocess.DEVNULL,
                **pipes | options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def sessions(postgres_server):
    """Count sessions of a database as only the superuser sees them."""
    with superuser(postgres_server, "postgres") as connection:

        def count(query, settings, value):
            return connection.execute(query, (settings.postgres.database, value)).fetchone()[0]

        yield count


@contextmanager
def held(settings, lock):
    with connect(settings.postgres, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (lock,))
        yield


def wait_until(reached, *running):
    """Poll; that one of `running` ends before is a failure."""
    deadline = time.monotonic() + LONGEST_S
    while not reached():
        for process in running:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(*running):
    """Wait for the processes; return code, stdout and stderr of each, behind its first line."""
    said = [process.communicate(timeout=LONGEST_S) for process in running]
    return [
        (process.returncode, out, err and STORES.sub(b"", err, count=1))
        for process, (out, err) in zip(running, said, strict=True)
    ]


def standing(settings):
    """How many rows each table has, without placeholders."""
    with connect(settings.postgres) as connection:
        return {
            table: connection.execute(
                f"SELECT count(*) FROM {table}"
                + " WHERE NOT is_placeholder" * (table in PLACEHOLDERS)
            ).fetchone()[0]
            for table in TABLES
        }


def wanted(block, copies=1):
    return {table: copies * len(block.rows[table]) for table in TABLES}


@pytest.mark.parametrize("different", [False, True], ids=["same rows", "different rows"])
def test_replays_at_once_take_turns(field, start, sessions, block, different):
    made = list(generator.copies(block.bytes(), 8))
    files = [field.path.with_name(name) for name in ("one.sql", "two.sql")]
    files[0].write_bytes(b"".join(made[:4]))
    files[1].write_bytes(b"".join(made[4:] if different else made[:4]))
    # An upgrade's lock is the starting gun: all three ask for the replay's lock at once.
    with held(field.settings, UPGRADE_LOCK):
        running = [start(field.settings, "replay", file) for file in (*files, files[0])]
        wait_until(lambda: sessions(WAITING, field.settings, TRIED[UPGRADE_LOCK]) == 3, *running)
    done = ended(*running)
    assert [code for code, *_ in done] == [0, 0, 0], done
    assert field.quarantine() == []
    assert standing(field.settings) == wanted(block, 8 if different else 4)
    # A replay writes started_at when it has the lock, and finished_at before it gives it back.
    turns = field.all("SELECT started_at, finished_at, mode FROM spool_replays ORDER BY started_at")
    assert sorted(mode for *_, mode in turns) == ["full", "full", "unchanged"]
    for (_, finished, _), (started, _, _) in pairwise(turns):
        assert finished <= started
    # They ask every 0.2 s: without turns the others would have begun before the first had ended.
    first = next(turn for turn in turns if turn[2] == "full")
    assert (first[1] - first[0]).total_seconds() > 0.5


@LOCKS
def test_what_holds_a_lock_is_waited_for(field, start, sessions, block, lock, other):
    field.write(block.bytes())
    with held(field.settings, lock):
        replay = start(field.settings, "replay", field.path)
        wait_until(lambda: sessions(WAITING, field.settings, TRIED[lock]) == 1, replay)
        assert field.count("spool_replays") == 0
    [(code, _, err)] = ended(replay)
    assert (code, err) == (0, b"")
    assert standing(field.settings) == wanted(block)


@LOCKS
@pytest.mark.parametrize("wait", [0, 1])
def test_waiting_ends_with_one_line(field, start, lock, other, wait):
    field.write("SELECT 1;\n")
    began = time.monotonic()
    with held(field.settings, lock):
        done = ended(start(field.settings, "replay", field.path, "--wait", str(wait)))
    text = f"Waited {wait} s for {other} to end. Next: run it again when {other} has ended."
    assert done == [(1, b"", f"stage1: {text}\n".encode())]
    assert time.monotonic() - began >= wait
    assert field.count("spool_replays") == field.count("spool_quarantine") == 0


def upgrading(start, settings):
    return start(settings, "-x", "questdb=skip", "upgrade", "head", program=ALEMBIC)


def not_at_head(settings):
    where = settings.postgres.where
    return f"stage1: The schema at {where} is not at head. Next: alembic upgrade head.\n".encode()


def test_replay_waits_for_the_upgrade_that_came_first(empty, start, sessions, block, tmp_path):
    path = tmp_path / "spool.sql"
    path.write_bytes(block.bytes())
    with connect(empty.postgres) as blocker:
        # Keeps the upgrade in its first step.
        blocker.execute("CREATE TABLE stage1_migration_history ()")
        upgrade = upgrading(start, empty)
        wait_until(lambda: sessions(HELD, empty, UPGRADE_LOCK) == 1, upgrade)
        replay = start(as_role(empty, empty.roles.app), "replay", path)
        tried = TRIED[UPGRADE_LOCK]
        wait_until(lambda: sessions(WAITING, empty, tried) == 1, upgrade, replay)
        blocker.rollback()
    done = ended(upgrade, replay)
    assert [code for code, *_ in done] == [0, 0], done
    assert standing(empty) == wanted(block)


def test_upgrade_and_replay_started_together(empty, start, block, tmp_path):
    """A replay that has the lock first finds no table; it says so and stands in nobody's way."""
    path = tmp_path / "spool.sql"
    path.write_bytes(block.bytes())
    app = as_role(empty, empty.roles.app)
    (upgraded, *told), (code, _, err) = ended(upgrading(start, empty), start(app, "replay", path))
    assert upgraded == 0, told
    assert (code, err) in ((0, b""), (1, not_at_head(app)))
    assert standing(empty) == wanted(block, copies=1 - code)
    assert ended(start(app, "replay", path))[0][::2] == (0, b"")
    assert standing(empty) == wanted(block)


INTERRUPTED = (
    b"stage1: interrupted. Next: run the same command again, it goes on where it stopped.\n"
)
BUSY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query ~ %s"
)


@pytest.mark.parametrize(
    ("locked", "doing"),
    [
        pytest.param(None, "COPY spool_walkforward_folds", id="taking rows in"),
        pytest.param("walkforward_folds", "INSERT INTO walkforward_folds", id="applying"),
        pytest.param("datasets", "upsert_stage1_dataset", id="a dataset"),
        pytest.param("spool_replays", "INSERT INTO spool_replays", id="the history"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True], ids=["replay", "dry run"])
def test_interrupted_replay_says_one_line(field, start, sessions, block, locked, doing, dry_run):
    field.write(b"".join(generator.copies(block.bytes(), 3)))
    with connect(field.settings.postgres) as blocker:
        if locked:
            blocker.execute(f"LOCK TABLE {locked} IN SHARE ROW EXCLUSIVE MODE")
        arguments = ["replay", field.path, *["--dry-run"] * dry_run]
        # A job in a shell's background ignores it.
        restored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        replay = start(field.settings, *arguments, **restored)
        wait_until(lambda: sessions(BUSY, field.settings, doing) == 1, replay)
        replay.send_signal(signal.SIGINT)
        [(code, out, err)] = ended(replay)
    assert (code, out, err.lstrip()) == (130, b"", INTERRUPTED)  # a new line: behind ^C


def on_terminal(start, settings, *arguments):
    """Return exit code, stdout, and what was written to a terminal that is stderr."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    variables = {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = start(settings, *arguments, stderr=theirs, variables=variables)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # what Linux says when nobody has the other end any more
        while part := os.read(ours, 1 << 16):
            written += part
    os.close(ours)
    [(code, out, _)] = ended(process)
    return code, out, written


@pytest.mark.parametrize("terminal", [False, True], ids=["no terminal", "terminal"])
@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["report", "json"])
def test_bar_is_for_terminals_alone(field, start, block, arguments, terminal):
    field.write(block.bytes())
    command = (field.settings, "replay", field.path, *arguments)
    [(code, out, err)] = [on_terminal(start, *command)] if terminal else ended(start(*command))
    assert (code, CONTROL.findall(out)) == (0, [])
    if arguments:
        assert json.loads(out)["statements"] == len(block.statements)
    else:
        assert f"{len(block.statements):,} statements in".encode() in out
    if terminal:
        assert b"applying" in err
        assert "━".encode() in err
        assert err.endswith(ERASED)
        assert err.count(b"\x1b[?25l") == err.count(b"\x1b[?25h") == 1  # the cursor is back
    else:
        assert err == b""


@pytest.mark.parametrize("news", [True, False], ids=["news", "unchanged"])
def test_bar_reaches_its_end(field, start, block, news):
    field.write(block.bytes())
    if not news:
        field.replay()
    code, _, shown = on_terminal(start, field.settings, "replay", field.path)
    parts = [int(part) for part in re.findall(rb"(\d+)%", shown)]
    assert code == 0
    assert parts == sorted(parts)
    assert (parts[:1], parts[-1:]) == ([0], [100])
    assert b"done" in shown


@LOCKS
def test_terminal_tells_what_is_waited_for(field, start, lock, other):
    field.write("")
    with held(field.settings, lock):
        code, out, shown = on_terminal(start, field.settings, "replay", field.path, "--wait", "1")
    bar, _, error = shown.rpartition(ERASED)
    assert (code, out) == (1, b"")
    assert f"waiting for {other}".encode() in bar
    assert error.startswith(f"stage1: Waited 1 s for {other} to end.".encode())
    assert len(error.splitlines()) == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(field, block):
    """20 MB, and then 120 MB of other rows."""
    made = generator.copies(block.bytes(), 20)
    peaks = []
    for copies in (3, 17):
        with field.path.open("wb") as file:
            file.writelines(islice(made, copies))
        code, _, peak = measured([STAGE1, "replay", field.path], environment(field.settings))
        assert code == 0
        peaks.append(peak)
    assert field.quarantine() == []
    assert standing(field.settings) == wanted(block, 20)
    # Measured 71 and 72.5 MB, on a busy machine too, and 77 at most up to 2 GB: libraries, and
    # buffers of a fixed size. 140 bytes kept of each statement would be too much.
    assert peaks[1] <= 1.15 * peaks[0]
    assert peaks[1] <= 128


@pytest.mark.slow
def test_memory_does_not_grow_with_the_datasets(field):
    """10 MB of them, and then 40 MB; each has a manifest of 20 kB."""
    spool, peaks = generator.Spool(), []
    for count in (500, 2_000):
        spool.statements.clear()
        for _ in range(count):
            spool.dataset("C", slug=f"slug_{len(spool.rows.get('datasets', ()))}")
        manifest = f'{{"note":"{"x" * 20_000}",'
        field.write("\n".join(spool.statements).replace('{"symbol', f'{manifest}"symbol'))
        code, _, peak = measured([STAGE1, "replay", field.path], environment(field.settings))
        assert code == 0
        peaks.append(peak)
    assert field.count("datasets") == 2_500
    # Measured 63 and 64 MB.
    assert peaks[1] <= 1.15 * peaks[0], peaks


NAMES = [
    pytest.param(b"sp\xffool\xc3.sql", "sp\\xffool\\xc3.sql", id="no UTF-8"),
    pytest.param("spöol '\"$.sql".encode(), "spöol '\"$.sql", id="letters and quotes"),
]


@pytest.mark.parametrize(("name", "known"), NAMES)
def test_any_name_of_a_file(field, start, name, known):
    field.path = field.path.with_name(os.fsdecode(name))
    field.write("SELECT 1;\n")
    missing = field.path.with_suffix(".missing")
    said = [
        ended(start(field.settings, "replay", *arguments))[0]
        for arguments in ([field.path], [field.path, "--json"], ["--quarantine"], [missing])
    ]
    assert [code for code, *_ in said] == [3, 3, 0, 1], said
    assert known in said[0][1].decode()
    assert json.loads(said[1][1])["source"].endswith(known)
    assert known in said[2][1].decode()
    assert len(said[3][2].splitlines()) == 1
    assert field.one("SELECT source FROM spool_quarantine").endswith(known)


STEERS = "\x1b[2J\n\u202e\x9b"


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        pytest.param("INSERT \x1b[2J\x07 x;", r"\x1b[2J\x07", id="the text"),
        pytest.param(
            'INSERT INTO "t\x1b[2J\n\u202e\x9b" VALUES (1);', r"t\x1b[2J\n", id="the reason"
        ),
        pytest.param('INSERT INTO "é中" VALUES (1);', "é中", id="letters"),
    ],
)
def test_no_statement_steers_the_terminal(field, start, statement, shown):
    field.write(f"{statement}\n")
    said = ended(start(field.settings, "replay", field.path))
    said += ended(start(field.settings, "replay", "--quarantine"))
    for code, out, _ in said:
        assert (code, CONTROL.findall(out)) == (code, [])
        assert all(line.isprintable() for line in out.decode().splitlines())
    assert any(shown in out.decode() for _, out, _ in said)
    [(_, out, _)] = ended(start(field.settings, "replay", "--quarantine", "--json"))
    assert json.loads(out)[0]["statement"] == statement
