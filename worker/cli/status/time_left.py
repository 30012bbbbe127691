"""How long a shop's jobs take: by its limits, its hours, and what is ordered about their campaigns. Pure."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from worker.campaigns.progress import Progress, seconds_to_go
from worker.model.campaign_orders import FOREVER
from worker.model.controls import Controls
from worker.model.windows import both
from worker.shops.config import ListedShop
from worker.store.shop_state import ShopState

Why = Literal["held", "hours", "held_or_hours", "delayed", "far"]


class TimeLeft(NamedTuple):
    """``seconds`` until a shop's jobs are done, without those that are ``held`` until a person lets them go; or None
    and ``why``: all that is left is held, waits for hours of its own, or one of both; all that isn't is in the delay
    queues; or it is too far away to be told.
    """

    seconds: int | None
    held: int = 0
    why: Why | None = None


def time_left(
    jobs: int,
    campaigns: Sequence[Progress],
    config: ListedShop,
    state: ShopState,
    controls: Controls,
    *,
    closed_until: int,
    aside: int | None,
    delayed: int = 0,
    stands: bool = False,
) -> TimeLeft:
    """How long so many jobs of a shop take.

    ``campaigns`` are those of the shop, ``aside`` is how many jobs wait in its held lane (None: nobody knows), and
    ``delayed`` how many are known to be in the delay queues. All are taken to keep to the shop's window; hours of their
    own are not known here, nor when a delay ends, nor what a campaign's pace has used of today. ``stands``: no job has
    ended lately, so that jobs which lie aside by no order wait for such hours.
    """
    window = both(config.window, None)
    seconds: list[float | None] = []
    paused, resting, goes_later = 0, 0, False
    for progress in campaigns:
        order = controls.order_about(progress.campaign, progress.shop)
        left = max(0, progress.left)
        if order is None or not left:
            continue
        rest = order.held(state.at, aside=True)
        begin = max(closed_until, rest.until if rest is not None and rest.until != FOREVER else 0)
        goes_later = goes_later or order.paced or begin > closed_until
        if order.hold is not None:
            paused += left
            continue
        if rest is not None and rest.until == FOREVER:
            # What waits for a release is in the held lane.
            stays = min(left, (aside or 0) - resting)
            resting += stays
            left -= stays
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
    held = min(jobs, paused + resting)
    going = jobs - held
    if jobs and not going:
        # Beside what waits for a release, jobs may lie in the held lane for their hours: nothing tells them apart.
        return TimeLeft(None, held, "held_or_hours" if resting else "held")
    # Nothing that could go is elsewhere than aside or delayed: what is, may all be of paused campaigns.
    if going and stands and not goes_later and not closed_until and jobs - (aside or 0) - delayed <= paused:
        return TimeLeft(None, held, "delayed" if delayed else "held_or_hours" if held else "hours")
    seconds.append(seconds_to_go(going, config.limits, state, closed_until=closed_until, window=window))
    known = [one for one in seconds if one is not None]
    # Rounded up: less than a second is left of some jobs, and none of no jobs.
    return TimeLeft(math.ceil(max(known)), held) if len(known) == len(seconds) else TimeLeft(None, held, "far")
