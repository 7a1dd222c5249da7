"""Every command in every broken environment: one clear line, or success where it is not needed."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import alembic.command
import click
import pytest

from stage1_schema import settings
from stage1_schema.errors import SettingsError
from tests.cli.conftest import ROOT
from tests.cli.test_help import commands
from tests.plugins.databases import environment

LOCAL = {"STAGE1_LOCAL_DIR": "/dev/null"}  # no directory: `stage1 up` starts nothing
NOWHERE = {
    **LOCAL,
    "STAGE1_POSTGRES_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "STAGE1_QUESTDB_REST": "http://127.0.0.1:1",
}
SAMPLES = {
    "slug": "a",
    "name": "a",
    "table": "indicator_bars",
    "tables": "indicator_bars",
    "file": "no-such-spool.sql",
    "backup": "no-such-backup",
    "dataset_id": "0f0e0d0c-0000-4000-8000-000000000001",
}
ALEMBIC = {
    "edit": ["head"],
    "merge": ["heads", "-m", "two"],
    "show": ["head"],
    "stamp": ["head"],
    "upgrade": ["head"],
    "downgrade": ["-1"],
    "revision": ["-m", "words"],
}
BROKEN_QUESTDB = {"bracket": "[", "open bracket": "http://[::1", "bad port": "http://h:99x"}


class Forker:
    """A warm interpreter that runs each command line in a fork of its own."""

    def __init__(self, checkout):
        self.checkout = checkout
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, program, *arguments, variables, directory, stdout="file", **more):
        case = {
            "program": program,
            "arguments": arguments,
            "environment": {
                "PATH": os.environ["PATH"],
                "HOME": os.environ["HOME"],
                "EDITOR": "true",
            }
            | variables,
            "directory": str(directory),
            "stdout": stdout,
            "checkout": str(self.checkout),
            **more,
        }
        assert not self.process.poll()
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def copy_of_checkout(directory):
    shutil.copy(ROOT / "alembic.ini", directory)
    shutil.copytree(
        ROOT / "migrations", directory / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    return directory


@pytest.fixture(scope="module")
def forker(tmp_path_factory):
    made = Forker(copy_of_checkout(tmp_path_factory.mktemp("checkout")))
    yield made
    made.close()


@pytest.fixture
def here(tmp_path):
    """A copy of the checkout to stand in, as broken as a test makes it."""
    (tmp_path / "checkout").mkdir()
    return copy_of_checkout(tmp_path / "checkout")


def every_command():
    """Yield every command line there is: those of click, and those of Alembic."""
    for path, command in commands():
        arguments = [SAMPLES[p.name] for p in command.params if isinstance(p, click.Argument)]
        more = OPTIONS.get(" ".join(path), [])
        yield ("stage1", *path, *arguments, *more)
    for name, function in inspect.getmembers(alembic.command, inspect.isfunction):
        private = name.startswith("_") or function.__module__ != "alembic.command"
        if not private and name != "init":
            yield ("alembic", name, *ALEMBIC.get(name, []))
    yield ("alembic", "init", "another")  # last: it may write an alembic.ini


OPTIONS = {"dataset create": ["--symbol", "A", "--granularity", "4h"]}


def faults_of(command, ran, *, lost=False):
    """Yield what is wrong with the end of a command; `lost` is what it says on stdout."""
    said = ran["out"] + ran["err"]
    for word in ("Traceback", "Exception ignored", "fault of stage1", "Error in "):
        if word in said:
            yield f"{word}: {said[-600:]}"
    if not all(each.isprintable() or each in "\n\t" for each in said):
        yield f"control characters: {said!r}"
    if ran["code"] < 0:
        yield f"killed: {said}"
    lines = sum(bool(ERROR_LINE.match(line)) for line in said.splitlines())
    may = {1, 2} if command[1] == "status" else {1}  # a line for each store, on stdout
    if ran["code"] > 0 and not (lines in may or (lost and lines == 0 and on_stdout(command, ran))):
        yield f"{lines} lines: {said[-600:]!r}"


def on_stdout(command, ran):
    """Tell whether nobody was there to be told: 141 is what a shell makes of SIGPIPE."""
    return command[1] == "status" or ran["code"] == 141


TARGETS = re.compile(r"(INFO )?PostgreSQL .* as .*, QuestDB ")
"""The first line of a run: which stores it is about."""
ERROR_LINE = re.compile(r"stage1: |FAILED: |Error: |error  |\S+: error: ")


def run_all(forker, **given):
    """Run every command; fail with each kind of fault and the commands that have it."""
    found = {}
    for command in every_command():
        ran = forker(*command, **given)
        for fault in faults_of(command, ran, lost="stdout" in given):
            found.setdefault(fault, []).append(" ".join(command))
    assert not found, json.dumps(found, indent=1, ensure_ascii=False)


VARIABLES = {
    "nothing set": {"STAGE1_POSTGRES_URL": "", "STAGE1_QUESTDB_REST": ""},
    "nobody there": {},
    "PostgreSQL brackets": {"STAGE1_POSTGRES_URL": "postgresql://u@[::1/x"},
    "PostgreSQL no URL": {"STAGE1_POSTGRES_URL": "what is this"},
    "PostgreSQL bad port": {"STAGE1_POSTGRES_URL": "postgresql://u@h:99999999/x"},
    "PostgreSQL encoded NUL": {"STAGE1_POSTGRES_URL": "postgresql://u@h/x%00y"},
    "PostgreSQL unknown parameter": {"STAGE1_POSTGRES_URL": "postgresql://u@h/x?nonsense=1"},
    "PostgreSQL not UTF-8": {"STAGE1_POSTGRES_URL": "postgresql://u\udcff@127.0.0.1:1/x"},
    "PostgreSQL role not UTF-8": {
        "STAGE1_POSTGRES_URL": "",
        "STAGE1_POSTGRES_HOST": "127.0.0.1",
        "STAGE1_POSTGRES_PORT": "1",
        "STAGE1_POSTGRES_USER": "\udcff\udcfe",
    },
    "PostgreSQL with escapes": {"STAGE1_POSTGRES_URL": "postgresql://u@127.0.0.1:1/\x1b[31mx"},
    "PostgreSQL missing service": {"STAGE1_POSTGRES_URL": "service=no-such"},
    "QuestDB bracket": {"STAGE1_QUESTDB_REST": "["},
    "QuestDB open bracket": {"STAGE1_QUESTDB_REST": "http://[::1"},
    "QuestDB no address": {"STAGE1_QUESTDB_REST": "http://[zz]:9000"},
    "QuestDB path": {"STAGE1_QUESTDB_REST": "http://127.0.0.1:1/some/path?x=1#y"},
    "QuestDB credentials": {"STAGE1_QUESTDB_REST": "http://u:p@127.0.0.1:1"},
    "QuestDB bad port": {"STAGE1_QUESTDB_REST": "http://127.0.0.1:99999"},
    "QuestDB not UTF-8": {"STAGE1_QUESTDB_REST": "http://127.0.0.\udcff:1"},
    "QuestDB label too long": {"STAGE1_QUESTDB_REST": f"http://{'a' * 300}:1"},
    "QuestDB host with a bracket": {"STAGE1_QUESTDB_REST": "", "STAGE1_QUESTDB_HOST": "[::1"},
    "numbers that are none": {
        "STAGE1_QUESTDB_CONNECT_TIMEOUT_MS": "soon",
        "STAGE1_DDL_LOCK_TIMEOUT_MS": "\u0663",
        "STAGE1_LOCK_TIMEOUT_S": "nan",
    },
    "numbers too large": {
        "STAGE1_QUESTDB_REST_TIMEOUT_MS": "9" * 30,
        "STAGE1_LOCK_TIMEOUT_S": "1e400",
        "STAGE1_LOCK_RETRIES": "9" * 5000,
    },
    "no HOME": {"HOME": ""},
    "ASCII only": {"LANG": "C", "LC_ALL": "C", "STAGE1_POSTGRES_DB": "für"},
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables(forker, here, name):
    variables = {k: v for k, v in (NOWHERE | VARIABLES[name]).items() if v}
    if "HOME" in VARIABLES[name]:
        variables["HOME"] = ""
    run_all(forker, variables=variables, directory=here)


@pytest.mark.parametrize("stdout", ["full", "closed", "no reader"])
def test_stdout_that_takes_nothing(forker, here, stdout):
    run_all(forker, variables=NOWHERE, directory=here, stdout=stdout)


def test_output_that_is_lost_is_no_success(forker, here, migrated):
    given = {"variables": LOCAL | environment(migrated), "directory": here}
    for command in (("stage1", "history"), ("stage1", "schedule"), ("alembic", "history")):
        full = forker(*command, stdout="full", **given)
        assert full["code"] == 1, full
        assert "The output cannot be written: No space left on device." in full["err"]
        assert forker(*command, stdout="no reader", **given)["code"] == 141


def test_a_directory_that_was_deleted(forker):
    run_all(forker, variables=NOWHERE, directory="deleted")


def dotenv(content):
    def make(here):
        (here / ".env").write_bytes(content)

    return make


DIRECTORIES = {
    ".env is a directory": lambda here: (here / ".env").mkdir(),
    ".env is a loop": lambda here: (here / ".env").symlink_to(".env"),
    ".env is no UTF-8": dotenv(b"STAGE1_POSTGRES_HOST=\xff\n"),
    ".env has a NUL": dotenv(b"STAGE1_POSTGRES_USER=a\0b\nSTAGE1_POSTGRES_HOST=127.0.0.1\n"),
    ".env is nonsense": dotenv(b"=\n'\nSTAGE1_POSTGRES_HOST='\n"),
    "no alembic.ini": lambda here: (here / "alembic.ini").unlink(),
    "alembic.ini is nonsense": lambda here: (here / "alembic.ini").write_text("[[\nx"),
    "alembic.ini is no UTF-8": lambda here: (here / "alembic.ini").write_bytes(b"[alembic]\n\xff"),
    "no env.py": lambda here: (here / "migrations/env.py").unlink(),
    "no migrations": lambda here: shutil.rmtree(here / "migrations"),
    "no released.txt": lambda here: (here / "migrations/released.txt").unlink(),
}


@pytest.mark.parametrize("name", DIRECTORIES)
def test_directories(forker, here, name):
    DIRECTORIES[name](here)
    run_all(forker, variables=NOWHERE, directory=here)


def test_local_directory_that_cannot_be_made(forker, here):
    (here / "file").touch()
    for name in ("file", "file/in", "/proc/no/such", "alembic.ini/\x1b[31m"):
        run_all(forker, variables={"STAGE1_LOCAL_DIR": name}, directory=here)


def revision(text, name="0014_words.py"):
    def make(versions):
        (versions / name).write_text(text, encoding="utf-8")

    return make


def two_heads(versions):
    for number in ("0014", "0015"):
        revision(HEAD.format(number, last(versions)), f"{number}_words.py")(versions)


def last(versions):
    return max(path.name[:4] for path in versions.glob("0*.py"))


def missing(versions):
    (versions / "0005_add_dataset_hierarchy.py").unlink()


HEAD = '''"""Words\n\nRevision ID: {0}\n"""
revision = "{0}"
down_revision = "0013"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''
REVISIONS = {
    "syntax error": revision("def upgrade(:\n"),
    "a NUL": revision("x = 1\0\n"),
    "no UTF-8": lambda versions: (versions / "0014_words.py").write_bytes(b"x = '\xff'\n"),
    "no revision": revision("x = 1\n"),
    "an import that fails": revision("import no_such_module\n"),
    "an error": revision("1 / 0\n"),
    "a file is missing in the middle": missing,
    "two heads": two_heads,
    "the same revision twice": revision(HEAD.replace("{0}", "0012")),
    "a circle": revision(HEAD.replace("{0}", "0014").replace("0013", "0014")),
    "a directory": lambda versions: (versions / "0014_words.py").mkdir(),
    "a dead link": lambda versions: (versions / "0014_words.py").symlink_to("nowhere"),
    "no frozen SQL": lambda versions: shutil.rmtree(versions.parent / "sql"),
}


@pytest.mark.parametrize("name", REVISIONS)
def test_revisions(forker, here, empty, name):
    REVISIONS[name](here / "migrations/versions")
    run_all(forker, variables=LOCAL | environment(empty), directory=here)


def test_dotenv_that_may_not_be_read(tmp_path):
    """Not as root, who may read everything."""
    (tmp_path / ".env").write_text("STAGE1_POSTGRES_HOST=h\n")
    (tmp_path / ".env").chmod(0)
    tmp_path.chmod(0o755)
    import dotenv.main  # noqa: F401 - before this process may read nothing

    root, descriptor = os.geteuid(), os.open(tmp_path, os.O_RDONLY)
    try:
        os.seteuid(root or 65_534)
        with pytest.raises(SettingsError, match=r"\.env cannot be read: Permission denied\. Next"):
            settings.load({}, directory=Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.seteuid(root)
        os.close(descriptor)


@pytest.mark.parametrize(
    ("program", "stdout", "said"),
    [
        pytest.param(["alembic", "heads"], None, "FAILED: .*0014_words.py, line 1: ", id="alembic"),
        pytest.param(
            ["python", "-m", "alembic", "heads"], None, "FAILED: .*line 1: ", id="-m alembic"
        ),
        pytest.param(
            ["alembic", "list_templates"],
            "/dev/full",
            "stage1: The output cannot be written",
            id="alembic, full",
        ),
        pytest.param(["stage1", "release"], None, "stage1: .*0014_words.py, line 1: ", id="stage1"),
        pytest.param(
            ["stage1", "schedule"], "/dev/full", "stage1: The output cannot be written", id="full"
        ),
    ],
)
def test_as_a_shell_starts_it(here, program, stdout, said):
    REVISIONS["syntax error"](here / "migrations/versions")
    with Path(stdout or os.devnull).open("w") as out:
        done = subprocess.run(
            [Path(sys.executable).with_name(program[0]), *program[1:]],
            cwd=here,
            env={"PATH": os.environ["PATH"], **NOWHERE},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode in (1, 255)
    (line,) = (each for each in done.stderr.splitlines() if not TARGETS.match(each))
    assert re.match(said, line)
