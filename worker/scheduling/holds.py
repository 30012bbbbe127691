"""Keeps jobs of held campaigns, and those outside of their windows, from being called and out of the way of others.

A job that is met in bulk or urgent while it may not go is moved to the shop's held lane: a copy is published there, and
once that is confirmed its message is acknowledged. In the held lane a job that is still held goes to the lane's end,
with a note of when that was. One that was moved since the last order or opening of a window that let any job go says
that nothing behind it may go either: it waits here, and with it its lane, until the next one, or until the process
looks through its lanes all the same (:mod:`worker.scheduling.looks`).

A job that may go as soon as its campaign's pace allows it is moved to the campaign's paced lane, and waits there.

Runs on the consumer's thread.
"""

from collections import Counter
from dataclasses import replace
from typing import Generic, get_args

from worker.instants import SECOND, from_datetime
from worker.model.campaign_orders import CampaignOrder, HoldKind
from worker.model.lanes import ASIDE, PACED_LANES, Lane
from worker.model.names import campaign_key
from worker.scheduling.context import Context
from worker.scheduling.delivery import D, Delivery
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.grants import Grants
from worker.scheduling.looks import Looks
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.outcomes import Outcomes
from worker.scheduling.pace_lines import Line, PaceLines
from worker.scheduling.port import Port
from worker.scheduling.windows import Windows
from worker.store.protocol import CampaignPace, Wait


class Holds(Generic[D]):
    """What the orders about campaigns, and the windows, mean for the jobs in hand."""

    def __init__(
        self,
        context: Context,
        gate: Gate[D],
        grants: Grants[D],
        controls: OperatorControls,
        windows: Windows,
        outcomes: Outcomes[D],
        port: Port[D],
    ) -> None:
        self._context = context
        self._gate = gate
        self._grants = grants
        self._controls = controls
        self._windows = windows
        self._outcomes = outcomes
        self._port = port
        self._lines = PaceLines(max(1, context.prefetch // 2))
        self._looks = Looks(context.clock.now() + context.clock.ahead())
        self._freed: int | None = None
        self._kinds: Counter[HoldKind] = Counter()

    def is_held(self, delivery: D, now: int) -> bool:
        """Whether an order holds the job, as far as is known; one that ends without a call may end.

        Not for a day's pace: what has its call of the day may make it.
        """
        order = self._controls.order_about(delivery.job)
        return order is not None and not delivery.uncalled and _holds(order, delivery, now)

    def keeps(self, delivery: D, now: int) -> bool:
        """Whether the job, which the gate has just handed out, must not ask; then it is dealt with here.

        One that may ask is given the pace of its campaign, if there is one.
        """
        # Before its campaign's pace, of which it would take a place.
        if (self._windows.any or delivery.job.window is not None) and self._waits_for_its_window(delivery, now):
            return True
        order = self._controls.order_about(delivery.job)
        line = _line_of(delivery, order) if order is not None and order.paced else None
        earlier = delivery.request.pace
        if earlier is not None and (old := _line_of(delivery, earlier)) != line:
            # Under another pace the line begins anew, and the place that the job had counts for nothing.
            self._lines.leaves(old, delivery.job_id)
            delivery.request = replace(delivery.request, pace=None)
        if order is None:
            return False
        # One whose question was not answered may have been granted a call, of which its campaign has so many a day. If
        # it went elsewhere that call would be nobody's. So it asks the same question again.
        asks_again = delivery.unanswered
        closed = line is not None and self._lines.closed_until(line) > now
        if (closed or self.is_held(delivery, now)) and not asks_again:
            self._keep(delivery, now)
            return True
        if line is None:
            return False
        place = _place_of(delivery)
        rests_until = self._lines.rests_until(line) if place is None else 0
        turned_away = rests_until > now or not self._lines.enters(
            line, delivery.job_id, now, apart=delivery.lane in PACED_LANES
        )
        if turned_away and not asks_again:
            self._keep_from_the_way(delivery, now, rests_until if rests_until > now else FOREVER)
            return True
        pace = CampaignPace(order.interval, order.per_day, place)
        delivery.request = replace(delivery.request, pace=pace)
        return False

    def put_off(self, delivery: D, now: int, wait: Wait) -> None:
        """The job's campaign is over its pace: it waits for its place in memory, or where it is out of the way."""
        pace = delivery.request.pace
        assert pace is not None
        line = _line_of(delivery, pace)
        if wait.scope == "campaign_day":
            self._lines.close(line, delivery.job_id, wait.until)
            self._keep(delivery, now)
        elif wait.place is None:
            self._lines.rest(line, delivery.job_id, wait.until)
            self._keep_from_the_way(delivery, now, wait.until)
        else:
            self._lines.waits(line, delivery.job_id, wait.until)
            delivery.request = replace(delivery.request, pace=replace(pace, place=wait.place))
            self._gate.keep_apart(delivery, wait.until)

    def leaves(self, delivery: D) -> None:
        """The job has its call, or needs none: another one of its campaign may ask."""
        if delivery.lane == "held":
            self._looks.went()
        if delivery.request.pace is not None:
            line = _line_of(delivery, delivery.request.pace)
            self._lines.leaves(line, delivery.job_id)
            self._gate.let_go_first(delivery.shop, lambda other: self._may_enter(other, line))

    def follow(self, now: int) -> None:
        """New orders are in force, or a second has passed: what was granted and is held now is not called, and what
        waits here is looked at again if anything was let go, or is to be looked for.
        """
        wall = now + self._context.clock.ahead()
        if self._controls.has_campaigns:
            self._grants.release_those(lambda delivery: self.is_held(delivery, now))
        opened = self._windows.follow(now)
        freed = self._free_since(None, now)
        if opened or freed != self._freed:
            if opened or self._freed is not None:
                self._looks.follow_up(wall if opened else freed, wall)
            self._freed = freed if self._controls.controls is not None else None
            self._gate.let_go()
        elif self._looks.begin(wall, freed_at=self._freed_next(wall)):
            self._gate.let_go()
        kinds = self._controls.held_campaigns(now)
        if kinds != self._kinds:
            self._kinds = kinds
            for kind in get_args(HoldKind):
                self._context.metrics.campaigns_held.labels(kind).set(kinds[kind])

    def opens_at(self, now: int) -> int | None:
        """When the next of what is held here, or by a pace's day, may go by itself or is looked for; or None."""
        look_at = max(now + 1, self._looks.next_at - self._context.clock.ahead())
        times = self._controls.next_freed(now), self._lines.opens_at(now), look_at
        return min((at for at in times if at is not None), default=None)

    def _free_since(self, shop: str | None, now: int) -> int:
        opened, ahead = self._lines.opened(shop, now), self._context.clock.ahead()
        freed = max(self._controls.freed(shop, now), opened + ahead if opened else 0)
        # The store's clock may be ahead. A job that is moved now would seem to be moved before, again and again.
        return freed if freed <= now + ahead else 0

    def _freed_next(self, wall: int) -> int | None:
        freed = self._controls.next_freed(wall - self._context.clock.ahead())
        return freed + self._context.clock.ahead() if freed is not None else None

    def _waits_for_its_window(self, delivery: D, now: int) -> bool:
        opens_at = self._windows.opens_at(delivery, now)
        if opens_at <= now:
            return False
        deadline = delivery.job.not_after
        if self._windows.close_whole(delivery.shop, now):
            self._gate.returned(delivery)
        elif deadline is not None and from_datetime(deadline) - self._context.clock.ahead() < opens_at:
            # It comes back for its deadline, to end then.
            self._outcomes.hold_back(delivery, now, opens_at)
        else:
            self._windows.expect(delivery.shop, opens_at)
            self._keep(delivery, now, until=opens_at)
        return True

    def _may_enter(self, delivery: D, line: Line) -> bool:
        # Whether the job waits for room in that line, and neither for its place there nor for an order.
        if delivery.lane not in PACED_LANES or _place_of(delivery) is not None:
            return False
        order = self._controls.order_about(delivery.job)
        return order is not None and _line_of(delivery, order) == line

    def _keep(self, delivery: D, now: int, *, until: int = FOREVER) -> None:
        ahead, shop = self._context.clock.ahead(), delivery.shop
        look_since = max(self._free_since(shop, now), self._windows.opened(shop, now), self._looks.last(now + ahead))
        if delivery.lane == "held" and _came_at(delivery, now + ahead) >= look_since:
            self._gate.keep_apart(delivery, self._windows.next_opening(shop))
            return
        if delivery.lane == "held":
            self._looks.moved(now + ahead)
        else:
            self._looks.put(now + ahead)
        self._move(delivery, now, "held", until)

    def _keep_from_the_way(self, delivery: D, now: int, until: int) -> None:
        # It may go as soon as its campaign's pace allows it.
        lane = self._controls.lane_of_pace(delivery.job)
        if delivery.lane == lane:
            self._gate.keep_apart(delivery, until)
        else:
            self._move(delivery, now, lane, until)

    def _move(self, delivery: D, now: int, lane: Lane, until: int) -> None:
        wall = now + self._context.clock.ahead()
        if delivery.lane in ASIDE and 0 <= wall - delivery.moved_at < SECOND:
            # Two processes may know different things of its campaign's day for a moment, and would move it to and fro.
            self._gate.keep_apart(delivery, now + SECOND)
            return
        self._gate.passed_over(delivery)
        if delivery.lane not in ASIDE:
            delivery.moved_from = delivery.lane
        elif lane in PACED_LANES and delivery.moved_from is None:
            # A publisher had it held, and it was let go.
            delivery.moved_from = "bulk"
        delivery.moved_at = wall
        self._context.metrics.held_moves.inc()
        self._port.move(delivery, lane, until)


def _holds(order: CampaignOrder, delivery: Delivery, now: int) -> bool:
    # Whether an order holds the job. What a worker has moved aside was no rest that a publisher held back.
    return order.held(now, aside=delivery.lane == "held" and delivery.moved_from is None) is not None


def _came_at(delivery: Delivery, wall: int) -> int:
    # When it came to its place in the lane. A publisher's clock is believed unless it is ahead.
    if delivery.moved_at or delivery.job.published_at is None:
        return delivery.moved_at
    published_at = from_datetime(delivery.job.published_at)
    return published_at if published_at <= wall else 0


def _place_of(delivery: Delivery) -> int | None:
    return delivery.request.pace.place if delivery.request.pace is not None else None


def _line_of(delivery: Delivery, pace: CampaignOrder | CampaignPace) -> Line:
    return Line(delivery.shop, campaign_key(delivery.job.campaign), pace.interval, pace.per_day)
