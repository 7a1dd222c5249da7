"""`stage1 roles`: who may what, and making missing roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import roles

if TYPE_CHECKING:
    from stage1_schema.ops.role_setup import Setup


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show which role may what on every table and view, and what that does not protect.

    Example: stage1 roles
    """
    if ctx.invoked_subcommand:
        return
    report = roles.read(ctx.ensure_object(Stage1).settings)
    if as_json:
        click.echo(json.dumps(report.to_data(), indent=2))
        return
    names = list(report.access[0].rights) if report.access else []
    console.table(
        ("table or view", "owner", *names),
        [
            (each.name, each.owner, *(", ".join(each.rights[name]) or "-" for name in names))
            for each in report.access
        ],
    )
    for name in report.missing:
        click.echo(f"Role {name} does not exist: stage1 roles create")
    click.echo(report.setup.protects)
    _statements("To change that", report.setup.by, report.setup.statements)
    _create(report.setup)


@command.command()
@pass_context
def create(context: Stage1) -> None:
    """Create the roles that are missing and grant all of them what they need.

    The names are those of STAGE1_OWNER_ROLE, STAGE1_APP_ROLE and STAGE1_READONLY_ROLE. A new role
    has no password. Where everybody may create in schema public, it ends that, if it may.

    Example: stage1 roles create
    """
    done = roles.create(context.settings)
    for name in done.roles:
        click.echo(f"Created role {name}.")
    if not done.roles:
        click.echo("All roles exist.")
    click.echo(
        "Granted what they need."
        if done.granted
        else "The database is not migrated yet: alembic upgrade head grants the rest."
    )
    for statement in done.ended:
        click.echo(f"Ran {statement}")
    _create(done.setup)


def _create(setup: Setup) -> None:
    if setup.everybody_creates:
        click.echo(
            "Every role may create in schema public, and what it puts there may run as whoever"
            " reads or writes the tables."
        )
        _statements("To end that", setup.end_create_by, setup.end_create)


def _statements(what: str, by: str, statements: tuple[str, ...]) -> None:
    if statements:
        click.echo(f"{what}, as {by}:")
    for statement in statements:
        click.echo(f"  {statement}")
