"""What can be read of a shop, on either store alike."""

from dataclasses import replace

from tests.integration.store.worlds import World, advance
from tests.unit.making import NOON, go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate
from worker.store.protocol import CampaignPace
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import CLOSED_WORKER_KEPT, CLOSURE_OUTLIVES

LIMITS = make_limits(shop=Rate(100_000, 5), per_day=10)


def test_unknown_shop(world: World) -> None:
    """A shop that was never called is open, at its full pace, with its whole day left."""
    assert world.store.inspect("acme", LIMITS) == ShopState(world.now, 100_000, 0, 0, None)


def test_calls_of_today(world: World) -> None:
    """Calls are counted until the day's reset; unused grants don't count."""
    grants = [go(world.store, make_request(number, limits=LIMITS)) for number in range(3)]
    world.store.release(make_request(0, limits=LIMITS), grants[0].epoch, called=False)
    assert world.store.inspect("acme", LIMITS).calls_today == 2
    advance(world, DAY // 2)
    assert world.store.inspect("acme", LIMITS).calls_today == 0


def test_urgent_and_paced_calls_of_today(world: World) -> None:
    """They are among the shop's; a campaign's are counted while it has a pace, however its name is spelt."""
    paced = CampaignPace(0, 5)
    for number, urgent in enumerate((True, True, False)):
        go(world.store, replace(make_request(number, customer=f"c{number}", limits=LIMITS), urgent=urgent))
    go(world.store, replace(make_request(3, customer="c3", limits=LIMITS), campaign="spring", pace=paced))
    state = world.store.inspect("acme", LIMITS, " spring ")
    assert (state.calls_today, state.urgent_today, state.campaign_today) == (4, 2, 1)
    assert world.store.inspect("acme", LIMITS, "summer").campaign_today == 0
    advance(world, DAY // 2)
    state = world.store.inspect("acme", LIMITS, "spring")
    assert (state.calls_today, state.urgent_today, state.campaign_today) == (0, 0, 0)


def test_blocked_and_slowed(world: World) -> None:
    """A block shows while it lasts, and the pace as it is at the moment."""
    world.store.slow_down(make_request(limits=LIMITS), NOON - 1)
    world.store.block("acme", None, NOON + SECOND)
    state = world.store.inspect("acme", LIMITS)
    assert (state.interval, state.blocked_until) == (125_000, NOON + SECOND)
    advance(world, SECOND)
    state = world.store.inspect("acme", LIMITS)
    assert 100_000 < state.interval < 125_000
    assert state.blocked_until == 0


def test_closure(world: World) -> None:
    """A worker's note shows while its time lasts and while the shop is tried after it, or until it is withdrawn; the
    newest counts.
    """
    store = world.store
    store.note("acme", Closure("halted", "invalid_token", NOON + SECOND))
    store.note("acme", Closure("breaker", "http_503", NOON + 2 * SECOND))
    store.note("other", None)
    assert store.inspect("acme", LIMITS).closure == Closure("breaker", "http_503", NOON + 2 * SECOND)
    advance(world, 2 * SECOND)
    assert store.inspect("acme", LIMITS).closure is not None
    advance(world, CLOSURE_OUTLIVES)
    assert store.inspect("acme", LIMITS).closure is None
    store.note("acme", Closure("halted", "invalid_token", world.now + SECOND))
    store.note("acme", None)
    assert store.inspect("acme", LIMITS).closure is None


def test_workers_that_call_nobody(world: World) -> None:
    """Each is there with its last reason for as long as it says so."""
    store = world.store
    assert store.closed_workers() == {}
    store.note_closed("web-1:7", "no_key")
    store.note_closed("web-2:7", "no_key")
    assert store.closed_workers() == {"web-1:7": "no_key", "web-2:7": "no_key"}
    advance(world, CLOSED_WORKER_KEPT // 2)
    store.note_closed("web-1:7", "other_key")
    assert store.closed_workers() == {"web-1:7": "other_key", "web-2:7": "no_key"}
    advance(world, CLOSED_WORKER_KEPT // 2)
    assert store.closed_workers() == {"web-1:7": "other_key"}
    advance(world, CLOSED_WORKER_KEPT // 2)
    assert store.closed_workers() == {}


def test_looking_changes_nothing(world: World) -> None:
    """However often it is read, no token is taken."""
    for _ in range(20):
        world.store.inspect("acme", LIMITS)
    for number in range(5):
        go(world.store, make_request(number, limits=LIMITS))
