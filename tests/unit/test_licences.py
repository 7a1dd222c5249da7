"""The page of licences is what the installed packages declare, and none that is imported is GPL."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "licences.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("licences", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_the_printed_one():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    page = (ROOT / "docs" / "licences.md").read_text()
    assert page == done.stdout, "run .venv/bin/python tools/licences.py > docs/licences.md"
    assert "not declared" not in page


def test_nothing_imported_is_under_the_gpl(tool):
    assert {"postgast", "psycopg"} <= tool.pins().keys()
    assert tool.copyleft() == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("GNU General Public License v2 (GPLv2)", True),
        ("MIT OR GPL-2.0-only", True),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v3", False),
        ("MIT", False),
    ],
)
def test_the_gpl_is_known(tool, text, found):
    assert bool(tool.COPYLEFT.search(text)) is found


def test_what_holds_a_program_is_not_imported(tool):
    """`find_spec` finds the program; an import would load what is under the GPL."""
    names = {name.replace("-", "_") for name in tool.PROGRAMS}
    for path in (*ROOT.glob("stage1_schema/**/*.py"), *ROOT.glob("questdb_ddl/**/*.py")):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] not in names, f"{path}: {line}"
