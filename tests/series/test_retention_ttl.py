"""A TTL counts back from a row of the future, where the server does not go by its clock.

QuestDB 9.0.3 does so and has no setting for it; 9.3.4 goes by its clock, whatever the setting says.
"""

from dataclasses import replace

import pytest

from questdb_ddl import (
    Column,
    Double,
    PlanRefused,
    Table,
    apply,
    ensure_table,
    live_tables,
    make_plan,
    plan_for,
    render,
)
from questdb_ddl.client import Client
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB

BARS = Table("bars", (Column("open", Double()),))
WITH_TTL = replace(BARS, ttl_months=24)


@pytest.fixture(scope="module", params=["9.3.4", "9.0.3"])
def server(request, tmp_path_factory):
    jar = questdb_jar(request.param)
    settings = {"cairo.ttl.use.wall.clock": "false"} if request.param == "9.3.4" else {}
    with LocalQuestDB(tmp_path_factory.mktemp("ttl"), jar=jar, settings=settings) as server:
        yield server


@pytest.fixture
def fill(server):
    """Fill a table with a row of each time given, as an offset such as `-10` days."""
    with Client(server.url) as client:

        def fill(*days):
            client.execute(render.drop_table(BARS.name))
            ensure_table(client, BARS)
            for day in days:
                client.execute(f"INSERT INTO bars VALUES (dateadd('d', {day}, now()), 1.5)")
            client.wait_for(BARS.name)
            return client

        yield fill


def count(client):
    return client.query("select count() n from bars")[0]["n"]


def plan(client, table):
    return make_plan([table], live_tables(client, [table.name], counts=True, parquet=True))


def test_a_row_of_the_future_refuses_a_ttl(fill):
    client = fill(-40, -10, 4000)
    intent = plan(client, WITH_TTL)
    (refusal,) = intent.refusals
    assert "a TTL that counts back from there deletes the rest" in str(refusal)
    with pytest.raises(PlanRefused):
        apply(client, intent, allow=intent.hazards)
    assert count(client) == 3
    client.execute(render.set_ttl(BARS.name, 24))  # what was refused
    client.wait_for(BARS.name)
    assert count(client) == (1 if client.version_numbers() < (9, 1) else 3)


def test_a_server_that_goes_by_its_clock_may_set_it(fill):
    live = live_tables(fill(-10, 4000), [BARS.name], counts=True, parquet=True)
    assert make_plan([WITH_TTL], live, ttl_by_wall_clock=True).refusals == ()


def test_without_such_a_row_it_is_set(fill):
    client = fill(-2000, -10, 0)
    intent = plan(client, WITH_TTL)
    apply(client, intent, allow=intent.hazards)
    assert count(client) == 2


def test_plan_for_refuses_it_where_the_newest_row_is_known(fill):
    client = fill(-10, 4000)
    if client.version_numbers() < (9, 3):
        pytest.skip("tables() tells no newest row")
    assert plan_for(client, [replace(BARS, ttl_months=1200)]).refusals
