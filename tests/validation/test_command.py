"""`stage1 validate` from a shell: exit codes, JSON, and one line where it cannot go on."""

import json
from dataclasses import replace

import pytest

from tests.postgres import rows

COUNT, SERIES = 28, 7


@pytest.fixture
def validate(shell, stores):
    return lambda *arguments, settings=stores: shell(
        "stage1", "validate", *arguments, settings=settings
    )


def test_nothing_is_found(validate, healthy):
    ran = validate("--only", "folds_missing", "--only", "questdb_suspended")
    assert (ran.code, ran.err.count("\n")) == (0, 1)  # the stores it is for
    assert ran.out == "2 checks, 0 found something.\n"


def test_what_is_found_is_shown(validate, healthy, broken):
    broken("DELETE FROM walkforward_folds WHERE fold_number = 2")
    ran = validate()
    assert ran.code == 3, ran.err
    assert ran.out.splitlines()[:2] == [
        "folds_missing: 1 found. COMPLETED runs with fewer folds than their summary says.",
        f"    {rows.RUN}: summary_metrics.folds is 3, 2 folds stand",
    ]
    assert "docs/validation.md" in ran.out
    ran = validate("--json")
    assert ran.code == 3
    data = json.loads(ran.out)
    assert (len(data["checks"]), data["not_run"]) == (COUNT, 0)
    (told,) = [each for each in data["checks"] if each["name"] == "folds_missing"]
    assert told == {
        "name": "folds_missing",
        "store": "PostgreSQL",
        "finds": "COMPLETED runs with fewer folds than their summary says.",
        "count": 1,
        "examples": [{"id": rows.RUN, "detail": "summary_metrics.folds is 3, 2 folds stand"}],
        "not_run": None,
    }


def test_without_questdb_the_rest_is_shown_and_the_exit_code_is_1(validate, migrated):
    ran = validate(settings=migrated)
    assert ran.code == 1
    assert f"{COUNT} checks, 0 found something." in ran.out
    _, line = ran.err.splitlines()
    assert line.startswith(
        f"stage1: {SERIES} of {COUNT} checks could not be run, the first because: QuestDB at"
    )
    assert "Next: " in line


@pytest.mark.parametrize("arguments", [(), ("--only", "unheard_of")], ids=["server", "name"])
def test_what_cannot_be_done_is_one_line(validate, migrated, arguments):
    nowhere = replace(migrated.postgres, parameters={**migrated.postgres.parameters, "port": "1"})
    ran = validate(*arguments, settings=replace(migrated, postgres=nowhere))
    assert (ran.code, ran.out) == (1, "")
    _, line = ran.err.splitlines()
    assert "Next: " in line
    assert "Traceback" not in line


def test_the_list_needs_no_server(shell):
    ran = shell("stage1", "validate", "--list")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == COUNT + 2
    assert "folds_missing" in ran.out
