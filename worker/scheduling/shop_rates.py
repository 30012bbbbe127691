"""How fast each shop may be called: by the shops file, by an operator's limit, or by the pace that its 429s enforce.

Runs on the consumer's thread.
"""

from typing import Any

import structlog

from worker.instants import SECOND
from worker.limits.adaptive import Slowdown, pace
from worker.limits.token_bucket import ShopLimits
from worker.scheduling.context import Context
from worker.scheduling.gate import Gate
from worker.scheduling.gauges import Gauges
from worker.scheduling.grants import Grants
from worker.scheduling.operator_controls import OperatorControls

log = structlog.get_logger(__name__)


class ShopRates:
    """Follows all three and shows the slowest as the shop's rate."""

    def __init__(
        self,
        context: Context,
        gate: Gate[Any],
        gauges: Gauges,
        controls: OperatorControls,
        grants: Grants[Any],
    ) -> None:
        self._context = context
        self._gate = gate
        self._gauges = gauges
        self._controls = controls
        self._grants = grants
        self._fallen: dict[str, Slowdown] = {}
        self._limited: dict[str, ShopLimits] = {}

    def limits_in_force(self, shop: str, now: int) -> ShopLimits | None:
        """The limits in force, the same object for as long as they are the same; None for a shop that is gone."""
        config = self._context.shops.get(shop)
        return self._controls.limits_in_force(config, now) if config is not None else None

    def pace_reported(self, shop: str, interval: int, full: int, now: int) -> None:
        """The store has the shop's calls ``interval`` microseconds apart; by its limits alone it would be ``full``."""
        if interval > full or shop in self._fallen:
            self._show(shop, Slowdown(interval, now), now)

    def follow(self, now: int) -> None:
        """Once a second: a lowered pace climbs back by itself, and limits end, also while no job asks."""
        for shop, slowdown in list(self._fallen.items()):
            self._show(shop, slowdown, now)
        self.apply_limits(now)

    def start_anew(self, now: int) -> None:
        """The shops file has changed: compare all limits with it again."""
        self._limited = {}
        self.apply_limits(now)

    def apply_limits(self, now: int) -> None:
        """Put operators' limits into force, and their ends."""
        limited = {}
        for shop in self._controls.limited(now):
            config = self._context.shops.get(shop)
            if config is not None and (limits := self._controls.limits_in_force(config, now)) is not config.limits:
                limited[shop] = limits
        before, self._limited = self._limited, limited
        for shop in before.keys() | limited.keys():
            if before.get(shop) is limited.get(shop):
                continue
            if shop in limited:
                log.warning("shop_limited", shop=shop, calls_per_second=SECOND / limited[shop].shop.interval)
            else:
                log.info("shop_not_limited", shop=shop)
            # Grants ahead of their time, and the time at which the shop asks again, are by the former rate.
            self._grants.release_shop(shop)
            self._gate.open(shop, "rate")
            self._show(shop, self._fallen.get(shop, Slowdown()), now)

    def _show(self, shop: str, slowdown: Slowdown, now: int) -> None:
        # It climbs back by itself while nobody asks; at full pace there is nothing left to follow.
        config = self._context.shops.get(shop)
        full = self._controls.limits_in_force(config, now).shop.interval if config is not None else slowdown.interval
        interval = pace(slowdown, now, full)
        self._fallen[shop] = slowdown
        self._gauges.pace(shop, interval)
        if interval <= full:
            del self._fallen[shop]
            if shop not in self._limited:
                self._gauges.pace(shop, None)
        self._context.metrics.show_effective_rate(shop, SECOND / interval)
