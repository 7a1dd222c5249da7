"""The QuestDB commands from a shell: a dataset's way through both stores."""

import json
import threading
import time

import pytest
import urllib3

from questdb_ddl import live_tables
from stage1_schema.ops import migrate


@pytest.fixture
def stage1(shell, both):
    migrate.upgrade(both)
    return lambda *arguments: shell("stage1", *arguments, settings=both)


def test_a_dataset_from_create_to_drop(stage1, both, tmp_path):
    ran = stage1("dataset", "create", "btc", "--symbol", "BTCUSDT", "--granularity", "4h")
    assert ran.code == 0, ran.err
    assert "ohlcv_btc: created" in ran.out
    listed = json.loads(stage1("dataset", "list", "--json").out)
    assert [dataset["slug"] for dataset in listed] == ["btc"]
    assert json.loads(stage1("questdb", "plan", "--json").out)["steps"] == []
    assert "0 statements applied" in stage1("questdb", "apply").out
    assert "nothing to do" in stage1("questdb", "rebuild", "ohlcv_btc", "--dry-run").out
    assert stage1("questdb", "doctor").code == 0
    assert "Nothing goes" in stage1("retention", "plan").out
    assert "BTCUSDT" in stage1("dataset", "show", "btc").out
    for command in (
        ("dataset", "drop", "btc"),
        ("questdb", "drop", "ohlcv_btc"),
        ("retention", "apply", "--directory", str(tmp_path)),
    ):
        ran = stage1(*command)
        assert ran.code == 1
        (line,) = ran.error_lines
        assert "--confirm" in line
    directory = ("--directory", str(tmp_path))
    ran = stage1("dataset", "drop", "btc", "--confirm", "btc", *directory)
    assert ran.code == 0, ran.err
    assert json.loads(stage1("dataset", "list", "--json").out) == []


def exported(questdb, name):
    """Make a table as an exporter's first line does, export twice, and once in a wrong unit."""
    questdb.execute(
        f"CREATE TABLE {name} (open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE,"
        " timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    for _ in range(2):
        questdb.execute(
            f"INSERT INTO {name} SELECT 1.0, 2.0, 0.5, 1.5, x, dateadd('h', x::int, '2025-03-01')"
            " FROM long_sequence(100)"
        )
    # Microseconds of 2025 that were sent as nanoseconds: a bar in January 1970.
    questdb.execute(f"INSERT INTO {name} VALUES (1, 2, 0.5, 1.5, 1000, 1740800000000)")
    questdb.wait_for(name)


def test_a_table_of_an_exporter_is_repaired(stage1, both, questdb):
    exported(questdb, "ohlcv_btc")
    assert stage1("dataset", "create", "btc").code == 1  # registered; its table differs
    assert "1 rows sent in microseconds" in stage1("questdb", "doctor").out
    ran = stage1("questdb", "rebuild", "ohlcv_btc", "--fix-timestamps", "--writers-stopped")
    assert ran.code == 0, ran.err
    kept = ran.out.split()[-1]
    rows = questdb.query("SELECT count() n, min(timestamp) first, sum(volume) sum FROM ohlcv_btc")
    assert rows == [{"n": 101, "first": "2025-03-01T01:00:00.000000Z", "sum": 5050.0 + 1000.0}]
    ran = stage1("questdb", "rebuild", "ohlcv_btc", "--drop-old", kept)
    assert (ran.code, "201 rows" in ran.out) == (0, True), ran
    assert stage1("dataset", "create", "btc").code == 0
    assert stage1("check").code == 0


def test_the_doctor_reads_on_where_a_table_cannot_be_rebuilt(stage1, both, questdb):
    assert stage1("dataset", "create", "a" * 115).code == 0  # no room for the names of a rebuild
    assert stage1("dataset", "create", "btc").code == 0
    questdb.execute("ALTER TABLE indicators_btc ADD COLUMN größe DOUBLE")
    exported(questdb, "ohlcv_eth")
    assert stage1("dataset", "create", "eth").code == 1
    ran = stage1("questdb", "doctor")
    assert ran.code == 1
    assert "indicators_btc: not read in full: The column name 'größe' is not ASCII" in ran.out
    assert "ohlcv_eth: 100 of 201 rows repeat a key" in ran.out
    ran = stage1("questdb", "rebuild", "indicators_btc", "--dry-run")
    assert (ran.code, "refused: The column name 'größe'" in ran.out) == (0, True), ran
    ran = stage1("questdb", "rebuild", f"ohlcv_{'a' * 115}", "--dry-run")
    assert (ran.code, "its name is too long" in ran.out) == (0, True), ran


@pytest.mark.parametrize(
    "command",
    [("dataset", "drop", "btc", "--drop"), ("questdb", "drop", "--dataset", "btc")],
    ids=" ".join,
)
def test_a_table_that_a_writer_brings_back_is_no_success(stage1, questdb, command):
    assert stage1("dataset", "create", "btc").code == 0
    ended = threading.Event()

    def write():
        while not ended.wait(0.05):
            line = f"ohlcv_btc open=1.5 {time.time_ns()}\n"
            urllib3.request("POST", f"{questdb.url}/write", body=line)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ran = stage1(*command, "--confirm", "btc")
    finally:
        ended.set()
        writer.join()
    assert ran.code == 1
    (line,) = ran.error_lines
    assert "A writer created ohlcv_btc again" in line
    assert line.endswith("stage1 questdb drop ohlcv_btc.")


def test_an_old_table_without_a_name_is_none(stage1):
    assert stage1("dataset", "create", "btc").code == 0
    ran = stage1("questdb", "rebuild", "ohlcv_btc", "--drop-old", "")
    assert ran.code == 1
    assert len(ran.error_lines) == 1, ran


def test_wipes_show_their_rows_and_want_a_name(stage1, both, questdb):
    questdb.execute("CREATE TABLE other AS (SELECT x FROM long_sequence(7))")
    for words, left in (("--registered", {"other"}), ("--everything", set())):
        ran = stage1("questdb", "drop", words)
        assert ran.code == 1
        (line,) = ran.error_lines
        assert ("7 rows" in line) == (words == "--everything"), line
        wanted = line.rpartition("--confirm ")[2].rstrip(".")
        assert stage1("questdb", "drop", words, "--confirm", "wrong").code == 1
        ran = stage1("questdb", "drop", words, "--confirm", wanted)
        assert ran.code == 0, ran.err
        assert set(live_tables(questdb)) == left


def test_server_check_prints_what_server_conf_lacks(stage1):
    ran = stage1("questdb", "server-check", "--open-files", "1")
    assert ran.code == 1
    assert "line.auto.create.new.tables=false" in ran.out
    data = json.loads(stage1("questdb", "server-check", "--json", "--open-files", "1000000").out)
    assert data["passed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("questdb", "rebuild", "unheard_of"),
        ("questdb", "rebuild", "ohlcv_nowhere"),
        ("questdb", "drop", "unheard_of"),
        ("dataset", "show", "unheard_of"),
        ("dataset", "create", "--", "--"),
        ("dataset", "create", "btc", "--symbol", "\udcff"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line(stage1, arguments):
    ran = stage1(*arguments)
    assert ran.code == 1
    assert len(ran.error_lines) == 1, ran
    assert "Traceback" not in ran.err + ran.out
