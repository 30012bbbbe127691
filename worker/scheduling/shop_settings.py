"""Puts into force what the shops file and the operators say of each shop.

Runs on the consumer's thread, once a second and whenever the store reports new operator controls.
"""

from collections.abc import Callable
from typing import Any

import structlog

from worker.instants import SECOND
from worker.scheduling.breakers import Breakers
from worker.scheduling.context import Context
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.grants import Grants
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.shop_rates import ShopRates
from worker.scheduling.suppression import SuppressionGuard
from worker.shops.credentials import ReadyToken

log = structlog.get_logger(__name__)


class ShopSettings:
    """Keeps the gate in step with both. ``hurry`` asks for the loop's housekeeping at its next turn."""

    def __init__(
        self,
        context: Context,
        gate: Gate[Any],
        grants: Grants[Any],
        controls: OperatorControls,
        suppression: SuppressionGuard,
        rates: ShopRates,
        breakers: Breakers,
        *,
        hurry: Callable[[], None],
    ) -> None:
        self._context = context
        self._gate = gate
        self._grants = grants
        self._controls = controls
        self._suppression = suppression
        self._rates = rates
        self._breakers = breakers
        self._hurry = hurry
        self._called_by: dict[str, tuple[str, str, str]] = {}
        self._cancellations = 0

    def read_shops(self) -> None:
        """Take over what the shops file says now."""
        context = self._context
        shops = {slug: shop for slug in context.shops.slugs() if (shop := context.shops.get(slug)) is not None}
        context.metrics.declare_shops({slug: SECOND / shop.limits.shop.interval for slug, shop in shops.items()})
        # A shop that has left the file keeps its state in the gate: its jobs in hand still have to go somewhere.
        for slug, shop in shops.items():
            self._gate.configure(slug, weight=shop.weight, max_in_flight=shop.max_in_flight)
            if isinstance(shop.credential, ReadyToken) and shop.credential.expires_at is not None:
                context.metrics.show_credential(slug, shop.credential.expires_at)
            called_by = (shop.credential.fingerprint, shop.base_url, shop.api_version)
            if self._called_by.setdefault(slug, called_by) != called_by:
                # A new token, URL or version may well be the fix that a halted shop waits for.
                self._called_by[slug] = called_by
                self._breakers.start_anew(slug)
        self._apply_pauses()
        self._rates.start_anew(context.clock.now())

    def follow(self, now: int) -> None:
        """Once a second: read the shops file if it has changed, and find jobs whose deadline has passed."""
        if self._context.shops.refresh():
            self.read_shops()
        if now + self._context.clock.ahead() > self._controls.next_deadline:
            self._find_uncalled(now)

    def apply_controls(self, now: int) -> None:
        """New operator controls are in force: pause, resume and limit shops, and find jobs that are cancelled now."""
        for order in self._controls.new_orders():
            self._context.metrics.show_order(order.action, order.shop, order.at + self._context.clock.ahead())
            # Who it was is mostly user@host, which the log would mask as a customer's address.
            by = order.by.replace("@", " at ")
            log.info("operator_order", action=order.action, by=by, **order.details())
        self._apply_pauses()
        self._rates.apply_limits(now)
        controls = self._controls.controls
        if controls is not None:
            self._suppression.store_has(controls.suppression, self._controls.generation)
            self._context.metrics.suppressed_addresses.set(controls.suppression.addresses)
        if controls is not None and self._controls.cancellations != self._cancellations:
            self._cancellations = self._controls.cancellations
            log.info("cancelled_campaigns_changed", campaigns=len(controls.cancelled))
            # Closed shops' queues may hold jobs of the campaign; the port looks into them.
            self._hurry()
        self._find_uncalled(now)

    def _find_uncalled(self, now: int) -> None:
        # A job that waits here for its shop to open, and has expired or was cancelled meanwhile, waits no longer.
        self._controls.next_deadline = FOREVER
        controls = self._controls
        shops = {held.shop for held in self._gate.held() if not held.uncalled and controls.mark_uncalled(held, now)}
        for shop in shops:
            self._gate.regroup(shop)

    def _apply_pauses(self) -> None:
        for shop in self._context.shops.slugs():
            paused = self._controls.is_paused(shop)
            if paused == ("paused" in self._gate.reasons(shop)):
                continue
            if paused:
                log.warning("shop_paused", shop=shop)
                self._gate.close(shop, FOREVER, "paused")
                self._grants.release_shop(shop)
            else:
                log.info("shop_resumed", shop=shop)
                self._gate.open(shop, "paused")
