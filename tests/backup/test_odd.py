"""A backup of a server with odd tables: everything else is in it, and it says what is not."""

import pytest

from stage1_schema.ops import backup_files
from tests.backup.rows import BARS
from tests.questdb.odd import BROKEN, LARGE, UNREAD, odd_tables


@pytest.fixture
def odd(stores, questdb, questdb_server):
    with odd_tables(questdb, questdb_server.directory):
        yield


@pytest.mark.core
def test_everything_else_is_backed_up_and_verified(take, questdb, odd):
    result = take()
    found = backup_files.read(result.path)
    assert found == result.manifest
    backup_files.verify(result.path, found)
    assert found.questdb.tables["indicator_bars"] == BARS
    assert found.questdb.tables[LARGE] == 0
    assert set(found.questdb.unread) == set(UNREAD)
    assert BROKEN not in found.questdb.tables
    assert UNREAD[BROKEN] in found.questdb.unread[BROKEN]


def test_the_command_says_what_it_lacks_and_exits_with_1(shell, stores, odd, tmp_path):
    ran = shell("stage1", "backup", "--directory", str(tmp_path / "backups"), settings=stores)
    assert "stands and was verified" in ran.out
    _, line = ran.err.splitlines()
    assert (ran.code, UNREAD[BROKEN] in line, line.isprintable()) == (1, True, True)
    assert "holds everything else" in line


@pytest.mark.core
def test_detached_partitions_are_copied_and_named(take, questdb, stores):
    questdb.execute(
        "CREATE TABLE odd_detached (n LONG, t TIMESTAMP) TIMESTAMP(t) PARTITION BY MONTH WAL"
    )
    questdb.execute("INSERT INTO odd_detached VALUES (1, '2025-01-05'), (2, '2025-02-05')")
    questdb.execute("ALTER TABLE odd_detached DETACH PARTITION LIST '2025-01'")
    questdb.wait_for("odd_detached")
    result = take()
    assert result.manifest.questdb.tables["odd_detached"] == 1
    assert result.manifest.questdb.detached == {"odd_detached": ("2025-01 (1 row)",)}
    assert backup_files.read(result.path) == result.manifest
    assert list(result.path.glob("questdb/db/odd_detached*/2025-01.detached"))
