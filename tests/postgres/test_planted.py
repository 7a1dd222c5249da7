"""A role that may create in schema public cannot run its code as somebody else.

It plants a function or an operator of the same name and argument types as every built-in that our
SQL uses, before the first revision runs. Each that runs takes a number of a sequence, which no
ROLLBACK and no EXCEPTION block takes back, and raises. (Casts cannot be planted: CREATE CAST wants
the owner of one of the types.)
"""

import re
from pathlib import Path

import psycopg
import pytest

from stage1_schema import sql as declared_files
from stage1_schema.alembic_plugin import history
from stage1_schema.connect import engine
from stage1_schema.ops import drift, plan, roles, spool, status
from tests.migrations.databases import downgrade, fill, upgrade
from tests.plugins.databases import ROLES, as_role, client, superuser
from tests.postgres import clients, rows

FROZEN = Path(__file__).parents[2] / "migrations" / "sql"
BODY = "BEGIN PERFORM pg_catalog.nextval('public.planted_ran'); RAISE 'planted % ran'; END"
# PL/pgSQL takes no argument of these types; a planted function of another type is another one.
NOT_PLANTED = ['"any"', "internal", "cstring", "record", "trigger"]
FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, p.proname::text AS stem,
       (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND a.n = p.pronargs THEN 'VARIADIC ' ELSE ''
                          END || format_type(a.type, NULL), ', ' ORDER BY a.n)
          FROM unnest(p.proargtypes) WITH ORDINALITY a (type, n)) AS arguments,
       CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL) AS result
  FROM pg_proc p
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY(%s)
   AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a
                    WHERE format_type(a, NULL) = ANY(%s))"""
OPERATORS = """
SELECT o.oid::text AS id, o.oprname::text AS name, o.oid::regoperator::text AS signature,
       format_type(nullif(o.oprleft, 0), NULL) AS left_type,
       format_type(o.oprright, NULL) AS right_type, format_type(o.oprresult, NULL) AS result
  FROM pg_operator o
 WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname = ANY(%s)
   AND format_type(o.oprright, NULL) <> ALL(%s) AND o.oprresult <> 0
   AND coalesce(format_type(nullif(o.oprleft, 0), NULL), '') <> ALL(%s)"""
LIKE = ["~~", "!~~", "~~*", "!~~*"]
"""What the keywords LIKE and ILIKE stand for."""
CLIENTS = [
    clients.a_dataset(rows.A_DATASET),
    clients.a_dataset_or_nothing(rows.A_DATASET),
    clients.b_call(rows.B_DATASET),
    clients.c_dataset(rows.C_DATASET),
    clients.a_run(rows.RUN_ROW),
    clients.c_run(rows.RUN_ROW),
    clients.a_fold(rows.FOLD_ROW),
    clients.c_fold(rows.FOLD_ROW | {"fold_number": 1}),
    clients.simulation(rows.SIMULATION_ROW),
    clients.bucket(rows.BUCKET_ROW),
    clients.trade(rows.TRADE_ROW),
    f"SELECT ensure_dataset_placeholder('{rows.NOBODY}')",
    f"SELECT ensure_run_placeholder('{rows.NOBODY}', '{rows.NOBODY}')",
    "INSERT INTO stage1_jobs (job_type, payload) VALUES ('train', '{\"a\": 1}')",
    "UPDATE stage1_jobs SET status = 'RUNNING', progress = 1, total = 2",
    "UPDATE datasets SET symbol = lower(symbol), metadata = metadata || '{\"lookback_rows\": 7}'",
    "UPDATE walkforward_runs SET status = 'FAILED', summary_metrics = '{\"folds\": \"x\"}'",
    "UPDATE walkforward_folds SET metrics = '{\"best_score\": 2}', best_score = NULL",
    "UPDATE simulation_runs SET config = '{}', completed_at = now()",
    "UPDATE simulation_trades SET side = 'SHORT', metadata = '{\"fold_index\": \"3\"}'",
]
READS = [
    "SELECT * FROM fn_list_datasets(50, 0)",
    "SELECT * FROM fn_list_runs(NULL)",
    "SELECT * FROM fn_list_simulations(NULL)",
    f"SELECT * FROM fn_list_folds('{rows.RUN}')",
    "SELECT * FROM dataset_hierarchy",
    "SELECT * FROM dataset_catalog",
    "SELECT * FROM indicator_datasets ORDER BY created_at DESC",
]


def our_sql():
    """Return every body that we ship, frozen ones too, without comments."""
    bodies = [each.text for each in declared_files.objects()]
    bodies += [path.read_text(encoding="utf-8") for path in FROZEN.rglob("*.sql")]
    bodies.append(history.GRANT)
    return re.sub(r"--.*", "", "\n".join(bodies))


def plant(connection):
    """Create everything in one transaction; return the names of functions and operators."""
    text = our_sql()
    called = sorted(set(re.findall(r"\b([a-z_][a-z0-9_]*)\s*\(", text)))
    symbols = sorted(set(re.findall(r"[-+*/<>=~!@#%^&|`?]+", text)) | set(LIKE))
    functions = connection.execute(FUNCTIONS, [called, NOT_PLANTED]).fetchall()
    operators = connection.execute(OPERATORS, [symbols, NOT_PLANTED, NOT_PLANTED]).fetchall()
    script = ["CREATE SEQUENCE planted_ran", "GRANT ALL ON SEQUENCE planted_ran TO PUBLIC"]
    function = "CREATE FUNCTION public.{}({}) RETURNS {} LANGUAGE plpgsql AS $planted${}$planted$"
    for row in functions:
        body = BODY.replace("%", row["name"].replace("'", "''"))
        script.append(
            function.format(f'"{row["stem"]}"', row["arguments"] or "", row["result"], body)
        )
    for row in operators:
        sides = [side for side in (row["left_type"], row["right_type"]) if side]
        body = BODY.replace("%", "operator " + row["signature"].replace("%", "%%"))
        script.append(
            function.format(f"planted_{row['id']}", ", ".join(sides), row["result"], body)
        )
        left = f"LEFTARG = {row['left_type']}, " if row["left_type"] else ""
        script.append(
            f"CREATE OPERATOR public.{row['name']} (FUNCTION = public.planted_{row['id']},"
            f" {left}RIGHTARG = {row['right_type']})"
        )
    connection.execute(";\n".join(script))
    return {row["stem"] for row in functions}, {row["name"] for row in operators}


@pytest.fixture
def planted(empty, server_with_roles):
    """Settings of a database in which the read-only role has planted everything."""
    with superuser(server_with_roles, empty.postgres.database) as root:
        if root.info.server_version >= 150_000:  # before it everybody may, as the server is made
            root.execute(f"GRANT CREATE ON SCHEMA public TO {ROLES.readonly}")
    with client(empty, ROLES.readonly) as reader:
        functions, operators = plant(reader)
    assert {"lower", "now", "jsonb_typeof", "to_timestamp", "to_jsonb", "min"} <= functions
    assert {"=", "||", "->>", "->", "<", "+", "~~"} <= operators
    return empty


def ran(settings):
    """Tell whether anything planted ran in whatever session."""
    with client(settings, ROLES.owner) as connection:
        return connection.execute("SELECT is_called FROM planted_ran").fetchone()["is_called"]


@pytest.mark.parametrize("state", ["nothing", "desktop", "dashboard", "reset"])
def test_nothing_planted_runs_in_a_migration(planted, state):
    if state != "nothing":
        fill(planted, state)
    upgrade(planted, "import" if state != "nothing" else None)
    downgrade(planted)
    upgrade(planted)
    assert not ran(planted)


def test_nothing_planted_runs_for_clients_or_tools(planted, tmp_path):
    upgrade(planted)
    for role in (ROLES.app, ROLES.owner):
        with client(planted, role) as connection:
            for statement in (*CLIENTS, *READS):
                connection.execute(statement)
    with client(planted, ROLES.owner) as owner:
        for table in ("simulation_trades", "walkforward_folds"):
            assert owner.execute(f"DELETE FROM {table}").rowcount
    path = tmp_path / "pending_postgres_inserts.sql"
    path.write_text("".join(f"{each};\n" for each in CLIENTS[:11]), encoding="ascii")
    report = spool.replay(as_role(planted, ROLES.app), path)
    assert not report.entries
    assert status.read(planted).postgres.error is None
    assert plan.make(planted, ["questdb=skip"]).empty
    assert roles.read(planted).access
    with engine(planted.postgres).connect() as connection:
        assert drift.compare_postgres(connection, planted.roles)
    assert not ran(planted)


def test_what_is_planted_runs_where_public_comes_first(planted):
    """The test above would see it."""
    upgrade(planted)
    with client(planted, ROLES.owner) as owner:
        owner.execute(
            "ALTER FUNCTION stage1_normalise_dataset() SET search_path = public, pg_catalog"
        )
    with client(planted, ROLES.app) as app, pytest.raises(psycopg.Error, match=r"planted .* ran"):
        app.execute(clients.c_dataset(rows.C_DATASET))
    assert ran(planted)


def test_a_temporary_table_takes_no_place_of_ours(app):
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute("CREATE TEMP TABLE datasets (LIKE public.datasets)")
    app.execute("CREATE TEMP TABLE walkforward_runs (LIKE public.walkforward_runs)")
    assert len(app.execute("SELECT * FROM fn_list_datasets(50, 0)").fetchall()) == 1
    app.execute(clients.a_run(rows.RUN_ROW).replace("INTO walk", "INTO public.walk"))
    assert len(app.execute("SELECT * FROM fn_list_runs(NULL)").fetchall()) == 1
