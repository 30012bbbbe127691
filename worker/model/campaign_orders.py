"""Orders about campaigns: which are held, how fast they may go, and what stops them. Immutable data.

Both stores keep them; ``worker/store/redis/lua/campaign.lua`` changes them alike. Times are microseconds of the
reader's steady clock. A campaign's name is in the form that :func:`worker.model.names.canonical` makes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

FOREVER = 1 << 62
"""Until somebody orders otherwise."""

MOST_CAMPAIGNS_ORDERED = 500
"""Campaigns about which there may be orders at a time, since every worker reads them. Beyond that, brakes are
forgotten, the one that would end first before the others; ``lua/campaign.lua`` has the number too."""

HoldKind = Literal["paused", "brake", "first", "start"]


@dataclass(frozen=True, slots=True)
class Hold:
    """Why jobs of a campaign are not called, and since when.

    ``paused`` by an operator, or stopped by its ``brake``: none of its jobs is called. ``first``: the rest of an export
    waits until the first of it were looked at; ``start``: an export waits for its time, ``until``. These two hold only
    what waits in the held lane.
    """

    kind: HoldKind
    reason: str
    since: int
    until: int = FOREVER


@dataclass(frozen=True, slots=True)
class Brake:
    """Stops the campaign at a shop once more than ``share`` per cent of its last ``window`` final results are bad.

    ``armed`` is a number that is new each time it is armed: only results that are counted under it count. ``until`` is
    when it is forgotten. A share of 100 never trips: no brake, in place of one that would be in force otherwise.
    """

    share: int
    window: int
    armed: int = 0
    until: int = FOREVER

    def __str__(self) -> str:
        return f"{self.share}%/{self.window}" if self.trips else "none"

    @property
    def trips(self) -> bool:
        """Whether it can stop anything."""
        return self.share < 100


@dataclass(frozen=True, slots=True)
class CampaignOrder:
    """What is in force for a campaign at a shop, or at every shop.

    ``hold`` holds all of its jobs, ``rest`` those in the held lane. ``interval`` is how far apart its calls are at
    least (0: by the shop's limits), ``per_day`` how many it may have a day (0: as many as the shop).
    """

    hold: Hold | None = None
    rest: Hold | None = None
    interval: int = 0
    per_day: int = 0
    brake: Brake | None = None

    @property
    def paced(self) -> bool:
        """Whether it has a pace of its own."""
        return bool(self.interval or self.per_day)

    def held(self, now: int, *, aside: bool) -> Hold | None:
        """Why a job of it is held, if it is; ``aside``: the job waits in the held lane."""
        if self.hold is not None:
            return self.hold
        return self.rest if aside and self.rest is not None and self.rest.until > now else None

    def over(self, general: "CampaignOrder") -> "CampaignOrder":
        """This one with what it leaves open taken from that of all shops."""
        return CampaignOrder(
            self.hold or general.hold,
            self.rest or general.rest,
            self.interval or general.interval,
            self.per_day or general.per_day,
            self.brake or general.brake,
        )

    def in_force(self, now: int) -> "CampaignOrder | None":
        """Without what has ended; None if that is all."""
        rest = self.rest if self.rest is not None and self.rest.until > now else None
        brake = self.brake if self.brake is not None and self.brake.until > now else None
        left = replace(self, rest=rest, brake=brake)
        return left if left != CampaignOrder() else None


NO_BRAKE = Brake(100, 1)
"""What is armed where a brake is taken away; a worker of an earlier version counts for it, and nothing trips."""

Campaigns = Mapping[tuple[str, str], CampaignOrder]
"""By campaign and shop; ``*`` is every shop."""

Change = Callable[[CampaignOrder], CampaignOrder]


def changed(campaigns: Campaigns, campaign: str, shop: str, change: Change, now: int) -> Campaigns:
    """With the order about the campaign at the shop changed; for every shop those of single shops stay as they are."""
    old = campaigns.get((campaign, shop), CampaignOrder())
    return _kept({**campaigns, (campaign, shop): change(old)}, (campaign, shop), now)


def changed_everywhere(campaigns: Campaigns, campaign: str, shop: str, change: Change, now: int) -> Campaigns:
    """The same; for every shop those of single shops are changed too."""
    found = {key: change(old) for key, old in campaigns.items() if key[0] == campaign and shop in {key[1], "*"}}
    return _kept({**campaigns, **found}, (campaign, shop), now)


def paused(reason: str, now: int) -> Change:
    """Hold the campaign. A new reason for one that is held already keeps the time of its first."""

    def change(old: CampaignOrder) -> CampaignOrder:
        return replace(old, hold=Hold("paused", reason, old.hold.since if old.hold is not None else now))

    return change


def resumed(armed: int) -> Change:
    """Lift what holds all of its jobs, and arm its brake anew under the number ``armed``."""
    return lambda old: replace(old, hold=None, brake=old.brake and replace(old.brake, armed=armed))


def cancelled(armed: int) -> Change:
    """Without what holds or paces it, since its jobs end; a brake stays, under the number ``armed``."""
    return lambda old: replace(resumed(armed)(old), rest=None, interval=0, per_day=0)


def released(old: CampaignOrder) -> CampaignOrder:
    """Let what waits in the held lane go."""
    return replace(old, rest=None)


def paced(interval: int, per_day: int) -> Change:
    """With this pace in place of its earlier one."""
    return lambda old: replace(old, interval=interval, per_day=per_day)


def held_back(rest: Hold | None) -> Change:
    """As an export is published: ``rest`` holds what goes into the held lane; None leaves what holds it already."""
    return lambda old: replace(old, rest=rest or old.rest)


def with_brake(brake: Brake, *, instead: Brake | None, usual: bool, anew: bool) -> Change:
    """With this brake, or one that is there already if this is only the ``usual`` one; ``instead`` is that of all
    shops. One that is the same stays armed as it is, but for ``anew``.
    """

    def change(old: CampaignOrder) -> CampaignOrder:
        known = old.brake or instead
        if known is None:
            return replace(old, brake=brake)
        same = usual or str(brake) == str(known)
        fresh = replace(brake, share=known.share, window=known.window) if same else brake
        return replace(old, brake=replace(fresh, armed=known.armed) if same and not anew else fresh)

    return change


def braked(brake: Brake, reason: str, now: int) -> Change:
    """Held by this brake, which is the shop's own from now on, so that it is armed for this shop alone."""
    return lambda old: replace(old, hold=Hold("brake", reason, now), brake=brake)


def _kept(campaigns: Campaigns, ordered: tuple[str, str], now: int) -> Campaigns:
    # What has ended is dropped here, so that the orders stay few.
    kept = {key: order for key, old in campaigns.items() if (order := old.in_force(now)) is not None}
    while len(kept) > MOST_CAMPAIGNS_ORDERED:
        brakes = {
            key: order.brake.until
            for key, order in kept.items()
            if key != ordered and order.brake is not None and order == CampaignOrder(brake=order.brake)
        }
        if not brakes:
            break
        del kept[min(brakes, key=lambda key: brakes[key])]
    return kept
