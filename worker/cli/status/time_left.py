"""How long a shop's jobs take: by its limits, its hours, and what is ordered about their campaigns. Pure."""

from collections.abc import Sequence

from worker.campaigns.progress import Progress, seconds_to_go
from worker.model.campaign_orders import FOREVER
from worker.model.controls import Controls
from worker.model.windows import both
from worker.shops.config import ListedShop
from worker.store.shop_state import ShopState


def time_left(
    jobs: int,
    campaigns: Sequence[Progress],
    config: ListedShop,
    state: ShopState,
    controls: Controls,
    *,
    closed_until: int,
    aside: int | None,
    stands: bool = False,
) -> int | None:
    """Seconds until so many jobs of a shop are done; None if that is unknown, since a person holds them back, or since
    all of them wait for hours of their own.

    ``campaigns`` are those of the shop, and ``aside`` is how many jobs wait in its held lane (None: nobody knows). Jobs
    that wait for a person are left out while there are others. All are taken to keep to the shop's window; hours of
    their own are not known here, nor what a campaign's pace has used of today. ``stands``: no job has ended lately, so
    that jobs which lie aside by no order wait for such hours.
    """
    window = both(config.window, None)
    seconds: list[float | None] = []
    held, ordered = 0, False
    for progress in campaigns:
        order = controls.order_about(progress.campaign, progress.shop)
        left = max(0, progress.left)
        if order is None or not left:
            continue
        rest = order.held(state.at, aside=True)
        ordered = ordered or rest is not None or order.paced
        if rest is not None and rest.until == FOREVER:
            # All of it by a pause, and by a release to come what is in the held lane.
            stays = left if order.hold is not None else min(left, aside or 0)
            held += stays
            left -= stays
        begin = max(closed_until, rest.until if rest is not None and rest.until != FOREVER else 0)
        if order.paced or begin > closed_until:
            seconds.append(
                seconds_to_go(
                    left,
                    config.limits,
                    state,
                    closed_until=begin,
                    window=window,
                    interval=order.interval,
                    per_day=order.per_day,
                )
            )
    going = max(0, jobs - held)
    waits_for_hours = stands and not ordered and not closed_until and (aside or 0) >= going
    if jobs and (not going or waits_for_hours):
        return None
    seconds.append(seconds_to_go(going, config.limits, state, closed_until=closed_until, window=window))
    known = [one for one in seconds if one is not None]
    return round(max(known)) if len(known) == len(seconds) else None
