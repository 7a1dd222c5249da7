"""Every session is what `session.SETTINGS` says, whatever a role or the environment says."""

import re
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import NullPool, create_engine

from stage1_schema import session
from stage1_schema.connect import connect, engine
from stage1_schema.ops import backup, databases, drift, migrate, postgres_tools, restore, spool
from tests.migrations.catalogue import catalogue
from tests.migrations.commands import offline, psql
from tests.plugins.databases import as_role, client, superuser
from tests.postgres import clients, rows

ODD = {
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "search_path": "nowhere",
    "TimeZone": "America/New_York",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
    "statement_timeout": "4001",
    "lock_timeout": "4002",
    "idle_in_transaction_session_timeout": "4003",
    "idle_session_timeout": "4004",
    "transaction_timeout": "4005",
    "lc_messages": "POSIX",
}
WAYS = ("role", "database", "PGOPTIONS", "variables", "options", "service")
TABLES = (
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trade_buckets",
    "simulation_trades",
    "spool_quarantine",
)
ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted((ROOT / "stage1_schema/sql").rglob("*.sql"))
FROZEN = sorted((ROOT / "migrations/sql").rglob("*.sql"))
SKIP = ("questdb=skip",)
WORDS = "für 1 µs, \u201eso\u201c: \U0001f600 \\d \\' ''"


def alter(root, kind, name):
    """Give every setting its odd value for a role or a database."""
    for setting, value in ODD.items():
        if setting != "transaction_timeout" or root.info.server_version >= 170_000:
            statement = sql.SQL("ALTER {} {} SET {} = {}").format(
                sql.SQL(kind), sql.Identifier(name), sql.SQL(setting), sql.Literal(value)
            )
            root.execute(statement)


def options(version):
    """Return the odd values as options of a start, which may not have lc_messages."""
    without = {"lc_messages"} | ({"transaction_timeout"} if version < 170_000 else set())
    return " ".join(f"-c {name}={value}" for name, value in ODD.items() if name not in without)


@pytest.fixture
def odd(server_with_roles, monkeypatch, tmp_path):
    """Return a function that makes the sessions of `settings` odd in one of WAYS."""
    server = server_with_roles
    with superuser(server, "postgres") as root:
        given = options(root.info.server_version)

    def make(settings, way):
        with superuser(server, "postgres") as root:
            for role in (*vars(settings.roles).values(), server.user) if way == "role" else ():
                alter(root, "ROLE", role)
            if way == "database":
                alter(root, "DATABASE", settings.postgres.database)
        variables = {
            "PGOPTIONS": {"PGOPTIONS": given},
            "variables": {
                "PGCLIENTENCODING": ODD["client_encoding"],
                "PGTZ": ODD["TimeZone"],
                "PGDATESTYLE": ODD["DateStyle"],
            },
            "service": {"PGSERVICEFILE": str(tmp_path / "pg_service.conf")},
        }.get(way, {})
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        more = {"options": given, "client_encoding": ODD["client_encoding"]}
        if way == "service":
            lines = [f"{name}={value}\n" for name, value in more.items()]
            (tmp_path / "pg_service.conf").write_text("".join(["[odd]\n", *lines]))
            more = {"service": "odd"}
        return with_parameters(settings, more) if way in ("options", "service") else settings

    yield make
    with superuser(server, "postgres") as root:
        for (role,) in root.execute("SELECT rolname FROM pg_roles WHERE rolconfig IS NOT NULL"):
            root.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(role)))


def with_parameters(settings, more):
    parameters = {**settings.postgres.parameters, **more}
    return replace(settings, postgres=replace(settings.postgres, parameters=parameters))


def shown(execute, names=tuple(ODD)):
    columns = ", ".join(f"current_setting('{name}', true)" for name in names)
    return dict(zip(names, tuple(execute(f"SELECT {columns}").fetchone()), strict=True))


def wanted(execute, *, as_superuser):
    known = shown(execute)
    return {
        name: value
        for name, value in session.SETTINGS.items()
        if known[name] is not None and (name != "lc_messages" or as_superuser)
    }


def is_ours(execute, *, as_superuser=False):
    found = shown(execute)
    for name, value in wanted(execute, as_superuser=as_superuser).items():
        assert found[name] == value, name


@pytest.mark.parametrize("way", WAYS)
def test_every_session_is_the_same(odd, migrated, administrator, way):
    settings = odd(migrated, way)
    with connect(settings.postgres) as connection:
        is_ours(connection.execute)
        assert connection.info.encoding == "utf-8"
    with connect(settings.postgres, autocommit=True) as connection:
        is_ours(connection.execute)
    with engine(settings.postgres).connect() as connection:
        is_ours(connection.exec_driver_sql)
    with spool.session(as_role(settings, settings.roles.app)) as connection:
        found = shown(connection.execute)
    limits = {"lock_timeout", "statement_timeout"}  # a replay has its own
    assert all(
        found[name] == value
        for name, value in session.SETTINGS.items()
        if name not in limits | {"lc_messages"} and found[name] is not None
    )
    if way in ("role", "database"):
        with connect(administrator.postgres) as connection:
            is_ours(connection.execute, as_superuser=True)


def test_every_setting_has_an_odd_value():
    assert ODD.keys() == session.SETTINGS.keys()
    assert not ODD.items() & session.SETTINGS.items()


def test_a_temporary_table_hides_none_of_ours(migrated):
    with connect(migrated.postgres) as connection:
        connection.execute("CREATE TEMP TABLE datasets (a int)")
        assert connection.execute("SELECT 'datasets'::regclass::oid").fetchone() == (
            connection.execute("SELECT 'public.datasets'::regclass::oid").fetchone()
        )


def spool_text():
    """Return one row of each table as clients send them, with text that is not ASCII."""
    dataset = rows.C_DATASET | {"symbol": WORDS, "metadata": rows.MANIFEST | {"note": "WORDS"}}
    statements = (
        clients.c_dataset(dataset),
        clients.a_run(rows.RUN_ROW),
        clients.a_fold(rows.FOLD_ROW),
        clients.simulation(rows.SIMULATION_ROW),
        clients.bucket(rows.BUCKET_ROW | {"notes": WORDS}),
        clients.trade(rows.TRADE_ROW),
    )
    return ";\n".join(statements).replace('"WORDS"', '"für 1 µs"') + ";\n"


def replay(settings, path):
    report = spool.replay(as_role(settings, settings.roles.app), path, spool.Options())
    assert report.exit_code == 0, report.entries


def contents(server, settings):
    """Return every row of the contract's tables as JSON, without the times of this run."""
    with superuser(server, settings.postgres.database) as root:
        root.execute(session.sql())
        return {
            table: root.execute(
                f"SELECT (to_jsonb(t) - 'created_at' - 'updated_at')::text FROM {table} t"
                " ORDER BY 1"
            ).fetchall()
            for table in TABLES
        }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pending_postgres_inserts.sql"
    path.write_text(spool_text(), encoding="utf-8")
    return path


@pytest.mark.parametrize("way", WAYS)
def test_catalogue_and_replay_come_out_the_same(odd, empty, migrated, server_with_roles, path, way):
    replay(migrated, path)
    structure, replayed = catalogue(migrated), contents(server_with_roles, migrated)
    assert "für 1 µs" in str(replayed["datasets"])

    settings = odd(empty, way)
    migrate.upgrade(settings, arguments=SKIP)
    assert catalogue(settings) == structure
    with engine(settings.postgres).connect() as connection:
        assert drift.postgres(connection, settings.roles) == ()
    replay(settings, path)
    assert contents(server_with_roles, settings) == replayed


def dumped(settings, path):
    """Return a dump as SQL, without what differs from one to the next."""
    options = backup.Options(path, skip_questdb=True)
    dump = backup.run(settings, options).path / "postgres.dump"
    with connect(settings.postgres) as connection:
        version = connection.info.server_version // 10_000
    tools = postgres_tools.find(version)
    text = subprocess.run(
        [tools.directory / "pg_restore", "--file=-", dump], capture_output=True, check=True
    ).stdout.decode()
    return [line for line in text.splitlines() if not line.startswith(("--", "\\"))]


@pytest.mark.parametrize("way", WAYS)
def test_backup_and_restore_come_out_the_same(
    odd, migrated, administrator, server_with_roles, path, tmp_path, way
):
    replay(migrated, path)
    with client(migrated, migrated.roles.owner) as owner:  # what these settings would change
        owner.execute("CREATE VIEW extra AS SELECT ARRAY[NULL, 'NULL'] a, '\\xff'::bytea b")
        owner.execute("CREATE TABLE more (a text[], b bytea, c interval, d float8 CHECK (d > 0.1))")
        owner.execute("INSERT INTO more VALUES ('{NULL,\"NULL\"}', '\\xff', '-1 day 2:03', 1/3.0)")
        owner.execute("ALTER TABLE more ADD CHECK (c IS NULL OR a[1] IS NULL OR b = '\\xff')")
        owner.execute("CREATE TABLE moments (t timestamptz CHECK (t > '2025-01-02 03:04 UTC'))")
    before = dumped(administrator, tmp_path / "before")
    rows_before = contents(server_with_roles, migrated)
    administrator = odd(administrator, way)
    assert dumped(administrator, tmp_path / "after") == before

    result = backup.run(administrator, backup.Options(tmp_path / "odd", skip_questdb=True))
    intent = restore.plan(administrator, result.path, restore.read(result.path))
    restore.apply(administrator, result.path, intent)
    try:
        assert contents(server_with_roles, migrated) == rows_before
        assert dumped(administrator, tmp_path / "restored") == before
    finally:
        with closing(databases.maintenance(administrator.postgres)) as server:
            databases.drop(server, intent.kept_as)


def test_script_runs_the_same(odd, empty, migrated, tmp_path, monkeypatch):
    script = offline(tmp_path)
    settings = odd(empty, "role")
    odd(empty, "database")
    done = psql(settings, script)
    assert done.returncode == 0, done.stderr
    assert catalogue(settings) == catalogue(migrated)


def callers_engine(settings):
    """Return an engine as a program of somebody else has it: its sessions are odd."""

    def opened():
        connection = psycopg.connect(**settings.postgres.parameters, autocommit=True)
        known = shown(connection.execute)
        for name, value in ODD.items():
            if name != "lc_messages" and known[name] is not None:
                connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        connection.autocommit = False
        return connection

    return create_engine("postgresql+psycopg://", creator=opened, poolclass=NullPool)


NAMES = (*ODD, "check_function_bodies")


@pytest.mark.parametrize("end", ["commit", "rollback", None])
@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_a_callers_connection_is_given_back_as_it_was(empty, migrated, end, fails):
    config = migrate.config(empty, SKIP)
    if fails:
        with client(empty, empty.roles.owner) as owner:
            owner.execute("CREATE SEQUENCE spool_quarantine")
    with callers_engine(empty).connect() as connection:
        config.attributes["connection"] = connection
        before = shown(connection.exec_driver_sql, NAMES)
        if end is None:
            connection.rollback()
        if fails:
            with pytest.raises(CommandError):
                command.upgrade(config, "head")
        else:
            command.upgrade(config, "head")
        if end is not None and not fails:
            assert shown(connection.exec_driver_sql, NAMES) == before
        if end == "commit" and not fails:
            connection.commit()
        else:
            connection.rollback()
        assert shown(connection.exec_driver_sql, NAMES) == before
    if end != "rollback" and not fails:
        assert catalogue(empty) == catalogue(migrated)


def test_functions_hold_nothing_that_a_clients_strings_change(migrated, app):
    """A client whose plain strings know escapes gets the same rows."""
    for setting in ("standard_conforming_strings", "transform_null_equals", "array_nulls"):
        app.execute(f"SET {setting} TO {ODD[setting]}")
    calls = {
        "SELECT stage1_interval_ms('15m')": 900_000,
        "SELECT stage1_json_number('\"1.5e3\"')": 1500,
        "SELECT stage1_json_number('\"1x5\"')": None,
        'SELECT stage1_config_section(\'T\', \'{"a": "b", "c": "[d", "e": "d f"}\')': (
            '[T]\na=b\nc="[d"\ne=d f'
        ),
    }
    with client(migrated, migrated.roles.owner) as owner:
        owner.execute("SET standard_conforming_strings TO off")
        for call, value in calls.items():
            assert (
                next(iter(owner.execute(call.replace("\\", "\\\\")).fetchone().values())) == value
            )


@pytest.mark.parametrize(
    "path", [*FUNCTIONS, *FROZEN], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_no_body_has_a_backslash_in_a_plain_string(path):
    """`standard_conforming_strings` of whoever calls it would change what it means."""
    plain = re.sub(r"--[^\n]*|E'(?:[^'\\]|\\.|'')*'", "", path.read_text(encoding="utf-8"))
    assert "\\" not in plain
