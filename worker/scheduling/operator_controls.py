"""What operators have stopped, as a consumer hears of it: shops paused or slowed, campaigns cancelled.

Runs on the consumer's thread. The store's answer comes on the store's thread and waits in a deque until it is taken.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from worker.clock import Clock
from worker.errors import DamagedOrdersError, StoreError
from worker.instants import from_datetime
from worker.limits.token_bucket import ShopLimits
from worker.model.campaign_orders import CampaignOrder, HoldKind
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.job import Job, is_expired
from worker.model.lanes import Lane
from worker.model.orders import Order
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import FOREVER
from worker.shops.config import ShopConfig
from worker.store.braking import Braking
from worker.store.controls import ControlsReader

MOST_KEPT = 10_000
"""Campaigns of shops of which a process keeps what is ordered: producers choose their names."""


class OperatorControls:
    """Asks the store what has changed, without waiting for it.

    ``wake`` is called from the store's thread when there is an answer to take. ``controls`` is None until the store
    has answered for the first time: until then nobody knows what is paused, so no call may start.
    """

    def __init__(self, store: ControlsReader, clock: Clock, wake: Callable[[], None]) -> None:
        self.controls: Controls | None = None
        self.as_of = 0
        """The answer in force covers everything that was ordered before then (microseconds of the process's clock)."""
        self.generation = 0
        """The store's generation when that answer was asked for."""
        self.next_deadline = FOREVER
        """When the next of the jobs that were checked expires, by the wall clock (microseconds)."""
        self.cancellations = 0
        """How often the set of cancelled campaigns has changed since the first answer."""
        self._store = store
        self._clock = clock
        self._wake = wake
        self._answers: deque[tuple[int, int, Controls | StoreError | None]] = deque()
        self._asked = False
        self._asking = False
        self._awaited = False
        self._failed = False
        self._lowered: dict[str, tuple[ShopLimits, int, ShopLimits]] = {}
        self._heard: int | None = None
        self._braked = False
        self._starts: list[tuple[str, int]] = []
        """Where jobs are let go by themselves, and when: not those of a campaign that is held besides."""
        self._orders: dict[tuple[str, str], CampaignOrder | None] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}

    @property
    def has_news(self) -> bool:
        """Whether :meth:`take` has something, or there is something to ask for."""
        return bool(self._answers) or self._braked

    def refresh(self, now: int, *, awaited: bool = False) -> None:
        """Ask for what is new, unless an answer is still to come.

        With ``awaited`` an answer is reported even where nothing is new, since jobs wait for it.
        """
        self._awaited = self._awaited or awaited
        if self._asked:
            return
        self._asked = True
        generation = self._store.generation
        # A store that may have lost its data is asked for all that it has, whatever its version.
        known = self.controls is not None and generation == self.generation
        version = self.controls.version if self.controls is not None and known else -1
        # The memory store answers inside this call; the loop takes that answer next, so nobody needs to be woken.
        self._asking = True
        self._store.watch(version, lambda news: self._hear(now, generation, news))
        self._asking = False

    def take(self) -> Iterator[Controls | StoreError | None]:
        """The answers: an error, new controls (in force here from now on), or None: nothing new, the store is there."""
        if self._braked:
            self._braked = False
            self.refresh(self._clock.now())
        while self._answers:
            asked_at, generation, news = self._answers.popleft()
            self._awaited = False
            self._failed = isinstance(news, StoreError)
            if not self._failed and generation != self._store.generation:
                # Nobody is called before an answer that was asked for since.
                self.refresh(self._clock.now())
            if not self._failed or isinstance(news, DamagedOrdersError):
                # While orders can't be read none is taken, so the last ones that were read are all that there are.
                self.as_of = asked_at
            if isinstance(news, Controls):
                # Not until when: by the process's clock, each answer has another time for the same.
                if self.controls is not None and self.controls.cancelled.keys() != news.cancelled.keys():
                    self.cancellations += 1
                self.controls = news
                self.generation = generation
                self._starts = [
                    (shop, order.rest.until)
                    for (campaign, shop), order in news.campaigns.items()
                    if order.rest is not None and not news.is_held(campaign, shop)
                ]
                self._orders.clear()
                self._lanes.clear()
            yield news

    def new_orders(self) -> list[Order]:
        """The orders given since this was last asked, the oldest first; none at first, however many were given before.

        Of many at once only the latest are known here: :data:`worker.model.orders.MOST_LATEST`.
        """
        latest = self.controls.latest if self.controls is not None else ()
        heard, self._heard = self._heard, max([self._heard or 0, *(order.number for order in latest)])
        return [order for order in reversed(latest) if heard is not None and order.number > heard]

    def is_paused(self, shop: str) -> bool:
        """Whether the shop may not be called."""
        return self.controls is not None and self.controls.pause_of(shop) is not None

    def limited(self, now: int) -> Iterator[str]:
        """The shops whose rate is lowered."""
        if self.controls is not None:
            yield from (shop for shop, limit in self.controls.limits.items() if limit.until > now)

    def limits_in_force(self, shop: ShopConfig, now: int) -> ShopLimits:
        """The shops file's limits, or lowered ones. The same object for as long as they are the same."""
        if self.controls is None or not self.controls.limits:
            return shop.limits
        limit = self.controls.limit_of(shop.slug, now)
        if limit is None:
            return shop.limits
        # Kept, so that callers can tell by identity whether a job's limits are still those in force.
        of, interval, lowered = self._lowered.get(shop.slug, (None, 0, shop.limits))
        if of is not shop.limits or interval != limit.interval:
            lowered = shop.limits.lowered(limit.interval)
            self._lowered[shop.slug] = shop.limits, limit.interval, lowered
        return lowered

    @property
    def has_campaigns(self) -> bool:
        """Whether anything is ordered about any campaign."""
        return self.controls is not None and bool(self.controls.campaigns)

    def held_campaigns(self, now: int) -> Counter[HoldKind]:
        """How many campaigns are held, each once for a shop or for all, by why."""
        orders = self.controls.campaigns.values() if self.controls is not None else ()
        holds = (order.held(now, aside=True) for order in orders)
        return Counter(hold.kind for hold in holds if hold is not None)

    def freed(self, shop: str | None, now: int) -> int:
        """When a held job of the shop, None: of any, was last let go, by an order or by its time (microseconds of the
        wall clock).
        """
        if self.controls is None:
            return 0
        ahead = self._clock.ahead()
        ordered = self.controls.freed_at(shop) if shop is not None else max(self.controls.freed.values(), default=0)
        meant = None if shop is None else {shop, EVERY_SHOP}
        ended = (until + ahead for of, until in self._starts if until <= now and (meant is None or of in meant))
        return max(ordered, *ended, 0)

    def next_freed(self, now: int) -> int | None:
        """When the next job that is held is let go by its time; None for none."""
        return min((until for _, until in self._starts if now < until < FOREVER), default=None)

    def order_about(self, job: Job) -> CampaignOrder | None:
        """What is ordered about the job's campaign at its shop, None for nothing."""
        controls = self.controls
        if controls is None or not controls.campaigns:
            return None
        # Asked several times for each job, of few campaigns.
        key = job.campaign, job.shop
        try:
            return self._orders[key]
        except KeyError:
            if len(self._orders) >= MOST_KEPT:
                self._orders.clear()
            order = self._orders[key] = controls.order_about(job.campaign, job.shop)
            return order

    def lane_of_pace(self, job: Job) -> Lane:
        """Where the job waits while it is over its campaign's pace."""
        assert self.controls is not None
        key = job.campaign, job.shop
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= MOST_KEPT:
                self._lanes.clear()
            lane = self._lanes[key] = self.controls.lane_of_pace(*key)
        return lane

    def holds_all(self, job: Job) -> bool:
        """Whether every job of its campaign is held, so that nothing may be asked of its shop for any."""
        order = self.order_about(job)
        return order is not None and order.hold is not None

    def braking_of(self, job: Job) -> Braking | None:
        """The brake for which the job's result counts."""
        order = self.order_about(job)
        brake = order.brake if order is not None else None
        return Braking(brake, self._hear_of_a_brake) if brake is not None and brake.trips else None

    def uncalled_as(self, job: Job, now: int) -> Literal["expired", "cancelled"] | None:
        """How the job ends without a call, if it does; deadlines are compared with the wall clock."""
        controls = self.controls
        if controls is not None and controls.cancelled and controls.is_cancelled(job.campaign, job.shop, now):
            return "cancelled"
        if job.not_after is None:
            return None
        if is_expired(job, now + self._clock.ahead()):
            return "expired"
        self.next_deadline = min(self.next_deadline, from_datetime(job.not_after))
        return None

    def mark_uncalled(self, delivery: Delivery, now: int) -> bool:
        """Note on a job that was to be called that it ends without a call, if it does; whether it does."""
        uncalled = self.uncalled_as(delivery.job, now)
        if uncalled is not None:
            delivery.request = replace(delivery.request, uncalled=uncalled)
        return uncalled is not None

    def is_surely_cancelled(self, delivery: Delivery, now: int) -> bool:
        """Whether the job's campaign is cancelled by an answer that was asked for after the job had come.

        A job that came later was perhaps published because its campaign is cancelled no longer. The ledger could not
        tell: for it, a second copy of what ended as cancelled is done.
        """
        return self.uncalled_as(delivery.job, now) == "cancelled" and delivery.arrived_at <= self.as_of

    def _hear_of_a_brake(self) -> None:
        # On the store's thread, or in the midst of settling. Whoever settles a result of a campaign hears of it at once
        # and not within a second: that many fewer calls are made.
        self._braked = True
        self._wake()

    def _hear(self, asked_at: int, generation: int, news: Controls | StoreError | None) -> None:
        # On the store's thread, or in the midst of `refresh` where the store answers at once.
        self._asked = False
        # Mostly nothing has changed, and then nobody needs to be woken for it.
        if news is not None or self._failed or self._awaited or generation != self._store.generation:
            self._answers.append((asked_at, generation, news))
            if not self._asking:
                self._wake()
        else:
            self.as_of = asked_at
