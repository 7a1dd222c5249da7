"""The QuestDB commands from a shell: a dataset's way through both stores."""

import json

import pytest

from stage1_schema.ops import migrate


@pytest.fixture
def stage1(shell, both):
    migrate.upgrade(both)
    return lambda *arguments: shell("stage1", *arguments, settings=both)


def test_a_dataset_from_create_to_drop(stage1, both, tmp_path):
    ran = stage1("dataset", "create", "btc", "--symbol", "BTCUSDT", "--granularity", "4h")
    assert ran.code == 0, ran.err
    assert "ohlcv_btc: created" in ran.out
    listed = json.loads(stage1("dataset", "list", "--json").out)
    assert [dataset["slug"] for dataset in listed] == ["btc"]
    assert json.loads(stage1("questdb", "plan", "--json").out)["steps"] == []
    assert "0 statements applied" in stage1("questdb", "apply").out
    assert "nothing to do" in stage1("questdb", "rebuild", "ohlcv_btc", "--dry-run").out
    assert stage1("questdb", "doctor").code == 0
    assert "Nothing goes" in stage1("retention", "plan").out
    assert "BTCUSDT" in stage1("dataset", "show", "btc").out
    for command in (
        ("dataset", "drop", "btc"),
        ("questdb", "drop", "ohlcv_btc"),
        ("retention", "apply", "--directory", str(tmp_path)),
    ):
        ran = stage1(*command)
        assert ran.code == 1
        (line,) = ran.error_lines
        assert "--confirm" in line
    directory = ("--directory", str(tmp_path))
    ran = stage1("dataset", "drop", "btc", "--confirm", "btc", *directory)
    assert ran.code == 0, ran.err
    assert json.loads(stage1("dataset", "list", "--json").out) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("questdb", "rebuild", "unheard_of"),
        ("questdb", "rebuild", "ohlcv_nowhere"),
        ("questdb", "drop", "unheard_of"),
        ("dataset", "show", "unheard_of"),
        ("dataset", "create", "--", "--"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line(stage1, arguments):
    ran = stage1(*arguments)
    assert ran.code == 1
    assert len(ran.error_lines) == 1, ran
    assert "Traceback" not in ran.err + ran.out
