"""Keeps jobs of held campaigns from being called, and out of the way of others.

A job that is met in bulk or urgent while its campaign is held is moved to the shop's held lane: a copy is published
there, and once that is confirmed its message is acknowledged. In the held lane a job that is still held goes to the
lane's end, with a note of which orders it was looked at under. One that was looked at under the present ones already
says that nothing behind it may go either: it waits here, and with it its lane, until an order lets any job go.

Runs on the consumer's thread.
"""

from collections import Counter
from dataclasses import replace
from typing import Generic, get_args

from worker.model.campaign_orders import HoldKind
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.grants import Grants
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.pace_lines import PaceLines
from worker.scheduling.port import Port
from worker.store.protocol import CampaignPace, Wait


class Holds(Generic[D]):
    """What the orders about campaigns mean for the jobs in hand."""

    def __init__(
        self, context: Context, gate: Gate[D], grants: Grants[D], controls: OperatorControls, port: Port[D]
    ) -> None:
        self._context = context
        self._gate = gate
        self._grants = grants
        self._controls = controls
        self._port = port
        self._lines = PaceLines()
        self._freed = 0
        self._kinds: Counter[HoldKind] = Counter()

    def is_held(self, delivery: D, now: int) -> bool:
        """Whether the job may not be called, as far as is known; one that ends without a call may end."""
        if delivery.uncalled:
            return False
        order = self._controls.order_about(delivery.job)
        if order is None:
            return False
        if order.held(now, aside=delivery.lane == "held") is not None:
            return True
        return order.paced and self._lines.closed_until((delivery.shop, delivery.job.campaign)) > now

    def keeps(self, delivery: D, now: int) -> bool:
        """Whether the job, which the gate has just handed out, must not ask; then it is dealt with here.

        One that may ask is given the pace of its campaign, if there is one.
        """
        order = self._controls.order_about(delivery.job)
        if order is None:
            if delivery.request.pace is not None:
                delivery.request = replace(delivery.request, pace=None)
            return False
        if self.is_held(delivery, now):
            self._keep(delivery, now)
            return True
        if not order.paced:
            return False
        if not self._lines.enters((delivery.shop, delivery.job.campaign), delivery.job_id, now):
            self._keep(delivery, now)
            return True
        earlier = delivery.request.pace
        place = earlier.place if earlier is not None else None
        pace = CampaignPace(order.interval, order.per_day, place)
        delivery.request = replace(delivery.request, pace=pace)
        return False

    def put_off(self, delivery: D, now: int, wait: Wait) -> None:
        """The job's campaign is over its pace: it waits for its place in memory, or where it is out of the way."""
        assert delivery.request.pace is not None
        key = delivery.shop, delivery.job.campaign
        if not self._lines.waits(key, delivery.job_id, now, wait.until):
            self._keep(delivery, now)
            return
        delivery.request = replace(delivery.request, pace=replace(delivery.request.pace, place=wait.place))
        if not self._gate.set_aside(delivery, now, wait.until):
            self._lines.leaves(key, delivery.job_id)
            self._move(delivery, now)

    def leaves(self, delivery: D) -> None:
        """The job has its call, or needs none: another one of its campaign may ask."""
        if delivery.request.pace is not None:
            self._lines.leaves((delivery.shop, delivery.job.campaign), delivery.job_id)
            self._gate.let_go()

    def follow(self, now: int) -> None:
        """New orders are in force, or a second has passed: what was granted and is held now is not called, and what
        waits here is looked at again if anything was let go.
        """
        if self._controls.has_campaigns:
            self._grants.release_those(lambda delivery: self.is_held(delivery, now))
        freed = self._free_since(None, now)
        if freed != self._freed:
            self._freed = freed
            self._gate.let_go()
        kinds = self._controls.held_campaigns(now)
        if kinds != self._kinds:
            self._kinds = kinds
            for kind in get_args(HoldKind):
                self._context.metrics.campaigns_held.labels(kind).set(kinds[kind])

    def opens_at(self, now: int) -> int | None:
        """When the next of what is held here, or by a pace's day, may go by itself; None for nothing."""
        times = self._controls.next_freed(now), self._lines.opens_at(now)
        return min((at for at in times if at is not None), default=None)

    def _free_since(self, shop: str | None, now: int) -> int:
        opened = self._lines.opened(now)
        return max(self._controls.freed(shop, now), opened + self._context.clock.ahead() if opened else 0)

    def _keep(self, delivery: D, now: int) -> None:
        if delivery.lane == "held" and delivery.looked_at >= self._free_since(delivery.shop, now):
            self._gate.keep_apart(delivery)
        else:
            self._gate.passed_over(delivery)
            self._move(delivery, now)

    def _move(self, delivery: D, now: int) -> None:
        # It has left the gate.
        delivery.looked_at = self._free_since(delivery.shop, now)
        self._context.metrics.held_moves.inc()
        self._port.move(delivery, "held")
