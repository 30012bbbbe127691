"""The group ``referrals suppress``: the addresses of people who must not be contacted."""

from worker.cli.commands import Commands, Group
from worker.cli.suppress.change import add, remove
from worker.cli.suppress.check import check
from worker.cli.suppress.list import list_lists
from worker.cli.suppress.restore import restore

suppress = Commands(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Addresses that nobody may be called for: jobs of theirs end without a call, however they came.",
)

suppress.command()(add)
suppress.command()(remove)
suppress.command("list")(list_lists)
suppress.command()(check)
suppress.command()(restore)
