"""The worked examples of docs/writing-a-migration.md: its commands and edits, carried out."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stage1_schema.ops import migrate
from tests.migrations.commands import ROOT
from tests.plugins.databases import ROLES, client, environment

DOCUMENT = (ROOT / "docs" / "writing-a-migration.md").read_text()
SECTIONS = {
    part.splitlines()[0]: part for part in re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DATASETS = """INSERT INTO datasets (dataset_id, dataset_slug, metadata)
SELECT gen_random_uuid(), 'd' || n, '{"exchange": "x"}' FROM generate_series(1, 1000) n
"""
BIN = Path(sys.executable).parent


class Reader:
    """Does what the document says, in a copy of the checkout."""

    def __init__(self, directory, settings):
        self.directory = directory
        self.environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "PYTHONPATH": str(directory),
            **environment(settings),
        }

    @property
    def number(self):
        """The newest revision: what the document calls NNNN."""
        return max(path.name[:4] for path in (self.directory / "migrations/versions").glob("*.py"))

    def console(self, text):
        shown = ""
        for line in text.splitlines():
            if line.startswith("$ "):
                shown = self.run(line.removeprefix("$ "))
            else:
                assert line in shown

    def run(self, command):
        words = shlex.split(command)
        if words[0] == "make":  # the environment stands already
            words += ["PYTHON=true", f"BIN={BIN}"]
        done = subprocess.run(
            words,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        shown = done.stdout + done.stderr
        assert done.returncode in ((0, 255) if "check" in command else (0,)), shown
        return shown

    def diff(self, text):
        name, *lines = text.splitlines()
        path = self.directory / name.removeprefix("--- ")
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
        found = path.read_text()
        assert found.count(before) == 1, f"{name}: {before!r}"
        path.write_text(found.replace(before, after))

    def sql(self, text):
        name, body = text.split("\n", 1)
        path = self.directory / name.removeprefix("-- ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)

    def python(self, text):
        (path,) = (self.directory / "migrations/versions").glob(f"{self.number}_*.py")
        assert text in path.read_text()


@pytest.mark.parametrize("section", SECTIONS)
def test_example(both, tmp_path, section):
    migrate.upgrade(both)
    with client(both, ROLES.owner) as connection:
        connection.execute(DATASETS)
    for name in ("migrations", "stage1_schema", "questdb_ddl"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("alembic.ini", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    reader = Reader(tmp_path, both)
    for kind, text in BLOCK.findall(SECTIONS[section]):
        getattr(reader, kind)(text.replace("NNNN", reader.number))
