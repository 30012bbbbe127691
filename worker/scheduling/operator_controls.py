"""What an operator has ordered, as a consumer hears of it: shops paused or slowed, campaigns called off."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from worker.errors import StoreError
from worker.instants import from_datetime
from worker.limits.token_bucket import ShopLimits
from worker.model.controls import Controls
from worker.model.job import Job, is_expired
from worker.scheduling.gate import FOREVER
from worker.shops.config import ShopConfig
from worker.store.protocol import ControlsReader


class OperatorControls:
    """Asks the store what has changed, without waiting for it. For the consumer's thread, all but ``wake``.

    ``wake`` is called when there is something to take, from the store's thread or, where it answers at once, by
    :meth:`look` itself. ``controls`` is None until the store has answered first: nobody knows yet what is paused.
    """

    def __init__(self, store: ControlsReader, wake: Callable[[], None]) -> None:
        self.controls: Controls | None = None
        self.as_of = 0
        """What was ordered before then is known; by the process's clock, in microseconds."""
        self.next_deadline = FOREVER
        """When the next of the jobs asked about expires, by the wall clock."""
        self._store = store
        self._wake = wake
        self._heard: deque[tuple[int, Controls | StoreError | None]] = deque()
        self._looking = False
        self._awaited = False
        self._failed = False
        self._lowered: dict[str, tuple[ShopLimits, int, ShopLimits]] = {}

    @property
    def has_news(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._heard)

    def look(self, now: int, *, awaited: bool = False) -> None:
        """Ask for what is new, unless an answer is still to come. Who awaits it is woken though nothing is new."""
        self._awaited = self._awaited or awaited
        if self._looking:
            return
        self._looking = True
        version = self.controls.version if self.controls is not None else -1
        self._store.watch(version, lambda news: self._hear(now, news))

    def take(self) -> Iterator[Controls | StoreError | None]:
        """What was answered: an error, new orders (already in force here), or that the store is there again."""
        while self._heard:
            asked_at, news = self._heard.popleft()
            self._awaited = False
            self._failed = isinstance(news, StoreError)
            if not self._failed:
                self.as_of = asked_at
            if isinstance(news, Controls):
                self.controls = news
            yield news

    def is_paused(self, shop: str) -> bool:
        """Whether the shop may not be called."""
        return self.controls is not None and self.controls.pause_of(shop) is not None

    def limited(self, now: int) -> Iterator[str]:
        """The shops whose rate is lowered."""
        if self.controls is not None:
            yield from (shop for shop, limit in self.controls.limits.items() if limit.until > now)

    def limits_of(self, shop: ShopConfig, now: int) -> ShopLimits:
        """The limits in force: the shops file's, or lowered. The same object for as long as they are the same."""
        if self.controls is None or not self.controls.limits:
            return shop.limits
        limit = self.controls.limit_of(shop.slug, now)
        if limit is None:
            return shop.limits
        of, interval, lowered = self._lowered.get(shop.slug, (None, 0, shop.limits))
        if of is not shop.limits or interval != limit.interval:
            lowered = shop.limits.lowered(limit.interval)
            self._lowered[shop.slug] = shop.limits, limit.interval, lowered
        return lowered

    def uncalled_as(self, job: Job, now: int, ahead: int) -> Literal["expired", "cancelled"] | None:
        """How the job ends without a call, if it does; the wall clock is ``ahead`` of ``now``."""
        controls = self.controls
        if controls is not None and controls.cancelled and controls.is_cancelled(job.campaign, job.shop, now):
            return "cancelled"
        if job.not_after is None:
            return None
        if is_expired(job, now + ahead):
            return "expired"
        self.next_deadline = min(self.next_deadline, from_datetime(job.not_after))
        return None

    def _hear(self, asked_at: int, news: Controls | StoreError | None) -> None:
        self._looking = False
        # Mostly nothing has changed, and then nobody is to be woken for it.
        if news is not None or self._failed or self._awaited:
            self._heard.append((asked_at, news))
            self._wake()
        else:
            self.as_of = asked_at
