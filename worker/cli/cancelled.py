"""Refuses a campaign that is cancelled, before its jobs are made."""

from worker.cli import console
from worker.cli.store import known_controls
from worker.errors import UsageError
from worker.model.controls import EVERY_SHOP
from worker.model.names import canonical
from worker.settings import Settings


def refuse_cancelled(loaded: Settings, campaign: str, shop: str | None) -> None:
    """Refuse a campaign that is cancelled for all the jobs, and say so if it is cancelled in some shops.

    Raises:
      UsageError: it is cancelled in every shop, or in the shop that the command names.
    """
    # Each job would end as cancelled, with a result, and would have to be published again after --undo.
    controls = known_controls(loaded)
    if controls is None:
        return
    cancelled = {of for name, of in controls.cancelled if name == canonical(campaign)}
    if cancelled & {EVERY_SHOP, shop}:
        where = "in every shop" if EVERY_SHOP in cancelled else f"in shop {shop}"
        raise UsageError(
            f"--campaign {campaign}: is cancelled {where}, so its jobs would end without a call; "
            f"run `referrals cancel {campaign} --undo` first, or choose another name"
        )
    held = sorted(of for (name, of), order in controls.campaigns.items() if name == canonical(campaign) and order.hold)
    if held:
        where = "in every shop" if EVERY_SHOP in held else f"in shop {', '.join(held)}"
        console.say(
            f"campaign {campaign} is held {where}: its jobs wait there until `referrals campaigns resume {campaign}`"
        )
    if cancelled:
        console.say(
            f"campaign {campaign} is cancelled in {', '.join(sorted(cancelled))}: jobs there end without a call"
        )
