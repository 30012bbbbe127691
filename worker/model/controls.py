"""What an operator has ordered: paused shops, slower shops, cancelled campaigns.

The orders are immutable data. Both stores keep them, ``worker/store/redis/lua/control.lua`` changes them alike, and
workers read them once a second. Times are microseconds of the reader's steady clock.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from worker.model.campaign_orders import (
    Brake,
    CampaignOrder,
    Campaigns,
    Hold,
    braked,
    cancelled,
    changed,
    changed_everywhere,
    held_back,
    paced,
    paused,
    released,
    resumed,
    with_brake,
)
from worker.model.lanes import PACED_LANES, Lane, ShopLane
from worker.model.names import canonical
from worker.model.orders import MOST_LATEST, Order, Origin
from worker.model.suppression import Suppression, SuppressionList

EVERY_SHOP = "*"
"""Stands for all shops, those to come included; no slug looks like it."""

MOST_FREED = 500
"""Shops of which it is known by themselves when a job was last let go; ``lua/ordering.lua`` has the number too."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a shop is paused, and since when (microseconds)."""

    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How far apart a shop's calls are at least (microseconds), why, since when and until when."""

    interval: int
    reason: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Controls:
    """All orders at one moment. ``version`` differs from that of every earlier moment.

    ``pauses`` and ``limits`` are by shop. ``cancelled`` has, by campaign and shop, until when the cancellation is
    remembered. ``latest`` are the last :data:`MOST_LATEST` orders of any kind, the newest first. ``suppression`` says
    how many addresses are on which list. ``campaigns`` are orders about campaigns by campaign and shop, ``freed`` has
    by shop the version that has last let a job go that was held. ``lanes`` are those lanes beside bulk whose queues
    exist, as far as the store was told; ``all_lanes``: RabbitMQ was searched.
    """

    version: int = 0
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    cancelled: Mapping[tuple[str, str], int] = field(default_factory=dict)
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    latest: tuple[Order, ...] = ()
    suppression: Suppression = field(default_factory=Suppression)
    campaigns: Campaigns = field(default_factory=dict)
    freed: Mapping[str, int] = field(default_factory=dict)
    lanes: frozenset[ShopLane] = frozenset()
    all_lanes: bool = False

    def order_about(self, campaign: str, shop: str) -> CampaignOrder | None:
        """What is ordered about the campaign at the shop, None for nothing; the shop's own order goes before that of
        all shops. Names are compared in the form that job ids use.
        """
        if not self.campaigns:
            return None
        name = canonical(campaign) or ""
        own, general = self.campaigns.get((name, shop)), self.campaigns.get((name, EVERY_SHOP))
        return own.over(general) if own is not None and general is not None else own or general

    def lane_of_pace(self, campaign: str, shop: str) -> Lane:
        """Where jobs of the campaign wait at the shop that are over its pace: in a lane of its own, as far as there are
        so many. The campaigns with a pace take turns, in the order in which something was ordered about them first.
        """
        paced = dict.fromkeys(
            name for (name, of), order in self.campaigns.items() if order.paced and of in {shop, EVERY_SHOP}
        )
        name = canonical(campaign) or ""
        place = next((place for place, other in enumerate(paced) if other == name), 0)
        return PACED_LANES[place % len(PACED_LANES)]

    def is_held(self, campaign: str, shop: str) -> bool:
        """Whether every job of the campaign at the shop is held, by an operator or by its brake."""
        order = self.order_about(campaign, shop)
        return order is not None and order.hold is not None

    def freed_at(self, shop: str) -> int:
        """The version that has last let a job of the shop go that was held; 0 for none."""
        return max(self.freed.get(shop, 0), self.freed.get(EVERY_SHOP, 0))

    def pause_of(self, shop: str) -> Pause | None:
        """Why the shop may not be called, None if it may. Its own pause is named before that of all shops."""
        return self.pauses.get(shop) or self.pauses.get(EVERY_SHOP)

    def limit_of(self, shop: str, now: int) -> RateLimit | None:
        """The limit that lowers the shop's rate, None if there is none or it has ended."""
        limit = self.limits.get(shop)
        return limit if limit is not None and limit.until > now else None

    def is_cancelled(self, campaign: str, shop: str, now: int) -> bool:
        """Whether the shop's jobs of the campaign are cancelled. Names are compared in the form that job ids use."""
        name = canonical(campaign) or ""
        return any(self.cancelled.get((name, of), 0) > now for of in (shop, EVERY_SHOP))

    def with_pause(self, shop: str, reason: str, now: int) -> "Controls":
        """With the shop paused. A new reason for a shop that is already paused keeps the time of its first."""
        # An operator corrects a reason; the shop has been paused all the while.
        since = self.pauses[shop].since if shop in self.pauses else now
        return self._next(now, pauses={**self.pauses, shop: Pause(reason, since)})

    def without_pause(self, shop: str, now: int) -> "Controls":
        """Without the shop's pause. A pause of all shops and those of single ones are lifted separately."""
        return self._next(now, pauses={name: pause for name, pause in self.pauses.items() if name != shop})

    def with_limit(self, shop: str, interval: int, reason: str, now: int, until: int) -> "Controls":
        """With this limit in place of the shop's earlier one."""
        return self._next(now, limits={**self.limits, shop: RateLimit(interval, reason, now, until)})

    def without_limit(self, shop: str, now: int) -> "Controls":
        """Without the shop's limit: the rate of the shops file is in force again."""
        return self._next(now, limits={name: limit for name, limit in self.limits.items() if name != shop})

    def with_cancelled(self, campaign: str, shop: str, now: int, until: int) -> "Controls":
        """With the campaign cancelled, in one shop or in all; remembered until ``until``."""
        campaigns = changed_everywhere(self.campaigns, campaign, shop, cancelled(self._later(now)), now)
        made = self._next(now, cancelled={**self.cancelled, (campaign, shop): until}, campaigns=campaigns)
        # Its jobs end, also those that are held.
        return made._freeing([shop])

    def without_cancelled(self, campaign: str, shop: str, now: int) -> "Controls":
        """With that cancellation lifted. For all shops, those of single shops are lifted too."""
        kept = {key: until for key, until in self.cancelled.items() if key[0] != campaign or shop not in {key[1], "*"}}
        return self._next(now, cancelled=kept)

    def with_campaign_paused(self, campaign: str, shop: str, reason: str, now: int) -> "Controls":
        """With the campaign held at the shop or at every one. A new reason keeps the time of the first."""
        return self._about(changed(self.campaigns, campaign, shop, paused(reason, now), now), now)

    def with_campaign_resumed(self, campaign: str, shop: str, now: int) -> "Controls":
        """Held no longer, by an operator or by its brake, which is armed anew. For all shops those of single ones."""
        change = resumed(self._later(now))
        return self._about(changed_everywhere(self.campaigns, campaign, shop, change, now), now, frees=(campaign, shop))

    def with_campaign_paced(self, campaign: str, shop: str, interval: int, per_day: int, now: int) -> "Controls":
        """With this pace for the campaign; with none where both are 0, then for all shops those of single ones too."""
        change = changed if interval or per_day else changed_everywhere
        return self._about(
            change(self.campaigns, campaign, shop, paced(interval, per_day), now), now, frees=(campaign, shop)
        )

    def with_campaign_released(self, campaign: str, shop: str, now: int) -> "Controls":
        """With what waits in the held lane released. For all shops those of single ones too."""
        return self._about(
            changed_everywhere(self.campaigns, campaign, shop, released, now), now, frees=(campaign, shop)
        )

    def with_campaign_published(
        self,
        campaign: str,
        shop: str,
        rest: Hold | None,
        brake: Brake | None,
        now: int,
        *,
        usual: bool = False,
        anew: bool = False,
    ) -> "Controls":
        """With what a publisher orders about its campaign: what holds the rest of it, and its brake."""
        campaigns = changed(self.campaigns, campaign, shop, held_back(rest), now)
        if brake is not None:
            general = self.campaigns.get((campaign, EVERY_SHOP))
            change = with_brake(
                replace(brake, armed=self._later(now)),
                instead=general.brake if general is not None else None,
                usual=usual,
                anew=anew,
            )
            # Shops that have one of their own, since it has stopped them before, follow.
            own = {key for key, order in campaigns.items() if key[0] == campaign and order.brake is not None}
            for of in {shop, *(of for _, of in own if shop == EVERY_SHOP)}:
                campaigns = changed(campaigns, campaign, of, change, now)
        return self._about(campaigns, now)

    def with_campaign_braked(self, campaign: str, shop: str, armed: int, reason: str, now: int) -> "Controls | None":
        """With the campaign held by its brake; None where that was armed anew meanwhile, or it is held already."""
        order = self.order_about(campaign, shop)
        if order is None or order.hold is not None or order.brake is None or order.brake.armed != armed:
            return None
        return self._about(changed(self.campaigns, campaign, shop, braked(order.brake, reason, now), now), now)

    def with_lanes(self, lanes: Collection[ShopLane], now: int, *, are_all: bool) -> "Controls":
        """With these lanes listed too; ``are_all``: RabbitMQ has no others than those that are listed then."""
        listed = replace(self, lanes=self.lanes | frozenset(lanes), all_lanes=self.all_lanes or are_all)
        return self if listed == self else listed._next(now)

    def with_order(self, origin: Origin, action: str, now: int, *, shop: str, campaign: str, detail: str) -> "Controls":
        """With the order that has made this version as the latest."""
        order = Order(self.version, now, origin.by, action, shop, campaign, origin.reason, detail)
        return replace(self, latest=(order, *self.latest)[:MOST_LATEST])

    def with_list(self, shop: str, addresses: int, number: int, key: bytes) -> "Controls":
        """With so many addresses on the shop's list since that change; no order, and so no new version."""
        old = self.suppression
        lists = {**old.lists, shop: SuppressionList(addresses, number)}
        return replace(self, suppression=Suppression(max(old.number, number), key, lists))

    def unchanged(self, now: int) -> "Controls":
        """With the same orders in force. Yet the version is another one: workers are to hear what somebody has done."""
        return self._next(now)

    def _about(self, campaigns: Campaigns, now: int, *, frees: tuple[str, str] | None = None) -> "Controls":
        # What was to wait until now goes too. Of a campaign that is held besides nothing may go: workers would turn the
        # lane over in vain, and whoever resumes it meanwhile would have its jobs called from the middle on.
        ended = [
            shop
            for (campaign, shop), order in self.campaigns.items()
            if order.rest is not None and order.rest.until <= now and not self.is_held(campaign, shop)
        ]
        ordered = self._next(now, campaigns=campaigns)
        if frees is not None and not ordered.is_held(*frees):
            ended.append(frees[1])
        return ordered._freeing(ended)

    def _freeing(self, shops: Iterable[str]) -> "Controls":
        freed = dict(self.freed)
        for shop in shops:
            freed[shop] = self.version
            # Beyond so many shops, the lanes of all are looked through once more than they must be.
            if shop == EVERY_SHOP or len(freed) > MOST_FREED:
                freed = {EVERY_SHOP: self.version}
        return replace(self, freed=freed)

    def _next(
        self,
        now: int,
        *,
        pauses: Mapping[str, Pause] | None = None,
        cancelled: Mapping[tuple[str, str], int] | None = None,
        limits: Mapping[str, RateLimit] | None = None,
        campaigns: Campaigns | None = None,
    ) -> "Controls":
        # A time as version: whatever version a worker remembers, it sees the orders that follow after a store has lost
        # its data. Orders that have ended are dropped here, so that they stay few.
        return replace(
            self,
            version=self._later(now),
            pauses=self.pauses if pauses is None else pauses,
            cancelled={
                key: until for key, until in (self.cancelled if cancelled is None else cancelled).items() if until > now
            },
            limits={
                shop: limit for shop, limit in (self.limits if limits is None else limits).items() if limit.until > now
            },
            campaigns=self.campaigns if campaigns is None else campaigns,
        )

    def _later(self, now: int) -> int:
        return max(now, self.version + 1)
