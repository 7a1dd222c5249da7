"""What stops a run before its first step: one line each, and nothing changed in either store."""

import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from questdb_ddl import live_tables
from stage1_schema.ops import migrate
from stage1_schema.servers.postgres import LocalPostgres
from tests.migrations.commands import alembic
from tests.migrations.databases import fingerprint, query
from tests.plugins.databases import (
    ROLES,
    created,
    environment,
    make_roles,
    settings_for,
    superuser,
)

STAGE1 = Path(sys.executable).with_name("stage1")
ROOT = Path(__file__).resolve().parents[2]


def stores(settings, questdb):
    """Return everything of both stores that a run could change."""
    tables = live_tables(questdb, counts=True)
    series = {name: (each.structure(), each.row_count) for name, each in tables.items()}
    version = query(settings, "SELECT to_regclass('public.alembic_version') IS NULL")
    return fingerprint(settings), version, series


def run(settings, *command, directory=ROOT, **variables):
    """Run a command line; return its exit code, its lines of errors, and all it printed."""
    program, *arguments = command
    done = subprocess.run(
        [STAGE1.with_name(program), *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", **environment(settings), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    errors = [line for line in said.splitlines() if line.startswith(("FAILED: ", "stage1: "))]
    return done.returncode, errors, said


def refused(settings, questdb, *command, directory=ROOT, **variables):
    """Run a command that has to be refused in one line, with nothing changed; return the line."""
    command = [each.format(database=settings.postgres.database) for each in command]
    before = stores(settings, questdb)
    code, errors, said = run(settings, *command, directory=directory, **variables)
    assert code != 0, said
    (line,) = errors
    assert "Next: " in line
    assert "Traceback" not in said
    assert stores(settings, questdb) == before
    return line


UPGRADES = [
    pytest.param(command, id=" ".join(command))
    for command in (
        ("alembic", "upgrade", "head"),
        ("alembic", "upgrade", "0005"),
        ("alembic", "upgrade", "+1"),
        ("alembic", "stamp", "head"),
        ("alembic", "stamp", "--purge", "head"),
        ("stage1", "plan"),
        ("stage1", "upgrade"),
    )
]
DOWNGRADES = [
    pytest.param(command, id=" ".join(command))
    for command in (
        ("alembic", "downgrade", "base"),
        ("alembic", "downgrade", "-1"),
        ("alembic", "stamp", "base"),
        ("stage1", "reset", "--confirm", "{database}"),
    )
]


@pytest.mark.parametrize("command", UPGRADES)
def test_read_only_postgres(both, questdb, server_with_roles, command):
    name = both.postgres.database
    with superuser(server_with_roles, name) as root:
        root.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    line = refused(both, questdb, *command)
    assert "is read-only (default_transaction_read_only is on, set by: database)" in line
    assert f"Next: ALTER DATABASE {name} RESET default_transaction_read_only;" in line
    with superuser(server_with_roles, name) as root:
        root.execute("SET default_transaction_read_only = off")
        root.execute(re.search("Next: (ALTER .*?);", line)[1])
    assert run(both, *command)[0] == 0


@pytest.mark.parametrize("command", DOWNGRADES)
def test_read_only_postgres_on_the_way_down(head, questdb, server_with_roles, command):
    name = head.postgres.database
    with superuser(server_with_roles, name) as root:
        root.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "is read-only" in refused(head, questdb, *command)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        pytest.param(
            "ALTER ROLE {role} IN DATABASE {name} SET {setting} = on",
            "ALTER ROLE {role} IN DATABASE {name} RESET {setting};",
            id="role in database",
        ),
        pytest.param(
            "ALTER ROLE {role} SET {setting} = on", "ALTER ROLE {role} RESET {setting};", id="role"
        ),
        pytest.param(None, "unset PGOPTIONS", id="client"),
    ],
)
def test_read_only_names_what_ends_it(both, questdb, server_with_roles, setting, says):
    words = {
        "role": ROLES.owner,
        "name": both.postgres.database,
        "setting": "default_transaction_read_only",
    }
    options = {} if setting else {"PGOPTIONS": "-c default_transaction_read_only=on"}
    with superuser(server_with_roles, "postgres") as root:
        if setting:
            root.execute(setting.format(**words))
        try:
            line = refused(both, questdb, "alembic", "upgrade", "head", **options)
        finally:
            root.execute(f"ALTER ROLE {ROLES.owner} RESET default_transaction_read_only")
    assert f"Next: {says.format(**words)}" in line


@contextmanager
def standby(directory, binaries, *, migrated):
    """Yield the settings of a database of a standby server."""
    with LocalPostgres(directory, binaries=binaries, fsync=False) as server:
        make_roles(server)
        with superuser(server, "postgres") as root:
            root.execute(f"CREATE DATABASE stage1_trading OWNER {ROLES.owner}")
        settings = settings_for(server, "stage1_trading")
        with superuser(server, "stage1_trading") as root:
            root.execute(f"ALTER SCHEMA public OWNER TO {ROLES.owner}")
        if migrated:
            migrate.upgrade(settings, arguments=("questdb=skip",))
    (server.data / "standby.signal").touch()
    with LocalPostgres(directory, binaries=binaries, fsync=False) as server:
        yield settings_for(server, "stage1_trading")


@pytest.mark.parametrize("migrated", [False, True], ids=["empty", "at head"])
def test_standby_server(tmp_path, postgres_server, questdb, questdb_server, migrated):
    made = standby(tmp_path / "server", postgres_server.binaries, migrated=migrated)
    with made as found:
        settings = replace(found, questdb=replace(found.questdb, url=questdb_server.url))
        for command in (each.values[0] for each in (DOWNGRADES if migrated else UPGRADES)):
            line = refused(settings, questdb, *command)
            assert "is a standby server (in recovery) and takes no changes" in line
            assert "point STAGE1_POSTGRES_HOST and STAGE1_POSTGRES_PORT at the primary" in line


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding(request, both, server_with_roles):
    """Settings of a database with another encoding than UTF8."""
    name = f"stage1_{request.param.lower()}"
    with superuser(server_with_roles, "postgres") as root:
        root.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} ENCODING {} TEMPLATE template0"
                " LC_COLLATE 'C' LC_CTYPE 'C'"
            ).format(sql.Identifier(name), sql.Identifier(ROLES.owner), request.param)
        )
        try:
            parameters = {**both.postgres.parameters, "dbname": name}
            yield replace(both, postgres=replace(both.postgres, parameters=parameters))
        finally:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("command", UPGRADES)
def test_other_encoding(other_encoding, questdb, command):
    line = refused(other_encoding, questdb, *command)
    encoding = other_encoding.postgres.database.removeprefix("stage1_").upper()
    assert f"has the encoding {encoding}, and Stage1 needs UTF8" in line


REVISION = '''"""One of two"""
revision, down_revision = "{0}", "0013"
def upgrade():
    pass
def downgrade():
    pass
'''


@pytest.fixture
def two_heads(checkout):
    for number in ("0014", "0015"):
        path = checkout / "migrations" / "versions" / f"{number}_one_of_two.py"
        path.write_text(REVISION.format(number))
    return checkout


@pytest.mark.parametrize(
    "command",
    [
        ("alembic", "upgrade", "heads"),
        ("alembic", "upgrade", "heads", "--sql"),
        ("alembic", "upgrade", "head"),
        ("alembic", "upgrade", "0014"),
        ("alembic", "upgrade", "+1"),
        ("alembic", "stamp", "heads"),
        ("alembic", "downgrade", "-1"),
        ("stage1", "plan"),
        ("stage1", "upgrade"),
    ],
    ids=" ".join,
)
def test_two_heads(head, questdb, two_heads, command):
    line = refused(head, questdb, *command, directory=two_heads)
    assert "The history has 2 heads: 0014, 0015. Nothing was changed." in line


def test_heads_of_one_history_is_its_head(both, checkout):
    for command in ("upgrade", "stamp"):
        alembic(checkout, both, command, "heads")
        assert query(both, "SELECT version_num FROM alembic_version") == [(migrate.head(),)]
    assert "No new upgrade operations" in alembic(checkout, both, "check")
    alembic(checkout, both, "downgrade", "base")


MIXED = '''"""Both stores, and what no script can say"""
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0014", "0013"
def upgrade():
    op.execute("CREATE TABLE made_once ()")
    {}
    op.create_questdb_table("y", columns={{"x": "INT"}})
def downgrade():
    pass
'''


@pytest.mark.parametrize(
    ("statement", "warning"),
    [
        pytest.param("pass", "", id="script"),
        pytest.param(
            'assert op.get_bind().execute(sa.text("SELECT 1")).scalar() == 1',
            "0013 -> 0014 does in QuestDB is not known before it runs",
            id="rows are read",
        ),
    ],
)
def test_what_is_looked_at_before_is_run_once(head, questdb, checkout, statement, warning):
    (checkout / "migrations" / "versions" / "0014_mixed.py").write_text(MIXED.format(statement))
    code, _, said = run(head, "alembic", "upgrade", "head", directory=checkout)
    assert code == 0, said
    assert ("not known before it runs" in said) == bool(warning)
    assert warning in said
    assert query(head, "SELECT to_regclass('made_once') IS NOT NULL") == [(True,)]
    assert "y" in live_tables(questdb)


def test_database_that_is_fit_is_changed(both, questdb):
    before = stores(both, questdb)
    assert run(both, "alembic", "upgrade", "head")[0] == 0
    assert stores(both, questdb) != before


def test_other_databases_of_a_server_do_not_matter(server_with_roles, both, questdb):
    with created(server_with_roles) as other:
        name = other.postgres.database
        with superuser(server_with_roles, "postgres") as root:
            root.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        assert run(both, "alembic", "upgrade", "head")[0] == 0
