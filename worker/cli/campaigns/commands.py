"""The group ``referrals campaigns``: which campaigns are held, how fast they may go, and what stops them."""

from worker.cli.campaigns.listing import list_campaigns, show
from worker.cli.campaigns.ordering import pace, pause, release, resume
from worker.cli.commands import Commands, Group

campaigns = Commands(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Hold a campaign, pace it, let it go on, and see what is ordered about it.",
)

campaigns.command("list")(list_campaigns)
campaigns.command()(show)
campaigns.command()(pause)
campaigns.command()(resume)
campaigns.command()(pace)
campaigns.command()(release)
