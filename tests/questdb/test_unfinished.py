"""What plan, apply and create do while a rebuild is unfinished and the table's name is free."""

import pytest

from questdb_ddl import (
    PlanRefused,
    apply,
    ensure_table,
    live_tables,
    make_plan,
    plan_for,
    rebuild,
    trim,
)
from stage1_schema.ops import series
from stage1_schema.ops.owned import Catalogue, Owned, Role
from tests.questdb.rebuilding import Killed, table_of


def kill(text):
    if text.endswith(("__old", "__old_trimmed")):
        raise Killed


def unfinished(client, field, how):
    begin = {
        "rebuild": lambda: rebuild(client, field, kill, writers_stopped=True),
        "trim": lambda: trim(client, field, "tag", ["t1"], kill, writers_stopped=True),
    }
    with pytest.raises(Killed):
        begin[how]()


@pytest.mark.core
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("rebuild", "unfinished rebuild: stage1 questdb rebuild {0}"),
        ("trim", "unfinished retention: stage1 retention apply"),
    ],
)
def test_nothing_is_created_in_its_place(client, field, how, says):
    unfinished(client, field, how)
    plan = plan_for(client, [field])
    assert plan.steps == ()
    assert "has its rows: finish the rebuild" in str(plan)
    with pytest.raises(PlanRefused, match="has its rows"):
        apply(client, plan)
    assert apply(client, plan, skip_refused=True) == ()
    with pytest.raises(PlanRefused, match="finish the rebuild"):
        ensure_table(client, field)
    assert field.name not in live_tables(client)
    shown = series.plan(client, Catalogue((Owned(field, Role.SHARED),)))
    for made in ("old", "new") if how == "rebuild" else ("old_trimmed", "new_trimmed", "without"):
        name = f"{field.name}__{made}"
        assert f"-- extra: {name}: {says.format(field.name)}" in str(shown).splitlines()
    with pytest.raises(PlanRefused, match="has its rows"):
        series.carry_out(client, shown)


def test_a_rebuild_that_began_since_the_plan_was_made(client, field):
    plan = make_plan([table_of(field.name)], {})  # as if the name had been free then
    unfinished(client, field, "rebuild")
    with pytest.raises(PlanRefused, match="changed since"):
        apply(client, plan)
    assert field.name not in live_tables(client)
