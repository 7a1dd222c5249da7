"""Whose rights a dump's functions have in a restore, and whom everything belongs to after it."""

import hashlib
import json
from contextlib import closing
from types import SimpleNamespace

import pytest
from psycopg import sql

from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError, VerificationError
from stage1_schema.ops import backup_files, databases, restore
from tests.backup.rows import contents
from tests.plugins.databases import as_role

# Each tries to become who it was when the session began.
ESCAPES = ["SELECT 1", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "SET ROLE postgres"]


def back(settings, result):
    intent = restore.plan(settings, result.path, restore.read(result.path))
    restore.confirm(intent, settings.postgres.database)
    restore.apply(settings, result.path, intent)
    return intent


def plant(settings, escape, command):
    """Give the owner's database a CHECK that runs `command` wherever it may."""
    with connect(settings.postgres, autocommit=True) as connection:
        connection.execute(f"""
            CREATE FUNCTION deed(a int) RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN
                BEGIN EXECUTE {escape!r}; EXCEPTION WHEN OTHERS THEN NULL; END;
                BEGIN EXECUTE {f"COPY (SELECT 1) TO PROGRAM $p${command}$p$"!r};
                EXCEPTION WHEN OTHERS THEN NULL; END;
                RETURN true;
            END $$""")
        connection.execute("CREATE TABLE planted (a int CHECK (deed(a)))")
        connection.execute("INSERT INTO planted VALUES (1)")


@pytest.mark.parametrize("escape", ESCAPES)
def test_functions_of_the_dump_have_no_superusers_rights(
    take, stores, superuser, postgres_server, escape
):
    written = postgres_server.directory / f"written-{ESCAPES.index(escape)}"
    plant(stores, escape, f"touch {written}")
    before = contents(stores.postgres)
    back(superuser, take(skip_questdb=True))
    assert contents(stores.postgres) == before
    assert before["public.planted"] == ["(1,)"]
    assert not written.exists()


def test_what_the_check_would_do_a_superuser_can(superuser, postgres_server):
    """The case above can fail: the same statement, by a superuser, writes the file."""
    written = postgres_server.directory / "written"
    plant(superuser, "RESET ROLE", f"touch {written}")
    assert written.exists()


COMMENT = "COMMENT ON SCHEMA apart IS"
HOSTILE = [
    pytest.param("COPY (SELECT 1) TO PROGRAM 'touch {written}'", "CopyStmt", id="copy"),
    pytest.param("SELECT public.deed(1)", "SelectStmt", id="function"),
    pytest.param("GRANT pg_execute_server_program TO stage1_app", "GrantRoleStmt", id="membership"),
    pytest.param("GRANT SET ON PARAMETER log_min_messages TO stage1_app", "GrantStmt", id="server"),
    pytest.param("CREATE SCHEMA s CREATE VIEW v AS SELECT 1", "CreateSchemaStmt", id="inside"),
    pytest.param("SET x.y = '1'; ALTER ROLE stage1_app SUPERUSER", "AlterRoleStmt", id="second"),
    pytest.param("\\restrict x\nALTER ROLE stage1_app SUPERUSER", "AlterRoleStmt", id="prompt"),
    pytest.param("COMMENT ON SCHEMA apart IS 'open", "cannot be read", id="open quote"),
]


@pytest.mark.parametrize(("statement", "kind"), HOSTILE)
def test_a_forged_entry_is_not_run_by_a_superuser(
    take, stores, superuser, postgres_server, statement, kind
):
    """Schemas and comments are restored by the superuser: their text is the file's."""
    written = postgres_server.directory / "forged"
    with connect(stores.postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA apart; {COMMENT} '{'x' * 200}'")
    path = take(skip_questdb=True).path
    dump, manifest = path / backup_files.DUMP, path / backup_files.MANIFEST
    before = f"{COMMENT} '{'x' * 200}';\n".encode()
    forged = f"{statement.format(written=written)};\n".encode().ljust(len(before))
    assert before in dump.read_bytes()
    dump.write_bytes(dump.read_bytes().replace(before, forged))
    said = json.loads(manifest.read_text())
    said["files"][backup_files.DUMP]["sha256"] = hashlib.sha256(dump.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(said))
    with pytest.raises(VerificationError, match=f"{kind}.*superuser does not run that"):
        back(superuser, SimpleNamespace(path=path))
    assert not written.exists()


OWNERS = """
SELECT c.relname, pg_get_userbyid(c.relowner), c.relacl::text FROM pg_class c
 WHERE c.relnamespace IN ('public'::regnamespace, 'apart'::regnamespace) AND c.relkind <> 'i'
UNION ALL SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner), p.proacl::text
  FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL SELECT nspname, pg_get_userbyid(nspowner), nspacl::text FROM pg_namespace
 WHERE nspname IN ('public', 'apart')
UNION ALL SELECT 'default', pg_get_userbyid(defaclrole), defaclacl::text FROM pg_default_acl
UNION ALL SELECT 'database', pg_get_userbyid(datdba), datacl::text FROM pg_database
 WHERE datname = current_database()
UNION ALL SELECT extname, pg_get_userbyid(extowner), '' FROM pg_extension
 ORDER BY 1, 2, 3
"""


def owners(settings):
    with closing(connect(settings.postgres)) as connection:
        return connection.execute(OWNERS).fetchall()


@pytest.mark.parametrize("owner", ["stage1_owner", "stage1_app", "postgres"])
def test_everything_belongs_to_whom_it_did(take, stores, superuser, owner):
    """Also what belongs to another role than the database does, and to a superuser."""
    with connect(superuser.postgres, autocommit=True) as root:
        name = sql.Identifier(stores.postgres.database)
        root.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner)))
        root.execute("CREATE SCHEMA apart AUTHORIZATION stage1_app")
        root.execute("CREATE TABLE apart.mine (a serial PRIMARY KEY, b int)")
        root.execute("ALTER TABLE apart.mine OWNER TO stage1_app")
        root.execute("CREATE VIEW of_root AS SELECT 1 AS a")
        root.execute("CREATE FUNCTION trusted() RETURNS int LANGUAGE sql SECURITY DEFINER"
                     " AS 'SELECT 1'")  # fmt: skip
        root.execute("GRANT SELECT ON of_root TO stage1_readonly")
    before = owners(superuser)
    back(superuser, take(superuser, skip_questdb=True))
    assert owners(superuser) == before
    with connect(superuser.postgres) as root:
        left = "SELECT rolname FROM pg_roles WHERE rolname LIKE '%restored%'"
        assert root.execute(left).fetchall() == []


def test_a_restore_that_fails_leaves_no_role(take, stores, superuser):
    result = take(skip_questdb=True)
    intent = restore.plan(superuser, result.path, restore.read(result.path))
    intent.tables["public.datasets"] += 1
    with pytest.raises(VerificationError, match="is not what was dumped"):
        restore.apply(superuser, result.path, intent)
    with databases.maintenance(superuser.postgres) as server:
        left = "SELECT rolname FROM pg_roles WHERE rolname LIKE '%restored%'"
        assert server.execute(left).fetchall() == []


def test_a_role_that_is_missing_is_in_the_way(take, stores, superuser):
    with connect(superuser.postgres, autocommit=True) as root:
        root.execute("CREATE ROLE brief")
        root.execute("CREATE TABLE brief ()")
        root.execute("ALTER TABLE brief OWNER TO brief")
        result = take(superuser, skip_questdb=True)
        root.execute("DROP OWNED BY brief")
        root.execute("DROP ROLE brief")
    with pytest.raises(PostgresError, match="there is no role brief"):
        back(superuser, result)


@pytest.fixture
def logins(superuser):
    """Make a role that logs in, of a kind, for the backup; give its settings."""
    made = []

    def make(kind, owner="stage1_owner"):
        name = f"backup_{kind}"
        option = {"superuser": "SUPERUSER", "noinherit": "NOINHERIT"}.get(kind, "")
        with databases.maintenance(superuser.postgres) as server:
            server.execute(f"CREATE ROLE {name} LOGIN {option} PASSWORD 'x'")
            made.append(name)
            if kind in {"member", "noinherit"}:
                server.execute(f"GRANT {owner} TO {name}")
        parameters = {**superuser.postgres.parameters, "user": name, "password": "x"}
        return type(superuser)(
            type(superuser.postgres)(parameters), superuser.questdb, superuser.roles
        )

    yield make
    with databases.maintenance(superuser.postgres) as server:
        for name in made:
            server.execute(f"DROP ROLE {name}")


TO_APP = """
DO $$ DECLARE each text; BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO stage1_app', current_database());
    FOR each IN SELECT format('%s %s', i.type, i.identity)
        FROM pg_shdepend d, pg_identify_object(d.classid, d.objid, 0) i
       WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND d.deptype = 'o' AND i.type IN ('table', 'view', 'function', 'schema')
    LOOP EXECUTE format('ALTER %s OWNER TO stage1_app', each); END LOOP;
END $$"""


@pytest.mark.parametrize("kind", ["superuser", "owner", "application", "member", "noinherit"])
def test_backup_as_every_role_that_migrates(take, stores, superuser, logins, kind):
    """A large object that belongs to somebody else, which pg_dump could not read, is left out."""
    with connect(superuser.postgres, autocommit=True) as root:
        root.execute("SELECT lo_from_bytea(0, 'secret')")
        if kind == "application":
            root.execute(TO_APP)
    if kind == "application":
        settings = as_role(stores, "stage1_app")
    else:
        settings = stores if kind == "owner" else logins(kind)
    before = contents(superuser.postgres)
    result = take(settings, skip_questdb=True)
    back(superuser, result)
    assert contents(superuser.postgres) == before
    with connect(superuser.postgres) as root:
        assert root.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


def test_a_server_that_lets_the_role_not_in(take, stores, superuser, postgres_server):
    rules = postgres_server.data / "pg_hba.conf"
    text = rules.read_text()
    result = take(skip_questdb=True)
    there = "host all postgres,stage1_owner 127.0.0.1/32 scram-sha-256\n"
    try:
        rules.write_text(there)
        reload(superuser)
        with pytest.raises(PostgresError, match="the role that would run them was not let in"):
            back(superuser, result)
    finally:
        rules.write_text(text)
        reload(superuser)
    assert back(superuser, result).standing


def reload(settings):
    """Return when a new session has the new rules."""
    with databases.maintenance(settings.postgres) as server:
        (before,) = server.execute("SELECT pg_conf_load_time()").fetchone()
        server.execute("SELECT pg_reload_conf()")
    while True:
        with databases.maintenance(settings.postgres) as server:
            if server.execute("SELECT pg_conf_load_time() > %s", [before]).fetchone()[0]:
                return
