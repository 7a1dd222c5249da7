"""`make up` and its relatives, as a new user types them, on local servers of the test's own."""

import json
import os


def test_up_twice_down_and_clean(shell, tmp_path):
    first = shell("stage1", "up")
    assert first.code == 0, first
    assert "The sample was loaded." in first.out
    assert "drift     none" in first.out
    assert "Next:" in first.out
    state = json.loads((tmp_path / "local" / "servers.json").read_text())
    second = shell("stage1", "up")
    assert second.code == 0, second
    assert "The sample was loaded." not in second.out
    assert json.loads((tmp_path / "local" / "servers.json").read_text()) == state

    assert shell("alembic", "upgrade", "head").code == 0
    status = json.loads(shell("stage1", "status", "--json").out)
    assert status["healthy"]
    assert status["postgres"]["local"]

    reset = shell("stage1", "reset")  # local: straight, no name wanted
    assert reset.code == 0, reset
    status = json.loads(shell("stage1", "status", "--json").out)
    assert {table["rows"] for table in status["postgres"]["tables"]} == {0}
    assert {table["rows"] for table in status["questdb"]["tables"]} == {0}

    for secret in (state["postgres"]["password"], state["postgres"]["app_password"]):
        for ran in (first, second, reset):
            assert secret not in ran.out + ran.err

    assert shell("stage1", "down").code == 0
    gone = shell("stage1", "status")
    assert gone.code == 1
    assert "make up" in gone.err
    assert shell("stage1", "down", "--clean").code == 0
    assert not (tmp_path / "local").exists()


def test_up_ignores_the_stores_of_the_environment(shell, both):
    """`up` is about local servers; a deploy's variables must not lead its sample astray."""
    ran = shell("stage1", "up", settings=both)
    shell("stage1", "down", "--clean")
    assert ran.code == 0, ran
    assert both.postgres.where not in ran.out


def test_no_sample(shell, tmp_path):
    ran = shell("stage1", "up", "--no-sample", "--login")
    login = shell("stage1", "status")
    assert login.code == 0, login
    assert "QuestDB wants a login (user stage1" in ran.out
    told = f"Opened until stage1 down, so that the servers' users pass through: {tmp_path}"
    assert (told in ran.out) is (os.geteuid() == 0)
    without = shell("stage1", "up", "--no-sample", "--no-login")
    assert "can read, change and drop all of QuestDB at http://127.0.0.1:" in without.out
    assert "stage1 up --login" in without.out
    status = json.loads(shell("stage1", "status", "--json").out)
    shell("stage1", "down", "--clean")
    assert ran.code == 0, ran
    assert {table["rows"] for table in status["postgres"]["tables"]} == {0}
    assert status["healthy"]
