"""The plan of an import is text made from columns: no server."""

import pytest

from stage1_schema.alembic_plugin.legacy_plan import Column, convert, nothing, plan
from stage1_schema.alembic_plugin.legacy_shapes import has_key, recognise

ID = Column("run_id", "uuid", not_null=True)
NEW_RUNS = (
    ID,
    Column("dataset_id", "uuid", not_null=True),
    Column("prediction_measurement", "text"),
    Column("walk_config", "jsonb"),
    Column("status", "text"),
    Column("summary_metrics", "jsonb"),
)


def planned(*old, source="walkforward_runs", target="walkforward_runs", new=NEW_RUNS, **more):
    return plan(source, target, [ID, *old], new, schema='old"s', **more)


def test_columns_of_the_same_name_and_type_are_taken_as_they_are():
    mapping = planned(Column("dataset_id", "uuid"), Column("walk_config", "jsonb"))
    assert 'SELECT o."run_id" AS "run_id"' in mapping.select
    assert 'o."walk_config" AS "walk_config"' in mapping.select
    assert mapping.select.endswith('FROM "old""s"."walkforward_runs" o')
    assert (mapping.kept, mapping.late, mapping.left) == ((), (), ())
    assert mapping.mapped == ("run_id", "dataset_id", "prediction_measurement", "walk_config")


@pytest.mark.parametrize(
    ("old", "new", "sql"),
    [
        ("text", "text", "v"),
        ("character varying", "uuid", "pg_temp.stage1_uuid(v::text)"),
        ("integer", "uuid", "pg_temp.stage1_uuid(v::text)"),
        ("text", "jsonb", "pg_temp.stage1_json(v::text)"),
        ("json", "jsonb", "v::jsonb"),
        ("text[]", "jsonb", "to_jsonb(v)"),
        ("bigint", "timestamp with time zone", "pg_temp.stage1_time(v::numeric)"),
        (
            "timestamp without time zone",
            "timestamp with time zone",
            "(v::timestamp AT TIME ZONE 'UTC')",
        ),
        ("date", "timestamp with time zone", "(v::timestamp AT TIME ZONE 'UTC')"),
        ("text", "timestamp with time zone", "v::text::timestamp with time zone"),
        ("timestamp with time zone", "bigint", "(extract(epoch FROM v) * 1000)::bigint"),
        ("numeric", "double precision", "v::double precision"),
        ("text", "bigint", "v::text::bigint"),
        ("run_status", "text", "v::text::text"),
        ("jsonb", "text", "(v #>> '{}')"),
    ],
)
def test_types_are_converted(old, new, sql):
    assert convert("v", old, new) == sql


def test_a_column_without_a_home_goes_into_the_json():
    mapping = planned(Column("note", "text"))
    assert mapping.kept == ("note",)
    assert "jsonb_build_object('note', to_jsonb(o.\"note\"))" in mapping.select
    assert "summary_metrics" in mapping.mapped


def test_a_column_of_a_later_revision_is_late():
    mapping = planned(Column("serialized_config", "text"), declared={"serialized_config"})
    assert (mapping.late, mapping.kept) == (("serialized_config",), ())


def test_a_table_without_json_leaves_the_column_behind():
    mapping = planned(
        Column("rank", "integer"),
        source="simulation_trade_buckets",
        target="simulation_trade_buckets",
        new=(ID,),
    )
    assert (mapping.left, mapping.kept) == (("rank",), ())


def test_the_measurement_comes_from_walk_config_where_the_column_is_missing():
    mapping = planned(Column("walk_config", "json"))
    assert "o.\"walk_config\"::jsonb ->> 'prediction_measurement'" in mapping.select


def test_a_run_without_a_dataset_is_its_own_parent():
    assert 'coalesce(NULL::uuid, o."run_id") AS "dataset_id"' in planned().select


def test_a_value_outside_the_domain_is_kept():
    mapping = planned(Column("status", "character varying"))
    assert (
        "IN ('COMPLETED', 'INCOMPLETE', 'PENDING', 'QUEUED', 'RUNNING', 'FAILED')" in mapping.select
    )
    assert "jsonb_build_object('status', to_jsonb(o.\"status\"))" in mapping.select


def test_the_first_of_two_old_names_wins_and_the_other_is_kept():
    old = [
        Column("dataset_id", "uuid"),
        Column("questdb_tag", "text"),
        Column("questdb_measurement", "text"),
    ]
    new = [
        Column("dataset_id", "uuid"),
        Column("indicator_measurement", "text"),
        Column("metadata", "jsonb"),
    ]
    mapping = plan("indicator_datasets", "datasets", old, new, schema="s")
    assert 'o."questdb_measurement" AS "indicator_measurement"' in mapping.select
    assert mapping.kept == ("questdb_tag",)


def test_a_table_that_does_not_stand_gives_every_column_and_no_row():
    assert nothing("t", [ID]).select == 'SELECT NULL::uuid AS "run_id" WHERE false'


def test_names_are_quoted():
    mapping = planned(Column('it\'s "odd"', "text"))
    assert 'jsonb_build_object(\'it\'\'s "odd"\', to_jsonb(o."it\'s ""odd"""))' in mapping.select


@pytest.mark.parametrize(
    ("tables", "shape"),
    [
        ({}, "nothing of Stage1"),
        ({"walkforward_runs": {"run_id"}}, "Stage1 tables without a master table"),
        ({"datasets": {"id"}}, "a foreign table named datasets"),
        ({"datasets": {"dataset_id"}}, "the reset shape"),
        ({"datasets": {"dataset_id", "is_placeholder"}}, "the current shape without a revision"),
        ({"indicator_datasets": {"dataset_id"}}, "Stage 1.3, desktop variant"),
        ({"indicator_datasets": {"column_schema"}}, "Stage 1.3, dashboard variant"),
    ],
)
def test_shapes_are_told_by_their_columns(tables, shape):
    assert recognise(tables) == shape


def test_a_table_named_jobs_is_ours_only_with_our_columns():
    assert has_key("jobs", ["job_id", "job_type", "status", "worker"])
    assert not has_key("jobs", ["job_id", "status"])
