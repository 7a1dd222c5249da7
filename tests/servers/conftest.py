import os
import socket
import subprocess
import time

import psutil
import pytest

from stage1_schema.servers.server import is_alive


@pytest.fixture
def tiny_disk(tmp_path):
    """A directory on a disk of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["/bin/umount", "--lazy", disk], check=True)


@pytest.fixture
def taken_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def addresses(process):
    """All addresses that a process and its children listen on or receive at."""
    family = [process, *process.children(recursive=True)]
    found = [each for member in family for each in member.net_connections("inet")]
    return {each.laddr for each in found if each.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)}


@pytest.fixture
def listening():
    return addresses


@pytest.fixture
def kill():
    """Kill a server and wait for its end: a start before that would take it for one that runs."""

    def kill(process):
        process.kill()
        while is_alive(process):
            time.sleep(0.01)

    return kill
