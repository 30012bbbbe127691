"""The group ``referrals shops``: which shops may be called, how fast, and what keeps them closed."""

from worker.cli.commands import Commands, Group
from worker.cli.shops.check import check
from worker.cli.shops.limit import limit
from worker.cli.shops.list import list_shops
from worker.cli.shops.pause import pause, resume

shops = Commands(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The shops of the shops file: their limits and their state.",
)

shops.command("list")(list_shops)
shops.command()(pause)
shops.command()(resume)
shops.command()(limit)
shops.command()(check)
