"""Whom the local servers run as when root starts them, and the way to their files.

Neither PostgreSQL nor QuestDB runs as root, nor as an account that others use. Each server's files
belong to a user number without an account; nothing is added to /etc/passwd.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from stage1_schema.errors import ServerStartError
from stage1_schema.servers.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NUMBERS = range(60_706, 61_184)
"""Users of no account: reserved by no distribution, and there in a container's 65,536 numbers."""


def become_owner(directory: Path) -> None:
    """Let root go on as the user who owns the place of `directory`, unless that is root.

    For good: what this process makes and starts from here on is that user's. A number without an
    account, as of a host's user in a container, is not taken: initdb refuses it.
    """
    place = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if os.geteuid() != 0 or (owner := place.stat().st_uid) == 0:
        return
    try:
        account = pwd.getpwuid(owner)
    except KeyError:
        return
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(owner)
    os.environ["HOME"] = account.pw_dir


def number_for(directory: Path) -> int | None:
    """Return the user number of the server in `directory`, None where it runs as this user."""
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat().st_uid) in NUMBERS:
        return owner
    used = {process.info["uids"].real for process in psutil.process_iter(["uids"])}
    used |= {account.pw_uid for account in pwd.getpwall()}
    used |= {group.gr_gid for group in grp.getgrall()}
    return secrets.choice([number for number in NUMBERS if number not in used])


def idle_account() -> int:
    """Return an account that runs nothing: initdb wants the name of its user.

    Raises ServerStartError where there is none.
    """
    busy = {process.info["uids"].real for process in psutil.process_iter(["uids"])}
    for account in sorted(pwd.getpwall(), key=lambda each: -each.pw_uid):
        shell = Path(account.pw_shell).name
        if account.pw_uid and account.pw_uid not in busy and shell in {"nologin", "false"}:
            return account.pw_uid
    raise ServerStartError(
        "Root cannot make a PostgreSQL cluster here: every system account runs something.",
        next_step="run make up as an ordinary user",
    )


def give(directory: Path, number: int) -> None:
    """Make a tree that user's. Raises OSError.

    No link leads out of it: a file that has another name elsewhere keeps its owner.
    """
    os.chown(directory, number, number, follow_symlinks=False)
    found = [
        (path, path.lstat())
        for below, directories, names in os.walk(directory)
        for path in (Path(below, name) for name in (*directories, *names))
    ]
    names_here = Counter((each.st_dev, each.st_ino) for _, each in found)
    for path, each in found:
        inside = stat.S_ISDIR(each.st_mode) or names_here[each.st_dev, each.st_ino] == each.st_nlink
        if each.st_uid != number and inside:
            os.chown(path, number, number, follow_symlinks=False)


def write_owned(path: Path, text: str) -> None:
    """Write a private file that belongs to whom its directory does. Raises OSError."""
    write_private(path, text)
    owner = path.parent.stat()
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


class Way:
    """What root opened for a server's user, recorded beside its directory to be closed again.

    That is passing through the directories above its files and programs (o+x, not reading them),
    and reading the programs, which an installation under umask 077 keeps to root.
    """

    def __init__(self, directory: Path) -> None:
        self._record = directory.with_name(f".{directory.name}.opened")
        self._directory = directory

    def open(self, number: int, programs: Iterable[Path]) -> None:
        """Open what `number` lacks, recorded before it is done. Raises OSError."""
        wanted: dict[Path, int] = {}
        for target in (self._directory, *programs):
            for path in target.resolve().parents:
                if path.exists():
                    wanted[path] = wanted.get(path, 0) | stat.S_IXOTH
            for path, bits in _readable(target.resolve()) if target != self._directory else ():
                wanted[path] = wanted.get(path, 0) | bits
        every = {path: _lacking(path, bits, number) for path, bits in wanted.items()}
        lacking = {path: bits for path, bits in every.items() if bits}
        if lacking:
            opened = self._read()
            for path, bits in lacking.items():
                opened[str(path)] = opened.get(str(path), 0) | bits
            write_private(self._record, json.dumps(opened))
        for path, bits in lacking.items():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)

    def opened(self) -> list[str]:
        """Return what is open now and was not before."""
        return sorted(self._read())

    def close(self) -> list[str]:
        """Take those permissions back, and return what stays open because another server uses it.

        Raises OSError.
        """
        found = self._read()
        if found and (used := _used()) and any(_needs(used, path) for path in found):
            return sorted(found)
        for path, bits in found.items():
            with suppress(FileNotFoundError):
                mode = stat.S_IMODE(Path(path).stat().st_mode)
                Path(path).chmod(mode & ~bits)
        if found:
            self._record.unlink(missing_ok=True)
        return []

    def _read(self) -> dict[str, int]:
        try:
            if os.geteuid() != 0 or self._record.lstat().st_uid != 0:
                return {}  # only root's own word is acted on
            return {str(k): int(v) for k, v in json.loads(self._record.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def _lacking(path: Path, bits: int, number: int) -> int:
    found = path.stat()
    return 0 if found.st_uid == number else bits & ~found.st_mode


def _readable(tree: Path) -> Iterator[tuple[Path, int]]:
    """Yield each file of a program with the bits that let it be read and run."""
    for path in (tree, *(tree.rglob("*") if tree.is_dir() else ())):
        mode = path.stat().st_mode if path.exists() else 0
        run = stat.S_IXOTH if mode & stat.S_IXUSR else 0
        yield from [(path, stat.S_IROTH | run)] if mode else []


def _used() -> list[str]:
    """Return the paths that the servers of all such users name in their command lines."""
    return [
        part
        for process in psutil.process_iter(["uids", "cmdline", "status"])
        if process.info["uids"].real in NUMBERS
        for part in process.info["cmdline"] or ()
    ]


def _needs(used: list[str], path: str) -> bool:
    return any(part == path or part.startswith(f"{path.rstrip('/')}/") for part in used)
