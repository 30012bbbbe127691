"""What is ordered about campaigns, on either store alike: pauses, paces, what is held back, and brakes."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import AHEAD, MemoryWorld, RedisWorld, World, advance
from tests.origins import KIM
from worker.instants import DAY, SECOND
from worker.model.campaign_orders import FOREVER, MOST_CAMPAIGNS_ORDERED, Brake, CampaignOrder, Hold
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.orders import Origin
from worker.store.protocol import Store
from worker.store.redis.keys import CAMPAIGN_ORDERS_KEY
from worker.store.timing import BRAKE_KEPT

FIRST = Hold("first", "", 0)


def publish(store: Store, campaign: str, shop: str = EVERY_SHOP, **ordered: Any) -> Controls:
    """Order what a publisher orders."""
    return store.publish_campaign(campaign, shop, KIM, **{"rest": None, "brake": None, "detail": ""} | ordered)


def test_a_pause(world: World) -> None:
    """It holds every job of the campaign at its shop or at all, since its first order; each is lifted by its name."""
    began = world.now
    world.store.pause_campaign("spring", "acme", Origin("kim", "wrong texts"))
    advance(world, SECOND)
    controls = world.store.pause_campaign("spring", "acme", Origin("lou", "ask Kim"))
    order = controls.order_about(" spring ", "acme")
    assert order == CampaignOrder(hold=Hold("paused", "ask Kim", began))
    assert [order.held(world.now, aside=aside) is not None for aside in (False, True)] == [True, True]
    assert controls.order_about("spring", "bolt") is controls.order_about("autumn", "acme") is None
    everywhere = world.store.pause_campaign("spring", EVERY_SHOP, Origin("kim", "all of it"))
    held = [everywhere.order_about("spring", shop) for shop in ("acme", "bolt")]
    assert [order.hold.reason for order in held if order and order.hold] == ["ask Kim", "all of it"]
    assert world.store.resume_campaign("spring", "acme", KIM).order_about("spring", "acme") is not None
    world.store.pause_campaign("spring", "acme", Origin("kim", "again"))
    assert world.store.resume_campaign("spring", EVERY_SHOP, KIM).campaigns == {}


def test_a_pace(world: World) -> None:
    """The shop's own goes before that of all; what it leaves open comes from there."""
    world.store.pace_campaign("spring", EVERY_SHOP, SECOND, 500, KIM)
    controls = world.store.pace_campaign("spring", "acme", SECOND // 10, 0, KIM)
    assert controls.order_about("spring", "acme") == CampaignOrder(interval=SECOND // 10, per_day=500)
    assert controls.order_about("spring", "bolt") == CampaignOrder(interval=SECOND, per_day=500)
    assert world.store.pace_campaign("spring", EVERY_SHOP, 0, 0, KIM).campaigns == {}
    assert [order.detail for order in world.store.orders()] == [
        "no pace of its own",
        "10 calls/s",
        "1 calls/s, 500 calls a day",
    ]


def test_what_is_held_back(world: World) -> None:
    """Only what waits in the held lane, until it is released or its time has come; a pause is another matter."""
    began = world.now
    controls = publish(world.store, "spring", rest=FIRST)
    order = controls.order_about("spring", "acme")
    assert order is not None
    assert (order.held(began, aside=False), order.held(began, aside=True)) == (None, Hold("first", "", began))
    publish(world.store, "autumn", rest=Hold("start", "", 0, began + DAY))
    world.store.pause_campaign("autumn", EVERY_SHOP, KIM)
    timed = world.store.resume_campaign("autumn", EVERY_SHOP, KIM).order_about("autumn", "acme")
    assert timed is not None
    held = [timed.held(at, aside=True) for at in (began + DAY - 1, began + DAY)]
    assert held == [Hold("start", "", began, began + DAY), None]
    assert world.store.release_campaign("spring", "acme", KIM).order_about("spring", "acme") is not None
    assert list(world.store.release_campaign("spring", EVERY_SHOP, KIM).campaigns) == [("autumn", EVERY_SHOP)]
    advance(world, DAY)
    assert world.store.release_campaign("spring", EVERY_SHOP, KIM).campaigns == {}


def test_a_brake(world: World) -> None:
    """Published again it stays armed if it is the same; another one, or resuming the campaign, arms it anew."""

    def armed(controls: Controls) -> int:
        order = controls.order_about("spring", "acme")
        assert order is not None
        assert order.brake is not None
        return order.brake.armed

    first = publish(world.store, "spring", brake=Brake(20, 200))
    advance(world, SECOND)
    again = publish(world.store, "spring", brake=Brake(20, 200))
    assert armed(first) == armed(again) == first.version
    other = publish(world.store, "spring", brake=Brake(30, 200))
    assert armed(other) == other.version
    resumed = world.store.resume_campaign("spring", EVERY_SHOP, KIM)
    assert armed(resumed) == resumed.version
    assert armed(publish(world.store, "spring", rest=FIRST)) == resumed.version
    order = resumed.order_about("spring", "acme")
    assert order is not None
    assert order.brake == Brake(30, 200, resumed.version, world.now + BRAKE_KEPT)
    advance(world, BRAKE_KEPT)
    assert world.store.release_campaign("spring", EVERY_SHOP, KIM).campaigns == {}


def test_so_many_campaigns(world: World) -> None:
    """Of brakes those that end first are forgotten, never a pause, nor the one that is ordered."""
    world.store.pause_campaign("held", EVERY_SHOP, KIM)
    publish(world.store, "oldest", brake=Brake(50, 200))
    advance(world, SECOND)
    for number in range(MOST_CAMPAIGNS_ORDERED):
        controls = publish(world.store, f"c{number}", "acme", brake=Brake(50, 200))
    assert len(controls.campaigns) == MOST_CAMPAIGNS_ORDERED
    assert controls.order_about("held", "acme") is not None
    assert controls.order_about("oldest", "acme") is None
    assert controls.order_about(f"c{MOST_CAMPAIGNS_ORDERED - 1}", "acme") is not None


def test_workers_hear_of_it(world: World) -> None:
    """An order about a campaign makes another version, and what a worker then gets has it."""
    known = world.store.controls().version
    heard: list[Any] = []
    controls = world.store.pause_campaign("frühling", "acme", Origin("kim", "wörter"))
    world.store.watch(known, heard.append)
    world.store.watch(controls.version, heard.append)
    assert world.store.resume("nobody", KIM).campaigns == controls.campaigns
    assert heard == [controls, None]
    assert controls.latest[0].details() == {"shop": "acme", "campaign": "frühling", "reason": "wörter"}


def test_an_older_command_leaves_it(shared: RedisWorld) -> None:
    """A pause of a shop by a command that knows nothing of campaigns: their orders lie in a string of their own."""
    shared.store.pause_campaign("spring", "acme", KIM)
    pack = "redis.call('SET', KEYS[1], cmsgpack.pack(7, {{'acme', 'texts', 5}}, {}))"
    shared.client.eval(pack, 1, "rd:controls")
    controls = shared.store.controls()
    assert (controls.version, list(controls.pauses)) == (7, ["acme"])
    assert controls.order_about("spring", "acme") is not None


def test_a_newer_version_s_fields_stay(shared: RedisWorld) -> None:
    """What a newer worker has added to an order is neither an error nor lost when it is changed."""
    pack = "redis.call('SET', KEYS[1], cmsgpack.pack({{'spring', 'acme', false, false, 9, 0, false, 'new'}}, {}))"
    shared.client.eval(pack, 1, CAMPAIGN_ORDERS_KEY)
    order = shared.store.pause_campaign("spring", "acme", KIM).order_about("spring", "acme")
    assert order is not None
    assert (order.interval, order.hold is not None) == (9, True)
    assert b"new" in shared.client.get(CAMPAIGN_ORDERS_KEY)


def test_how_long_it_is_kept(shared: RedisWorld) -> None:
    """For ever while a campaign is held or paced, and a year otherwise."""
    shared.store.pace_campaign("spring", "acme", SECOND, 0, KIM)
    assert shared.client.ttl(CAMPAIGN_ORDERS_KEY) == -1
    shared.store.pace_campaign("spring", "acme", 0, 0, KIM)
    publish(shared.store, "spring", brake=Brake(50, 200))
    assert shared.client.ttl(CAMPAIGN_ORDERS_KEY) > 0


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["pause", "resume", "pace", "unpace", "release", "first", "start", "brake", "wait"]),
        st.sampled_from(["spring", "autumn"]),
        st.sampled_from(["acme", "bolt", EVERY_SHOP]),
    ),
    max_size=25,
)


def carry_out(world: World, what: str, campaign: str, shop: str) -> Controls:
    """Give one of these orders."""
    store, origin = world.store, Origin("kim", what)
    match what:
        case "pause":
            return store.pause_campaign(campaign, shop, origin)
        case "resume":
            return store.resume_campaign(campaign, shop, origin)
        case "pace":
            return store.pace_campaign(campaign, shop, SECOND, 7, origin)
        case "unpace":
            return store.pace_campaign(campaign, shop, 0, 0, origin)
        case "release":
            return store.release_campaign(campaign, shop, origin)
        case "first":
            return publish(store, campaign, shop, rest=FIRST)
        case "start":
            return publish(store, campaign, shop, rest=Hold("start", "", 0, world.now + 3 * SECOND))
        case "brake":
            return publish(store, campaign, shop, brake=Brake(20, 200))
        case _:
            return store.controls()


def numbered(controls: Controls, ahead: int) -> object:
    """All that is in force; numbers are times of the store's own clock."""
    orders = {
        key: replace(order, brake=order.brake and replace(order.brake, armed=order.brake.armed - ahead))
        for key, order in controls.campaigns.items()
    }
    latest = [replace(order, number=order.number - ahead) for order in controls.latest]
    # Nothing has been ordered at version 0.
    version = controls.version and controls.version - ahead
    return version, {shop: since - ahead for shop, since in controls.freed.items()}, orders, latest


def test_both_stores_order_alike(shared: RedisWorld) -> None:
    """Whatever is ordered in whatever order, both say the same is in force, and remember the same."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ORDERS)
    def check(orders: list[tuple[str, str, str]]) -> None:
        memory = MemoryWorld()
        memory.set(shared.now)
        shared.renew()
        for what, campaign, shop in orders:
            ours, theirs = (carry_out(world, what, campaign, shop) for world in (memory, shared))
            assert numbered(ours, 0) == numbered(theirs, AHEAD)
            for world in (memory, shared):
                advance(world, SECOND)
        assert [order.details() for order in memory.store.orders()] == [
            order.details() for order in shared.store.orders()
        ]
        memory.close()

    check()


def test_until_released_is_for_ever() -> None:
    """What holds the rest of an export has no end of its own."""
    assert FIRST.until == FOREVER
