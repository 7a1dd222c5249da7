"""`stage1 release`: from now on these revisions are not edited."""

from __future__ import annotations

import click

from stage1_schema.ops import migrate, release


@click.command()
def command() -> None:
    """List all revisions and frozen bodies in migrations/released.txt, by hash.

    Run it when revisions are first deployed; from then on the tests refuse a change to them. A
    second run adds nothing.

    Example: stage1 release
    """
    migrate.head()  # raises where there are several: what was released is never edited again
    added = release.release()
    for path in added:
        click.echo(path)
    click.echo(f"{len(added)} file{'s' * (len(added) != 1)} released.")
