"""Processes, threads, queues and a store on one virtual clock."""

import heapq
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from prometheus_client import CollectorRegistry

from worker.clock import ManualClock
from worker.instants import SECOND
from worker.model.dispositions import Finish, Return
from worker.model.lanes import PACED_LANES, Lane
from worker.model.verdicts import Sent
from worker.scheduling.context import Context
from worker.scheduling.priorities import Priorities
from worker.shops.config import ShopConfig
from worker.shops.credentials import SigningKey
from worker.shops.registry import ShopRegistry
from worker.simulator.port import Ticket
from worker.simulator.process import SimulatedProcess
from worker.simulator.queues import ShopQueue
from worker.simulator.report import Report, ShopReport
from worker.simulator.scenario import Load, Scenario
from worker.simulator.store import SimulatedStore
from worker.simulator.tickets import LEASE, Tickets
from worker.store.timing import HORIZON
from worker.telemetry.metrics.process import Metrics

_SENT = Sent(200, None, {}, None)
_REJECTED = "no_customers_match_customer_identity"
_KEY = SigningKey("simulation", b"none")


def _config(slug: str, load: Load) -> ShopConfig:
    config = ShopConfig.of(slug, _KEY, load.table)
    limits = config.limits if load.limits is None else load.limits
    return replace(config, limits=limits, weight=config.weight if load.weight is None else load.weight)


class Fleet:
    """Runs a scenario once, event by event, on one real thread. The same seed gives the same run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.store_round_trip = scenario.store_round_trip
        self._random = random.Random(scenario.seed)  # noqa: S311 - the same seed is to give the same run
        self._clock = ManualClock(scenario.begin)
        self._order = count()
        self._events: list[tuple[int, int, int, Callable[[], Any] | None]] = []
        self._stepping = 0
        configs = [_config(f"s{number}", load) for number, load in enumerate(scenario.loads)]
        self._configs = {config.slug: config for config in configs}
        loads = dict(zip(self._configs, scenario.loads, strict=True))
        self._stretch = {slug: load.stretch for slug, load in loads.items()}
        self._shops = {config.slug: ShopReport(loads[config.slug].jobs, config.limits) for config in configs}
        # One process alone shares with nobody, unless its store is one that others may share.
        shared = scenario.shared or scenario.processes > 1
        self._store = SimulatedStore(
            self,
            self._clock,
            horizon=HORIZON if shared else 0,
            slowed={slug: load.slowed for slug, load in loads.items() if load.slowed is not None},
        )
        for config in configs:
            load = loads[config.slug]
            if load.state is not None:
                campaign = load.campaign_of(load.ahead) if load.campaign_of is not None else ""
                self._store.load_shop(config.slug, config.limits, load.state, campaign)
        shuffle = random.Random(scenario.seed) if shared else None  # noqa: S311 - as above
        context = partial(
            Context,
            store=self._store,
            shops=ShopRegistry.of(*configs),
            clock=self._clock,
            metrics=Metrics(CollectorRegistry()),
            threads=scenario.threads,
            prefetch=scenario.prefetch,
            longest_call=LEASE,
            shuffle=shuffle,
        )
        self._processes: list[SimulatedProcess] = []
        for after, order in scenario.orders:
            if not after:
                order(self._store)
        phases = random.Random(scenario.seed)  # noqa: S311 - as above
        self._processes += [
            SimulatedProcess(context(), number, self, self._start, phases.randrange(SECOND))
            for number in range(scenario.processes)
        ]
        draws = [random.Random(f"{scenario.seed}.{number}") for number in range(scenario.processes)]  # noqa: S311
        deal = partial(Priorities, threads=scenario.threads, prefetch=scenario.prefetch)
        self._priorities = [deal(draw if shared else None) for draw in draws]
        self._free = [scenario.threads] * scenario.processes
        self._ready: list[deque[Ticket]] = [deque() for _ in range(scenario.processes)]
        self._wakes: list[int | None] = [None] * scenario.processes
        self._tickets = {
            config.slug: Tickets(config, load, number, scenario.begin)
            for number, (config, load) in enumerate(zip(configs, scenario.loads, strict=True))
        }
        self._queues = {
            slug: self._queue(self._tickets[slug].bulk, load.ahead + load.jobs - load.aside, number, bulk=True)
            for number, (slug, load) in enumerate(loads.items())
        }
        self._lanes: dict[tuple[str, Lane], ShopQueue] = {}
        for number, (slug, load) in enumerate(loads.items()):
            if load.campaign_of is not None or load.table.window is not None or load.window is not None:
                self._lanes[slug, "held"] = self._queue(self._tickets[slug].held, load.aside, number)
            if load.campaign_of is not None:
                for lane in PACED_LANES:
                    self._lanes[slug, lane] = self._queue(self._tickets[slug].bulk, 0, number)
            if load.urgent[0]:
                self._lanes[slug, "urgent"] = self._queue(self._tickets[slug].urgent, 0, number)
        self._left = sum(load.jobs + load.urgent[0] for load in scenario.loads)
        self._calls = self._deferrals = self._returned = self._busy = 0

    def run(self) -> Report:
        """Run until every job is done but those that are ``ahead``, or until the scenario ends."""
        began = time.perf_counter()
        for slug, load in zip(self._queues, self._scenario.loads, strict=True):
            if load.after:
                self._at(self._scenario.begin + load.after, 0, partial(self._publish, slug))
            else:
                self._publish(slug)
            jobs, apart = load.urgent
            for number in range(jobs):
                self._at(self._scenario.begin + load.after + number * apart, 0, partial(self._publish_urgent, slug))
        for after, order in self._scenario.orders:
            if after:
                self._at(self._scenario.begin + after, 0, partial(order, self._store))
        for process in range(len(self._processes)):
            self._step(process)
        until = self._scenario.until
        while self._left and (self._events or until is None):
            now, _, process, event = heapq.heappop(self._events)
            if until is not None and now > until:
                break
            self._clock.set(now)
            self._stepping = process
            if event is not None:
                event()
            self._step(process)
        return Report(
            began=self._scenario.begin,
            ended=self._clock.now(),
            shops=self._shops,
            calls=self._calls,
            requests=self._store.requests,
            round_trips=self._store.round_trips,
            deferrals=self._deferrals,
            returned=self._returned,
            busy=self._busy,
            seconds=time.perf_counter() - began,
        )

    def after_a_round_trip(self, answer: Callable[[], None]) -> None:
        """Answer what the process that is being stepped has asked, one round trip from now."""
        self._at(self._clock.now() + self.store_round_trip, self._stepping, answer)

    def done(self, process: int, ticket: Ticket) -> None:
        shop = ticket.shop
        if not ticket.ahead:
            self._left -= 1
            self._shops[shop].ended = self._clock.now()
        self._make_room(process, ticket)

    def requeued(self, process: int, ticket: Ticket) -> None:
        self._queue_of(ticket).back.appendleft(ticket)
        self._make_room(process, ticket)

    def moved(self, process: int, ticket: Ticket, lane: Lane) -> None:
        self._make_room(process, ticket)
        ticket.lane = lane
        queue = self._queue_of(ticket)
        queue.back.append(ticket)
        self._deal(queue)

    def ordered(self) -> None:
        """An order was given: each process sees it when it looks next."""
        for number, process in enumerate(self._processes):
            self._wake_at(number, process.look_after(self._clock.now()))

    def delayed(self, process: int, ticket: Ticket, until: int) -> None:
        self._deferrals += 1
        self._at(until, process, partial(self._return, ticket))
        self._make_room(process, ticket)

    def _return(self, ticket: Ticket) -> None:
        # One that was held may go by now.
        ticket.lane = "urgent" if ticket.lane == "urgent" else "bulk"
        queue = self._queue_of(ticket)
        queue.back.append(ticket)
        self._deal(queue)

    def _queue(self, make: Callable[[int], Ticket], total: int, shop: int, *, bulk: bool = False) -> ShopQueue:
        config = self._configs[f"s{shop}"]
        priorities = [process.draw(config) if bulk else 0 for process in self._priorities]
        return ShopQueue(make, total, priorities, self._scenario.prefetch, shop)

    def _queue_of(self, ticket: Ticket) -> ShopQueue:
        return self._queues[ticket.shop] if ticket.lane == "bulk" else self._lanes[ticket.shop, ticket.lane]

    def _make_room(self, process: int, ticket: Ticket) -> None:
        queue = self._queue_of(ticket)
        queue.free(process)
        self._deal(queue)

    def _publish(self, slug: str) -> None:
        self._deal(self._queues[slug])
        if (held := self._lanes.get((slug, "held"))) is not None:
            self._deal(held)

    def _publish_urgent(self, slug: str) -> None:
        queue = self._lanes[slug, "urgent"]
        queue.total += 1
        self._deal(queue)

    def _deal(self, queue: ShopQueue) -> None:
        while (dealt := queue.deal()) is not None:
            process, ticket = dealt
            self._processes[process].offer(ticket)
            if process != self._stepping:
                self._wake_at(process, self._clock.now())

    def _step(self, process: int) -> None:
        self._stepping = process
        now = self._clock.now()
        known = self._wakes[process]
        if known is not None and known <= now:
            self._wakes[process] = None
        wake_at = self._processes[process].step(now)
        if wake_at is not None:
            self._wake_at(process, max(wake_at, now))

    def _wake_at(self, process: int, at: int) -> None:
        known = self._wakes[process]
        if known is None or at < known:
            self._wakes[process] = at
            self._at(at, process, None)

    def _at(self, at: int, process: int, event: Callable[[], Any] | None) -> None:
        # None: nothing happens, the process is only stepped.
        heapq.heappush(self._events, (at, next(self._order), process, event))

    def _start(self, process: int, ticket: Ticket) -> None:
        if not self._free[process]:
            self._ready[process].append(ticket)
            return
        now = self._clock.now()
        grant = ticket.grant
        assert grant is not None
        # As the dispatcher does it: a grant that has lain too long, or past its window, is released and not used.
        window = self._configs[ticket.shop].window_of(ticket.job)
        if now > grant.start_by or (window is not None and not window.is_open(now)):
            self._returned += 1
            self._store.release(ticket.request, grant.epoch, called=False)
            ticket.disposition = Return(grant.epoch)
            self._processes[process].report(ticket)
            self._at(now, process, None)
            return
        self._free[process] -= 1
        self._calls += 1
        shop = ticket.shop
        report = self._shops[shop]
        report.starts.append(grant.start_at)
        report.begun.append(now)
        report.customers.append(ticket.customer)
        if not ticket.ahead:
            report.first_call = report.first_call or now
            if self._scenario.deadline is not None and now > self._scenario.deadline:
                report.late += 1
        waited = now - ticket.published_at
        if ticket.lane == "urgent":
            report.urgent_waits.append(waited)
        if waited > report.longest_wait:
            report.longest_wait = waited
        mean = self._scenario.call * self._stretch[shop]
        duration = mean // 5 + int(self._random.expovariate(1.0) * mean * 0.8)
        self._busy += duration
        self._at(now + duration, process, partial(self._end, process, ticket))

    def _end(self, process: int, ticket: Ticket) -> None:
        grant = ticket.grant
        assert grant is not None
        assert self._store.answer(ticket.request, grant.epoch, "")
        if ticket.rejected:
            ticket.disposition = Finish(grant.epoch, "", "rejected", _REJECTED, has_share_action=False)
        else:
            ticket.disposition = Finish(grant.epoch, "", "sent", None, has_share_action=False, verdict=_SENT)
        self._processes[process].report(ticket)
        self._free[process] += 1
        # A job that is too late to start leaves the thread to the next one.
        while self._free[process] and self._ready[process]:
            self._start(process, self._ready[process].popleft())
