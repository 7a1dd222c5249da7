"""`stage1 questdb server-check`: which settings of the server differ from what Stage1 needs."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import server_check


@click.command("server-check")
@click.option(
    "--open-files",
    type=click.IntRange(min=1),
    help="The server's `ulimit -n`, which QuestDB hides.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, open_files: int | None, *, as_json: bool) -> None:
    """Compare the server's settings with what Stage1 needs, and print lines for server.conf.

    The exit code is 1 when something must change; what only should be changed leaves it 0.

    Example: stage1 questdb server-check --open-files 65536
    """
    found = server_check.read(context.settings.questdb, files_limit=open_files)
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
    else:
        _show(found)
    click.get_current_context().exit(0 if found.passed else 1)


def _show(found: server_check.ServerCheck) -> None:
    if found.findings:
        console.table(
            ("setting", "is", "should be", "", "why"),
            [
                (f.setting, f.value, f.needed, "must" if f.must else "advised", f.why)
                for f in found.findings
            ],
        )
    click.echo(
        f"QuestDB {found.version}: {found.tables:,} tables hold up to {found.files:,} files open; "
        "the server's `ulimit -n` has to be larger"
        + ("." if found.files_limit else " (give it as --open-files to have it compared).")
    )
    if found.server_conf:
        click.echo(f"\nFor conf/server.conf, then restart the server:\n\n{found.server_conf}")
