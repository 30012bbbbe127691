"""The connection that calls of `worker.publish` share."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.rabbitmq.bench import declare, new_job
from tests.integration.rabbitmq.tap import Tap, cut
from tests.services import RabbitMQ, Vhost, wait_until
from tests.unit.interruption import Interruption
from worker import publish
from worker.clock import SystemClock
from worker.errors import BrokerError, UnroutableError
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.kept_publishers import KeptPublishers
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.topology import shop_queue
from worker.store.redis.store import RedisStore

FORKING = """
import ctypes, os, sys
from worker import Customer, Job, publish

def one(number):
    job = Job.create(shop="acme", campaign="spring", customer=Customer(shopid=number), channel="sms")
    assert publish(job, amqp_url=sys.argv[1], timeout=20) == 1

# As a server written in C does, which runs none of Python's hooks.
unnoticed = ctypes.PyDLL(None).fork

one("before")
children = []
for fork, name in ((os.fork, "first child"), (os.fork, "second child"), (unnoticed, "third child")):
    children.append(fork())
    if not children[-1]:
        one(name)
        if fork is unnoticed:
            os._exit(0)
        sys.exit()
one("parent")
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
one("after")
"""

FORKING_AMID_CALLS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from worker import Customer, Job, publish

over, forked = threading.Event(), threading.Barrier(5)

def one(number):
    job = Job.create(shop="acme", campaign="spring", customer=Customer(shopid=str(number)), channel="sms")
    assert publish(job, amqp_url=sys.argv[1], timeout=20) == 1

def many(first):
    one(first)
    forked.wait(20)
    for number in count(first + 1):
        one(number)
        if over.is_set():
            return number + 1 - first

with ThreadPoolExecutor(4) as threads:
    calls = [threads.submit(many, 100_000 * thread) for thread in range(4)]
    forked.wait(20)
    for child in range(20):
        pid = os.fork()
        if not pid:
            one(f"child {child}")
            # As a server's child ends: its parent's threads are not there to be waited for.
            sys.stdout.flush()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    over.set()
    print(sum(call.result(30) for call in calls) + 20)
"""


def connections(rabbitmq: RabbitMQ, vhost: Vhost) -> list[str]:
    """What RabbitMQ calls the producers' connections; it lists them up to 5 s late."""
    known = rabbitmq.api("GET", f"/api/vhosts/{vhost.name}/connections")
    ours = "referral-dispatch producer"
    return [one["name"] for one in known if one.get("client_properties", {}).get("connection_name") == ours]


def test_threads_share_one_connection(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """40 calls on 8 threads confirm each its own jobs, over what stays one connection."""
    declare(vhost)
    publish(new_job(0), amqp_url=vhost.url)
    with ThreadPoolExecutor(8) as threads:
        confirmed = threads.map(lambda n: publish([new_job(2 * n), new_job(2 * n + 1)], amqp_url=vhost.url), range(40))
        assert list(confirmed) == [2] * 40
    assert len(tap.take(shop_queue("acme"), 81, 20)) == 81
    wait_until(lambda: len(connections(rabbitmq, vhost)) == 1, 20, "one connection")


def test_threads_that_begin_at_once(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """16 first calls at one moment may each connect; one connection is left of them, and all jobs are confirmed."""
    declare(vhost)
    together = threading.Barrier(16)

    def first(number: int) -> int:
        together.wait(20)
        return publish(new_job(number), amqp_url=vhost.url)

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(first, range(16))) == [1] * 16
    assert len(tap.take(shop_queue("acme"), 16, 20)) == 16
    wait_until(lambda: len(connections(rabbitmq, vhost)) == 1, 20, "one connection")


def test_a_connection_that_was_cut_is_replaced(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Calls after it are confirmed too, over a new one."""
    declare(vhost)
    publish(new_job(0), amqp_url=vhost.url)
    wait_until(lambda: len(connections(rabbitmq, vhost)) == 1, 20, "one connection")
    first = connections(rabbitmq, vhost)
    cut(rabbitmq, first)
    assert publish(new_job(1), amqp_url=vhost.url) == 1
    assert len(tap.take(shop_queue("acme"), 2, 20)) == 2
    wait_until(lambda: len(set(connections(rabbitmq, vhost)) - set(first)) == 1, 20, "another connection")


def test_nothing_connects_between_calls(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A publisher that loses its connection while no call uses it ends with its thread; it would try for ever."""
    before = set(threading.enumerate())
    declare(vhost)
    publish(new_job(0), amqp_url=vhost.url)
    (thread,) = set(threading.enumerate()) - before
    wait_until(lambda: len(connections(rabbitmq, vhost)) == 1, 20, "one connection")
    cut(rabbitmq, connections(rabbitmq, vhost))
    wait_until(lambda: not thread.is_alive(), 20, "the end of its thread")


def test_a_call_that_failed_leaves_nothing_behind(vhost: Vhost, tap: Tap) -> None:
    """A job that could not be confirmed in time is not published later, and the next call succeeds."""
    with pytest.raises(BrokerError, match="confirmed nothing"):
        publish(new_job(1), amqp_url=vhost.url, timeout=0.5)
    declare(vhost)
    with pytest.raises(UnroutableError):
        publish(new_job(2, shop="nobody"), amqp_url=vhost.url)
    assert publish(new_job(3), amqp_url=vhost.url) == 1
    (letter,) = tap.take(shop_queue("acme"), 1, 20)
    assert letter.properties.message_id == new_job(3).job_id
    assert tap.depth(shop_queue("acme")) == 0


def test_the_environment_counts_at_each_call(vhost: Vhost, tap: Tap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are kept as long as it says the same; a producer's name that it has later is obeyed."""
    declare(vhost, producers=["crm"])
    monkeypatch.setenv("REFERRALS_AMQP_URL", vhost.url)
    assert publish(new_job(1)) == publish(new_job(2)) == 1
    monkeypatch.setenv("REFERRALS_PRODUCER", "crm")
    with pytest.raises(UnroutableError, match="by the exchange"):
        publish(new_job(3))
    monkeypatch.delenv("REFERRALS_PRODUCER")
    assert publish(new_job(3)) == 1
    assert len(tap.take(shop_queue("acme"), 3, 20)) == 3


def test_a_publisher_is_lent_until_a_call_fails(params: Parameters) -> None:
    """It may hold messages of that call, so the next one gets another; what to connect by is read for each alone."""
    kept = KeptPublishers()
    made: list[Parameters] = []

    def make() -> Parameters:
        made.append(params)
        return params

    def lent() -> Publisher:
        with kept.lend("key", make) as publisher:
            return publisher

    def fail() -> None:
        with kept.lend("key", make):
            raise KeyError

    first = lent()
    assert lent() is first
    with pytest.raises(KeyError):
        fail()
    second = lent()
    assert second is not first
    assert lent() is second
    assert len(made) == 2
    kept.close()


def test_no_signal_leaves_a_thread(params: Parameters) -> None:
    """A program may go on after Ctrl-C, as an interpreter does. A publisher of the call that it ended is not left alone
    to connect for ever.
    """
    before = set(threading.enumerate())
    number, came = 0, True
    while came:
        number += 1
        kept = KeptPublishers()
        interruption = Interruption(number, within="publisher")
        with interruption.expected(), kept.lend("key", lambda: params):
            # Whatever comes later finds it among those that are kept.
            sys.settrace(None)
        came = interruption.came
        if not came:
            kept.close()
        wait_until(lambda: set(threading.enumerate()) == before, 10, f"the end of its thread after moment {number}")
    assert number > 20


def test_a_fork_has_its_own_and_all_end_with_their_process(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, redis_url: str
) -> None:
    """Parent and children publish and count after a fork; none hangs as it ends, and no connection stays."""
    declare(vhost)
    ran = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, vhost.url]
    done = subprocess.run(
        ran, env=os.environ | {"REFERRALS_REDIS_URL": redis_url}, check=True, timeout=60, capture_output=True
    )
    assert not done.stderr
    assert len(tap.take(shop_queue("acme"), 6, 20)) == 6
    wait_until(lambda: not connections(rabbitmq, vhost), 20, "no connection")
    store = RedisStore(redis_url, SystemClock())
    assert store.tallies("acme") == {"spring": {"published": 6}}
    store.close()


def test_a_fork_amid_calls_of_other_threads(vhost: Vhost, tap: Tap, redis_url: str) -> None:
    """Whatever they hold at that moment, each child publishes and counts, and the parent's calls go on."""
    declare(vhost)
    ran = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING_AMID_CALLS, vhost.url]
    environment = os.environ | {"REFERRALS_REDIS_URL": redis_url}
    done = subprocess.run(ran, env=environment, check=True, timeout=90, capture_output=True, text=True)
    jobs = int(done.stdout)
    assert len(tap.take(shop_queue("acme"), jobs, 30)) == jobs
    store = RedisStore(redis_url, SystemClock())
    assert store.tallies("acme") == {"spring": {"published": jobs}}
    store.close()
