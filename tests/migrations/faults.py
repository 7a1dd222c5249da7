"""Run upgrades in processes that end themselves before the n-th statement, as kill -9 would.

Each line on stdin is a JSON object: `environment`, `arguments` (of -x), and the fault: `store`,
`number`, `action` (kill or pause). A fork does it, which saves a start of Python for each. It
counts what is sent: to PostgreSQL every statement of every SQLAlchemy connection and every commit,
to QuestDB every change. Before that number of that store it kills itself, or tells so and waits
for a line on stdin. The answer is a line too: `code`, `told` and, of a run to its end, `counts`,
the `order` of the stores, and of each revision how many statements were sent to PostgreSQL when
it had `begun`, and when it `stamps`.
What is sent after a statement is the next one, so "before each" is every boundary. Nothing here
names a revision.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from sqlalchemy import Engine, event

from questdb_ddl import Client
from stage1_schema import models, settings
from stage1_schema.ops import migrate

os.chdir(Path(__file__).resolve().parents[2])
assert models.Base.metadata.tables  # imported before the forks, as all that an upgrade may need


class Boundaries:
    def __init__(self, store="", number=0, action="kill"):
        self.fatal = (store, number)
        self.action = action
        self.counts = {"postgres": 0, "questdb": 0}
        self.order = []
        self.begun = []
        self.stamps = []

    def sent(self, *arguments):
        """Count a statement of PostgreSQL, and note where a revision is stamped."""
        self.reached("postgres")
        if "alembic_version SET" in arguments[2] or "INTO alembic_version" in arguments[2]:
            self.stamps.append(self.counts["postgres"])

    def reached(self, store):
        self.counts[store] += 1
        self.order.append(store)
        if (store, self.counts[store]) != self.fatal:
            return
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        answer(paused=True)
        sys.stdin.readline()


def answer(**told):
    sys.__stdout__.write(json.dumps(told) + "\n")
    sys.__stdout__.flush()


def upgrade(boundaries, environment, arguments):
    os.environ.update(environment)
    event.listen(Engine, "before_cursor_execute", boundaries.sent)
    event.listen(Engine, "commit", lambda *_: boundaries.reached("postgres"))

    def told(line):
        if line.startswith("Running upgrade"):
            boundaries.begun.append(boundaries.counts["postgres"])

    execute = Client.execute

    def counted(self, sql):
        boundaries.reached("questdb")
        execute(self, sql)

    Client.execute = counted
    migrate.upgrade(settings.load(), arguments=arguments, progress=told)


def run(request, told):
    """Do one upgrade in a fork that writes to the file `told`; return its wait status."""
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    os.dup2(told.fileno(), 2)
    sys.stdout = sys.stderr
    boundaries = Boundaries(*request.get("fault", ()))
    try:
        upgrade(boundaries, request["environment"], request["arguments"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)
    done = {key: getattr(boundaries, key) for key in ("counts", "order", "begun", "stamps")}
    print(json.dumps(done), flush=True)
    os._exit(0)


def main():
    for line in iter(sys.stdin.readline, ""):
        with tempfile.TemporaryFile("w+") as told:
            status = run(json.loads(line), told)
            told.seek(0)
            text = told.read()
        code = os.waitstatus_to_exitcode(status)
        done = json.loads(text.splitlines()[-1]) if code == 0 else {}
        answer(code=code, told=text, **done)


if __name__ == "__main__":
    main()
