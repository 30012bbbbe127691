"""A store and the time it goes by, both in the test's hand; the memory store's and the Redis store's look alike."""

from concurrent.futures import Future
from typing import Any, Literal, Protocol, assert_never

import pytest
import redis

from tests.unit.making import NOON, go, make_request
from worker.clock import ManualClock
from worker.errors import StoreError
from worker.instants import DAY
from worker.limits.token_bucket import ShopLimits
from worker.model.outcomes import OUTCOMES, Outcome
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Reply, Store
from worker.store.redis.store import RedisStore

RESULT = '{"outcome":"sent"}'

Kind = Literal["memory", "redis"]

TIME_KEY = "time-of-this-test"

AHEAD = 36_525 * DAY
"""How far the test's Redis is ahead of the client: its keys outlive the test, whatever the year, and a reply that was
not converted would be a century off."""

SERVER_CLOCK = f"local function now_us() return tonumber(redis.call('GET', '{TIME_KEY}')) end"


class World(Protocol):
    """One store with its clock."""

    @property
    def store(self) -> Store: ...

    @property
    def now(self) -> int: ...

    def set(self, now: int) -> None:
        """Move the time, in either direction."""

    def renew(self, *, retention: int = 30 * DAY) -> Store:
        """Forget everything; the time stays."""

    def close(self) -> None: ...


class MemoryWorld:
    """The store in one process's memory. ``horizon`` is the store's."""

    def __init__(self, *, horizon: int = 0) -> None:
        self._clock = ManualClock(NOON)
        self._horizon = horizon
        self.store: Store = MemoryStore(self._clock, horizon=horizon)

    @property
    def now(self) -> int:
        return self._clock.now()

    def set(self, now: int) -> None:
        self._clock.set(now)

    def renew(self, *, retention: int = 30 * DAY) -> Store:
        self.store = MemoryStore(self._clock, retention=retention, horizon=self._horizon)
        return self.store

    def close(self) -> None:
        self.store.close()


class RedisWorld:
    """The store on a real server, whose time is a key. ``horizon`` is the store's."""

    address_key = b"whatever"

    def __init__(self, url: str, *, horizon: int) -> None:
        self.url = url
        self._horizon = horizon
        self._clock = ManualClock(NOON)
        self.client: Any = redis.Redis.from_url(url)
        self._retention = 30 * DAY
        self.store: Store = self._new()
        self.renew()

    @property
    def now(self) -> int:
        return self._clock.now()

    def set(self, now: int) -> None:
        self._clock.set(now)
        self.client.set(TIME_KEY, now + AHEAD)

    def renew(self, *, retention: int = 30 * DAY) -> Store:
        self.client.flushdb()
        self.set(self.now)
        if retention != self._retention:
            self._retention = retention
            self.store.close()
            self.store = self._new()
        return self.store

    def another(self) -> RedisStore:
        """The store as another process has it; the caller closes it."""
        return self._new()

    def close(self) -> None:
        self.store.close()
        self.client.flushdb()
        self.client.close()

    def _new(self) -> RedisStore:
        return RedisStore(
            self.url,
            self._clock,
            retention=self._retention,
            horizon=self._horizon,
            server_clock=SERVER_CLOCK,
            address_key=self.address_key,
        )


def advance(world: World, microseconds: int) -> None:
    """Let the time pass."""
    world.set(world.now + microseconds)


def ask_all(
    store: Store, limits: ShopLimits, customers: list[str], *, first: int = 1, shop: str = "acme"
) -> list[Reply]:
    """What these get, asked one after the other at one instant."""
    requests = [
        make_request(number, shop=shop, customer=customer, limits=limits)
        for number, customer in enumerate(customers, start=first)
    ]
    return [store.admit(request) for request in requests]


def granted(store: Store, limits: ShopLimits, customers: list[str], *, first: int = 1) -> int:
    """How many of these are granted, asked one after the other at one instant."""
    return sum(isinstance(reply, Grant) for reply in ask_all(store, limits, customers, first=first))


def finish(store: Store, request: AdmitRequest, outcome: Outcome = OUTCOMES[0]) -> None:
    """Take a job through to its end."""
    grant = go(store, request)
    assert store.answer(request, grant.epoch, RESULT)
    store.settle(request, grant.epoch, outcome)
    # Settling doesn't wait; this does, and is answered after it.
    assert store.admit(request) == AlreadyAnswered(0, None)


MANY = 1000
"""Jobs that a process holds, enough for every turn."""


def submitted(store: Store, requests: list[AdmitRequest], *, turn: bool = False, holds: int = MANY) -> list[Reply]:
    """What a process gets that asks for these at once. ``turn``: its turn is now.

    Then its next turn may follow the replies.
    """
    future: Future[list[Reply] | StoreError] = Future()
    store.submit(requests, future.set_result, turn=turn, holds=holds)
    replies = future.result(timeout=10)
    assert not isinstance(replies, StoreError)
    return replies


def flush(store: Store) -> None:
    """Wait for what was sent without waiting: this is answered after it."""
    store.block("other", None, 0)


def make_world(kind: Kind, request: pytest.FixtureRequest, *, horizon: int) -> World:
    """A world of this kind, empty, at noon; the server that it needs is one of the session's fixtures."""
    match kind:
        case "memory":
            return MemoryWorld(horizon=horizon)
        case "redis":
            return RedisWorld(request.getfixturevalue("redis_url"), horizon=horizon)
        case _:
            assert_never(kind)
