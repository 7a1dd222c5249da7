"""Every command says what it does, with an example; the whole help is a golden file."""

import click
import pytest

from stage1_schema.cli import group


def commands(parent=group, prefix=()):
    context = click.Context(parent, info_name="stage1")
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*c, id=" ".join(c[0])) for c in commands()]
)
def test_command_is_documented(path, command):
    assert command.help
    assert f"Example: stage1 {' '.join(path)}" in command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.opts} says nothing"


def test_help_is_the_golden_one(golden):
    parts = []
    for path, command in commands():
        name = " ".join(("stage1", *path))
        # As the group has it: click keeps a command's first --help, of whatever test came first.
        context = click.Context(command, info_name=name, **group.context_settings)
        parts.append(f"## {name}\n\n{command.get_help(context)}\n")
    golden("cli_help.md", "\n".join(parts))
