"""The commands, and their exit codes: 0 done, 1 a failure explained in one line, 2 bad usage or configuration."""

import importlib
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from worker.cli.commands import Commands
from worker.cli.output import explain_failures
from worker.cli.typer_errors import in_one_line
from worker.errors import ReferralError

COMMANDS = {
    "plan": "plan.command",
    "run": "run",
    "publish": "publish",
    "work": "work",
    "collect": "collect.command",
    "merge": "merge",
    "find": "find",
    "replay": "replay.command",
    "report": "report",
    "status": "status.command",
    "shops": "shops.commands",
    "cancel": "cancel",
    "dead": "dead.commands",
    "sandbox": "sandbox",
}
"""The module of each command, in the order of ``--help``. It holds a function or a group with the command's name."""


class _LazyGroup(TyperGroup):
    # A command's module is imported only when the command is used. The libraries of the other commands would take a
    # second, and a worker must say where metrics live before prometheus_client is imported. (Any: Typer has its own
    # copy of Click under a private name.)

    """The group of all commands, which imports a command's module only when the command is used."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with in_one_line():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"worker.cli.{COMMANDS[cmd_name]}"), cmd_name)
        if isinstance(command, typer.Typer):
            group = typer.main.get_command(command)
            # The name under which the help lists it.
            group.name = cmd_name
            return group
        single = Commands(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        single.command(cmd_name)(command)
        return typer.main.get_command(single)


app = typer.Typer(
    name="referrals",
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"referrals {metadata.version('referral-dispatch')}", flush=True)  # noqa: T201 - asked for
        raise typer.Exit


@app.callback()
def referrals(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Sends referral campaigns through Bubblehouse's Refer2 at the pace that each shop allows."""


def main() -> None:
    """Run a command and end the process with its exit code."""
    explain_failures()
    try:
        app()
    except ReferralError as error:
        print(f"referrals: {error}", file=sys.stderr)  # noqa: T201 - the one line that explains the failure
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`). With stderr closed, Python can't report that once more as it
        # exits.
        sys.stderr.close()
        sys.exit(1)
