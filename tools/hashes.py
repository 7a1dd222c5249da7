"""Write hashes.txt: the SHA-256 of every wheel that constraints.txt can lead to.

Asks the package index that pip is set up for, through pip; nothing is installed. Run it after a
change of constraints.txt: `.venv/bin/python tools/hashes.py`. `make install` takes nothing that is
not in the file.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS, HASHES = ROOT / "constraints.txt", ROOT / "hashes.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
NEWEST_GLIBC = 39  # 2.39; a wheel for an older one runs too
HEAD = "# Written by tools/hashes.py: the wheels for Linux and CPython 3.11 to 3.14."


def pins(text: str) -> list[str]:
    """Return the `name==version` of a constraints file."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read(text: str) -> dict[str, list[str]]:
    """Return the hashes of hashes.txt by `name==version`."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {pin: hashes for pin, *hashes in lines}


def ask(wanted: list[str], python: str, machine: str) -> dict[str, str]:
    """Return the hashes of the wheels for a Python and a machine, of the pins that have one."""
    wanted = list(wanted)
    glibc = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(5, NEWEST_GLIBC + 1)]
    older = [f"--platform={name}_{machine}" for name in ("manylinux2014", "manylinux1", "linux")]
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
               "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--report=-",
               "--target=/nowhere", f"--python-version={python}",
               *reversed(glibc), *older]  # fmt: skip
    while wanted:
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return {
                f"{each['metadata']['name']}=={each['metadata']['version']}".lower(): each[
                    "download_info"
                ]["archive_info"]["hashes"]["sha256"]
                for each in json.loads(done.stdout)["install"]
            }
        lacking = [
            pin for pin in wanted if f"No matching distribution found for {pin}" in done.stderr
        ]
        if not lacking:
            raise SystemExit(done.stderr)
        print(f"no wheel of {', '.join(lacking)} for CPython {python} on {machine}", flush=True)
        wanted = [pin for pin in wanted if pin not in lacking]
    return {}


def main() -> int:
    """Ask for every pin that is not in the file yet, and write it again. Return the exit code.

    Further pins can be named: what another branch is about to need.
    """
    known = read(HASHES.read_text()) if HASHES.exists() else {}
    wanted = dict.fromkeys(pins(PINS.read_text()) + sys.argv[1:])
    unknown = [pin for pin in wanted if pin not in known]
    found: dict[str, set[str]] = {pin: set(known.get(pin, ())) for pin in wanted}
    for python in PYTHONS if unknown else ():
        for machine in MACHINES:
            print(f"CPython {python} on {machine}", flush=True)
            asked = ask(unknown, python, machine)
            for pin in unknown:
                if digest := asked.get(pin.lower().replace("_", "-")) or asked.get(pin.lower()):
                    found[pin].add(f"--hash=sha256:{digest}")
    if lacking := [pin for pin, hashes in found.items() if not hashes]:
        print(f"No wheel was found of {', '.join(lacking)}.", file=sys.stderr)
        return 1
    lines = [" ".join((pin, *sorted(hashes))) for pin, hashes in sorted(found.items())]
    HASHES.write_text("\n".join((HEAD, *lines)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
