"""A TTL beside a row of the future: the rest of the table must not count as old by it."""

from dataclasses import replace

import pytest

from questdb_ddl import Hazard, Long, Table, apply, ensure_table, plan_for
from questdb_ddl.apply import WALL_CLOCK
from questdb_ddl.introspect import parameter
from questdb_ddl.spec import Column


@pytest.mark.core
def test_ttl_counts_by_the_clock_or_is_refused(client, name, lacks):
    lacks("TTL")
    table = Table(name, (Column("n", Long()),))
    ensure_table(client, table)
    client.execute(f"INSERT INTO {name} VALUES (now(), 1), ('2099-01-01', 2)")
    client.wait_for(name)
    plan = plan_for(client, [replace(table, ttl_months=12)])
    if parameter(client, WALL_CLOCK) == "true":
        apply(client, plan, allow=[Hazard.DELETES_DATA])
    else:
        assert [refusal.table for refusal in plan.refusals] == [name]
    assert client.query(f"select count() n from {name}") == [{"n": 2}]
