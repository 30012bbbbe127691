"""docs/commands/: a page for each command and group of ``referrals``, with the wording of ``--help``."""

from collections.abc import Iterator
from typing import Any

import typer

from worker.cli.main import COMMANDS, app

_INDEX = """\
# Commands

{generated}

Each page says what `referrals COMMAND --help` says. With `--json` a command prints data for another program.

| command | what it does |
|---|---|
{rows}
"""

_LEVEL = "#"


def pages(generated: str) -> dict[str, str]:
    """The pages by file name, below docs/. Imports every command, and neither starts nor reaches anything."""
    root = typer.main.get_command(app)
    # Parsing nothing, and resiliently: otherwise the group would print its help and end the process.
    context = root.make_context(app.info.name, [], resilient_parsing=True)
    made, rows = {}, []
    for name in COMMANDS:
        command = root.get_command(context, name)  # type: ignore[attr-defined] # Typer's own copy of Click is untyped
        made[f"commands/{name}.md"] = "\n".join([*_sections(command, context, name, _LEVEL, generated), ""])
        rows.append(f"| [`{name}`]({name}.md) | {_first_line(command.help)} |")
    return {"commands/README.md": _INDEX.format(generated=generated, rows="\n".join(rows))} | made


def _sections(command: Any, parent: Any, name: str, level: str, generated: str = "") -> Iterator[str]:
    """A command's heading, text and options; a group's commands follow one level deeper. (Any: see worker.cli.main.)"""
    context = type(parent)(command, parent=parent, info_name=name)
    yield f"{level} {context.command_path}"
    yield from ("", generated) if generated else ()
    # Click keeps the lines of a paragraph that begins with a \\b; in Markdown they are a list anyway.
    yield from ("", command.help.replace("\b\n", ""))
    commands = getattr(command, "commands", {})
    if not commands:
        shown = [parameter for parameter in command.get_params(context) if parameter.help]
        yield from ("", "```sh", " ".join([context.command_path, *_arguments(shown), "[OPTIONS]"]), "```", "")
        yield from ("| argument or option | meaning |", "|---|---|")
        yield from (_row(parameter, context) for parameter in shown)
    for each, inner in commands.items():
        yield ""
        yield from _sections(inner, context, each, level + _LEVEL)


def _arguments(parameters: list[Any]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            name = parameter.display_name_raw
            yield (name if parameter.required else f"[{name}]") + ("..." if parameter.nargs != 1 else "")


def _row(parameter: Any, context: Any) -> str:
    shown, meaning = parameter.get_help_record(context)
    # The type of an argument, `<list[Path]>`, tells nobody more than its name does; a range is told in its meaning.
    name = shown.partition(" <")[0] if parameter.param_type_name == "argument" else shown.replace(" range>", ">")
    return f"| `{_cell(name)}` | {_cell(meaning)} |"


def _first_line(text: str) -> str:
    return _cell(text.partition("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
