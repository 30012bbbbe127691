"""Keeps jobs from asking for a call outside of their windows, and shops closed outside of theirs.

Runs on the consumer's thread. Windows go by the wall clock, which may be corrected, so they are looked at again each
second. The dispatcher looks too, at the last moment.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from worker.model.windows import both
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.openings import Openings
from worker.shops.config import ListedShop


class Windows:
    """Answers in the steady time of the context's clock.

    A shop whose channels all keep to its window is closed as a whole; its jobs stay where they are. Jobs of another one
    wait aside, since its other channels' jobs may be called at any time.
    """

    def __init__(self, context: Context, gate: Gate[Any]) -> None:
        self._shops = context.shops
        self._clock = context.clock
        self._gate = gate
        self._closed: set[str] = set()
        self._openings = Openings()
        self._with_window: tuple[ListedShop, ...] = ()
        self._version = 0
        self.any = True
        """Whether a shop has one, as far as is known. If not, only jobs with windows of their own need be looked at."""

    def opens_at(self, delivery: Delivery, now: int) -> int:
        """When the job may be called by its window; ``now`` if it may be already."""
        shop = self._shops.get(delivery.shop)
        window = shop.window_of(delivery.job) if shop is not None else None
        if window is None:
            return now
        wall = now + self._clock.ahead()
        return now + window.opens_at(wall) - wall

    def expect(self, shop: str, opens_at: int) -> None:
        """Jobs of the shop wait aside until then."""
        self._openings.expect(shop, opens_at + self._clock.ahead())

    def opened(self, shop: str, now: int) -> int:
        """When jobs of the shop that wait aside could go last, by the wall clock; 0 if none could yet."""
        return self._openings.last(shop, now + self._clock.ahead())

    def next_opening(self, shop: str) -> int:
        """When the next of them may go, as far as is known here; :data:`FOREVER` for never."""
        opening = self._openings.next(shop)
        return opening - self._clock.ahead() if opening is not None else FOREVER

    def close_whole(self, shop: str, now: int) -> bool:
        """Close the shop at the gate if it is outside of a window that all its channels keep to."""
        opens_at = self._whole_opens_at(shop, now)
        if opens_at <= now:
            return False
        self._closed.add(shop)
        self._gate.close(shop, opens_at, "window")
        return True

    def follow(self, now: int) -> bool:
        """Once a second: open and close again what the wall clock, or the shops file, has changed.

        Returns whether a window has opened since the last time, for jobs that wait aside.
        """
        if self._version != self._shops.version:
            for slug in self._read_shops():
                self.expect(slug, now)
        for shop in tuple(self._closed):
            opens_at = self._whole_opens_at(shop, now)
            if opens_at != self._gate.reasons(shop).get("window"):
                self._gate.open(shop, "window")
                self._closed.discard(shop)
                self.close_whole(shop, now)
        return self._openings.pass_due(now + self._clock.ahead())

    def outside(self, now: int) -> Iterator[str]:
        """The shops that are outside of their own window, whether some of their channels may be called or not."""
        if self._with_window:
            wall = now + self._clock.ahead()
            for shop in self._with_window:
                window = both(shop.window, None)
                if window is not None and not window.is_open(wall):
                    yield shop.slug

    def _read_shops(self) -> set[str]:
        # The shops whose hours have changed since the last time.
        every = [shop for slug in self._shops.slugs() if (shop := self._shops.get(slug)) is not None]
        before, self._with_window = self._with_window, tuple(shop for shop in every if shop.window is not None)
        first, self._version, self.any = not self._version, self._shops.version, bool(self._with_window)
        return set() if first else {slug for slug, _, _ in _hours(before) ^ _hours(self._with_window)}

    def _whole_opens_at(self, slug: str, now: int) -> int:
        shop = self._shops.get(slug)
        window = both(shop.window, None) if shop is not None and shop.keeps_all_hours else None
        if window is None:
            return now
        wall = now + self._clock.ahead()
        return now + window.opens_at(wall) - wall


def _hours(shops: Iterable[ListedShop]) -> set[tuple[str, str | None, tuple[str, ...]]]:
    return {(shop.slug, shop.window, shop.window_channels) for shop in shops}
