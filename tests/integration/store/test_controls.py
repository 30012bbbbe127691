"""What an operator orders, on either store alike: pauses, limits and cancelled campaigns."""

from typing import Any

from tests.integration.store.worlds import RedisWorld, World, advance
from tests.origins import KIM
from worker.errors import StoreError
from worker.instants import DAY, SECOND
from worker.model.controls import EVERY_SHOP, Controls, Pause, RateLimit
from worker.model.orders import MOST_LATEST, MOST_ORDERS, Origin, limit_text
from worker.store.protocol import Store
from worker.store.redis.keys import LOG_KEY, SINCE_KEY
from worker.store.timing import CANCELLED_FOR


def lasts(world: RedisWorld, key: bytes) -> int:
    """For how long a key is kept since the last order (microseconds, to the minute), whose log is kept for 366 days."""
    left: int = 366 * DAY + (world.client.pttl(key) - world.client.pttl(LOG_KEY)) * 1_000
    return round(left / (60 * SECOND)) * 60 * SECOND


def seen(store: Store, known: int = -1) -> Controls | None:
    """What a worker that knows this version gets."""
    heard: list[Any] = []
    store.watch(known, heard.append)
    # Answered after it.
    store.resume("nobody", KIM)
    (controls,) = heard
    assert not isinstance(controls, StoreError)
    told: Controls | None = controls
    return told


def test_nothing_stopped(world: World) -> None:
    """At first nothing is paused and nothing cancelled, at version 0."""
    assert seen(world.store) == Controls()
    assert world.store.resume("acme", KIM).pauses == {}


def test_pauses(world: World) -> None:
    """A pause has its reason and its beginning, which another reason doesn't move; each is lifted by its own name."""
    began = world.now
    world.store.pause("acme", Origin("kim", "wrong texts"))
    advance(world, 60 * SECOND)
    world.store.pause(EVERY_SHOP, Origin("kim", "incident 7"))
    controls = world.store.pause("acme", Origin("kim", "legal hold"))
    assert controls.pauses == {"acme": Pause("legal hold", began), EVERY_SHOP: Pause("incident 7", world.now)}
    assert controls.pause_of("acme") == Pause("legal hold", began)
    assert controls.pause_of("other") == Pause("incident 7", world.now)
    assert world.store.resume(EVERY_SHOP, KIM).pauses == {"acme": Pause("legal hold", began)}
    assert world.store.resume("acme", KIM).pauses == {}


def test_pauses_never_end_by_themselves(world: World) -> None:
    """However long it lasts, a pause is there until it is lifted."""
    world.store.pause("acme", Origin("kim", "closed for good"))
    advance(world, 10_000 * DAY)
    controls = seen(world.store)
    assert controls is not None
    assert controls.pause_of("acme") is not None


def test_versions(world: World) -> None:
    """A worker that knows the version gets nothing; each change makes another version, also one back."""
    known = world.store.pause("acme", Origin("kim", "a")).version
    heard: list[Any] = []
    world.store.watch(known, heard.append)
    later = world.store.pause("acme", Origin("kim", "b")).version
    assert heard == [None]
    assert known < later
    world.store.watch(known, heard.append)
    assert world.store.resume("acme", KIM).version != later
    assert isinstance(heard[1], Controls)


def test_cancelled_campaigns(world: World) -> None:
    """A campaign is cancelled for one shop or for all, for a year; undone for all, nothing of it is left."""
    world.store.cancel("spring", "acme", KIM)
    controls = world.store.cancel("sümmer", EVERY_SHOP, KIM)
    now = world.now
    assert [controls.is_cancelled("spring", shop, now) for shop in ("acme", "other")] == [True, False]
    assert controls.is_cancelled("sümmer", "other", now)
    assert not controls.is_cancelled("autumn", "acme", now)
    controls = world.store.cancel("spring", EVERY_SHOP, KIM)
    assert controls.is_cancelled("spring", "other", now)
    controls = world.store.restore("spring", EVERY_SHOP, KIM)
    assert not controls.is_cancelled("spring", "acme", now)
    assert controls.is_cancelled("sümmer", "acme", now)
    assert world.store.restore("sümmer", "acme", KIM).is_cancelled("sümmer", "acme", now)


def test_cancelled_campaigns_are_remembered_longer_than_jobs(world: World) -> None:
    """They outlive the ledger's retention, and are forgotten after a year."""
    world.store.cancel("spring", "acme", KIM)
    advance(world, CANCELLED_FOR - 1)
    assert world.store.resume("nobody", KIM).is_cancelled("spring", "acme", world.now)
    advance(world, 2)
    assert not world.store.resume("nobody", KIM).cancelled


def test_one_stops_and_others_see_it(alone: RedisWorld) -> None:
    """What one process stops every other sees, through a failover's forgotten scripts too; workers read one key.

    They note since when there is anything.
    """
    other = alone.another()
    try:
        alone.store.pause("acme", Origin("kim", "x"))
        alone.client.script_flush()
        controls = seen(other)
        assert controls is not None
        assert controls.pause_of("acme") is not None
        assert set(alone.client.keys("rd:*")) == {b"rd:controls", LOG_KEY, SINCE_KEY}
        assert alone.client.ttl("rd:controls") == -1
    finally:
        other.close()


def test_the_key_expires_once_nothing_is_paused(shared: RedisWorld) -> None:
    """Of cancelled campaigns nothing stays for ever, and of nothing a day: workers must hear of the last order."""
    shared.store.cancel("spring", "acme", KIM)
    assert lasts(shared, b"rd:controls") == CANCELLED_FOR
    shared.store.restore("spring", "acme", KIM)
    assert lasts(shared, b"rd:controls") == DAY


def test_a_campaign_is_held_once(shared: RedisWorld) -> None:
    """However often it is cancelled, what every worker reads grows no longer."""
    held = []
    for _ in range(5):
        shared.store.cancel("spring", "acme", KIM)
        held.append(len(shared.store.controls().cancelled))
    assert held == [1] * 5


def test_lost_data_are_noticed(shared: RedisWorld) -> None:
    """After a flush a worker that knew of a pause learns that there is none."""
    known = shared.store.pause("acme", Origin("kim", "x")).version
    shared.client.delete("rd:controls")
    heard: list[Any] = []
    shared.store.watch(known, heard.append)
    shared.store.resume("nobody", KIM)
    assert heard[0] == Controls()


def test_orders_after_data_were_lost(world: World) -> None:
    """Whatever version a worker remembers, it gets the orders that are given after the store was emptied."""
    known = [world.store.pause("acme", Origin("kim", f"reason {number}")).version for number in range(5)]
    store = world.renew()
    advance(world, SECOND)
    store.pause("beta", Origin("kim", "anew"))
    for version in (*known, 0):
        heard = seen(store, version)
        assert heard is not None
        assert list(heard.pauses) == ["beta"]


def test_limits(world: World) -> None:
    """A shop's limit has its reason, beginning and end; it ends by itself, by another one, or when it is lifted."""
    began = world.now
    controls = world.store.limit("acme", SECOND, began + 60 * SECOND, Origin("kim", "their site is slow"))
    assert controls.limits == {"acme": RateLimit(SECOND, "their site is slow", began, began + 60 * SECOND)}
    known = controls.version
    world.store.pause("acme", Origin("kim", "x"))
    controls = world.store.limit("bolt", 2 * SECOND, began + 90 * SECOND, Origin("kim", "ö"))
    assert seen(world.store, known) is not None
    assert controls.limit_of("bolt", began) == RateLimit(2 * SECOND, "ö", began, began + 90 * SECOND)
    assert controls.limit_of("acme", began + 60 * SECOND) is None
    assert list(world.store.unlimit("bolt", KIM).limits) == ["acme"]
    advance(world, 61 * SECOND)
    controls = world.store.resume("nobody", KIM)
    assert controls.limits == {}
    assert controls.pauses["acme"].reason == "x"


def test_a_limit_s_key_expires(shared: RedisWorld) -> None:
    """Of a limit nothing stays for ever, but for as long as it lasts."""
    shared.store.limit("acme", SECOND, shared.now + 3 * DAY, Origin("kim", "slow"))
    assert lasts(shared, b"rd:controls") == 3 * DAY
    shared.store.unlimit("acme", KIM)
    assert lasts(shared, b"rd:controls") == DAY


def test_orders_of_an_older_version_are_read(shared: RedisWorld) -> None:
    """A pause that was ordered before there were limits holds through the update."""
    pack = "redis.call('SET', KEYS[1], cmsgpack.pack(7, {{'acme', 'texts', 5}}, {}))"
    shared.client.eval(pack, 1, "rd:controls")
    controls = shared.store.controls()
    assert (controls.version, controls.pauses["acme"].reason, controls.limits) == (7, "texts", {})


def test_who_ordered_it(world: World) -> None:
    """Each order is remembered with who, when, what and why, the newest first; the controls tell workers of the latest.

    What is done elsewhere is recorded beside them, and changes nothing that is in force.
    """
    began = world.now
    paused = world.store.pause("acme", Origin("kim", "wrong texts"))
    advance(world, 10 * SECOND)
    world.store.limit("bolt", SECOND // 5, began + 60 * SECOND, Origin("lou@desk", "slow"))
    world.store.cancel("spring", EVERY_SHOP, Origin("kim"))
    recorded = world.store.record("replay", Origin("kim", "übrig"), shop="acme", campaign="spring", detail="40 jobs")
    assert (recorded.pauses, list(recorded.limits)) == (paused.pauses, ["bolt"])
    orders = world.store.orders()
    assert [(order.action, order.by, order.shop, order.campaign, order.reason) for order in orders] == [
        ("replay", "kim", "acme", "spring", "übrig"),
        ("cancel", "kim", EVERY_SHOP, "spring", ""),
        ("limit", "lou@desk", "bolt", "", "slow"),
        ("pause", "kim", "acme", "", "wrong texts"),
    ]
    assert [order.detail for order in orders] == ["40 jobs", "", limit_text(SECOND // 5, began + 60 * SECOND), ""]
    assert (orders[-1].at, orders[-2].at) == (began, began + 10 * SECOND)
    assert recorded.latest == tuple(orders)
    heard = seen(world.store, paused.version)
    assert heard is not None
    assert heard.latest == tuple(orders)


def test_as_many_orders_as_are_told(world: World) -> None:
    """The store remembers a thousand, the controls name eight: both keep the newest, in order."""
    for number in range(MOST_ORDERS + 5):
        last = world.store.record("replay", KIM, detail=f"{number}")
    orders = world.store.orders()
    assert [order.detail for order in orders] == [f"{number}" for number in range(MOST_ORDERS + 4, 4, -1)]
    assert last.latest == tuple(orders[:MOST_LATEST])
    numbers = [order.number for order in orders]
    assert numbers == sorted(set(numbers), reverse=True)


def test_a_spoilt_log_keeps_nobody_from_an_order(shared: RedisWorld) -> None:
    """What another user of the server has put under its key is given up."""
    for value in (b"\xc1", b"\x01", b"\xa3abc"):
        shared.client.set(LOG_KEY, value)
        assert shared.store.orders() == []
        assert shared.store.pause("acme", Origin("kim", "x")).pause_of("acme") is not None
        assert [order.action for order in shared.store.orders()] == ["pause"]
    shared.client.delete(LOG_KEY)
    shared.client.hset(LOG_KEY, "a", "b")
    assert shared.store.pause("acme", Origin("kim", "x")).pause_of("acme") is not None
