"""Jobs in hand whose addresses were suppressed since they came."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.making import make_job, make_request
from worker.errors import StoreError
from worker.model.controls import EVERY_SHOP
from worker.model.lanes import Lane
from worker.model.suppression import Suppression, SuppressionList
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import Gate
from worker.scheduling.suppressed_jobs import AT_ONCE, SuppressedJobs

ANN, BEN = b"ann", b"ben"


class World:
    """A gate, and a store that answers when it is told to."""

    def __init__(self) -> None:
        self.gate: Gate[Delivery] = Gate(threads=1, max_aside=1)
        self.asked: list[tuple[str, Sequence[bytes]]] = []
        self._replies: list[Callable[[Any], None]] = []
        self.found: SuppressedJobs[Delivery] = SuppressedJobs(self, self.gate, lambda: None)  # type: ignore[arg-type]

    def look_up(self, shop: str, addresses: Sequence[bytes], reply: Callable[[Any], None]) -> None:
        """As a store does."""
        self.asked.append((shop, addresses))
        self._replies.append(reply)

    def answer(self, *suppressed: bytes, error: StoreError | None = None) -> None:
        """Answer all that was asked."""
        asked, self.asked = self.asked, []
        for (_, addresses), reply in zip(asked, self._replies, strict=True):
            reply(error or [address in suppressed for address in addresses])
        self._replies.clear()
        assert self.found.has_news
        self.found.take()

    def put(self, number: int, *addresses: bytes, lane: Lane = "held") -> Delivery:
        """A job at the gate."""
        delivery = Delivery(make_job(line=number), replace(make_request(number), addresses=addresses))
        delivery.lane = lane
        self.gate.offer(delivery)
        return delivery


@pytest.fixture
def world() -> World:
    """Nothing is at the gate."""
    return World()


def known(number: int) -> Suppression:
    """The lists after so many changes."""
    return Suppression(number, b"key", {"acme": SuppressionList(1, 1), EVERY_SHOP: SuppressionList(1, number)})


def test_ends_what_waits(world: World) -> None:
    """By either address and either list; the others stay, and those without an address are not asked for."""
    hers, other, destined = world.put(1, ANN), world.put(2, BEN), world.put(3, BEN, ANN, lane="bulk")
    world.put(4)
    world.found.follow(known(1))
    assert world.asked == [("acme", [ANN, BEN, BEN, ANN]), (EVERY_SHOP, [ANN, BEN, BEN, ANN])]
    world.answer(ANN)
    assert [job.suppressed for job in (hers, other, destined)] == [True, False, True]
    assert [job.uncalled for job in (hers, other, destined)] == [True, False, True]
    assert {id(world.gate.next(1)), id(world.gate.next(1))} == {id(hers), id(destined)}


def test_asks_once_for_each_change(world: World) -> None:
    """What comes later is asked for where it will wait; a job of the shop's own queue soon asks by itself."""
    world.put(1, ANN)
    world.found.follow(known(1))
    world.answer()
    world.put(2, BEN, lane="bulk")
    world.put(3, ANN, lane="paced")
    world.found.follow(known(1))
    assert world.asked == [("acme", [ANN]), (EVERY_SHOP, [ANN])]
    world.answer()
    world.found.follow(known(1))
    assert world.asked == []
    world.found.follow(known(2))
    assert [len(addresses) for _, addresses in world.asked] == [3, 3]


def test_nothing_is_asked_without_lists(world: World) -> None:
    """As in most installations."""
    world.put(1, ANN)
    world.found.follow(Suppression())
    world.found.follow(Suppression(3, b"key", {"other": SuppressionList(1, 3)}))
    assert world.asked == []


@pytest.mark.parametrize("lane", ["held", "bulk"])
def test_asks_again_after_an_error(world: World, lane: Lane) -> None:
    """The store was away for a moment."""
    hers = world.put(1, ANN, lane=lane)
    world.found.follow(known(1))
    world.answer(error=StoreError("away"))
    assert not hers.uncalled
    world.found.follow(known(1))
    world.answer(ANN)
    assert hers.suppressed


def test_leaves_alone_what_has_left_the_gate(world: World) -> None:
    """A worker thread may have it by now, and the admission has looked it up."""
    hers = world.put(1, ANN)
    world.found.follow(known(1))
    assert world.gate.next(1) is hers
    world.answer(ANN)
    assert not hers.suppressed
    assert not hers.uncalled


def test_asks_in_parts(world: World) -> None:
    """So that the store is kept from others for a moment only."""
    for number in range(AT_ONCE + 1):
        world.put(number, ANN)
    world.found.follow(known(1))
    assert [len(addresses) for _, addresses in world.asked] == [AT_ONCE, 1] * 2
