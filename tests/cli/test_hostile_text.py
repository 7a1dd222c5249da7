"""What others have written steers no terminal: every command, over hostile text everywhere."""

import io
import json
from dataclasses import replace

import pytest
from psycopg import sql

from stage1_schema import terminal
from stage1_schema.settings import QuestDBSettings
from tests.cli.test_environments import every_command, faults_of, forker, here  # noqa: F401 - fixtures
from tests.plugins.databases import environment

EVIL = "\x1b]0;x\x07\x1b[31m\x08\r\x7f\x9b2J\u202ereversed\u2066"
EVIL_TABLE = "evil\u202etable"  # QuestDB refuses the others in a name


@pytest.fixture
def evil(migrated, connection, questdb, questdb_server, tmp_path):
    """Settings of two stores with hostile text wherever they take it."""
    dataset = "0f0e0d0c-0000-4000-8000-000000000001"
    run = "0f0e0d0c-0000-4000-8000-000000000002"
    connection.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, symbol, granularity, source,"
        " ohlcv_measurement, indicator_measurement, metadata) VALUES (%s, 'a', %s, %s, %s, %s, %s,"
        " jsonb_build_object('note', %s::text))",
        [dataset, *[EVIL] * 6],
    )
    connection.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, requested_by)"
        " VALUES (%s, %s, %s, %s)",
        [run, dataset, EVIL, EVIL],
    )
    connection.execute(
        "INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, questdb_namespace, mode)"
        " VALUES (%s, %s, %s, %s, 'long')",
        [dataset, run, dataset, EVIL],
    )
    connection.execute("INSERT INTO stage1_jobs (job_type, message) VALUES (%s, %s)", [EVIL, EVIL])
    for statement in (
        "CREATE TABLE {} (a int)",
        "ALTER TABLE datasets ADD COLUMN {} int",
        "CREATE INDEX ON datasets (symbol) WHERE symbol <> {}",
        "ALTER TABLE walkforward_runs ADD CONSTRAINT {} CHECK (status <> 'x')",
    ):
        kind = sql.Literal if "<> {}" in statement else sql.Identifier
        connection.execute(sql.SQL(statement).format(kind(EVIL)))
    connection.execute("UPDATE stage1_migration_history SET os_user = %s", [EVIL])
    questdb.execute(f'CREATE TABLE "{EVIL_TABLE}" (a INT, ts TIMESTAMP) TIMESTAMP(ts)')
    spool = tmp_path / f"evil{EVIL}.sql"
    spool.write_text(
        f"INSERT INTO datasets (symbol) VALUES ('{EVIL}', {EVIL});\nSELECT '{EVIL}';\n"
    )
    return replace(migrated, questdb=QuestDBSettings(questdb_server.url)), spool


def test_no_command_sends_what_others_wrote(forker, here, evil):  # noqa: F811
    settings, spool = evil
    more = [
        ("stage1", "replay", str(spool)),
        ("stage1", "replay", "--quarantine"),
        ("stage1", "plan", "--sql"),
        ("stage1", "dataset", "show", EVIL),
        ("stage1", "questdb", "rebuild", EVIL_TABLE),
        ("stage1", EVIL),
        ("alembic", "-x", EVIL, "upgrade", "head"),
        ("alembic", "show", EVIL),
    ]
    harmless = [each for each in every_command() if each[1] not in ("stamp", "downgrade", "up")]
    found, said = {}, ""
    for command in [*more, *harmless]:
        ran = forker(
            *command,
            variables={"STAGE1_LOCAL_DIR": "/dev/null"} | environment(settings),
            directory=here,
        )
        said += ran["out"] + ran["err"]
        for fault in faults_of(command, ran):
            found.setdefault(fault, []).append(command)
    faults = [each for each in found if not each[0].isdigit()]  # a finding is no error
    assert not faults, json.dumps(faults, indent=1)
    assert said.count("\\x1b") > 10  # it was printed, and visibly


def test_every_control_character_is_shown():
    every = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA1), 0x202E, 0x2066, 0x200B, 0xDCFF]))
    written = io.StringIO()
    terminal.Visible(written).write(every + "für\U0001f600")
    assert all(each.isprintable() or each in "\n\t" for each in written.getvalue())
    assert written.getvalue().endswith("für\U0001f600")
    assert terminal.visible("a\nb\tc") == "a\\nb\\tc"
