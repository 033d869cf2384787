"""The command line's reference, as each command's `--help` says it."""

from __future__ import annotations

import click

from tinycl.cli import main


def page() -> str:
    """A heading and the help text of each command."""
    top = click.Context(main, info_name="tinycl", max_content_width=100, terminal_width=100)
    parts = ["# Command line", _fenced(main.get_help(top))]
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        assert command
        context = click.Context(command, info_name=name, parent=top, max_content_width=100, terminal_width=100)
        parts += [f"## tinycl {name}", _fenced(command.get_help(context))]
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"
