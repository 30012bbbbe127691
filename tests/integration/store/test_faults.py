"""Redis itself fails: away, frozen, empty, full, read-only, unwilling. The store says so, and goes on afterwards."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
import redis

from tests.integration.store.worlds import RESULT, finish
from tests.services import Valkey, process, wait_until
from tests.unit.making import NOON, go, make_limits, make_request
from worker.clock import SystemClock
from worker.errors import ConfigurationError, StoreError
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.controls import Controls
from worker.store.counting import MOST_CAMPAIGNS, OTHER_CAMPAIGNS
from worker.store.protocol import AdmitRequest, AlreadyAnswered, CampaignPace, Grant, Reply, ShopClosed, Wait
from worker.store.redis.store import RedisStore

SECRET = "s3cret-of-the-store"  # what no error may show


@pytest.fixture
def client(server: Valkey) -> Iterator[Any]:
    """The operator's connection to it."""
    with redis.Redis.from_url(server.url) as made:
        yield made


@pytest.fixture
def store(server: Valkey) -> Iterator[RedisStore]:
    """The store on it."""
    made = RedisStore(server.url, SystemClock())
    yield made
    made.close()


def process_of(server: Valkey) -> psutil.Process:
    """The server's process, to be frozen."""
    found = process.find(server.folder / "valkey.pid")
    assert found is not None
    return found


def refusal(store: RedisStore, asked: AdmitRequest | int = 1) -> str:
    """What the store says when it can't admit."""
    with pytest.raises(StoreError) as refused:
        store.admit(make_request(asked) if isinstance(asked, int) else asked)
    return str(refused.value)


def test_check_passes(server: Valkey, store: RedisStore, client: Any) -> None:
    """A server that is there and lets us in is fine, and nothing of the check stays on it."""
    store.check()
    wait_until(lambda: client.dbsize() == 0, 5, "the check's key to expire")


def test_scripts_are_gone(store: RedisStore, client: Any) -> None:
    """After SCRIPT FLUSH, or on a new server, the next command loads them and nothing is done twice."""
    grant = go(store, make_request())
    client.script_flush()
    assert store.answer(make_request(), grant.epoch, RESULT)
    client.script_flush()
    store.settle(make_request(), grant.epoch, "sent")
    assert store.admit(make_request()) == AlreadyAnswered(0, None)
    assert go(store, make_request(2)).attempts == 1


def test_scripts_are_gone_in_mid_run(store: RedisStore, client: Any) -> None:
    """Of many jobs none is lost or done twice while scripts are flushed over and over."""
    stop = threading.Event()

    def flush() -> None:
        # Not more often than every few commands, however slow they are here, or every single one would meet a flush.
        flushed_at = 0
        while not stop.wait(0.005):
            ran = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
            if ran >= flushed_at + 5:
                client.script_flush()
                flushed_at = ran

    flusher = threading.Thread(target=flush)
    flusher.start()
    refused = 0
    for number in range(1, 200):
        try:
            finish(store, make_request(number))
        except StoreError:
            # Flushed again between loading and running: refused, not done.
            refused += 1
    stop.set()
    flusher.join()
    assert refused < 100
    grants = sum(isinstance(store.admit(make_request(number)), Grant) for number in range(1, 200))
    assert grants <= refused


def test_restart(server: Valkey, store: RedisStore) -> None:
    """A server that died is out of reach; back again and empty, it takes answers to calls that were made before."""
    grant = go(store, make_request())
    server.kill()
    assert "out of reach" in refusal(store)
    with pytest.raises(StoreError):
        store.answer(make_request(), grant.epoch, RESULT)
    store.settle(make_request(), grant.epoch, "sent")
    server.start()
    assert store.answer(make_request(), grant.epoch, RESULT)
    assert store.admit(make_request()) == AlreadyAnswered(grant.epoch, RESULT)


def test_restart_between_commands(server: Valkey, store: RedisStore) -> None:
    """A connection that died unnoticed costs no command."""
    go(store, make_request())
    server.kill()
    server.start()
    go(store, make_request(2))


def test_flushed(store: RedisStore, client: Any) -> None:
    """After FLUSHALL a job under way is finished: its answer is accepted and the job is done."""
    grant = go(store, make_request())
    client.flushall()
    assert store.answer(make_request(), grant.epoch, RESULT)
    store.settle(make_request(), grant.epoch, "sent")
    assert store.admit(make_request()) == AlreadyAnswered(0, None)


def test_frozen(server: Valkey, store: RedisStore) -> None:
    """A server that accepts and says nothing is given up after half a second, by all who wait; then it goes on."""
    go(store, make_request())
    with process.frozen(process_of(server)):
        began = time.monotonic()
        refusals: list[list[Reply] | StoreError] = []
        for number in range(2, 12):
            store.submit([make_request(number)], refusals.append, turn=False, holds=1)
        assert "does not answer within 0.5 s" in refusal(store)
        assert time.monotonic() - began < 2.5
        assert all(isinstance(each, StoreError) for each in refusals)
        assert len(refusals) == 10
    wait_until(lambda: answers(store), 5, "the store to answer again")


def answers(store: RedisStore) -> bool:
    """Whether the store is back."""
    try:
        store.admit(make_request(999))
    except StoreError:
        return False
    return True


def lose_a_grant(server: Valkey, store: RedisStore, client: Any, request: AdmitRequest) -> None:
    """Have the job granted while nobody listens any more."""
    store.block("other", None, 0)  # connects
    with process.frozen(process_of(server)):
        refusal(store, request)
    wait_until(lambda: client.keys("rd:{acme}:j:*"), 5, "the lost question to be granted")
    wait_until(lambda: is_back(store), 5, "the store to answer again")


def is_back(store: RedisStore) -> bool:
    """Whether it takes commands again; asks for no job."""
    try:
        store.block("other", None, 0)
    except StoreError:
        return False
    return True


def test_a_grant_whose_answer_was_lost(server: Valkey, store: RedisStore, client: Any) -> None:
    """Granted while nobody listened any more, the job goes to who asks again: no lease, no attempt, no takeover."""
    finish(store, make_request(1))
    lose_a_grant(server, store, client, make_request(2))
    grant = go(store, make_request(2))
    assert (grant.attempts, grant.takeovers) == (1, 0)
    assert store.answer(make_request(2), grant.epoch, RESULT)


@pytest.mark.parametrize("uncalled", [None, "expired"])
def test_a_lost_grant_costs_nothing(
    server: Valkey, store: RedisStore, client: Any, uncalled: Literal["expired"] | None
) -> None:
    """Tokens and counts of the day are as if the lost question had never come, also where the job needs none by now."""
    hour = Rate(3600 * SECOND, 3)
    limits = make_limits(shop=hour, customer=hour, per_day=4, customer_per_day=3)
    request = make_request(2, limits=limits)
    lose_a_grant(server, store, client, request)
    assert store.inspect("acme", limits).calls_today == 1
    grant = go(store, replace(request, uncalled=uncalled))
    taken = 0 if uncalled else 1
    assert store.inspect("acme", limits).calls_today == taken
    store.release(request, grant.epoch, called=True)
    again = [store.admit(make_request(number, limits=limits)) for number in range(10, 14)]
    assert [isinstance(reply, Grant) for reply in again] == [True] * (3 - taken) + [False] * (1 + taken)
    assert store.inspect("acme", limits).calls_today == 3


def test_a_lost_grant_costs_nothing_of_its_campaigns_day(server: Valkey, store: RedisStore, client: Any) -> None:
    """Of two calls a day both are made."""
    first, second = (
        replace(make_request(number), campaign="spring", pace=CampaignPace(0, 2, None)) for number in (2, 3)
    )
    lose_a_grant(server, store, client, first)
    go(store, first)
    go(store, second)


def test_a_lost_grant_at_a_slower_pace_costs_nothing(server: Valkey, store: RedisStore, client: Any) -> None:
    """What was charged at a pace that fell is refunded whole, so that the next call may start at once."""
    request = make_request(2, limits=make_limits(shop=Rate(100 * SECOND, 1)))
    store.slow_down(request, SystemClock().now())
    lose_a_grant(server, store, client, request)
    go(store, request)


def test_a_lost_grant_is_not_shared(server: Valkey, store: RedisStore, client: Any) -> None:
    """Two copies of a job ask again after a lost answer: one of them is granted, the other waits for it."""
    finish(store, make_request(1))
    lose_a_grant(server, store, client, make_request(2))
    replies = [store.admit(make_request(2)), store.admit(make_request(2))]
    assert [type(reply) for reply in replies] == [Grant, Wait]


def test_a_lost_grant_of_a_forgotten_customer(server: Valkey, store: RedisStore, client: Any) -> None:
    """Taking back a grant whose customer's key is gone leaves no key that never expires."""
    finish(store, make_request(1))
    lose_a_grant(server, store, client, make_request(2))
    client.delete(*client.keys("rd:{acme}:c:*"))
    store.block("acme", None, SystemClock().now() + 60 * SECOND)
    assert isinstance(store.admit(make_request(2)), ShopClosed)
    assert [key for key in client.keys("*") if client.pttl(key) == -1] == [], "-1: it never expires"
    assert client.keys("rd:{acme}:j:*") == []


def test_a_lost_question_that_is_slower_than_the_next(server: Valkey, store: RedisStore, client: Any) -> None:
    """Also when the lost question is carried out after a later one was refused, its grant goes to who asks again."""
    finish(store, make_request(1))
    with process.frozen(process_of(server)):
        refusal(store, 2)
    (record,) = wait_until(lambda: client.keys("rd:{acme}:j:*"), 5, "the lost question to be granted")
    granted_late = client.get(record)
    store.block("acme", None, SystemClock().now() + 60 * SECOND)
    assert isinstance(store.admit(make_request(2)), ShopClosed)
    client.delete("rd:{acme}:s")
    client.set(record, granted_late, ex=60)  # as if it came only now
    assert go(store, make_request(2)).attempts == 1


def test_a_lost_grant_of_another_process(server: Valkey, store: RedisStore, client: Any) -> None:
    """Another process can't know that nobody holds the job, and waits for the lease."""
    finish(store, make_request(1))
    lose_a_grant(server, store, client, make_request(2))
    other = RedisStore(server.url, SystemClock())
    assert isinstance(other.admit(make_request(2)), Wait)
    other.close()


def test_no_memory_left(store: RedisStore, client: Any) -> None:
    """A full server grants nothing, gives a worker no orders and says why; what is under way is recorded and ends as
    ever, and commands still read.
    """
    grants = {number: go(store, make_request(number)) for number in (1, 2, 3)}
    client.config_set("maxmemory", "1")
    assert "no memory left" in refusal(store, 9)
    heard: Future[Controls | StoreError | None] = Future()
    store.watch(-1, heard.set_result)
    assert "no memory left" in str(heard.result(10))
    assert store.controls() == Controls()
    assert store.answer(make_request(1), grants[1].epoch, RESULT)
    store.settle(make_request(1), grants[1].epoch, "sent")
    assert store.retry(make_request(2), grants[2].epoch, NOON)
    store.release(make_request(3), grants[3].epoch, called=False)
    assert store.admit(make_request(1)) == AlreadyAnswered(0, None)
    client.config_set("maxmemory", "0")
    assert go(store, make_request(2)).attempts == 2
    assert go(store, make_request(3)).attempts == 1
    assert go(store, make_request(9)).attempts == 1


def test_read_only_replica(server: Valkey, store: RedisStore, client: Any) -> None:
    """A server that became a replica grants nothing, returns no orders, and is refused at start."""
    go(store, make_request())
    client.replicaof("127.0.0.1", "1")
    assert "read-only replica" in refusal(store, 2)
    with pytest.raises(StoreError, match="read-only replica"):
        store.controls()
    with pytest.raises(StoreError, match="read-only replica"):
        store.check()
    client.replicaof("NO", "ONE")
    go(store, make_request(2))


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"])
def test_an_evicting_server_is_refused(store: RedisStore, client: Any, policy: str) -> None:
    """A server that may drop our keys is refused at start, with the remedy; without a bound it drops nothing."""
    client.config_set("maxmemory-policy", policy)
    store.check()
    client.config_set("maxmemory", "100mb")
    with pytest.raises(ConfigurationError, match=f"maxmemory-policy {policy}.*noeviction"):
        store.check()
    client.config_set("maxmemory-policy", "noeviction")
    store.check()


@pytest.mark.parametrize(
    ("user", "why"),
    [("", "has no password for its default user"), ("worker", "refuses the user or the password")],
)
def test_wrong_password(server: Valkey, client: Any, user: str, why: str) -> None:
    """A refused password stops the start with a line that doesn't show it; later on, it is an outage."""
    client.acl_setuser("worker", enabled=True, passwords=["+right"], keys=["rd:*"], commands=["+@all"])
    store = RedisStore(f"redis://{user}:{SECRET}@127.0.0.1:{server.record['port']}/0", SystemClock())
    with pytest.raises(ConfigurationError, match=why) as refused:
        store.check()
    assert SECRET not in str(refused.value)
    text = refusal(store)
    assert why in text
    assert SECRET not in text
    store.close()


def test_nobody_listens(server: Valkey) -> None:
    """An address where nothing listens is named, without the password."""
    server.kill()
    store = RedisStore(f"redis://:{SECRET}@127.0.0.1:{server.record['port']}/0", SystemClock())
    # Reset, where the kernel is still taking the killed server's socket down.
    problem = f"127.0.0.1:{server.record['port']} is out of reach.*(refused|reset)"
    with pytest.raises(StoreError, match=problem) as refused:
        store.check()
    assert SECRET not in str(refused.value)
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://127.0.0.1:6379/0",
        "redis://127.0.0.1:port/0",
        f"redis://user:{SECRET}/x@127.0.0.1:6379/0",
        f"redis://user:{SECRET}#x@127.0.0.1:6379/0",
        f"redis://{SECRET}#x@127.0.0.1:6379/0",
        f"redis://{SECRET}/0@127.0.0.1:6379/0",
        "redis://127.0.0.1:6379/name",
    ],
)
def test_a_url_that_cannot_be_meant(url: str) -> None:
    """A malformed URL is refused before anything connects, and never shown."""
    with pytest.raises(ConfigurationError, match="REFERRALS_REDIS_URL") as refused:
        RedisStore(url, SystemClock())
    assert SECRET not in str(refused.value)


ACL = (
    "+evalsha +script|load +get +set +del +hmget +hincrby +hdel +hlen +hgetall +hscan +hrandfield +sismember +smembers "
    "+sadd +srem +scard +pexpireat +time +info +select +client|setinfo"
)
"""The commands that docs/store.md lists."""


def test_the_documented_acl_is_enough(server: Valkey, client: Any) -> None:
    """A user with the commands and keys that the manual lists can do all that the store does."""
    manual = Path(__file__).parents[3] / "docs" / "store.md"
    assert f"~rd:* {ACL}" in " ".join(manual.read_text().split())
    client.execute_command("ACL", "SETUSER", "worker", "on", f">{SECRET}", "~rd:*", *ACL.split())
    store = RedisStore(f"redis://worker:{SECRET}@127.0.0.1:{server.record['port']}/0", SystemClock())
    store.check()
    client.script_flush()
    finish(store, make_request(1))
    store.release(make_request(2), go(store, make_request(2)).epoch, called=False)
    store.retry(make_request(2), go(store, make_request(2)).epoch, NOON)
    store.block("acme", "e:ann@example.com", SystemClock().now() + SECOND)
    assert isinstance(store.admit(make_request(3)), Wait)
    expired = replace(make_request(4), uncalled="expired", customer="")
    finish(store, expired, "expired")
    assert store.known([("acme", make_request(number).job_id) for number in (1, 2, 4)]) == [
        "answered",
        "under_way",
        "expired",
    ]
    fill_with_campaigns(client)
    store.tally("acme", "one more", {"sent": 1})
    assert store.tallies("acme")["one more"] == {"sent": 1}
    store.close()


def fill_with_campaigns(client: Any) -> None:
    """As many as have names of their own, all of them over."""
    pipe = client.pipeline()
    for number in range(MOST_CAMPAIGNS):
        pipe.hset("rd:{acme}:k", f"c{number}", 1)
        pipe.hset(f"rd:{{acme}}:k:c{number}", "sent", 1)
    pipe.execute()


def test_permissions_of_an_earlier_version(server: Valkey, client: Any) -> None:
    """A user who may not ask for campaigns that are over settles jobs all the same; the new campaign is nameless."""
    client.execute_command("ACL", "SETUSER", "worker", "on", f">{SECRET}", "~rd:*", *ACL.split(), "-hrandfield")
    store = RedisStore(f"redis://worker:{SECRET}@127.0.0.1:{server.record['port']}/0", SystemClock())
    fill_with_campaigns(client)
    request = replace(make_request(1), campaign="one more")
    epoch = go(store, request).epoch
    assert store.answer(request, epoch, "{}")
    store.settle(request, epoch, "sent")
    assert store.tallies("acme")[OTHER_CAMPAIGNS] == {"sent": 1}
    assert store.admit(request) == AlreadyAnswered(epoch=0, result=None)
    store.close()


@pytest.mark.parametrize("missing", ["evalsha", "set", "hincrby", "script|load"])
def test_a_missing_permission(server: Valkey, client: Any, missing: str) -> None:
    """For a user with too few permissions the error says where they are listed; half a script forgets no job."""
    client.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~rd:*", *ACL.split(), f"-{missing}")
    store = RedisStore(f"redis://worker:pw@127.0.0.1:{server.record['port']}/0", SystemClock())
    if missing == "hincrby":
        grant = go(store, make_request())
        assert store.answer(make_request(), grant.epoch, RESULT)
        store.settle(make_request(), grant.epoch, "sent")
        assert store.admit(make_request()) == AlreadyAnswered(grant.epoch, RESULT)
    else:
        assert "docs/store.md" in refusal(store)
    if missing in {"set", "script|load"}:
        with pytest.raises(ConfigurationError, match=r"docs/store\.md"):
            store.check()
    client.execute_command("ACL", "SETUSER", "worker", f"+{missing}")
    assert go(store, make_request(2)).attempts == 1
    store.close()


def test_unix_socket(tmp_path: Path) -> None:
    """The store speaks through a unix socket too, and names its path when nobody listens."""
    path = tmp_path / "socket"
    with Valkey(tmp_path / "valkey", unixsocket=str(path)) as server:
        store = RedisStore(f"unix://{path}?db=2", SystemClock())
        store.check()
        finish(store, make_request())
        server.kill()
        assert str(path) in refusal(store, 2)
        store.close()


def test_callbacks_that_raise(store: RedisStore) -> None:
    """Whatever a caller's callback does, the store's thread serves the next one."""

    def broken(_: list[Reply] | StoreError) -> None:
        raise RuntimeError("of the caller's making")

    for number in range(3):
        store.submit([make_request(number)], broken, turn=False, holds=1)
    assert go(store, make_request(9)).attempts == 1


def test_a_key_of_another_program(store: RedisStore, client: Any) -> None:
    """A key of ours that holds something else is an error of that one command; the store lives on."""
    client.lpush("rd:{acme}:s", "not a scope")
    assert "ResponseError" in refusal(store)
    assert go(store, make_request(shop="other")).attempts == 1


def test_a_reply_that_is_none_of_ours(store: RedisStore, client: Any) -> None:
    """Every caller learns that another program's value under our keys can't be read, those that don't wait too."""
    client.set("rd:{acme}:g", b"\x01")
    client.hset("rd:{acme}:k", "spring", "")
    client.hset("rd:{acme}:k:spring", "sent", "many")
    for request in (lambda: store.inspect("acme", make_request().limits), lambda: store.tallies("acme")):
        with pytest.raises(StoreError, match=r"^the store's answer can't be read: (Type|Value)Error$"):
            request()


def test_closed(server: Valkey) -> None:
    """A caller of a store that was closed is refused at once and not left waiting."""
    store = RedisStore(server.url, SystemClock())
    go(store, make_request())
    store.close()
    assert "closed" in refusal(store)


def test_close_sends_what_waits(server: Valkey, client: Any) -> None:
    """Settling doesn't wait, but closing does."""
    store = RedisStore(server.url, SystemClock())
    grant = go(store, make_request())
    store.answer(make_request(), grant.epoch, RESULT)
    store.settle(make_request(), grant.epoch, "sent")
    store.close()
    assert not client.keys("rd:{acme}:j:*")
