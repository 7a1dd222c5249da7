"""Who migrates and who owns: every set-up of the field, from every shape, through its whole life.

Contract, part 4: the field's own is the application as owner.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text

from stage1_schema.alembic_plugin import history
from stage1_schema.connect import engine
from stage1_schema.errors import PostgresError, Stage1Error
from stage1_schema.ops import backup, drift, migrate, plan, reset, roles, spool
from stage1_schema.ops.role_setup import Kind
from stage1_schema.settings import QuestDBSettings
from tests.migrations.databases import downgrade, execute, fill, query, schemas, upgrade
from tests.plugins.databases import PASSWORDS, ROLES, as_role, client, created, superuser
from tests.postgres import clients, rows

DEPLOYER = "deployer"
"""A login whose rights are those of its membership."""
OF_DEPLOYER = "deployer secret"


@dataclass(frozen=True)
class Deployment:
    """Who owns the database, who migrates, and whose the old tables are.

    `kind` is what it is called at head, from an empty database and from old tables.
    """

    owner: str
    login: str
    tables_of: str
    kind: Kind
    kind_of_old: Kind | None = None
    member: bool = False
    createdb: bool = False
    states: tuple[str, ...] = ("nothing", "desktop", "dashboard", "reset")


OWNER, APP = ROLES.owner, ROLES.app
SUPERUSER = "postgres"
DEPLOYMENTS = {
    "superuser": Deployment(OWNER, SUPERUSER, OWNER, Kind.OWNER_APART),
    "superuser_alone": Deployment(
        SUPERUSER, SUPERUSER, SUPERUSER, Kind.SUPERUSER_OWNS, states=("desktop",)
    ),
    "superuser_of_the_application": Deployment(
        APP, SUPERUSER, APP, Kind.APP_OWNS_AROUND, states=("desktop",)
    ),
    "owner": Deployment(OWNER, OWNER, OWNER, Kind.OWNER_APART, createdb=True),
    "owner_without_createdb": Deployment(OWNER, OWNER, OWNER, Kind.OWNER_APART),
    "application": Deployment(APP, APP, APP, Kind.APP_OWNS),
    "member": Deployment(OWNER, DEPLOYER, OWNER, Kind.OWNER_APART, member=True),
    "application_as_member": Deployment(
        OWNER,
        APP,
        APP,
        Kind.APP_IS_MEMBER,
        kind_of_old=Kind.APP_OWNS,
        member=True,
        states=("nothing", "desktop"),
    ),
}
SPOOL = [
    clients.a_dataset(rows.A_DATASET),
    clients.a_run(rows.RUN_ROW),
    clients.a_fold(rows.FOLD_ROW),
    clients.simulation(rows.SIMULATION_ROW),
    clients.trade(rows.TRADE_ROW),
    clients.trade(rows.TRADE_ROW | {"trade_id": rows.NOBODY, "side": "sideways"}),
]


@contextmanager
def deployed(server, case, questdb_url="http://127.0.0.1:1"):
    """Give the settings of who migrates an empty database of this deployment."""
    before, after = [], []
    if case.login == DEPLOYER:
        before.append(f"CREATE ROLE {DEPLOYER} LOGIN PASSWORD '{OF_DEPLOYER}'")
        after.append(f"DROP ROLE {DEPLOYER}")
    if case.member:
        before.append(f"GRANT {case.owner} TO {case.login}")
        after.insert(0, f"REVOKE {case.owner} FROM {case.login}")
    if case.createdb:
        before.append(f"ALTER ROLE {case.owner} CREATEDB")
        after.append(f"ALTER ROLE {case.owner} NOCREATEDB")
    passwords = PASSWORDS | {SUPERUSER: server.password, DEPLOYER: OF_DEPLOYER}
    with superuser(server, "postgres") as root:
        assert server.user == SUPERUSER
        for statement in before:
            root.execute(statement)
        try:
            with created(server, owner=case.owner) as settings:
                yield replace(
                    login(settings, case.login, passwords[case.login]),
                    questdb=QuestDBSettings(questdb_url),
                )
        finally:
            for statement in after:
                root.execute(statement)


def login(settings, role, password):
    """Return the same settings for another login."""
    parameters = {**settings.postgres.parameters, "user": role, "password": password}
    return replace(settings, postgres=replace(settings.postgres, parameters=parameters))


def of(settings, server, role):
    """Return the settings of one of the roles, or of the superuser."""
    if role == SUPERUSER:
        return login(settings, role, server.password)
    return as_role(settings, role)


def as_declared(settings):
    """Compare both stores with the declarations, as `alembic check` does."""
    command.check(migrate.config(settings))


def protects_little(made, settings, kind):
    """What the plan said of the grants is what `stage1 roles` says at head."""
    setup = roles.read(settings).setup
    assert setup.kind == kind
    noted = {each.revision for each in made.revisions if each.notes}
    unrestricted = kind in (Kind.APP_OWNS, Kind.APP_IS_MEMBER)
    assert noted == ({"0012", "0013"} if unrestricted else set())


@pytest.mark.parametrize(
    ("name", "state"),
    [(name, state) for name, case in DEPLOYMENTS.items() for state in case.states],
)
def test_a_deployment_lives(name, state, server_with_roles, questdb, questdb_server, tmp_path):
    case = DEPLOYMENTS[name]
    with deployed(server_with_roles, case, questdb_server.url) as settings:
        if state != "nothing":
            fill(of(settings, server_with_roles, case.tables_of), state)
        arguments = ["legacy=import"] if state != "nothing" else []
        made = plan.make(settings, arguments)
        assert made.hazards == ()
        plan.carry_out(settings, made, expected=made.fingerprint)
        as_declared(settings)
        kind = (state != "nothing" and case.kind_of_old) or case.kind
        protects_little(made, settings, kind)

        path = tmp_path / "pending_postgres_inserts.sql"
        path.write_text("".join(f"{statement};\n" for statement in SPOOL), encoding="ascii")
        report = spool.replay(as_role(settings, APP), path)
        counts = [table for _, table in report.touched()]
        assert sum(each.applied for each in counts) == len(SPOOL) - 1
        assert sum(each.quarantined for each in counts) == 1
        again = spool.replay(settings, path, spool.Options(again=True, prune=True))
        assert sum(each.applied for _, each in again.touched()) == 0
        with client(settings, ROLES.readonly) as reader:
            assert reader.execute("SELECT * FROM fn_list_runs(NULL)").fetchall()
            assert len(reader.execute("SELECT * FROM spool_quarantine").fetchall()) == 1

        written = backup.run(settings, backup.Options(tmp_path / "backups")).manifest
        assert written.revision == migrate.head()
        assert written.postgres.tables["public.simulation_trades"] >= 1

        command.downgrade(migrate.config(settings), "base")
        assert query(settings, "SELECT * FROM alembic_version") == []
        (retired,) = schemas(settings, "stage1_retired")[:1]
        assert query(settings, f"SELECT FROM {retired}.spool_quarantine")
        migrate.upgrade(settings)

        execute(as_role(settings, APP), clients.a_dataset(rows.A_DATASET))
        intent = reset.plan(settings)
        reset.confirm(intent, settings.postgres.database)
        done = reset.run(settings, intent, keep=state != "desktop")
        assert [check for check in done.checks if check.passed is not True] == []
        as_declared(settings)
        assert roles.read(settings).setup.kind == kind
        execute(as_role(settings, APP), clients.b_call(rows.B_DATASET))


def test_old_tables_of_another_role_are_refused_with_what_to_type(server_with_roles):
    with deployed(server_with_roles, DEPLOYMENTS["owner"]) as settings:
        root = of(settings, server_with_roles, SUPERUSER)
        execute(root, f"GRANT CREATE ON SCHEMA public TO {APP}")
        fill(as_role(settings, APP), "reset")
        refused = r"^Tables .* belong to stage1_app: .*datasets.* Nothing was changed. Next: "
        for run in (upgrade, lambda each, _: plan.make(each, ["questdb=skip"])):
            with pytest.raises(Stage1Error, match=refused) as caught:
                run(settings, "import")
            assert str(caught.value).endswith(f"give them to {OWNER}.")
        execute(root, f"REASSIGN OWNED BY {APP} TO {OWNER}")
        upgrade(settings, "import")
        assert query(settings, "SELECT FROM walkforward_folds")


RIGHTS = """
SELECT array_agg(what ORDER BY what) FROM (
    SELECT c.relname || ' ' || r AS what
      FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) r
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
       AND has_table_privilege(current_user, c.oid, r)
    UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace
       AND has_function_privilege(current_user, p.oid, 'EXECUTE')) held
 WHERE split_part(what, ' ', 1) !~ '^spool_'"""
FROZEN = migrate.CHECKOUT / "migrations" / "sql" / "0012"
PRIVATE = (
    "CREATE FUNCTION stage1_of_mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "REVOKE ALL ON FUNCTION stage1_of_mine() FROM PUBLIC",
)


def test_neither_0012_nor_its_downgrade_takes_a_right_of_an_owner(server_with_roles):
    with deployed(server_with_roles, DEPLOYMENTS["application"]) as settings:
        upgrade(settings, to="0011")
        execute(settings, *PRIVATE)
        before = query(settings, RIGHTS)
        upgrade(settings)
        assert query(settings, RIGHTS) == before
        root = of(settings, server_with_roles, SUPERUSER)
        frozen = [(FROZEN / f"{each}.sql").read_text("utf-8") for each in ("grants", "revoke")]
        for body in (*frozen, history.GRANT):
            execute(root, body)
            assert query(settings, RIGHTS) == before
        downgrade(settings, "0011")
        assert query(settings, RIGHTS) == before
        execute(settings, "CREATE TABLE later (n int)", "INSERT INTO later VALUES (1)")
        assert query(settings, "SELECT FROM pg_default_acl") == []


def test_a_later_revision_takes_no_right_of_an_owner(server_with_roles):
    with (
        deployed(server_with_roles, DEPLOYMENTS["application"]) as settings,
        engine(settings.postgres).begin() as connection,
    ):
        operations = Operations(MigrationContext.configure(connection))
        connection.execute(text("CREATE TABLE made (n int)"))
        connection.execute(text("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
        for right, on in (
            ("INSERT", "TABLE made"),
            ("EXECUTE", "FUNCTION f()"),
            ("INSERT", "later TABLES"),
        ):
            operations.revoke(right, on, "app")
            operations.grant(right, on, "readonly")
            operations.revoke(right, on, "readonly")
        connection.execute(text("INSERT INTO made VALUES (f())"))
        held = "SELECT has_table_privilege('stage1_readonly', 'made', 'INSERT')"
        assert not connection.execute(text(held)).scalar_one()


def test_a_superuser_sees_no_drift_and_goes_on_as_the_owner(server_with_roles):
    with deployed(server_with_roles, DEPLOYMENTS["application"]) as settings:
        upgrade(settings, to="0012")
        root = of(settings, server_with_roles, SUPERUSER)
        upgrade(root)
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert query(settings, owners) == [(APP,)]
        for each in (root, settings):
            with engine(each.postgres).connect() as connection:
                assert drift.postgres(connection, each.roles) == ()


def test_the_field_can_be_given_an_owner_apart(server_with_roles):
    """What `stage1 roles` prints for it, typed by a superuser."""
    with deployed(server_with_roles, DEPLOYMENTS["application"]) as settings:
        fill(settings, "desktop")
        upgrade(settings, "import")
        root = of(settings, server_with_roles, SUPERUSER)
        setup = roles.read(settings).setup
        assert setup.kind is Kind.APP_OWNS
        assert setup.statements == (
            f'ALTER DATABASE "{settings.postgres.database}" OWNER TO "{OWNER}";',
            f'REASSIGN OWNED BY "{APP}" TO "{OWNER}";',
        )
        execute(root, *setup.statements)
        made = roles.create(root)
        assert made.setup.kind is Kind.OWNER_APART
        assert not made.setup.everybody_creates
        owner, app = as_role(settings, OWNER), as_role(settings, APP)
        with engine(owner.postgres).connect() as connection:
            assert drift.postgres(connection, owner.roles) == ()
        execute(app, clients.a_dataset(rows.A_DATASET))
        for statement in (
            "DROP TABLE simulation_trades",
            "DELETE FROM datasets",
            "CREATE TABLE t ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(app, statement)
        downgrade(owner)
        upgrade(owner)
        execute(app, clients.b_call(rows.B_DATASET))


BACKUP_ROLES = {
    "superuser": True,
    "owner": True,
    "member": True,
    "reader of all": True,
    "app": False,
}


@pytest.mark.parametrize("role", BACKUP_ROLES)
def test_who_can_back_up(server_with_roles, migrated, tmp_path, role):
    execute(migrated, clients.a_dataset(rows.A_DATASET))
    options = backup.Options(tmp_path, skip_questdb=True)
    with superuser(server_with_roles, migrated.postgres.database) as root:
        member_of = {"member": OWNER, "reader of all": "pg_read_all_data"}.get(role)
        if member_of:
            root.execute(
                f"CREATE ROLE {DEPLOYER} LOGIN PASSWORD '{OF_DEPLOYER}' IN ROLE {member_of}"
            )
        try:
            settings = {
                "superuser": of(migrated, server_with_roles, SUPERUSER),
                "owner": migrated,
                "app": as_role(migrated, APP),
            }.get(role) or login(migrated, DEPLOYER, OF_DEPLOYER)
            if BACKUP_ROLES[role]:
                assert (
                    backup.run(settings, options).manifest.postgres.tables["public.datasets"] == 1
                )
            else:
                with pytest.raises(PostgresError, match="Next: run it as the owner of"):
                    backup.run(settings, options)
        finally:
            if member_of:
                root.execute(f"DROP ROLE {DEPLOYER}")
