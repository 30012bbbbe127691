"""The group ``referrals dead``: messages that could not be processed, and what becomes of them."""

from worker.cli.commands import Commands, Group
from worker.cli.dead.drop import drop
from worker.cli.dead.list import list_letters
from worker.cli.dead.replay import replay
from worker.cli.dead.show import show

dead = Commands(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The queue `referrals.dead`. Messages that could not be processed stay there until a person decides.",
)

dead.command("list")(list_letters)
dead.command()(show)
dead.command()(replay)
dead.command()(drop)
