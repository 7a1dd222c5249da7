"""A network that drops everything without a word, as a lost route or a forgotten NAT entry does."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from stage1_schema.connect import connect
from stage1_schema.ops import migrate
from stage1_schema.servers.postgres import LocalPostgres
from tests.migrations.commands import ROOT
from tests.migrations.test_lock import HELD, one
from tests.plugins.databases import created, environment, make_roles, superuser

TEST_NET = "198.51.100"  # of RFC 5737
SOON = {
    "tcp_keepalives_idle": 1,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": 3_000,
}
PROGRAM = f"""
from alembic.config import main
from stage1_schema import connect
connect.SILENCE |= {SOON}
main(["-x", "questdb=skip", "upgrade", "head"])
"""
LOST = r"connection to PostgreSQL (at \S+ )?was lost|connection that held the upgrade lock is gone"


class Cable:
    """To another host: a network namespace at the end of a virtual cable."""

    def __init__(self):
        first = os.getpid() % 64 * 4
        self.subnet, self.here, self.there = (f"{TEST_NET}.{first + n}" for n in range(3))
        self.end = f"stage1-{os.getpid()}"
        self.host = f"{self.end}-host"

    def is_permitted(self):
        far = ("peer", "name", "far", "netns", self.host)
        return ip("netns", "add", self.host) and ip("link", "add", self.end, "type", "veth", *far)

    def lay(self):
        assert ip("addr", "add", f"{self.here}/30", "dev", self.end)
        assert ip("-n", self.host, "addr", "add", f"{self.there}/30", "dev", "far")
        assert ip("-n", self.host, "link", "set", "far", "up")
        self.plug()

    def plug(self, state="up"):
        assert ip("link", "set", self.end, state)


class Reachable(LocalPostgres):
    """A server that the other host sees too."""

    cable = None

    def _command(self, port):
        return [*super()._command(port), "-c", f"listen_addresses=127.0.0.1,{self.cable.here}"]


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, check=False)  # noqa: S607
    return done.returncode == 0


@pytest.fixture
def cable():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("a network namespace needs root and iproute2")
    cable = Cable()
    try:
        if not cable.is_permitted():
            pytest.skip("a network namespace is not permitted here")
        cable.lay()
        yield cable
    finally:
        ip("netns", "del", cable.host)


@pytest.fixture
def server(cable, tmp_path):
    server = Reachable(tmp_path / "postgres", fsync=False)
    server.cable = cable
    with server:
        make_roles(server)
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {cable.subnet}/30 scram-sha-256\n")
        with superuser(server, "postgres") as connection:
            connection.execute("SELECT pg_reload_conf()")
        yield server


def from_there(cable, settings):
    """Begin an upgrade on the other host."""
    parameters = {**settings.postgres.parameters, "host": cable.here}
    other = replace(settings, postgres=replace(settings.postgres, parameters=parameters))
    return subprocess.Popen(
        ["ip", "netns", "exec", cable.host, sys.executable, "-c", PROGRAM],  # noqa: S607
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment(other)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_both_ends_notice_and_a_second_run_reaches_head(cable, server):
    with created(server) as settings, connect(settings.postgres) as blocker:
        # Keeps the upgrade in its first step.
        blocker.execute("CREATE TABLE stage1_migration_history ()")
        upgrade = from_there(cable, settings)
        while one(settings, HELD) == 0:
            assert upgrade.poll() is None, upgrade.communicate()
        cable.plug("down")
        told, _ = upgrade.communicate()
        assert upgrade.returncode == 255
        # One of the two, by what it did at that moment.
        assert re.search(LOST, told.splitlines()[-1]), told
        sessions = f"SELECT count(*) FROM pg_stat_activity WHERE client_addr = '{cable.there}'"
        while one(settings, sessions) > 0:
            time.sleep(0.1)
        blocker.rollback()
        cable.plug()
        again = from_there(cable, settings)
        told, _ = again.communicate()
        assert again.returncode == 0, told
        query = "SELECT count(*) FROM stage1_migration_history"
        assert one(settings, query) == int(migrate.head())
