"""Start once, then run each command line in a fork: what a start costs is paid once.

Reads a case as a line of JSON (`program`, `arguments`, `environment`, `directory`, `stdout`) and
answers with a line (`code`, `out`, `err`).
"""

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

TIMEOUT_S = 10


def warm():
    """Import what commands import when they are called."""
    for package in ("stage1_schema", "questdb_ddl"):
        module = importlib.import_module(package)
        for each in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not each.name.endswith("__main__"):
                importlib.import_module(each.name)
    importlib.import_module("rich.console")
    importlib.import_module("dotenv")


def child(case, out, err):
    os.environ.clear()
    os.environ.update(case["environment"])
    if case["directory"] == "deleted":
        os.chdir(tempfile.mkdtemp())
        Path.cwd().rmdir()
    else:
        os.chdir(case["directory"])
    stdout = open_stdout(case["stdout"], out)
    if stdout is None:
        os.close(1)
    else:
        os.dup2(stdout, 1)
    os.dup2(err.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    how = {"encoding": case.get("encoding", "utf-8"), "line_buffering": True}
    sys.stdout = None
    if stdout is not None:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), **how | {"line_buffering": False})
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), errors="backslashreplace", **how)
    before = sys.__stdout__
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.argv = [case["program"], *case["arguments"]]
    from stage1_schema.ops import migrate

    migrate.CHECKOUT = Path(case["checkout"])
    if case["program"] == "alembic":
        from alembic.config import Config, main

        from stage1_schema.alembic_plugin.command_line import guard

        guard()  # Alembic has looked for it already, in another program
        given = Config.__init__.__defaults__
        Config.__init__.__defaults__ = tuple(sys.stdout if d is before else d for d in given)
    else:
        from stage1_schema.cli import main
    end(main)


def end(main):
    """Run `main` and end as the interpreter does, without the seconds that tidying up takes."""
    try:
        code = main()
    except SystemExit as error:
        code = error.code
        with suppress(Exception):
            sys.stdout.flush()  # the interpreter does, and says nothing
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    atexit._run_exitfuncs()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        print(f"Exception ignored: {error!r}", file=sys.stderr)  # noqa: T201
        code = 120
    sys.stderr.flush()
    os._exit((code or 0) & 255 if isinstance(code, int | None) else 1)


def open_stdout(kind, out):
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    if kind == "closed":
        return None
    if kind == "no reader":
        read, write = os.pipe()
        os.close(read)
        return write
    return out.fileno()


def run(case):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            signal.alarm(TIMEOUT_S)
            child(case, out, err)
        _, status = os.waitpid(pid, 0)
        answer = {"code": os.waitstatus_to_exitcode(status)}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            answer[name] = file.read().decode("utf-8", "backslashreplace")
    return answer


def main():
    warm()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print("ready", file=answers)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
