"""The gate: by examples, against a plain model of what it may do, and by simulations of its fairness."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations, count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.making import PATIENT
from worker.instants import SECOND
from worker.model.lanes import Lane
from worker.scheduling.gate import EXTRA_GRANTS, FOREVER, Gate
from worker.scheduling.gate_shop import HOLDS_ALL, MOST_ASKING, Reason, ShopLoad
from worker.scheduling.set_aside import LONGEST_ASIDE, MAX_ASIDE_PER_CUSTOMER


@dataclass(frozen=True)
class Ticket:
    """A job at hand."""

    shop: str
    customer: str = "c"
    number: int = 0
    uncalled: bool = False
    lane: Lane = "bulk"


def gate_of(*tickets: Ticket, threads: int = 10, max_aside: int = 8) -> Gate[Ticket]:
    """A gate that has been offered these."""
    gate = Gate[Ticket](threads=threads, max_aside=max_aside)
    for ticket in tickets:
        gate.offer(ticket)
    return gate


def drain(gate: Gate[Ticket], now: int) -> list[Ticket]:
    """Everything that may ask at ``now``."""
    return list(iter(lambda: gate.next(now), None))


def test_shops_take_turns() -> None:
    """However long one shop's backlog, another's jobs go in between."""
    backlog = [Ticket("big", number=number) for number in range(6)]
    gate = gate_of(*backlog, Ticket("small", number=0), Ticket("small", number=1))
    assert [ticket.shop for ticket in drain(gate, 0)] == ["big", "small", "big", "small", "big", "big", "big", "big"]


def test_an_order_of_its_own() -> None:
    """With a shuffle the rounds go through the shops in an order of their own, and each round in the same one."""
    gate = Gate[Ticket](threads=200, max_aside=8, shuffle=random.Random(1))
    for number in range(3):
        for shop in "abcdefghij":
            gate.offer(Ticket(shop, number=number))
    order = "".join(ticket.shop for ticket in drain(gate, 0))
    assert order == order[:10] * 3
    assert order[:10] != "abcdefghij"
    assert sorted(order[:10]) == list("abcdefghij")


def test_first_in_first_out() -> None:
    """A shop's jobs go in the order in which they came."""
    tickets = [Ticket("a", number=number) for number in range(5)]
    assert drain(gate_of(*tickets), 0) == tickets


def test_no_more_than_the_threads() -> None:
    """Grants stop a little beyond the free threads, and each finished job makes room for one."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(20)), threads=3)
    handed_out = drain(gate, 0)
    assert len(handed_out) == gate.in_flight == 3 + EXTRA_GRANTS
    gate.finished(handed_out[0])
    assert len(drain(gate, 0)) == 1


def test_grants_ahead_leave_places() -> None:
    """A shop with a grant ahead gets further ones in half of the places only; those that have none ask in the rest."""
    gate = gate_of(*(Ticket("busy", number=number) for number in range(20)), threads=8)
    handed_out = []
    while (ticket := gate.next(0)) is not None:
        gate.granted(ticket)
        handed_out.append(ticket)
    assert len(handed_out) == (8 + EXTRA_GRANTS) // 2
    gate.offer(Ticket("quiet"))
    assert drain(gate, 0) == [Ticket("quiet")]
    # A call holds one place, where a grant ahead of a shop's first holds two.
    gate.started(handed_out[0])
    assert drain(gate, 0) == []
    gate.finished(handed_out[0])
    assert [ticket.shop for ticket in drain(gate, 0)] == ["busy"]


def test_one_question_at_a_time() -> None:
    """While the store is asked about a shop no further job of it asks, but for those that need no call."""
    gate = gate_of(Ticket("a"), Ticket("b"))
    gate.asked("a", under_way=True)
    assert drain(gate, 0) == [Ticket("b")]
    gate.offer(Ticket("a", number=1, uncalled=True))
    assert drain(gate, 0) == [Ticket("a", number=1, uncalled=True)]
    gate.asked("a", under_way=False)
    gate.granted(Ticket("a", number=1, uncalled=True))
    assert drain(gate, 0) == [Ticket("a")]


def test_max_in_flight_is_per_shop() -> None:
    """A shop that answers slowly holds its own places only."""
    gate = gate_of(*(Ticket(shop, number=number) for shop in "ab" for number in range(9)))
    gate.configure("a", weight=1, max_in_flight=2)
    assert Counter(ticket.shop for ticket in drain(gate, 0)) == {"a": 2, "b": 9}


def test_closed_until_its_time() -> None:
    """A closed shop's jobs stay, and go at the instant at which it opens."""
    gate = gate_of(Ticket("a"))
    gate.close("a", 1000, "rate")
    assert gate.next(999) is None
    assert (gate.wake_at(), gate.shop("a").closed_until(), gate.reasons("a")) == (1000, 1000, {"rate": 1000})
    assert gate.next(1000) == Ticket("a")
    assert (gate.shop("a").closed_until(), gate.reasons("a")) == (0, {})


def test_reasons_add_up() -> None:
    """A shop that is closed for two reasons opens when both are over; the longer time of one reason counts."""
    gate = gate_of(Ticket("a"))
    gate.close("a", 1000, "rate")
    gate.close("a", 3000, "halted")
    gate.close("a", 2000, "halted")
    assert gate.next(2999) is None
    assert gate.reasons("a") == {"halted": 3000}
    gate.close("a", 2500, "rate")
    assert gate.shop("a").closed_until() == 3000
    gate.open("a", "rate")
    gate.open("a", "halted")
    assert gate.next(2999) == Ticket("a")


def test_closed_forever() -> None:
    """What only somebody can end gives no time to wake at."""
    gate = gate_of(Ticket("a"))
    gate.close("a", FOREVER, "paused")
    gate.close_all("broker_blocked")
    assert gate.next(1 << 61) is None
    assert gate.wake_at() is None
    gate.open_all("broker_blocked")
    assert gate.next(1 << 61) is None
    gate.open("a", "paused")
    assert gate.next(1 << 61) == Ticket("a")


def test_every_shop_closed_for_a_while() -> None:
    """Closing every shop shows with each of them, and ends by itself where it has an end."""
    gate = gate_of(Ticket("a"))
    gate.close_all("store_down", 500)
    assert gate.next(499) is None
    assert (gate.wake_at(), gate.reasons("a")) == (500, {"store_down": 500})
    assert gate.next(500) == Ticket("a")


def test_returned_goes_first() -> None:
    """A job that did not run keeps its place at the head of its shop."""
    gate = gate_of(Ticket("a", number=1), Ticket("a", number=2))
    first = gate.next(0)
    assert first is not None
    gate.returned(first)
    assert drain(gate, 0) == [Ticket("a", number=1), Ticket("a", number=2)]


def test_a_refused_ask_costs_no_turn() -> None:
    """A shop whose jobs are set aside or returned is still the one served least, so it isn't behind for it."""
    wall = [Ticket("a", customer="wall", number=number) for number in range(6)]
    gate = gate_of(*wall, *(Ticket("a", customer=f"c{number}") for number in range(3)))
    for number in range(20):
        gate.offer(Ticket("b", number=number))
    served: list[str] = []
    while len(served) < 6:
        ticket = gate.next(0)
        assert ticket is not None
        if ticket.customer == "wall":
            gate.set_aside(ticket, 0, SECOND)
        else:
            served.append(ticket.shop)
    assert Counter(served) == {"a": 3, "b": 3}


def test_set_aside_comes_back_first() -> None:
    """A job set aside frees its place, and is ahead of its shop's others once its customer's time has come."""
    gate = gate_of(Ticket("a", "slow", 1), Ticket("a", "slow", 2), Ticket("a", "quick", 3), threads=-1)
    for number in (1, 2):
        ticket = gate.next(0)
        assert ticket == Ticket("a", "slow", number)
        assert gate.set_aside(ticket, 0, 1000 * number)
    assert (gate.waiting("a"), gate.wake_at(), gate.in_flight) == (3, 1000, 0)
    quick = gate.next(999)
    assert quick == Ticket("a", "quick", 3)
    gate.offer(Ticket("a", "quick", 4))
    gate.finished(quick)
    order = []
    while (ticket := gate.next(2000)) is not None:
        order.append(ticket.number)
        gate.finished(ticket)
    assert order == [1, 2, 4]


def test_set_aside_limits() -> None:
    """One customer's jobs, a shop's jobs and the time are bounded; a refused job has left the gate."""
    gate = Gate[Ticket](threads=100, max_aside=6)

    def set_aside(customer: str, until: int) -> bool:
        gate.offer(Ticket("a", customer))
        ticket = gate.next(0)
        assert ticket is not None
        return gate.set_aside(ticket, 0, until)

    assert not set_aside("late", LONGEST_ASIDE + 1)
    assert [set_aside("wall", LONGEST_ASIDE) for _ in range(MAX_ASIDE_PER_CUSTOMER)] == [True] * 4
    assert not set_aside("wall", 1)
    assert [set_aside("other", 1), set_aside("another", 1)] == [True, True]
    assert not set_aside("one more", 1)
    assert (gate.waiting("a"), gate.in_flight) == (6, 0)
    assert len(drain(gate, LONGEST_ASIDE)) == 6
    assert gate.waiting("a") == 0


def test_withdraw() -> None:
    """A shop's jobs can be taken out, set aside or not; those handed out and other shops' stay."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(4)))
    handed_out, aside = gate.next(0), gate.next(0)
    assert aside is not None
    gate.set_aside(aside, 0, 1000)
    gate.offer(Ticket("b"))
    assert [ticket.number for ticket in gate.remove("a")] == [2, 3, aside.number]
    assert (gate.waiting("a"), list(gate.held())) == (0, [Ticket("b")])
    assert gate.wake_at() is None
    assert gate.remove("a") == []
    assert drain(gate, 2000) == [Ticket("b")]
    assert handed_out is not None
    gate.returned(handed_out)
    assert drain(gate, 2000) == [handed_out]


def test_probe() -> None:
    """A shop on probation has one job out at a time, counting those that were out before."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(5)))
    first, second = gate.next(0), gate.next(0)
    assert first is not None
    assert second is not None
    gate.probe("a", probing=True)
    assert gate.next(0) is None
    gate.finished(first)
    assert gate.next(0) is None
    gate.finished(second)
    assert len(drain(gate, 0)) == 1
    gate.probe("a", probing=False)
    assert len(drain(gate, 0)) == 2


def test_probe_with_others() -> None:
    """A shop on probation tries the last job that is not known to be in trouble, and such a one where there is no
    other; off probation the first goes first again."""
    tickets = [Ticket("a", number=number) for number in range(4)]
    gate = gate_of(*tickets)
    gate.probe("a", probing=True, rather_not=lambda ticket: ticket.number in (0, 3))
    order = []
    for _ in range(3):
        ticket = gate.next(0)
        assert ticket is not None
        order.append(ticket.number)
        gate.finished(ticket)
    assert order == [2, 1, 0]
    gate.offer(tickets[0])
    gate.probe("a", probing=False)
    assert [ticket.number for ticket in drain(gate, 0)] == [3, 0]


def test_a_shop_that_was_idle_starts_level() -> None:
    """Whoever comes late neither claims the turns it missed nor waits for the others to be served as much again."""
    gate = gate_of(*(Ticket("old", number=number) for number in range(100)), threads=1000)
    for _ in range(50):
        gate.next(0)
        gate.configure("old", weight=1, max_in_flight=1000)
    for number in range(20):
        gate.offer(Ticket("new", number=number))
    gate.configure("new", weight=1, max_in_flight=1000)
    assert Counter(ticket.shop for ticket in drain(gate, 0)[:20]) == {"old": 10, "new": 10}


weights = st.lists(st.integers(1, 5), min_size=2, max_size=6)


@PATIENT
@given(weights=weights, threads=st.integers(1, 20), rounds=st.integers(1, 300), seed=st.integers(0, 1 << 32))
def test_busy_shops_get_their_share(weights: list[int], threads: int, rounds: int, seed: int) -> None:
    """Shops that always have jobs are served in proportion to their weights, at any time to within one turn each.

    Jobs take any time, and some are returned or set aside instead of served.
    """
    chance = random.Random(seed)
    gate = Gate[Ticket](threads=threads, max_aside=4)
    numbers = count()
    for shop, weight in enumerate(weights):
        gate.configure(str(shop), weight=weight, max_in_flight=1000)
        for _ in range(threads + EXTRA_GRANTS + 10):
            gate.offer(Ticket(str(shop), number=next(numbers)))
    served: Counter[str] = Counter()
    running: list[Ticket] = []
    for now in range(rounds):
        while (ticket := gate.next(now)) is not None:
            fate = chance.random()
            if fate < 0.1:
                gate.returned(ticket)
                continue
            if fate < 0.2:
                gate.set_aside(ticket, now, now + 3)
                gate.offer(Ticket(ticket.shop, number=next(numbers)))
                continue
            running.append(ticket)
            served[ticket.shop] += 1
            gate.offer(Ticket(ticket.shop, number=next(numbers)))
            for one, other in combinations(range(len(weights)), 2):
                difference = served[str(one)] / weights[one] - served[str(other)] / weights[other]
                assert abs(difference) <= 1 / weights[one] + 1 / weights[other] + 1e-9
        assert gate.in_flight == len(running) == threads + EXTRA_GRANTS
        for _ in range(chance.randint(0, len(running))):
            gate.finished(running.pop(chance.randrange(len(running))))


@PATIENT
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    caps=st.lists(st.integers(1, 4), min_size=8, max_size=8),
    threads=st.integers(1, 6),
    seed=st.integers(0, 1 << 32),
)
def test_nobody_starves(sizes: list[int], caps: list[int], threads: int, seed: int) -> None:
    """With shops closing and opening at random, every job is served in the end, and none before its shop opens."""
    chance = random.Random(seed)
    gate = Gate[Ticket](threads=threads, max_aside=4)
    left: Counter[str] = Counter()
    closed: dict[str, int] = defaultdict(int)
    for shop, size in enumerate(sizes):
        gate.configure(str(shop), weight=1, max_in_flight=caps[shop])
        left[str(shop)] = size
        for number in range(size):
            gate.offer(Ticket(str(shop), f"c{number % 3}", number))
    now, running = 0, list[Ticket]()
    for _ in range(20 * sum(sizes) + 50):
        while (ticket := gate.next(now)) is not None:
            assert closed[ticket.shop] <= now
            match chance.randrange(6):
                case 0:
                    gate.returned(ticket)
                    closed[ticket.shop] = now + chance.randint(1, 20)
                    gate.close(ticket.shop, closed[ticket.shop], "rate")
                case 1:
                    if not gate.set_aside(ticket, now, now + chance.randint(1, 20)):
                        gate.offer(ticket)
                case _:
                    running.append(ticket)
        if running:
            done = running.pop(chance.randrange(len(running)))
            gate.finished(done)
            left[done.shop] -= 1
        elif left.total():
            wake_at = gate.wake_at()
            assert wake_at is not None
            assert wake_at > now
            now = wake_at
        else:
            return
    raise AssertionError(f"still waiting: {left}")


SHOPS = ("a", "b", "c")
REASONS: tuple[Reason, ...] = ("rate", "halted", "paused")


@dataclass
class ShopModel:
    """What the gate should know of a shop, kept in the plainest way."""

    ready: list[Ticket] = field(default_factory=list)
    aside: list[tuple[int, Ticket]] = field(default_factory=list)
    in_flight: int = 0
    cap: int = 12
    probing: bool = False
    closed: dict[Reason, int] = field(default_factory=dict)


class GateMachine(RuleBasedStateMachine):
    """Any sequence of events, side by side with the model: who may go, who waits, when to wake."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate[Ticket](threads=2, max_aside=5)
        self.shops = {name: ShopModel() for name in SHOPS}
        self.closed: dict[Reason, int] = {}
        self.out: list[Ticket] = []
        self.ahead: list[Ticket] = []
        self.now = 0
        self.numbers = count()

    @rule(shop=st.sampled_from(SHOPS), customer=st.sampled_from("xyz"))
    def offer(self, shop: str, customer: str) -> None:
        ticket = Ticket(shop, customer, next(self.numbers))
        self.gate.offer(ticket)
        self.shops[shop].ready.append(ticket)

    @rule(shop=st.sampled_from(SHOPS), cap=st.integers(1, 3), weight=st.integers(1, 3))
    def configure(self, shop: str, cap: int, weight: int) -> None:
        self.gate.configure(shop, weight=weight, max_in_flight=cap)
        self.shops[shop].cap = cap

    @rule(microseconds=st.sampled_from([0, 1, 10, LONGEST_ASIDE]))
    def request(self, microseconds: int) -> None:
        self.now += microseconds
        self.come_due()
        eligible = [
            name
            for name, shop in self.shops.items()
            if shop.ready and not shop.closed and shop.in_flight < (1 if shop.probing else shop.cap)
        ]
        if self.closed or len(self.out) >= 2 + EXTRA_GRANTS:
            eligible = []
        # Where grants ahead hold half of the places that calls leave, one with any waits until the next of them starts.
        must_go = [name for name in eligible if all(ticket.shop != name for ticket in self.ahead)]
        if len(self.out) + len(self.ahead) >= 2 + EXTRA_GRANTS:
            eligible = must_go
        ticket = self.gate.next(self.now)
        wake_at = self.gate.wake_at()
        assert wake_at is None or wake_at > self.now
        if ticket is None:
            assert not must_go, "a free place, an open shop below its cap and a job, and yet nobody goes"
            return
        assert ticket.shop in eligible
        self.gate.granted(ticket)
        self.ahead.append(ticket)
        shop = self.shops[ticket.shop]
        assert ticket == shop.ready.pop(0)
        shop.in_flight += 1
        self.out.append(ticket)

    @precondition(lambda self: self.ahead)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        ticket = self.ahead.pop(data.draw(st.integers(0, len(self.ahead) - 1)))
        self.gate.started(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.gate.finished(self.leave(data))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def return_job(self, data: st.DataObject) -> None:
        ticket = self.leave(data)
        self.gate.returned(ticket)
        self.shops[ticket.shop].ready.insert(0, ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), wait=st.sampled_from([1, 10, LONGEST_ASIDE, LONGEST_ASIDE + 1]))
    def set_aside(self, data: st.DataObject, wait: int) -> None:
        ticket = self.leave(data)
        shop = self.shops[ticket.shop]
        of_customer = sum(other.customer == ticket.customer for _, other in shop.aside)
        fits = wait <= LONGEST_ASIDE and of_customer < MAX_ASIDE_PER_CUSTOMER and len(shop.aside) < 5
        assert self.gate.set_aside(ticket, self.now, self.now + wait) == fits
        if fits:
            shop.aside.append((self.now + wait, ticket))

    @rule(shop=st.sampled_from(SHOPS), reason=st.sampled_from(REASONS), wait=st.sampled_from([1, 10, FOREVER]))
    def close(self, shop: str, reason: Reason, wait: int) -> None:
        until = min(self.now + wait, FOREVER)
        self.gate.close(shop, until, reason)
        closed = self.shops[shop].closed
        closed[reason] = max(until, closed.get(reason, 0))

    @rule(shop=st.sampled_from(SHOPS), reason=st.sampled_from(REASONS))
    def open(self, shop: str, reason: Reason) -> None:
        self.gate.open(shop, reason)
        self.shops[shop].closed.pop(reason, None)

    @rule(wait=st.sampled_from([5, FOREVER]))
    def close_all(self, wait: int) -> None:
        until = min(self.now + wait, FOREVER)
        self.gate.close_all("store_down", until)
        self.closed["store_down"] = max(until, self.closed.get("store_down", 0))

    @rule()
    def open_all(self) -> None:
        self.gate.open_all("store_down")
        self.closed.clear()

    @rule(shop=st.sampled_from(SHOPS), probing=st.booleans())
    def probe(self, shop: str, probing: bool) -> None:
        self.gate.probe(shop, probing=probing)
        self.shops[shop].probing = probing

    @rule(shop=st.sampled_from(SHOPS))
    def withdraw(self, shop: str) -> None:
        model = self.shops[shop]
        expected = Counter(model.ready) + Counter(ticket for _, ticket in model.aside)
        assert Counter(self.gate.remove(shop)) == expected
        model.ready, model.aside = [], []

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every job is in one place, and the counts say so."""
        waiting = Counter[Ticket]()
        for name, shop in self.shops.items():
            here = [*shop.ready, *(ticket for _, ticket in shop.aside)]
            assert self.gate.waiting(name) == len(here)
            waiting.update(here)
        assert Counter(self.gate.held()) == waiting
        assert self.gate.in_flight == len(self.out)

    @invariant()
    def wakes_in_time(self) -> None:
        """The gate is asked again no later than the first moment at which something ends by itself."""
        moments = [until for shop in self.shops.values() for until in shop.closed.values()]
        moments += [until for shop in self.shops.values() for until, _ in shop.aside]
        moments += self.closed.values()
        first = min((until for until in moments if until < FOREVER), default=None)
        if first is not None:
            wake_at = self.gate.wake_at()
            assert wake_at is not None
            assert wake_at <= first

    def leave(self, data: st.DataObject) -> Ticket:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.shops[ticket.shop].in_flight -= 1
        if ticket in self.ahead:
            self.ahead.remove(ticket)
            self.gate.started(ticket)
        return ticket

    def come_due(self) -> None:
        self.closed = {reason: until for reason, until in self.closed.items() if until > self.now}
        for shop in self.shops.values():
            shop.closed = {reason: until for reason, until in shop.closed.items() if until > self.now}
            due = sorted((entry for entry in shop.aside if entry[0] <= self.now), key=lambda entry: entry[0])
            shop.aside = [entry for entry in shop.aside if entry[0] > self.now]
            shop.ready[:0] = [ticket for _, ticket in due]


GateMachine.TestCase.settings = settings(PATIENT, max_examples=150, stateful_step_count=40)
TestGateAgainstTheModel = GateMachine.TestCase


@pytest.mark.parametrize("shops", [10, 1000])
def test_a_closed_shop_is_not_looked_at(shops: int) -> None:
    """Closed shops with jobs don't keep the gate from finding the open one, whatever their number."""
    gate = gate_of(*(Ticket(f"s{number}") for number in range(shops)), Ticket("open"), threads=shops)
    for number in range(shops):
        gate.close(f"s{number}", 10 + number, "day_quota")
    assert drain(gate, 0) == [Ticket("open")]
    assert gate.wake_at() == 10
    assert [ticket.shop for ticket in drain(gate, 12)] == ["s0", "s1", "s2"]


def test_a_job_that_runs_alone() -> None:
    """An isolated job goes once nothing is in flight, before all others, and none goes beside it, of any shop."""
    gate = gate_of(*(Ticket("acme", number=number) for number in range(3)), Ticket("zeta"))
    first, suspect = gate.next(0), gate.next(0)
    assert first is not None
    assert suspect is not None
    gate.isolate(suspect)
    assert gate.next(0) is None, "it waits for what is in flight, and the others for it"
    assert suspect in list(gate.held())
    gate.finished(first)
    assert gate.next(0) is suspect
    assert gate.alone is suspect
    gate.granted(suspect)
    assert gate.next(0) is None
    gate.finished(suspect)
    assert gate.alone is not suspect
    assert [gate.next(0), gate.next(0)] != [None, None]


def test_an_isolated_job_of_a_closed_shop() -> None:
    """Nobody waits for a suspect whose shop is closed; it is the first of its shop when that opens."""
    gate = gate_of(Ticket("acme", number=0), Ticket("acme", number=1), Ticket("zeta"))
    suspect = gate.next(0)
    assert suspect is not None
    gate.isolate(suspect)
    gate.close(suspect.shop, 10, "halted")
    other = gate.next(0)
    assert other is not None
    assert other.shop != suspect.shop
    gate.finished(other)
    assert gate.next(10) is suspect


def test_isolated_jobs_are_withdrawn_too() -> None:
    """Removing a shop's jobs includes those that wait to run alone."""
    gate = gate_of(Ticket("acme", number=0))
    suspect = gate.next(0)
    assert suspect is not None
    gate.isolate(suspect)
    assert suspect in gate.remove("acme")
    assert gate.next(0) is None
    assert gate.in_flight == 0


def wide_gate(jobs: int, *, threads: int = 500) -> Gate[Ticket]:
    """A gate with many jobs of one shop that nothing but their asking holds back."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(jobs)), threads=threads)
    gate.configure("a", weight=1, max_in_flight=threads)
    return gate


def test_how_many_may_ask_at_once() -> None:
    """A shop that was never refused has so many jobs asking; each that is answered makes room for one."""
    gate = wide_gate(200)
    asking = drain(gate, 0)
    assert len(asking) == MOST_ASKING
    gate.granted(asking[0])
    assert len(drain(gate, 0)) == 1
    gate.returned(asking[1])
    gate.set_aside(asking[2], 0, SECOND)
    gate.finished(asking[3])
    assert len(drain(gate, 0)) == 3


def test_asking_after_a_refusal() -> None:
    """A shop that was closed begins with one job; each grant lets one more ask, and no other reply does."""
    gate = wide_gate(2000)
    gate.close("a", 10, "rate")
    for expected in range(1, MOST_ASKING + 1):
        asking = drain(gate, 10)
        assert len(asking) == expected
        for ticket in asking[1:]:
            gate.returned(ticket)
        gate.granted(asking[0])
        gate.finished(asking[0])
    asking = drain(gate, 10)
    gate.granted(asking[0])
    assert len(asking) == MOST_ASKING
    assert len(drain(gate, 10)) == 1, "the window has reached its widest"


@pytest.mark.parametrize(("then_ask", "asking"), [(1, 1), (5, 5), (1000, MOST_ASKING)])
def test_asking_when_a_shop_opens(then_ask: int, asking: int) -> None:
    """As many ask as were announced to find a token, and no more than ever."""
    gate = wide_gate(200)
    gate.close("a", 10, "rate", then_ask=then_ask)
    assert drain(gate, 9) == []
    assert len(drain(gate, 10)) == asking


def test_one_shop_s_asking_is_its_own() -> None:
    """A shop that begins with one job doesn't keep another's from asking, and a grant widens its own window alone."""
    gate = wide_gate(10)
    for number in range(10):
        gate.offer(Ticket("b", number=number))
    gate.close("a", 10, "rate")
    gate.close("b", 10, "rate")
    first = drain(gate, 10)
    assert Counter(ticket.shop for ticket in first) == {"a": 1, "b": 1}
    gate.granted(next(ticket for ticket in first if ticket.shop == "b"))
    assert Counter(ticket.shop for ticket in drain(gate, 10)) == {"b": 2}


@dataclass(eq=False)
class Cancellable:
    """A job at hand that may come to need no call."""

    shop: str
    customer: str
    uncalled: bool = False
    lane: Lane = "bulk"


def test_jobs_set_aside_may_pass() -> None:
    """What needs no call any more goes at once, set aside or not, closed shop or not; the others keep their places."""
    gate = Gate[Cancellable](threads=10, max_aside=8)
    wall = [Cancellable("a", "wall") for _ in range(MAX_ASIDE_PER_CUSTOMER)]
    other, elsewhere = Cancellable("a", "other"), Cancellable("b", "wall")
    for ticket in (*wall, other, elsewhere):
        gate.offer(ticket)
        assert gate.next(0) is ticket
        assert gate.set_aside(ticket, 0, 1000)
    ready = [Cancellable("a", "ready"), Cancellable("a", "ready")]
    for ticket in ready:
        gate.offer(ticket)
    gate.close("a", 500, "paused")
    for ticket in (wall[1], wall[2], ready[1], elsewhere):
        ticket.uncalled = True
    gate.regroup("a")
    assert gate.waiting("a") == 7
    passed = [gate.next(0) for _ in range(4)]
    assert passed == [wall[1], wall[2], ready[1], None]
    for passing in passed[:3]:
        assert passing is not None
        gate.finished(passing)
    assert gate.next(500) is ready[0]
    gate.finished(ready[0])
    assert gate.wake_at() == 1000
    for _ in range(2):
        another = Cancellable("a", "wall")
        gate.offer(another)
        assert gate.next(501) is another
        assert gate.set_aside(another, 501, 1001), "those that passed have left their customer's places"
    due: list[Cancellable] = []
    while (recalled := gate.next(1000)) is not None:
        due.append(recalled)
        gate.granted(recalled)
    assert [ticket for ticket in due if ticket.shop == "a"] == [wall[0], wall[3], other]
    assert elsewhere in due


def test_what_needs_no_call_waits_for_its_results_way() -> None:
    """Only where results have nowhere to go a job that needs no call is held back too, and counts as waiting."""
    gate = gate_of(Ticket("a", number=1, uncalled=True), Ticket("a", number=2))
    gate.close("a", 1000, HOLDS_ALL)
    assert gate.next(0) is None
    assert list(gate.loads()) == [ShopLoad("a", 2, 0, 0, (HOLDS_ALL,))]
    first = gate.next(1000)
    assert first is not None
    gate.granted(first)
    second = gate.next(1000)
    assert second is not None
    assert [first.number, second.number] == [1, 2]


def test_passing_jobs_are_not_counted_against_the_shop() -> None:
    """Neither its bound of calls in flight nor its probing nor its asking keeps a job back that needs no call."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(4)))
    gate.configure("a", weight=1, max_in_flight=2)
    assert len(drain(gate, 0)) == 2
    gate.probe("a", probing=True)
    gate.close("a", 10, "rate")
    passing = [Ticket("a", number=number, uncalled=True) for number in (10, 11, 12)]
    for ticket in passing:
        gate.offer(ticket)
    assert drain(gate, 0) == passing


def test_loads() -> None:
    """A shop shows while it has jobs here or is closed on its own account, with what waits, is aside and in flight."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(3)), threads=0)
    gate.configure("idle", weight=1, max_in_flight=1)
    gate.close("closed", 10, "halted")
    gate.close_all("store_down", 20)
    assert drain(gate, 5) == []
    gate.open_all("store_down")
    first, second = drain(gate, 5)
    assert gate.set_aside(second, 5, 100)
    loads = sorted(gate.loads())
    assert loads == [ShopLoad("a", 1, 1, 1, ()), ShopLoad("closed", 0, 0, 0, ("halted",))]
    gate.finished(first)
    assert gate.next(10) is not None
    assert [load.shop for load in gate.loads()] == ["a"]


def test_lanes_go_in_their_order() -> None:
    """Of one shop urgent jobs go first, then those that were held, then the others, each in the order they came."""
    lanes: list[Lane] = ["bulk", "held", "urgent", "bulk", "held", "urgent"]
    gate = gate_of(*(Ticket("a", lane=lane, number=number) for number, lane in enumerate(lanes)))
    assert [ticket.number for ticket in drain(gate, 10)] == [2, 5, 1, 4, 0, 3]


@pytest.mark.parametrize("reason", ["rate", "reserve"])
def test_a_shop_closed_to_bulk_lets_urgent_jobs_ask(reason: Reason) -> None:
    """What closes a shop because bulk has had its part holds no urgent job back, nor does a question under way."""
    gate = gate_of(Ticket("a"), Ticket("a", lane="held"), Ticket("a", lane="urgent", number=7))
    gate.close("a", 1000, reason)
    gate.asked("a", under_way=True)
    assert [ticket.number for ticket in drain(gate, 10)] == [7]
    assert (gate.shop("a").closed_until("urgent"), gate.shop("a").closed_until("held")) == (0, 1000)


@pytest.mark.parametrize("reason", ["day_quota", "throttled", "paused", "breaker"])
def test_a_closed_shop_holds_urgent_jobs_too(reason: Reason) -> None:
    """What concerns the whole shop concerns its urgent jobs."""
    gate = gate_of(Ticket("a", lane="urgent"))
    gate.close("a", 1000, reason)
    assert gate.next(999) is None
    assert gate.next(1000) is not None


def test_urgent_jobs_that_must_wait_hold_no_others_up() -> None:
    """Until urgent jobs may ask again bulk goes on, and they are woken for."""
    gate = gate_of(Ticket("a", lane="urgent", number=1), Ticket("a", number=2))
    gate.close_urgent("a", 1000)
    assert [ticket.number for ticket in drain(gate, 10)] == [2]
    assert gate.wake_at() == 1000
    ticket = gate.next(1000)
    assert ticket is not None
    assert ticket.number == 1


def test_urgent_jobs_use_up_no_turn() -> None:
    """As many of bulk may ask after a turn as the store said, whatever was granted to urgent jobs meanwhile."""
    gate = gate_of(*(Ticket("a", number=number) for number in range(5)), threads=20)
    gate.close("a", 100, "rate", then_ask=2)
    for number in range(3):
        gate.offer(Ticket("a", lane="urgent", number=10 + number))
        ticket = gate.next(50)
        assert ticket is not None
        gate.granted(ticket)
    gate.next(100)
    gate.next(100)
    assert gate.next(100) is None


def test_a_lane_is_removed_by_itself() -> None:
    """Jobs of one lane are taken out wherever they wait, and the others of the shop stay."""
    gate = gate_of(Ticket("a", number=1), Ticket("a", lane="held", number=2), Ticket("a", lane="urgent", number=3))
    aside = gate.next(0)
    assert aside is not None
    assert gate.set_aside(aside, 0, 50)
    assert [ticket.number for ticket in gate.remove("a", "urgent")] == [3]
    assert [ticket.number for ticket in gate.remove("a", "held")] == [2]
    assert [ticket.number for ticket in gate.held()] == [1]
