"""`stage1 dataset …`: placeholders for parents that a spool file or a log misses."""

import json
import subprocess
import sys
from uuid import UUID

import psycopg
import pytest

from stage1_schema.ops import orphans, placeholders
from tests.plugins.databases import environment
from tests.postgres import clients, rows
from tests.postgres.test_contract import one

ORPHAN_RUN = clients.a_run(rows.RUN_ROW | {"dataset_id": rows.RUN})
LATE_DATASET = clients.a_dataset(rows.A_DATASET | {"questdb_tag": "x"})
SPOOL = (
    ";\r\n".join(
        [
            "-- Stage1 pending inserts\n-- three\n-- lines\n" + ORPHAN_RUN,
            clients.a_fold(rows.FOLD_ROW),
            clients.simulation(
                rows.SIMULATION_ROW | {"run_id": rows.TRADE, "dataset_id": rows.TRADE}
            ),
            clients.bucket(rows.BUCKET_ROW).replace("999.000000", "nan"),
            clients.a_run(rows.RUN_ROW | {"run_id": rows.SIMULATION}),
            LATE_DATASET,
            clients.a_fold(rows.FOLD_ROW | {"run_id": rows.NOBODY}),
            clients.b_call(rows.B_DATASET | {"dataset_id": rows.NOBODY}),
        ]
    )
    + ";\nINSERT INTO walkforward_folds (run_id, fold_number) VALUES ('0f0e"
)


def test_a_spool_file(migrated, app):
    found = orphans.of_spool(SPOOL)
    result = placeholders.backfill(migrated, found, dry_run=True)
    assert app.execute("SELECT * FROM datasets").fetchall() == []
    assert result.unreadable == 1
    assert placeholders.backfill(migrated, found).datasets == result.datasets
    slugs = {
        row["dataset_id"]: (row["dataset_slug"], row["is_placeholder"])
        for row in app.execute("SELECT * FROM datasets")
    }
    # The row of DATASET comes with the file; NOBODY's too, but a missing run needs it before.
    assert slugs == {
        UUID(rows.RUN): ("btc25_4h", True),
        UUID(rows.TRADE): ("btc25_4h_0f0e0d0c", True),
        UUID(rows.NOBODY): (rows.NOBODY.replace("-", "_"), True),
    }
    runs = {row["run_id"]: row for row in app.execute("SELECT * FROM walkforward_runs")}
    assert {run: row["dataset_id"] for run, row in runs.items()} == {
        UUID(rows.TRADE): UUID(rows.TRADE),
        UUID(rows.NOBODY): UUID(rows.NOBODY),
    }
    again = placeholders.backfill(migrated, found)
    assert (again.datasets, again.runs) == ((), ())


def test_everything_can_be_replayed_after_a_backfill(migrated, app):
    statements = [
        ORPHAN_RUN,
        clients.a_fold(rows.FOLD_ROW),
        clients.simulation(rows.SIMULATION_ROW | {"run_id": rows.TRADE, "dataset_id": rows.TRADE}),
        clients.trade(rows.TRADE_ROW),
        clients.a_fold(rows.FOLD_ROW | {"run_id": rows.NOBODY}),
    ]
    placeholders.backfill(migrated, orphans.of_spool(";\n".join(statements) + ";\n"))
    for statement in statements:
        app.execute(statement)
    found = app.execute("SELECT * FROM dataset_hierarchy WHERE run_is_placeholder").fetchall()
    assert {row["run_id"] for row in found} == {UUID(rows.TRADE), UUID(rows.NOBODY)}


@pytest.fixture
def log(migrated, app, postgres_server):
    """What the server itself logs of statements whose parents are missing."""
    before = postgres_server.log.stat().st_size
    for statement in (
        ORPHAN_RUN,
        clients.simulation(rows.SIMULATION_ROW).replace(" VALUES", "\nVALUES"),
        clients.a_fold(rows.FOLD_ROW | {"run_id": rows.NOBODY}),
        clients.trade(rows.TRADE_ROW),
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            app.execute(statement)
    with postgres_server.log.open() as stream:
        stream.seek(before)
        return stream.read()


def test_a_log(migrated, app, log):
    result = placeholders.backfill(migrated, orphans.of_log(log))
    assert {each.dataset_id for each in result.datasets} == {
        UUID(rows.RUN),
        UUID(rows.DATASET),
        UUID(rows.NOBODY),
    }
    assert {(each.run_id, each.dataset_id) for each in result.runs} == {
        (UUID(rows.RUN), UUID(rows.DATASET)),
        (UUID(rows.NOBODY), UUID(rows.NOBODY)),
    }
    assert result.unresolved == (f"simulation_id {rows.SIMULATION} of simulation_runs",)
    app.execute(clients.simulation(rows.SIMULATION_ROW))


def test_a_log_without_statements(log):
    lines = [line for line in log.splitlines() if "STATEMENT" not in line and line[:1] != "\t"]
    found = orphans.of_log("\n".join(lines))
    assert set(found.datasets) == {UUID(rows.RUN), UUID(rows.DATASET)}
    assert set(found.runs) == {UUID(rows.NOBODY)}


@pytest.mark.parametrize(
    ("name", "slug"),
    [("btc_wf17384", "btc"), ("btc_run2", "btc"), ("run_638", None), ("btc", None), (None, None)],
)
def test_the_slug_in_a_runs_name(name, slug):
    assert orphans.slug_of(name) == slug


def stage1(settings, monkeypatch, *arguments):
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return subprocess.run(
        [sys.executable, "-c", "from stage1_schema.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands(migrated, app, monkeypatch, tmp_path):
    spool = tmp_path / "pending_postgres_inserts.sql"
    spool.write_text(SPOOL, newline="")
    found = stage1(migrated, monkeypatch, "dataset", "backfill", "--from", spool, "--dry-run")
    assert found.returncode == 0, found.stderr
    assert "3 datasets and 2 runs would get a placeholder." in found.stdout
    assert "1 statements could not be read." in found.stdout
    made = stage1(migrated, monkeypatch, "dataset", "backfill", "--from", spool, "--json")
    assert len(json.loads(made.stdout)["datasets"]) == 3
    again = stage1(migrated, monkeypatch, "dataset", "backfill", "--from", spool)
    assert "Nothing is missing." in again.stdout

    another = "aaaabbbb-0000-4000-8000-000000000009"
    one_more = ("dataset", "placeholder", another, "--slug", "My one")
    for outcome in ("is now a placeholder.", "is a placeholder: nothing was changed."):
        done = stage1(migrated, monkeypatch, *one_more)
        assert done.stdout == f"Dataset {another} (my_one) {outcome}\n"
    app.execute(clients.a_dataset(rows.A_DATASET | {"dataset_id": another}))
    assert "nothing was changed" in stage1(migrated, monkeypatch, *one_more).stdout
    assert not one(app, "SELECT * FROM datasets WHERE dataset_id = %s", another)["is_placeholder"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dataset", "backfill"), "Give either --from FILE or --log FILE."),
        (("dataset", "placeholder", "x", "--slug", "y"), "x is no id: give the slug once"),
        (("dataset", "placeholder", rows.NOBODY, "--slug", "--"), 'the dataset slug "--" is empty'),
    ],
)
def test_wrong_arguments_are_one_line(migrated, monkeypatch, arguments, message):
    done = stage1(migrated, monkeypatch, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_roles_commands(administrator, monkeypatch):
    monkeypatch.setenv("STAGE1_READONLY_ROLE", "nobody_here")
    shown = stage1(administrator, monkeypatch, "roles")
    assert "Role nobody_here does not exist: stage1 roles create" in shown.stdout
    assert "simulation_trades" in shown.stdout
    data = json.loads(stage1(administrator, monkeypatch, "roles", "--json").stdout)
    assert data["missing"] == ["nobody_here"]
    monkeypatch.delenv("STAGE1_READONLY_ROLE")
    created = stage1(administrator, monkeypatch, "roles", "create")
    ended = "Ran REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n"  # PostgreSQL 14's default
    assert created.stdout.removesuffix(ended) == "All roles exist.\nGranted what they need.\n"
