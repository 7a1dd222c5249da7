"""An operation on a QuestDB table that ends in the middle: run again, it comes to the same end."""

import json
import re
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy import text

from questdb_ddl import Client, live_tables
from questdb_ddl import ensure_table as ensure
from questdb_ddl.render import drop_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.alembic_plugin import history
from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget
from stage1_schema.connect import connect, engine
from stage1_schema.ops import migrate
from tests.migrations.test_questdb_operations import BARS, NAME

PUT = f"INSERT INTO {NAME} VALUES ('2025-01-01T00:00:00Z', 'a', 1.5, 2)"


class EndedError(Exception):
    pass


class Faults:
    """Ends the run before or after the n-th statement that changes something."""

    number = 0
    sent = 0
    after = False


@pytest.fixture
def faults(monkeypatch):
    faults = Faults()
    execute = Client.execute

    def counted(self, sql):
        faults.sent += 1
        if faults.sent == faults.number and not faults.after:
            raise EndedError
        execute(self, sql)
        if faults.sent == faults.number:
            raise EndedError

    monkeypatch.setattr(Client, "execute", counted)
    return faults


@contextmanager
def operations(settings):
    """Alembic's operations as of a process of its own, and what it would write into history."""
    journal = history.Journal()
    target = QuestDBTarget(settings.questdb, told=journal.questdb.append)
    with engine(settings.postgres).connect() as connection:
        options = {"questdb": target, "journal": journal}
        yield Operations(MigrationContext.configure(connection, opts=options)), journal.questdb
    target.close()


def alter(**wanted):
    existing = {"ttl_months": None, "dedup_keys": ["timestamp", "venue"]}
    return lambda op: op.alter_questdb_table(
        NAME, existing={name: existing.get(name) for name in wanted}, **wanted
    )


def symbol(type_):
    return lambda op: op.alter_questdb_column(NAME, "venue", type_, existing="SYMBOL CAPACITY 64")


def nothing(_):
    pass


DATA = {key: value for key, value in BARS.to_data().items() if key != "name"}
CASES = {
    "create table": (nothing, lambda op: op.create_questdb_table("ticks", **DATA)),
    "retire table": (nothing, lambda op: op.retire_questdb_table(NAME)),
    "retire empty table": (
        lambda op: op.create_questdb_table("ticks", **DATA),
        lambda op: op.retire_questdb_table("ticks"),
    ),
    "restore table": (
        lambda op: op.retire_questdb_table(NAME),
        lambda op: op.restore_questdb_table(NAME, **DATA),
    ),
    "rename table": (nothing, lambda op: op.rename_questdb_table(NAME, "ticks")),
    "add column": (nothing, lambda op: op.add_questdb_column(NAME, "volume", "DOUBLE")),
    "retire column": (nothing, lambda op: op.retire_questdb_column(NAME, "price", "FLOAT")),
    "retire empty column": (
        lambda op: op.add_questdb_column(NAME, "volume", "DOUBLE"),
        lambda op: op.retire_questdb_column(NAME, "volume", "DOUBLE"),
    ),
    "restore column": (
        lambda op: op.retire_questdb_column(NAME, "price", "FLOAT"),
        lambda op: op.restore_questdb_column(NAME, "price", "FLOAT"),
    ),
    "widen": (
        nothing,
        lambda op: op.alter_questdb_column(NAME, "price", "DOUBLE", existing="FLOAT"),
    ),
    "symbol capacity": (nothing, symbol("SYMBOL CAPACITY 1024")),
    "symbol cache and index": (nothing, symbol("SYMBOL CAPACITY 64 NOCACHE INDEX CAPACITY 512")),
    "TTL": (nothing, alter(ttl_months=1200)),
    "dedup keys": (nothing, alter(dedup_keys=["timestamp"])),
    "dedup, TTL and parameters": (
        nothing,
        alter(dedup_keys=[], ttl_months=1200, max_uncommitted_rows=777, o3_max_lag_ms=5000),
    ),
}
LOOKS = {name for name in CASES if name.startswith(("retire", "restore"))}
"""Operations whose statements depend on what they find."""


def timeless(data):
    return re.sub(r"\d{8}T\d{6}Z", "<time>", json.dumps(data))


@pytest.fixture
def start(both, questdb):
    def start(prepare):
        for table in live_tables(questdb).values():
            questdb.execute(drop_table(table.name))
        ensure(questdb, BARS)
        questdb.execute(PUT)
        questdb.wait_for(NAME)
        with operations(both) as (op, _):
            prepare(op)

    return start


def standing(questdb):
    live = live_tables(questdb, counts=True).values()
    for table in live:
        questdb.wait_for(table.name)
    return sorted(timeless([table.structure(), table.row_count]) for table in live)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=list(CASES))
def test_operation_ended_at_any_statement_converges(both, questdb, faults, start, name, case):
    prepare, change = case
    start(prepare)
    before = standing(questdb)
    faults.sent = 0
    with operations(both) as (op, written):
        change(op)
    total, whole, undisturbed = faults.sent, timeless(sorted(written)), standing(questdb)
    assert total == len(written) > 0
    assert undisturbed != before
    for number in range(1, total + 1):
        for after in (False, True):
            start(prepare)
            faults.sent, faults.number, faults.after = 0, number, after
            with operations(both) as (op, _), pytest.raises(EndedError):
                change(op)
            faults.number = 0
            with operations(both) as (op, written):
                change(op)
            assert standing(questdb) == undisturbed, (number, after)
            done = timeless(sorted(each.removeprefix(history.STOOD) for each in written))
            assert written if name in LOOKS else done == whole, (number, after)


def of_0007(settings):
    with engine(settings.postgres).connect() as connection:
        (entry,) = (each for each in history.read(connection) if each.revision == "0007")
    return [each.removeprefix(history.STOOD).split('"')[1] for each in entry.questdb]


def test_history_keeps_the_statements_of_a_blocked_try(both, monkeypatch):
    monkeypatch.setenv("STAGE1_DDL_LOCK_TIMEOUT_MS", "500")
    monkeypatch.setenv("STAGE1_LOCK_RETRY_S", "0.1")
    command.upgrade(migrate.config(both), "0006")
    with connect(both.postgres) as holder:
        holder.execute("SELECT * FROM alembic_version FOR UPDATE")
        told = []

        def listen(line):
            told.append(line)
            if "try 2 of" in line:
                holder.rollback()

        migrate.upgrade(both, progress=listen)
    assert any("try 2 of" in line for line in told)
    assert of_0007(both) == [table.name for table in SHARED_TABLES]


def test_history_has_the_statements_that_an_earlier_run_sent(both):
    command.upgrade(migrate.config(both), "0006")
    refuse = "ALTER TABLE alembic_version ADD CONSTRAINT no CHECK (version_num <> '0007')"
    with engine(both.postgres).begin() as connection:
        connection.execute(text(refuse))
    with pytest.raises(CommandError, match="violates check"):
        command.upgrade(migrate.config(both), "0007")
    with engine(both.postgres).begin() as connection:
        connection.execute(text("ALTER TABLE alembic_version DROP CONSTRAINT no"))
    command.upgrade(migrate.config(both), "0007")
    assert of_0007(both) == [table.name for table in SHARED_TABLES]
