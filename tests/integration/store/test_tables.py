"""Tables of known outcomes on both stores, for a shop's bucket and a customer's.

A store grants single calls. Several tokens at once, all or none, are single grants here that are undone as soon as one
of them is refused; that an undone grant leaves no trace is what makes the tables come out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from tests.integration.store.worlds import World, submitted
from tests.unit.making import NOON, make_limits, make_request
from tests.unit.tables import (
    BURST_OF_CALLERS,
    CALLERS,
    INSTANTS_MS,
    LIMITS,
    ONE_A_SECOND_BURST_FIVE,
    RATE_OF_CALLERS,
    TEN_A_SECOND,
    tenths,
)
from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.store.protocol import AdmitRequest, Grant

AMPLE = Rate(1, 10_000)
"""The other scope's bucket: never the reason of a refusal."""

SCOPES = pytest.mark.parametrize("scope", ["shop", "customer"])


@dataclass
class Bucket:
    """One scope's bucket in a store, asked for several tokens at a time."""

    world: World
    limits: ShopLimits
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def of(cls, world: World, scope: str, rate: Rate) -> "Bucket":
        """The bucket of the shop, or that of one customer of a shop with plenty."""
        world.renew()
        shop, customer = (rate, AMPLE) if scope == "shop" else (AMPLE, rate)
        return cls(world, make_limits(shop=shop, customer=customer))

    def take(self, now: int, tokens: int) -> bool:
        """Whether all were there; they are taken then."""
        self.world.set(now)
        taken = self._take_up_to(tokens)
        if len(taken) < tokens:
            self._put_back(taken)
        return len(taken) == tokens

    def left(self) -> int:
        """How many tokens could be taken now."""
        taken = self._take_up_to(min(self.limits.shop.burst, self.limits.customer.burst) + 1)
        self._put_back(taken)
        return len(taken)

    def _take_up_to(self, tokens: int) -> list[tuple[AdmitRequest, int]]:
        # With a place in line, so that a customer's earlier refusals don't send these to the line's end.
        now = self.world.now
        requests = [make_request(next(self.numbers), limits=self.limits, place_in_line=now) for _ in range(tokens)]
        replies = submitted(self.world.store, requests) if requests else []
        assert all(reply.start_at == now for reply in replies if isinstance(reply, Grant))
        return [
            (request, reply.epoch) for request, reply in zip(requests, replies, strict=True) if isinstance(reply, Grant)
        ]

    def _put_back(self, taken: Iterable[tuple[AdmitRequest, int]]) -> None:
        for request, epoch in taken:
            self.world.store.release(request, epoch, called=False)


def at(seconds: float) -> int:
    """An instant of the table's clock."""
    return NOON + round(seconds * SECOND)


@SCOPES
def test_one_a_second_burst_five(world: World, scope: str) -> None:
    """A bucket of 1/s and burst 5 leaves what the table says, step by step."""
    bucket = Bucket.of(world, scope, Rate.per_second(1, 5))
    for row in ONE_A_SECOND_BURST_FIVE:
        assert bucket.take(at(row.seconds), row.tokens) == (row.left is not None), row
        if row.left is not None:
            assert bucket.left() == row.left, row


@SCOPES
@pytest.mark.parametrize("refused", [number for number, row in enumerate(ONE_A_SECOND_BURST_FIVE) if row.left is None])
def test_when_to_come_back(world: World, scope: str, refused: int) -> None:
    """A refused caller gets its tokens when the table says, not a microsecond earlier; or never."""
    *before, row = ONE_A_SECOND_BURST_FIVE[: refused + 1]
    bucket = Bucket.of(world, scope, Rate.per_second(1, 5))
    for earlier in before:
        bucket.take(at(earlier.seconds), earlier.tokens)
    assert not bucket.take(at(row.seconds), row.tokens)
    if row.retry is None:
        assert not bucket.take(at(row.seconds + 3600), row.tokens)
    else:
        assert not bucket.take(at(row.seconds + row.retry) - 1, row.tokens)
        assert bucket.take(at(row.seconds + row.retry), row.tokens)


@SCOPES
@pytest.mark.parametrize("burst", TEN_A_SECOND)
def test_ten_a_second(world: World, scope: str, burst: int) -> None:
    """At 10/s, in steps of 100 ms, all of the tokens or none are taken as the table says."""
    bucket = Bucket.of(world, scope, Rate.per_second(10, burst))
    for step, asked in TEN_A_SECOND[burst]:
        for word in asked.split():
            tokens, there = tenths(word)
            assert bucket.take(at(step / 10), tokens) == there, (step, word)


@SCOPES
def test_callers_at_one_instant(world: World, scope: str) -> None:
    """Of 15 callers at one instant exactly the burst of 5 goes through, at 1/s."""
    bucket = Bucket.of(world, scope, Rate.per_second(RATE_OF_CALLERS, BURST_OF_CALLERS))
    assert sum(bucket.take(NOON, 1) for _ in range(CALLERS)) == BURST_OF_CALLERS


@SCOPES
def test_under_five_times_the_rate(world: World, scope: str) -> None:
    """100/s with burst 100 under 500/s for 5 s lets the ideal 600 through, none more and 0.1 % fewer at most."""
    bucket = Bucket.of(world, scope, Rate.per_second(100, 100))
    taken = sum(bucket.take(NOON + number * SECOND // 500, 1) for number in range(5 * 500 + 1))
    ideal = 100 + 5 * 100
    assert 0.999 * ideal <= taken <= ideal + 1


@SCOPES
@pytest.mark.parametrize("now_ms", INSTANTS_MS)
@pytest.mark.parametrize("limit", LIMITS)
def test_exactly_the_limit_at_one_instant(world: World, scope: str, now_ms: int, limit: int) -> None:
    """Whatever the time of day and the limit, ``limit`` tokens are there at one instant and not one more."""
    world.set(now_ms * 1000)
    bucket = Bucket.of(world, scope, Rate.per_second(limit, limit))
    assert bucket.take(now_ms * 1000, limit)
    assert not bucket.take(now_ms * 1000, 1)


@SCOPES
def test_a_step_back_is_never_looser(world: World, scope: str) -> None:
    """After any row of the table: a clock that steps back, by a microsecond or a day, finds no more than was there."""
    for back in (1, SECOND // 2, 10 * SECOND, 86_400 * SECOND):
        for steps in range(1, len(ONE_A_SECOND_BURST_FIVE) + 1):
            bucket = Bucket.of(world, scope, Rate.per_second(1, 5))
            for row in ONE_A_SECOND_BURST_FIVE[:steps]:
                bucket.take(at(row.seconds), row.tokens)
            left = bucket.left()
            world.set(world.now - back)
            assert bucket.left() <= left, (back, steps)
