"""What an operator has ordered, in the memory of a single process."""

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from worker.clock import Clock
from worker.errors import StoreError
from worker.model.campaign_orders import Brake, Hold
from worker.model.controls import Controls
from worker.model.lanes import ShopLane
from worker.model.names import canonical
from worker.model.orders import MOST_ORDERS, Order, Origin, limit_text, pace_text
from worker.store.braking import Braking
from worker.store.timing import BRAKE_KEPT, CANCELLED_FOR


class MemoryControls:
    """The orders in force. Each change replaces them as a whole, so that a reader needs no lock."""

    generation = 0
    """Nothing is lost but with the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changing = threading.Lock()
        self._controls = Controls()
        self._log: deque[Order] = deque(maxlen=MOST_ORDERS)

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.controls.ControlsReader` says; replies at once, on the caller's thread."""
        # Read once: another thread may replace it between the comparison and the reply.
        controls = self._controls
        reply(None if controls.version == known else controls)

    def controls(self) -> Controls:
        return self._controls

    def add_lanes(
        self,
        lanes: Collection[ShopLane],
        *,
        are_all: bool = False,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        with self._changing:
            self._controls = self._controls.with_lanes(lanes, self._clock.now(), are_all=are_all)
        if done is not None:
            done(None)

    def pause(self, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "pause", lambda old, now: old.with_pause(shop, origin.reason, now), shop=shop)

    def resume(self, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "resume", lambda old, now: old.without_pause(shop, now), shop=shop)

    def limit(self, shop: str, interval: int, until: int, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_limit(shop, interval, origin.reason, now, until)

        return self._order(origin, "limit", change, shop=shop, detail=limit_text(interval, until))

    def unlimit(self, shop: str, origin: Origin) -> Controls:
        return self._order(origin, "unlimit", lambda old, now: old.without_limit(shop, now), shop=shop)

    def cancel(self, campaign: str, shop: str, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_cancelled(campaign, shop, now, now + CANCELLED_FOR)

        return self._order(origin, "cancel", change, shop=shop, campaign=campaign)

    def restore(self, campaign: str, shop: str, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.without_cancelled(campaign, shop, now)

        return self._order(origin, "restore", change, shop=shop, campaign=campaign)

    def pause_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_campaign_paused(campaign, shop, origin.reason, now)

        return self._order(origin, "campaigns pause", change, shop=shop, campaign=campaign)

    def resume_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_campaign_resumed(campaign, shop, now)

        return self._order(origin, "campaigns resume", change, shop=shop, campaign=campaign)

    def pace_campaign(self, campaign: str, shop: str, interval: int, per_day: int, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_campaign_paced(campaign, shop, interval, per_day, now)

        detail = pace_text(interval, per_day)
        return self._order(origin, "campaigns pace", change, shop=shop, campaign=campaign, detail=detail)

    def release_campaign(self, campaign: str, shop: str, origin: Origin) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            return old.with_campaign_released(campaign, shop, now)

        return self._order(origin, "campaigns release", change, shop=shop, campaign=campaign)

    def publish_campaign(
        self,
        campaign: str,
        shop: str,
        origin: Origin,
        *,
        rest: Hold | None,
        brake: Brake | None,
        detail: str,
        usual: bool = False,
        anew: bool = False,
    ) -> Controls:
        def change(old: Controls, now: int) -> Controls:
            held = replace(rest, reason=origin.reason, since=now) if rest is not None else None
            armed = replace(brake, until=now + BRAKE_KEPT) if brake is not None else None
            return old.with_campaign_published(campaign, shop, held, armed, now, usual=usual, anew=anew)

        return self._order(origin, "publish", change, shop=shop, campaign=campaign, detail=detail)

    def brake_campaign(self, campaign: str, shop: str, braking: Braking, reason: str) -> None:
        """Hold the campaign, whose brake was tripped, unless it is held already or its brake was armed anew."""
        name, brake = canonical(campaign) or "", braking.brake
        with self._changing:
            now = self._clock.now()
            changed = self._controls.with_campaign_braked(name, shop, brake.armed, reason, now)
            if changed is not None:
                self._note(changed, Origin("worker", reason), "brake", now, shop, name, str(brake))
        braking.held()

    def record(self, action: str, origin: Origin, *, shop: str = "", campaign: str = "", detail: str = "") -> Controls:
        return self._order(origin, action, Controls.unchanged, shop=shop, campaign=campaign, detail=detail)

    def orders(self) -> list[Order]:
        with self._changing:
            return list(self._log)

    def listed(self, shop: str, addresses: int, number: int, key: bytes) -> None:
        """The shop's list of suppressed addresses has so many since that change."""
        with self._changing:
            self._controls = self._controls.with_list(shop, addresses, number, key)

    def _order(
        self,
        origin: Origin,
        action: str,
        change: Callable[[Controls, int], Controls],
        *,
        shop: str,
        campaign: str = "",
        detail: str = "",
    ) -> Controls:
        # The time is read under the lock, so that versions, which are times, never go back.
        with self._changing:
            now = self._clock.now()
            self._note(change(self._controls, now), origin, action, now, shop, campaign, detail)
            return self._controls

    def _note(
        self, changed: Controls, origin: Origin, action: str, now: int, shop: str, campaign: str, detail: str
    ) -> None:
        self._controls = changed.with_order(origin, action, now, shop=shop, campaign=campaign, detail=detail)
        self._log.appendleft(self._controls.latest[0])
