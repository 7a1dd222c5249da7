"""Whom the servers run as when root starts them, and that nothing is open to others because of it.

Other users are tried as a user number of no account.
"""

import os
import pwd
import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from stage1_schema.servers import account, local
from stage1_schema.servers.account import NUMBERS, Way
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.settings import Roles

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root only")
STRANGER = {"user": 59_999, "group": 59_999, "extra_groups": []}
ROLES = Roles()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def outer(tmp_path_factory):
    """A directory like root's home: nobody else gets in."""
    path = tmp_path_factory.mktemp("outer") / "root"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="module")
def running(outer):
    directory = outer / "checkout" / ".stage1"
    before = os.umask(0)
    try:
        yield local.up(directory, ROLES), directory
    finally:
        os.umask(before)
        local.clean(directory)


def test_neither_server_is_roots_or_of_an_account(running):
    numbers = set()
    for each in (running[0].postgres, running[0].questdb):
        process = psutil.Process(each.pid)
        for one in (process, *process.children(recursive=True)):
            real, effective, saved = one.uids()
            assert real == effective == saved
            assert real in NUMBERS
            assert set(one.gids()) == {real}
            numbers.add(real)
            with pytest.raises(KeyError):
                pwd.getpwuid(real)
    assert len(numbers) == 2


def test_every_file_is_closed_to_everybody_else(running):
    """A stranger who knows every name reads none of them, and lists nothing."""
    _, directory = running
    names = [str(path) for path in (directory, *directory.rglob("*"))]
    assert len(names) > 1000
    program = """
import os, sys
for name in sys.stdin.read().splitlines():
    try:
        os.listdir(name) if os.path.isdir(name) else os.close(os.open(name, os.O_RDONLY))
    except OSError:
        continue
    print(name)
"""
    found = subprocess.run(
        ["/usr/bin/env", "python3", "-c", program], input="\n".join(names), **STRANGER,
        capture_output=True, text=True, check=True, cwd="/", env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert found.stdout == ""


def test_what_was_opened_is_named_and_closed_by_down(running, outer):
    _, directory = running
    opened = local.opened(directory)
    assert {str(outer), str(directory)} <= set(opened)
    assert mode(outer) == 0o701
    assert local.down(directory) == []
    assert mode(outer) == 0o700
    assert mode(directory) == 0o700
    assert local.opened(directory) == []
    local.up(directory, ROLES)
    assert mode(outer) == 0o701


def test_a_killed_server_is_forgotten_by_nobody(running, outer, kill):
    """The record is on the disk before anything is opened, so that a later down closes it."""
    _, directory = running
    state = local.up(directory, ROLES)
    for each in (state.postgres, state.questdb):
        kill(psutil.Process(each.pid))
    local.down(directory)
    assert mode(outer) == 0o700
    local.up(directory, ROLES)


def test_what_others_use_stays_open_and_is_named(running, outer):
    _, directory = running
    local.up(directory, ROLES)
    with LocalPostgres(outer / "other", fsync=False) as other:
        left = local.down(directory)
        assert str(outer) in left
        assert mode(outer) == 0o701
        assert other.start().process
    assert local.down(directory) == []
    assert mode(outer) == 0o700
    local.up(directory, ROLES)


def test_data_of_nobody_or_of_root_is_taken_over(tmp_path, outer):
    """What an earlier version left; a link in it, and another name of a foreign file, stay."""
    server = LocalPostgres(tmp_path / "old", fsync=False)
    with server:
        pass
    nobody = pwd.getpwnam("nobody").pw_uid
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    (server.directory / "link").symlink_to(foreign)
    os.link(foreign, server.directory / "name")
    os.link(server.directory / "password", server.directory / "password2")
    for path in (server.directory, *server.directory.rglob("*")):
        if path.name not in {"link", "name"}:
            os.chown(path, nobody, nobody)
    with server:
        assert psutil.Process(server.process.pid).uids().real in NUMBERS
        assert server.data.stat().st_uid in NUMBERS
        assert (server.directory / "password2").stat().st_uid in NUMBERS
    assert foreign.stat().st_uid == 0


def test_only_roots_own_record_is_believed(tmp_path):
    way = Way(tmp_path / "server")
    target = tmp_path / "target"
    target.mkdir(mode=0o701)
    record = tmp_path / ".server.opened"
    record.write_text(f'{{"{target}": 1}}')
    os.chown(record, 59_999, 59_999)
    assert way.opened() == []
    way.close()
    assert mode(target) == 0o701
    os.chown(record, 0, 0)
    way.close()
    assert mode(target) == 0o700


def test_programs_that_only_root_may_read_are_opened_and_closed(tmp_path):
    tree = tmp_path / "programs" / "pginstall"
    (tree / "bin").mkdir(mode=0o700, parents=True)
    (tree / "bin" / "initdb").touch(mode=0o700)
    (tree / "notes").touch(mode=0o600)
    (tmp_path / "programs").chmod(0o700)
    tree.chmod(0o701)  # a bit that was there before stays
    before = {path: mode(path) for path in (tree.parent, tree, *tree.rglob("*"))}
    way = Way(tmp_path / "server")
    way.open(NUMBERS[0], [tree])
    assert mode(tree / "bin" / "initdb") == 0o705
    assert mode(tree / "notes") == 0o604
    assert mode(tree.parent) == 0o701
    way.close()
    assert {path: mode(path) for path in before} == before


@pytest.mark.parametrize("named", [True, False], ids=["account", "number"])
def test_a_checkout_of_somebody_is_run_as_that_user(tmp_path, named):
    owner = account.idle_account() if named else 59_998
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    os.chown(checkout, owner, owner)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from stage1_schema.servers.account import become_owner\n"
        "become_owner(Path(sys.argv[1]) / '.stage1')\n"
        "print(os.getresuid(), os.environ['HOME'])"
    )
    python = Path(os.sys.executable)
    done = subprocess.run(
        [python, "-c", program, str(checkout)], capture_output=True, text=True, check=True
    )
    home = pwd.getpwuid(owner).pw_dir if named else os.environ["HOME"]
    runs_as = owner if named else 0  # initdb refuses a number without an account
    assert done.stdout == f"{(runs_as, runs_as, runs_as)} {home}\n"


def test_an_account_for_initdb_runs_nothing():
    found = account.idle_account()
    assert found
    # Asked for at once: a process that ends meanwhile has none.
    running = psutil.process_iter(["uids"])
    assert found not in {each.info["uids"].real for each in running if each.info["uids"]}
