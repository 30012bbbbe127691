"""Orders in the store that can't be read: no order passes over them, and a pause of every shop begins them anew."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.integration.store.worlds import RedisWorld, make_world
from tests.origins import KIM
from worker.errors import DamagedOrdersError
from worker.instants import SECOND
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.lanes import ShopLane
from worker.store.redis.keys import CAMPAIGN_ORDERS_KEY, CONTROLS_KEY, LANES_KEYS, LISTS_KEY, SINCE_KEY

DAMAGES = [
    b"\xc1",  # no MessagePack
    b"other",  # MessagePack, but numbers: of another program
    b"\x91\x01\x90",  # a list with something else in it
    b"",  # MessagePack of nothing
    b"1",  # a whole number, and no more
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\x90\x90",  # a version without end
]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> RedisWorld:
    """The Redis store with a pause, a cancellation and a held campaign."""
    made = make_world("redis", request, horizon=0)
    assert isinstance(made, RedisWorld)
    made.store.pause("bolt", KIM)
    made.store.cancel("autumn", "acme", KIM)
    made.store.pause_campaign("spring", "acme", KIM)
    return made


def watched(world: RedisWorld) -> Any:
    """What a worker hears that knows nothing yet."""
    heard: Future[Any] = Future()
    world.store.watch(-1, heard.set_result)
    return heard.result(timeout=10)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("key", [CONTROLS_KEY, CAMPAIGN_ORDERS_KEY, LISTS_KEY], ids=bytes.decode)
def test_they_are_begun_anew_by_a_pause_of_every_shop(world: RedisWorld, key: bytes, damage: bytes) -> None:
    """What can be read stays. Until then workers hear what is damaged, and every order is refused with the remedy."""
    world.client.set(key, damage)
    name, heard = key.decode(), watched(world)
    assert isinstance(heard, DamagedOrdersError)
    assert heard.keys == (name,)
    with pytest.raises(DamagedOrdersError, match=r"`referrals shops pause --all`"):
        world.store.controls()
    controls = world.store.pause(EVERY_SHOP, KIM)
    assert (controls.latest[0].action, controls.latest[0].detail) == ("pause", f"begun anew: {name}")
    assert controls == world.store.controls()
    assert controls.pause_of("acme") is not None
    assert ("bolt" in controls.pauses) == bool(controls.cancelled) == (key != CONTROLS_KEY)
    assert bool(controls.campaigns) == (key != CAMPAIGN_ORDERS_KEY)
    assert controls.freed_at("acme") == controls.version
    assert world.store.pause(EVERY_SHOP, KIM).latest[0].detail == ""
    assert world.store.pause_campaign("spring", "acme", KIM).campaigns


@pytest.mark.parametrize("key", [CONTROLS_KEY, CAMPAIGN_ORDERS_KEY], ids=bytes.decode)
def test_no_order_passes_over_them(world: RedisWorld, key: bytes) -> None:
    """Nothing is written: not what could be read, and not what couldn't."""
    world.client.set(key, b"\xc1")
    before = [world.client.get(each) for each in (CONTROLS_KEY, CAMPAIGN_ORDERS_KEY)]
    orders: list[Callable[[], Controls]] = [
        lambda: world.store.resume("bolt", KIM),
        lambda: world.store.pause("acme", KIM),
        lambda: world.store.pause_campaign("summer", "acme", KIM),
        lambda: world.store.cancel("summer", "acme", KIM),
    ]
    for order in orders:
        with pytest.raises(DamagedOrdersError, match=key.decode()):
            order()
    assert [world.client.get(each) for each in (CONTROLS_KEY, CAMPAIGN_ORDERS_KEY)] == before
    world.store.add_lanes([ShopLane("acme", "held")])
    assert isinstance(watched(world), DamagedOrdersError)
    assert world.client.get(key) == b"\xc1"


def test_a_key_of_another_type(world: RedisWorld) -> None:
    """It is damage as any other."""
    world.client.delete(CAMPAIGN_ORDERS_KEY)
    world.client.lpush(CAMPAIGN_ORDERS_KEY, "other")
    assert isinstance(watched(world), DamagedOrdersError)
    assert world.store.pause(EVERY_SHOP, KIM).campaigns == {}
    assert world.store.pace_campaign("spring", "acme", SECOND, 0, KIM).campaigns


def test_a_time_of_another_type(world: RedisWorld) -> None:
    """Since when there are data is unknown, so they may be others: each worker notices, once, and goes on."""
    watched(world)
    before = world.store.generation
    world.client.delete(SINCE_KEY)
    world.client.lpush(SINCE_KEY, "other")
    world.set(world.now + SECOND)
    assert isinstance(watched(world), Controls)
    assert isinstance(watched(world), Controls)
    assert world.store.generation == before + 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_lanes_that_cant_be_read_are_as_lost(world: RedisWorld, damage: bytes) -> None:
    """Workers list theirs again, and one of them searches for the others; no order suffers from it."""
    world.client.set(LANES_KEYS[1], damage)
    assert world.store.controls().lanes == frozenset()
    assert not world.store.controls().all_lanes
    world.store.add_lanes([ShopLane("acme", "held")])
    assert world.store.controls().lanes == {ShopLane("acme", "held")}


def test_an_older_versions_search_for_lanes_is_done_again(world: RedisWorld) -> None:
    """It knew fewer kinds of lanes, of which some may hold jobs; what it found counts."""
    world.client.set(LANES_KEYS[1], b"\x01\x91\xabacme.urgent")
    controls = world.store.controls()
    assert (controls.lanes, controls.all_lanes) == (frozenset({ShopLane("acme", "urgent")}), False)
