"""The commands, and their exit codes: 0 done, 1 a failure explained in one line, 2 bad usage or configuration."""

import importlib
import os
import sys
from typing import Annotated, Any, NamedTuple

import typer

from worker.cli.commands import Commands, Group
from worker.cli.output import explain_failures
from worker.cli.typer_errors import in_one_line
from worker.errors import ReferralError


class Listed(NamedTuple):
    """Where a command is, and what the list of all commands says of it: the first paragraph of its own help."""

    module: str
    summary: str


# The summaries stand here, since a list that asked each command for its own would import all of them.
COMMANDS = {
    "plan": Listed(
        "plan.command",
        "Show what a campaign would come to: its jobs, the rows left out, and when it would be done. Sends nothing.",
    ),
    "run": Listed(
        "run", "Send a campaign from this process alone. It needs no RabbitMQ, no store and no other service."
    ),
    "publish": Listed(
        "publish", "Publish a campaign as jobs, each confirmed by RabbitMQ. Workers then call Refer2 for them."
    ),
    "work": Listed("work", "Take jobs from every shop's queue and call Refer2 at the pace that each shop allows."),
    "collect": Listed(
        "collect.command",
        "Write results to a file or to PostgreSQL, one row per job, and acknowledge them once they are stored.",
    ),
    "merge": Listed(
        "merge",
        "Put the results into the export that they came from: its rows and columns to the byte, and the links behind "
        "them.",
    ),
    "find": Listed(
        "find",
        "Show what a customer was sent, when and with which link, and what came back, over all campaigns and runs.",
    ),
    "replay": Listed(
        "replay.command", "Publish jobs again that were not sent, chosen by outcome or code from their results."
    ),
    "report": Listed(
        "report",
        "Write a page that shows what became of a campaign, for a person to read, to print or to send on.",
    ),
    "status": Listed(
        "status.command",
        "Show for each campaign and shop what became of the jobs, how many are left, how fast it goes and for how "
        "long.",
    ),
    "campaigns": Listed(
        "campaigns.commands", "Hold a campaign, pace it, let it go on, and see what is ordered about it."
    ),
    "shops": Listed("shops.commands", "The shops of the shops file: their limits and their state."),
    "cancel": Listed(
        "cancel",
        "Cancel a campaign: jobs that have not started end with the result `cancelled`, without a call.",
    ),
    "suppress": Listed(
        "suppress.commands",
        "Addresses that nobody may be called for: jobs of theirs end without a call, however they came.",
    ),
    "forget": Listed(
        "forget",
        "Forget a person: suppress her address in every shop, and erase whatever has it in any field.",
    ),
    "log": Listed("log", "Show who paused, resumed, limited, cancelled, replayed or dropped what, when, and why."),
    "dead": Listed(
        "dead.commands",
        "The queue `referrals.dead`. Messages that could not be processed stay there until a person decides.",
    ),
    "sandbox": Listed(
        "sandbox",
        "Emulate Refer2: tokens, customers, every documented error, share actions and the vendor's limits.",
    ),
}
"""Each command, in the order of ``--help``. Its module holds a function or a group with the command's name."""


class _LazyGroup(Group):
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

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"worker.cli.{COMMANDS[cmd_name].module}"), cmd_name)
        if isinstance(command, typer.Typer):
            group = typer.main.get_command(command)
            # The name under which the help lists it.
            group.name = cmd_name
            return group
        single = Commands(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(cmd_name)(command)
        return typer.main.get_command(single)


app = typer.Typer(
    name="referrals",
    cls=_LazyGroup,
    # As wide as the terminal up to here, so that an example is mostly one line; Click's own limit is 80.
    context_settings={"max_content_width": 100},
    no_args_is_help=True,
    add_completion=False,
    # With rich each --help would take twice as long: 0.17 s of CPU in place of 0.08.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        # Imported when used: half of what a command's start would take without it.
        from importlib import metadata

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
    # Nothing of ours is a plug-in of pydantic's. Looking for some reads what is known of each installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
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
