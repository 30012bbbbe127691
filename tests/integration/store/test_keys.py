"""What the store leaves on the server: how much, for how long, and nothing personal once a job is settled."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.store.worlds import AHEAD, RESULT, RedisWorld, advance, ask_all, flush, submitted
from tests.services import Valkey
from tests.unit.making import LEASE, NOON, go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.adaptive import RECOVERY
from worker.limits.token_bucket import Rate
from worker.store.protocol import AdmitRequest, Grant, Reply, ShopClosed, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN

ADDRESS = "erased@example.com"
CUSTOMER = f"e:{ADDRESS}"
PERSONAL = '{"outcome":"sent","customer":{"email":"erased@example.com"},"referral":{"code":"ANN-42"}}'
MIDNIGHT = NOON + DAY // 2
KEEP = 30 * DAY
WHOLE_LEASE = GRANT_LIFETIME + LEASE + LEASE_MARGIN


def keys(world: RedisWorld, pattern: str = "*") -> list[bytes]:
    """The store's keys."""
    found: list[bytes] = world.client.keys(f"rd:{pattern}")
    return found


def expiry(world: RedisWorld, key: bytes) -> float:
    """When a key expires, in microseconds of our clock."""
    return int(world.client.pexpiretime(key)) * 1000 - AHEAD


def everything(world: RedisWorld) -> bytes:
    """All keys with all they hold."""
    dump = b""
    for key in world.client.keys("*"):
        kind = world.client.type(key)
        held: Any = {
            b"string": lambda key: world.client.get(key),
            b"hash": lambda key: world.client.hgetall(key),
            b"set": lambda key: world.client.smembers(key),
        }[kind](key)
        dump += key + repr(held).encode()
    return dump


def hashed(number: int) -> str:
    """A job id as real ones are."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def finish_many(world: RedisWorld, numbers: range, *, shop: str = "acme") -> None:
    """Take many jobs through to their end."""
    limits = make_limits(shop=Rate(1, 10**6))

    def finish(request: AdmitRequest, reply: Reply) -> None:
        assert isinstance(reply, Grant)
        assert world.store.answer(request, reply.epoch, "{}")
        world.store.settle(request, reply.epoch, "sent")

    # Many threads, as in a worker: their commands go out together.
    with ThreadPoolExecutor(16) as threads:
        for first in range(numbers.start, numbers.stop, 500):
            some = range(first, min(first + 500, numbers.stop))
            requests = [AdmitRequest(shop, "", hashed(number), limits, LEASE) for number in some]
            list(threads.map(finish, requests, submitted(world.store, requests)))
    flush(world.store)


def test_every_key_expires(shared: RedisWorld) -> None:
    """Whatever happens to jobs, no key is left without an end."""
    limits = make_limits(shop=Rate.per_second(10, 5), customer=Rate.per_second(1, 1), per_day=8)
    replies = ask_all(shared.store, limits, ["e:a", "e:b", "", "e:a", "e:c", "", "", "", ""])
    grants = {number: reply for number, reply in enumerate(replies, start=1) if isinstance(reply, Grant)}
    for number, customer in ((1, "e:a"), (2, "e:b"), (5, "e:c")):
        request = make_request(number, customer=customer, limits=limits)
        match number:
            case 1:
                shared.store.answer(request, grants[number].epoch, RESULT)
                shared.store.settle(request, grants[number].epoch, "sent")
            case 2:
                shared.store.retry(request, grants[number].epoch, NOON + SECOND)
            case _:
                shared.store.release(request, grants[number].epoch, called=False)
    shared.store.block("acme", None, NOON + SECOND)
    shared.store.block("acme", "e:a", NOON + SECOND)
    shared.store.block("acme", "e:never seen", NOON + SECOND)
    shared.store.block("acme", "e:never seen", NOON + 5)
    ask_all(shared.store, limits, ["e:a", "e:b", ""], first=100)
    found = keys(shared)
    assert len(found) >= 8
    assert [key for key in found if shared.client.pttl(key) == -1] == [], "-1: it never expires"


def test_an_undone_grant_of_a_forgotten_customer(shared: RedisWorld) -> None:
    """Undoing a grant whose scopes have expired meanwhile brings no key back to life."""
    request = make_request()
    grant = go(shared.store, request)
    for key in keys(shared, "*:[cs]*"):
        shared.client.delete(key)
    shared.store.release(request, grant.epoch, called=False)
    assert keys(shared) == []


def test_expiry_is_rounded_up(shared: RedisWorld) -> None:
    """Nothing is forgotten a fraction of a millisecond before its time."""
    shared.set(NOON + 1)
    request = make_request(limits=make_limits(per_day=10))
    go(shared.store, request)
    (record,) = keys(shared, "*:j:*")
    assert 0 <= expiry(shared, record) - (shared.now + WHOLE_LEASE + KEEP) < 1000
    shared.store.block("acme", "e:b", NOON + 2 * DAY + 1)
    blocked = max(expiry(shared, key) for key in keys(shared, "*:c:*"))
    assert 0 <= blocked - (NOON + 2 * DAY + 1) < 1000


def test_how_long_records_live(shared: RedisWorld) -> None:
    """Jobs under way are known for the retention from when they may go on, answered ones from their answer."""
    request = make_request()
    grant = go(shared.store, request)
    shared.store.retry(request, grant.epoch, NOON + DAY)
    (record,) = keys(shared, "*:j:*")
    assert expiry(shared, record) == NOON + DAY + KEEP
    shared.set(NOON + DAY)
    shared.store.answer(request, go(shared.store, request).epoch, RESULT)
    assert expiry(shared, record) == NOON + DAY + KEEP
    go(shared.store, replace(make_request(2), uncalled="expired"))
    (uncalled,) = {*keys(shared, "*:j:*")} - {record}
    assert expiry(shared, uncalled) == NOON + DAY + WHOLE_LEASE + KEEP


def test_how_long_finished_jobs_are_kept(shared: RedisWorld) -> None:
    """Finished jobs go once their period and the two after it have passed, with their count."""
    finish_many(shared, range(3))
    period = KEEP // 2
    ends = ((NOON + AHEAD) // period + 3) * period - AHEAD
    assert {expiry(shared, key) for key in keys(shared, "*:[dn]*")} == {ends}
    assert ends >= NOON + KEEP


def test_how_long_scopes_live(shared: RedisWorld) -> None:
    """A shop's and a customer's state go with the day that counts their calls, and stay for a block beyond it."""
    go(shared.store, make_request())
    assert {expiry(shared, key) for key in keys(shared, "*:[cs]*")} == {MIDNIGHT}
    shared.store.block("acme", None, NOON + 2 * DAY)
    (shop,) = keys(shared, "*:s")
    assert expiry(shared, shop) == NOON + 2 * DAY
    go_on = make_request(2)
    shared.store.admit(go_on)
    shared.store.block("acme", None, NOON + DAY)
    assert expiry(shared, shop) == NOON + 2 * DAY


def test_a_block_keeps_the_day_s_count(shared: RedisWorld) -> None:
    """A short block doesn't shorten the memory of the calls that were made today."""
    limits = make_limits(per_day=1, customer_per_day=1)
    go(shared.store, make_request(limits=limits))
    shared.store.block("acme", None, NOON + SECOND)
    shared.store.block("acme", "e:ann@example.com", NOON + SECOND)
    assert {expiry(shared, key) for key in keys(shared, "*:[cs]*")} == {MIDNIGHT}


def test_two_blocks_in_a_row(shared: RedisWorld) -> None:
    """A second block that is shorter cuts neither the first nor the key's life; one that is longer moves both."""
    for customer, pattern in ((None, "*:s"), ("e:b", "*:c:*")):
        shared.renew()
        shared.store.block("acme", customer, NOON + 2 * DAY)
        shared.store.block("acme", customer, NOON + SECOND)
        (key,) = keys(shared, pattern)
        assert expiry(shared, key) == NOON + 2 * DAY
        shared.set(NOON + 2 * DAY - 1)
        assert not isinstance(shared.store.admit(make_request(customer="e:b")), Grant)
        shared.store.block("acme", customer, NOON + 3 * DAY)
        assert expiry(shared, key) == NOON + 3 * DAY
        shared.set(NOON)


def test_blocks_in_a_row_keep_the_day_s_count(shared: RedisWorld) -> None:
    """Short blocks, each longer than the last, forget no call of today; the day goes on where they end."""
    limits = make_limits(per_day=2, customer_per_day=1)
    request = make_request(1, limits=limits)
    go(shared.store, request)
    for seconds in (1, 2, 3):
        shared.store.block("acme", None, NOON + seconds * SECOND)
        shared.store.block("acme", request.customer, NOON + seconds * SECOND)
    assert {expiry(shared, key) for key in keys(shared, "*:[cs]*")} == {MIDNIGHT}
    advance(shared, 3 * SECOND)
    assert shared.store.admit(make_request(2, limits=limits)) == Wait("customer", MIDNIGHT)
    go(shared.store, make_request(3, customer="e:b", limits=limits))
    assert shared.store.admit(make_request(4, customer="e:c", limits=limits)) == ShopClosed(MIDNIGHT, "day_quota")


@pytest.mark.parametrize("called", [False, True])
def test_how_long_what_a_release_leaves_is_kept(shared: RedisWorld, called: bool) -> None:
    """The job for the retention, so that its attempts are known; its shop and customer for as long as they were."""
    request = make_request()
    shared.store.retry(request, go(shared.store, request).epoch, NOON)
    shared.store.block("acme", None, NOON + 2 * DAY)
    shared.store.block("acme", request.customer, NOON + 3 * DAY)
    shared.set(NOON + 3 * DAY)
    grant = go(shared.store, request)
    scopes = {key: expiry(shared, key) for key in keys(shared, "*:[cs]*")}
    assert set(scopes.values()) == {MIDNIGHT + 3 * DAY}
    shared.store.release(request, grant.epoch, called=called)
    (record,) = keys(shared, "*:j:*")
    assert expiry(shared, record) == shared.now + KEEP
    assert {key: expiry(shared, key) for key in scopes} == scopes
    assert go(shared.store, request).attempts == 2


def test_a_block_outlives_a_release(shared: RedisWorld) -> None:
    """A grant that is released during a block of days leaves the block as it is."""
    request = make_request()
    grant = go(shared.store, request)
    shared.store.block("acme", None, NOON + 2 * DAY)
    shared.store.block("acme", request.customer, NOON + 2 * DAY)
    shared.store.release(request, grant.epoch, called=False)
    assert {expiry(shared, key) for key in keys(shared, "*:[cs]*")} == {NOON + 2 * DAY}
    assert shared.store.admit(request) == ShopClosed(NOON + 2 * DAY, "throttled")


def test_how_long_a_slower_pace_is_kept(shared: RedisWorld) -> None:
    """A pace that fell is known until it has recovered, though nobody calls meanwhile."""
    shared.store.slow_down(make_request(), NOON - 1)
    (shop,) = keys(shared, "*:s")
    assert expiry(shared, shop) == NOON + RECOVERY


def test_keys_are_of_one_slot(shared: RedisWorld) -> None:
    """All keys of a shop carry its name in braces, so that a cluster keeps them together."""
    finish_many(shared, range(450), shop="one-shop")
    go(shared.store, make_request(shop="one-shop"))
    shared.store.block("one-shop", "e:b", NOON + SECOND)
    found = [key for key in keys(shared) if b"other" not in key]
    assert len({key.split(b"}")[1][:2] for key in found}) == 6
    assert all(key.startswith(b"rd:{one-shop}:") for key in found)


def test_nothing_personal_stays(shared: RedisWorld) -> None:
    """While a result waits for its publication it is kept; once settled, neither address nor result is anywhere."""
    request = make_request(customer=CUSTOMER)
    grant = go(shared.store, request)
    assert shared.store.answer(request, grant.epoch, PERSONAL)
    assert b"ANN-42" in everything(shared)
    shared.store.settle(request, grant.epoch, "sent")
    shared.store.block("other", None, 0)
    left = everything(shared)
    assert b"erased" not in left
    assert b"ANN-42" not in left


def test_an_address_is_never_in_a_key(shared: RedisWorld) -> None:
    """A customer's key is a hash, and what it holds are numbers."""
    go(shared.store, make_request(customer=CUSTOMER))
    shared.store.block("acme", CUSTOMER, NOON + SECOND)
    assert b"erased" not in everything(shared)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisWorld]:
    """A store that fills up over the tests that ask for it."""
    with Valkey(tmp_path_factory.mktemp("many") / "valkey") as valkey:
        world = RedisWorld(valkey.url, horizon=0)
        yield world
        world.close()


@pytest.mark.parametrize("jobs", [100, 1_000, 6_000])
def test_what_finished_jobs_cost(many: RedisWorld, jobs: int) -> None:
    """A finished job costs 30 bytes of memory at most, keys included, by the server's own account."""
    count = sum(int(value) for value in many.client.hvals("rd:{acme}:n"))
    finish_many(many, range(count, jobs))
    ledger = keys(many, "{acme}:d:*")
    assert sum(many.client.scard(key) for key in ledger) == jobs
    assert {many.client.object("encoding", key) for key in ledger} == {b"intset"}
    held = sum(many.client.memory_usage(key, samples=0) for key in [*ledger, b"rd:{acme}:n"])
    assert held / jobs <= 30
    # Job, shop's state and nothing else: all that was under way is gone.
    assert keys(many, "{acme}:j:*") == []


def test_a_new_period_has_its_own_sets(shared: RedisWorld) -> None:
    """Jobs of the next period don't fill up the sets of the last, which go first, and the oldest count is dropped."""
    for number in range(5):
        finish_many(shared, range(number * 10, number * 10 + 10))
        advance(shared, KEEP // 2)
    assert int(shared.client.hlen("rd:{acme}:n")) == 3
