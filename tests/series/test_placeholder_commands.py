"""Placeholders as an operator sees them: made from a slug, listed, shown, found by validate."""

import json
from uuid import uuid5

import pytest

from stage1_schema.ops import placeholders
from tests.cli.conftest import shell  # noqa: F401 - a fixture
from tests.postgres import clients, rows
from tests.postgres.test_merged_placeholders import by_hand

SLUG = "btc25_4h"
MADE = uuid5(placeholders.NAMESPACE, SLUG)


@pytest.fixture
def stage1(shell, stores):  # noqa: F811
    return lambda *arguments: shell("stage1", *arguments, settings=stores)


def test_the_namespace_is_the_documented_one():
    assert str(placeholders.NAMESPACE) == "387836ed-b5b7-5607-bef0-3113e7e68e2e"
    assert placeholders.id_of("BTC25 4h") == MADE


def test_made_from_a_slug_the_same_each_time(stage1, execute):
    for spelling, outcome in (
        (SLUG, "is now a placeholder."),
        ("BTC25-4H", "is a placeholder: nothing was changed."),
        (str(MADE), "is a placeholder: nothing was changed."),
    ):
        ran = stage1("dataset", "placeholder", spelling, "--symbol", "BTCUSDT")
        assert (ran.code, len(ran.err.splitlines())) == (0, 1)  # the line of the stores
        assert ran.out == f"Dataset {MADE} ({SLUG}) {outcome}\n"
    assert execute("SELECT dataset_id, symbol FROM datasets") == [(MADE, "BTCUSDT")]


def test_a_slug_that_is_known_under_another_id(stage1, execute):
    execute(by_hand())
    ran = stage1("dataset", "placeholder", SLUG)
    assert ran.code == 0
    assert ran.out == f"Dataset {rows.NOBODY} ({SLUG}) is a placeholder: nothing was changed.\n"
    execute(clients.c_dataset(rows.C_DATASET))
    for name in (SLUG, rows.NOBODY):  # the id of the placeholder, which was merged
        ran = stage1("dataset", "placeholder", name)
        assert ran.code == 0
        assert ran.out == f"Dataset {rows.DATASET} ({SLUG}) is recorded: nothing was changed.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["?!"], 1, "no ASCII letter or digit", id="no slug"),
        pytest.param(["x" * 117], 1, "116 are allowed", id="too long"),
        pytest.param([SLUG, "--slug", "eth"], 2, "without --slug", id="two slugs"),
    ],
)
def test_what_cannot_be_a_slug(stage1, arguments, code, message):
    ran = stage1("dataset", "placeholder", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err.splitlines()[-1]


def test_shown_as_such(stage1, execute):
    execute(by_hand())
    execute(clients.a_run(rows.RUN_ROW | {"dataset_id": rows.NOBODY}))
    assert f"{SLUG} (placeholder)" in stage1("dataset", "list").out
    (listed,) = json.loads(stage1("dataset", "list", "--json").out)
    assert (listed["is_placeholder"], listed["runs"]) == (True, 1)
    shown = stage1("dataset", "show", SLUG)
    assert "A placeholder: nobody recorded this dataset yet." in shown.out
    assert f"stage1 dataset create {SLUG}" in shown.out
    ran = stage1("validate", "--only", "datasets_not_recorded")
    assert ran.code == 3
    assert f"{rows.NOBODY}: dataset {SLUG} is a placeholder" in ran.out
    assert f"{rows.RUN}: run btc25_4h_wf1738400000: its dataset {SLUG}" in ran.out
    execute(clients.c_dataset(rows.C_DATASET))
    assert "placeholder" not in stage1("dataset", "list").out + stage1("dataset", "show", SLUG).out
    assert stage1("validate", "--only", "datasets_not_recorded").code == 0


def test_create_turns_it_into_a_dataset(stage1, execute):
    stage1("dataset", "placeholder", SLUG)
    assert stage1("dataset", "create", SLUG).code == 0
    found = execute("SELECT dataset_id, is_placeholder FROM datasets")
    assert found == [(MADE, False)]
