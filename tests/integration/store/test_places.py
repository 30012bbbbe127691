"""A customer's line and the blocks that a 429 asks for, on either store."""

from tests.integration.store.worlds import World, advance, finish, granted
from tests.unit.making import LEASE, NOON, go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate
from worker.store.protocol import AlreadyAnswered, ShopClosed, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN

WHOLE_LEASE = GRANT_LIFETIME + LEASE + LEASE_MARGIN


def test_line(world: World) -> None:
    """Jobs that find their customer busy get places one interval apart, and each is granted at its place."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(2, 2))
    assert granted(store, limits, ["e:a"] * 2) == 2
    waits = [store.admit(make_request(number, customer="e:a", limits=limits)) for number in range(10, 16)]
    half = SECOND // 2
    places = [NOON + half * number for number in range(1, 7)]
    assert waits == [Wait("customer", place) for place in places]
    for number, place in enumerate(places, start=10):
        world.set(place)
        go(store, make_request(number, customer="e:a", limits=limits, place_in_line=place))


def test_newcomers_do_not_jump_the_line(world: World) -> None:
    """A job without a place leaves the token to those that have one, and goes to the end."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(1, 1))
    go(store, make_request(1, customer="e:a", limits=limits))
    for number in (2, 3):
        store.admit(make_request(number, customer="e:a", limits=limits))
    advance(world, SECOND)
    assert store.admit(make_request(4, customer="e:a", limits=limits)) == Wait("customer", NOON + 3 * SECOND)
    go(store, make_request(2, customer="e:a", limits=limits, place_in_line=NOON + SECOND))
    advance(world, SECOND)
    go(store, make_request(3, customer="e:a", limits=limits, place_in_line=NOON + 2 * SECOND))


def test_a_place_that_comes_too_soon(world: World) -> None:
    """Who comes before a token is there waits for it, without going to the end of the line."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(1, 1))
    go(store, make_request(1, customer="e:a", limits=limits))
    waits = [store.admit(make_request(number, customer="e:a", limits=limits)) for number in (2, 3, 4)]
    assert isinstance(waits[0], Wait)
    advance(world, SECOND // 2)
    early = make_request(2, customer="e:a", limits=limits, place_in_line=waits[0].until)
    assert store.admit(early) == Wait("customer", NOON + SECOND)


def test_the_line_ends(world: World) -> None:
    """Once the last place has passed, a newcomer is served like any other."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(1, 1))
    assert granted(store, limits, ["e:a"] * 4) == 1
    advance(world, 3 * SECOND)
    assert granted(store, limits, ["e:a"], first=10) == 1


def test_block_shop(world: World) -> None:
    """A blocked shop is closed to all of its customers until then, and to nobody else's."""
    store = world.store
    store.block("acme", None, NOON + 100)
    store.block("acme", None, NOON + 50)
    assert store.admit(make_request(1)) == ShopClosed(NOON + 100, "throttled")
    assert store.admit(make_request(2, customer="")) == ShopClosed(NOON + 100, "throttled")
    go(store, make_request(3, shop="other"))
    advance(world, 100)
    go(store, make_request(1))


def test_block_customer(world: World) -> None:
    """A blocked customer's jobs line up from the end of the block; the shop's others go on."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(2, 2))
    until = NOON + 60 * SECOND
    store.block("acme", "e:a", until)
    store.block("acme", "e:a", NOON + SECOND)
    waits = [store.admit(make_request(number, customer="e:a", limits=limits)) for number in range(3)]
    assert waits == [Wait("customer", until + number * SECOND // 2) for number in range(3)]
    assert granted(store, limits, ["e:b"], first=10) == 1
    world.set(until)
    go(store, make_request(0, customer="e:a", limits=limits, place_in_line=until))


def test_a_block_keeps_the_ledger(world: World) -> None:
    """What is done or under way is said also while shop and customer are blocked."""
    store = world.store
    finish(store, make_request(1))
    go(store, make_request(2))
    store.block("acme", None, NOON + DAY)
    assert store.admit(make_request(1)) == AlreadyAnswered(0, None)
    assert store.admit(make_request(2)) == Wait("job", NOON + WHOLE_LEASE)


def test_late_holders_of_a_place_line_up_anew(world: World) -> None:
    """Jobs that come back together, all after their places, get places of their own again."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(1, 1))
    go(store, make_request(1, customer="e:a", limits=limits))
    places = {number: store.admit(make_request(number, customer="e:a", limits=limits)) for number in range(2, 7)}
    advance(world, 60 * SECOND)
    untils = []
    for number, place in places.items():
        assert isinstance(place, Wait)
        late = store.admit(make_request(number, customer="e:a", limits=limits, place_in_line=place.until))
        untils += [late.until] if isinstance(late, Wait) else []
    assert untils == [world.now + SECOND * number for number in range(1, 5)]


def test_a_block_of_no_time(world: World) -> None:
    """A block that is over when it is recorded holds nobody back."""
    store = world.store
    store.block("acme", None, NOON)
    store.block("acme", "e:a", NOON - SECOND)
    go(store, make_request(1, customer="e:a"))


def test_a_block_of_ages(world: World) -> None:
    """An absurdly long block closes the shop and breaks nothing."""
    world.store.block("acme", None, 1 << 60)
    reply = world.store.admit(make_request())
    assert isinstance(reply, ShopClosed)
    assert reply.until > NOON + 365 * DAY
    go(world.store, make_request(2, shop="other"))
