"""What an operator orders, on either store alike: pauses, limits and cancelled campaigns."""

from typing import Any

from tests.integration.store.worlds import RedisWorld, World, advance
from worker.errors import StoreError
from worker.instants import DAY, SECOND
from worker.model.controls import EVERY_SHOP, Controls, Pause, RateLimit
from worker.store.protocol import Store
from worker.store.timing import CANCELLED_FOR


def seen(store: Store, known: int = -1) -> Controls | None:
    """What a worker that knows this version gets."""
    heard: list[Any] = []
    store.watch(known, heard.append)
    # Answered after it.
    store.resume("nobody")
    (controls,) = heard
    assert not isinstance(controls, StoreError)
    told: Controls | None = controls
    return told


def test_nothing_stopped(world: World) -> None:
    """At first nothing is paused and nothing cancelled, at version 0."""
    assert seen(world.store) == Controls()
    assert world.store.resume("acme").pauses == {}


def test_pauses(world: World) -> None:
    """A pause has its reason and its beginning, which another reason doesn't move; each is lifted by its own name."""
    began = world.now
    world.store.pause("acme", "wrong texts")
    advance(world, 60 * SECOND)
    world.store.pause(EVERY_SHOP, "incident 7")
    controls = world.store.pause("acme", "legal hold")
    assert controls.pauses == {"acme": Pause("legal hold", began), EVERY_SHOP: Pause("incident 7", world.now)}
    assert controls.pause_of("acme") == Pause("legal hold", began)
    assert controls.pause_of("other") == Pause("incident 7", world.now)
    assert world.store.resume(EVERY_SHOP).pauses == {"acme": Pause("legal hold", began)}
    assert world.store.resume("acme").pauses == {}


def test_pauses_never_end_by_themselves(world: World) -> None:
    """However long it lasts, a pause is there until it is lifted."""
    world.store.pause("acme", "closed for good")
    advance(world, 10_000 * DAY)
    controls = seen(world.store)
    assert controls is not None
    assert controls.pause_of("acme") is not None


def test_versions(world: World) -> None:
    """A worker that knows the version gets nothing; each change makes another version, also one back."""
    known = world.store.pause("acme", "a").version
    heard: list[Any] = []
    world.store.watch(known, heard.append)
    later = world.store.pause("acme", "b").version
    assert heard == [None]
    assert known < later
    world.store.watch(known, heard.append)
    assert world.store.resume("acme").version != later
    assert isinstance(heard[1], Controls)


def test_cancelled_campaigns(world: World) -> None:
    """A campaign is cancelled for one shop or for all, for a year; undone for all, nothing of it is left."""
    world.store.cancel("spring", "acme")
    controls = world.store.cancel("sümmer", EVERY_SHOP)
    now = world.now
    assert [controls.is_cancelled("spring", shop, now) for shop in ("acme", "other")] == [True, False]
    assert controls.is_cancelled("sümmer", "other", now)
    assert not controls.is_cancelled("autumn", "acme", now)
    controls = world.store.cancel("spring", EVERY_SHOP)
    assert controls.is_cancelled("spring", "other", now)
    controls = world.store.restore("spring", EVERY_SHOP)
    assert not controls.is_cancelled("spring", "acme", now)
    assert controls.is_cancelled("sümmer", "acme", now)
    assert world.store.restore("sümmer", "acme").is_cancelled("sümmer", "acme", now)


def test_cancelled_campaigns_are_remembered_longer_than_jobs(world: World) -> None:
    """They outlive the ledger's retention, and are forgotten after a year."""
    world.store.cancel("spring", "acme")
    advance(world, CANCELLED_FOR - 1)
    assert world.store.resume("nobody").is_cancelled("spring", "acme", world.now)
    advance(world, 2)
    assert not world.store.resume("nobody").cancelled


def test_one_stops_and_others_see_it(shared: RedisWorld) -> None:
    """What one process stops every other sees, through a failover's forgotten scripts too; one key holds it."""
    other = shared.another()
    try:
        shared.store.pause("acme", "x")
        shared.client.script_flush()
        controls = seen(other)
        assert controls is not None
        assert controls.pause_of("acme") is not None
        assert shared.client.keys("rd:*") == [b"rd:controls"]
        assert shared.client.ttl("rd:controls") == -1
    finally:
        other.close()


def test_the_key_expires_once_nothing_is_paused(shared: RedisWorld) -> None:
    """Of cancelled campaigns alone nothing stays for ever, and of nothing no key."""
    shared.store.cancel("spring", "acme")
    assert shared.client.ttl("rd:controls") > 0
    shared.store.restore("spring", "acme")
    assert shared.client.keys("rd:*") == []


def test_a_campaign_is_held_once(shared: RedisWorld) -> None:
    """However often it is cancelled, what every worker reads grows no longer."""
    held = []
    for _ in range(5):
        shared.store.cancel("spring", "acme")
        held.append(shared.client.strlen("rd:controls"))
    assert held == [held[0]] * 5


def test_lost_data_are_noticed(shared: RedisWorld) -> None:
    """After a flush a worker that knew of a pause learns that there is none."""
    known = shared.store.pause("acme", "x").version
    shared.client.delete("rd:controls")
    heard: list[Any] = []
    shared.store.watch(known, heard.append)
    shared.store.resume("nobody")
    assert heard[0] == Controls()


def test_orders_after_data_were_lost(world: World) -> None:
    """Whatever version a worker remembers, it gets the orders that are given after the store was emptied."""
    known = [world.store.pause("acme", f"reason {number}").version for number in range(5)]
    store = world.renew()
    advance(world, SECOND)
    store.pause("beta", "anew")
    for version in (*known, 0):
        heard = seen(store, version)
        assert heard is not None
        assert list(heard.pauses) == ["beta"]


def test_limits(world: World) -> None:
    """A shop's limit has its reason, beginning and end; it ends by itself, by another one, or when it is lifted."""
    began = world.now
    controls = world.store.limit("acme", SECOND, "their site is slow", began + 60 * SECOND)
    assert controls.limits == {"acme": RateLimit(SECOND, "their site is slow", began, began + 60 * SECOND)}
    known = controls.version
    world.store.pause("acme", "x")
    controls = world.store.limit("bolt", 2 * SECOND, "ö", began + 90 * SECOND)
    assert seen(world.store, known) is not None
    assert controls.limit_of("bolt", began) == RateLimit(2 * SECOND, "ö", began, began + 90 * SECOND)
    assert controls.limit_of("acme", began + 60 * SECOND) is None
    assert list(world.store.unlimit("bolt").limits) == ["acme"]
    advance(world, 61 * SECOND)
    controls = world.store.resume("nobody")
    assert controls.limits == {}
    assert controls.pauses["acme"].reason == "x"


def test_a_limit_s_key_expires(shared: RedisWorld) -> None:
    """Nothing is left of a limit that has ended."""
    shared.store.limit("acme", SECOND, "slow", shared.now + 60 * SECOND)
    assert shared.client.ttl("rd:controls") > 0
    shared.store.unlimit("acme")
    assert shared.client.keys("rd:*") == []


def test_orders_of_an_older_version_are_read(shared: RedisWorld) -> None:
    """A pause that was ordered before there were limits holds through the update."""
    pack = "redis.call('SET', KEYS[1], cmsgpack.pack(7, {{'acme', 'texts', 5}}, {}))"
    shared.client.eval(pack, 1, "rd:controls")
    controls = shared.store.controls()
    assert (controls.version, controls.pauses["acme"].reason, controls.limits) == (7, "texts", {})
