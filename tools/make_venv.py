"""Make .venv with the pinned dependencies, or leave it alone when it is whole.

Runs on the system's Python, so it uses the standard library only. The stamp inside .venv is
written last and names what it was made from: an interrupted install, another Python, a moved
checkout or changed pins are all noticed by it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".stage1-stamp"
OLDEST = (3, 11)
CHECKED = ("--require-hashes", "--only-binary=:all:", "--no-deps")


def wanted() -> str:
    """Return the hash of everything that the environment depends on."""
    digest = hashlib.sha256()
    for part in (str(ROOT), sys.version, os.path.realpath(sys.executable)):
        digest.update(part.encode() + b"\0")
    for name in ("pyproject.toml", "constraints.txt", "hashes.txt", "tools/make_venv.py"):
        digest.update((ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def whole() -> bool:
    """Tell whether the stamp fits and the interpreter and the commands really run."""
    if not STAMP.exists() or STAMP.read_text() != wanted():
        return False
    python = VENV / "bin" / "python"
    probe = "import importlib.metadata as m; m.version('stage1-schema')"
    try:
        done = subprocess.run([python, "-c", probe], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def requirements(constraints: str, hashes: str) -> str:
    """Return the pins of `constraints`, each with its `hashes`: nothing else may be installed.

    Raises LookupError for a pin without a hash.
    """
    lines = (line.split() for line in hashes.splitlines() if not line.startswith("#"))
    known = {pin: found for pin, *found in lines}
    wanted = (line.partition("#")[0].strip() for line in constraints.splitlines())
    pins = [pin for pin in wanted if pin]
    if lacking := [pin for pin in pins if not known.get(pin)]:
        raise LookupError(", ".join(lacking))
    return "".join(f"{' '.join((pin, *known[pin]))}\n" for pin in pins)


def make() -> None:
    """Recreate the environment and install into it, what builds the project included.

    Raises LookupError for a pin without a hash, CalledProcessError where a command fails.
    """
    listed = requirements(*((ROOT / n).read_text() for n in ("constraints.txt", "hashes.txt")))
    shutil.rmtree(VENV, ignore_errors=True)
    print("making .venv and installing the pinned dependencies (a minute or two)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    (VENV / "requirements.txt").write_text(listed)
    steps = (
        ["install", *CHECKED, "--requirement", str(VENV / "requirements.txt")],
        ["install", "--no-build-isolation", "--no-deps", "--editable", "."],
        ["check"],
    )
    for step in steps:
        subprocess.run([*pip, *step], check=True, cwd=ROOT)
    STAMP.write_text(wanted())


def main() -> int:
    """Return the exit code: 0 when .venv stands, 1 with one line of what to do otherwise."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(
            f"Python 3.11 or newer is needed, this is {found}: make PYTHON=python3.12 install",
            file=sys.stderr,
        )
        return 1
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if whole():
            return 0
        try:
            make()
        except LookupError as error:
            print(f"hashes.txt lacks {error}: run tools/hashes.py", file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as error:
            shutil.rmtree(VENV, ignore_errors=True)
            print(
                f"install failed in: {' '.join(map(str, error.cmd))}\n"
                "Is the package index reachable, and the python3-venv package installed? "
                "Then run make install again.",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
