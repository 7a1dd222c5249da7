"""Run an upgrade in a process that ends itself before the n-th statement, as kill -9 would.

`faults.py <store> <n> <kill|pause> [-x arguments]` counts what is sent: to PostgreSQL every
statement of every SQLAlchemy connection and every commit, to QuestDB every change. Before number n
of that store it kills itself, or waits for a line on stdin. Both counts are printed at the end.
What is sent after a statement is the next one, so "before each" is every boundary. Nothing here
names a revision.
"""

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine, event

from questdb_ddl import Client
from stage1_schema import settings
from stage1_schema.ops import migrate

os.chdir(Path(__file__).resolve().parents[2])


class Boundaries:
    def __init__(self, store, fatal, action):
        self.store = store
        self.fatal = fatal
        self.action = action
        self.counts = {"postgres": 0, "questdb": 0}

    def reached(self, store):
        self.counts[store] += 1
        if (store, self.counts[store]) != (self.store, self.fatal):
            return
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("paused", flush=True)
        sys.stdin.readline()


def main():
    store, fatal, action, *arguments = sys.argv[1:]
    boundaries = Boundaries(store, int(fatal), action)
    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, lambda *_: boundaries.reached("postgres"))
    execute = Client.execute

    def counted(self, sql):
        boundaries.reached("questdb")
        execute(self, sql)

    Client.execute = counted
    migrate.upgrade(settings.load(), arguments=arguments)
    print(*boundaries.counts.values())


if __name__ == "__main__":
    main()
