"""What `alembic upgrade head` costs when there is nothing to do, beside an empty plain project.

Both run on the same server and with the same versions, in turns; the plain project sees every
package of this environment but ours, so it does not load our plugin. Times are of whole processes
in ms. Run: python benchmarks/noop.py [rounds]
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Settings

ROOT = Path(__file__).resolve().parents[1]
TARGET = 1.25


def plain_project(directory, url):
    """Make an empty Alembic project with an interpreter that does not see our packages."""
    venv = directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (ours,) = Path(sys.prefix).glob("lib/python*/site-packages")
    (theirs,) = venv.glob("lib/python*/site-packages")
    for path in ours.iterdir():
        if not path.name.startswith(("stage1_schema", "__editable__", "__pycache__")):
            (theirs / path.name).symlink_to(path)
    python = venv / "bin" / "python"
    alembic = [python, "-c", "import sys; from alembic.config import main; sys.exit(main())"]
    project = directory / "plain"
    project.mkdir()
    subprocess.run([*alembic, "init", "migrations"], cwd=project, check=True, capture_output=True)
    ini = project / "alembic.ini"
    lines = ini.read_text().splitlines()
    ini.write_text(
        "\n".join(
            f"sqlalchemy.url = {url}" if line.startswith("sqlalchemy.url") else line
            for line in lines
        )
    )
    return [*alembic, "upgrade", "head"], project


def timed(command, directory, environment):
    """Return the wall-clock time and the processor's time of one process in ms."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1000, used * 1000


def main():
    """Print the medians of both times and their ratios; exit 1 where one is above the target."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with LocalPostgres(directory / "pg", binaries=postgres_binaries(), fsync=False) as server:
            parts = {
                "host": server.host,
                "port": str(server.port),
                "dbname": "postgres",
                "user": server.user,
                "password": server.password,
            }
            settings = Settings(PostgresSettings(parts), QuestDBSettings("http://127.0.0.1:1"))
            migrate.upgrade(settings, arguments=("questdb=skip",))
            url = (
                f"postgresql+psycopg://{server.user}:{server.password}"
                f"@{server.host}:{server.port}/template1"
            )
            plain = plain_project(directory, url)
            environment = {
                "PATH": os.environ["PATH"],
                "STAGE1_POSTGRES_HOST": server.host,
                "STAGE1_POSTGRES_PORT": str(server.port),
                "STAGE1_POSTGRES_DB": "postgres",
                "STAGE1_POSTGRES_USER": server.user,
                "STAGE1_POSTGRES_PASSWORD": server.password,
                "STAGE1_QUESTDB_REST": "http://127.0.0.1:1",
            }
            ours = (
                [
                    Path(sys.executable),
                    "-c",
                    "import sys; from alembic.config import main; sys.exit(main())",
                    "upgrade",
                    "head",
                ],
                ROOT,
            )
            for each in (plain, ours):
                timed(*each, environment)
            pairs = [(timed(*plain, environment), timed(*ours, environment)) for _ in range(rounds)]
    worst = 0.0
    for number, what in enumerate(("wall clock", "processor")):
        base, mine = (statistics.median(each[side][number] for each in pairs) for side in (0, 1))
        ratio = mine / base
        print(f"{what}: plain {base:.0f} ms, stage1 {mine:.0f} ms, ratio {ratio:.2f}")
        worst = max(worst, ratio)
    return worst > TARGET


if __name__ == "__main__":
    sys.exit(main())
