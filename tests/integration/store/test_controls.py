"""What an operator stops, on either store alike: pauses and cancelled campaigns."""

from typing import Any

from tests.integration.store.worlds import RedisWorld, World, advance
from worker.clock import DAY, SECOND
from worker.controls import EVERY_SHOP, Controls, Pause
from worker.errors import StoreError
from worker.store.base import CANCELLED_FOR, Store


def seen(store: Store, known: int = -1) -> Controls | None:
    """What a worker is told that knows this version."""
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
    """Whoever knows the version is told that nothing is new; each change makes another one, also of the first kind."""
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
    """A campaign is called off for one shop or for all, for a year; undone for all, nothing of it is left."""
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


def test_lost_data_are_noticed(shared: RedisWorld) -> None:
    """After a flush a worker that knew of a pause is told that there is none."""
    known = shared.store.pause("acme", "x").version
    shared.client.delete("rd:controls")
    heard: list[Any] = []
    shared.store.watch(known, heard.append)
    shared.store.resume("nobody")
    assert heard[0] == Controls()
