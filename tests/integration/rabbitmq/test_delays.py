"""Delay queues: a job comes back to its own shop at its time, whatever else waits."""

import json
import time

import pytest

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, ShiftedClock, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.topology import DEAD, DELAYS, JOBS, RESULTS, delay_exchange, expiration, shop_queue

LATE = 1.5
"""Seconds that RabbitMQ may be late on a busy machine; trials showed 20 ms."""


def delay(tap: Tap, shop: str, body: bytes, wait: float, level: int | None = None) -> float:
    """Put a message into the delay queue of its wait (seconds); returns the wall clock when it is due."""
    due = time.time() + wait
    micros = int(wait * SECOND)
    exchange = f"referrals.delay.{level}" if level else delay_exchange(micros)
    tap.put(exchange, shop, body, expiration=expiration(micros))
    return due


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, ["acme", "bolt"])


def test_jobs_of_one_level_return_in_order_each_on_time(tap: Tap) -> None:
    """Jobs with increasing waits in one level come back to their own shops in order, none early and none late."""
    waits = [1.1, 1.4, 1.7, 2.0, 2.3]
    dues = [delay(tap, "acme", b"%d" % number, wait, level=5) for number, wait in enumerate(waits)]
    due_of_bolt = delay(tap, "bolt", b"bolt", 2.5, level=5)

    letters = tap.take(shop_queue("acme"), len(waits), 10)
    (of_bolt,) = tap.take(shop_queue("bolt"), 1, 10)

    assert [letter.body for letter in letters] == [b"%d" % number for number in range(len(waits))]
    for due, letter in zip([*dues, due_of_bolt], [*letters, of_bolt], strict=True):
        assert due - 0.05 <= letter.at <= due + LATE
        assert (letter.exchange, letter.properties.delivery_mode) == ("referrals.return", 2)


def test_no_level_holds_a_message_longer_than_its_name(tap: Tap) -> None:
    """A message without an expiry of its own leaves the level of one second after one second."""
    began = time.time()
    tap.put("referrals.delay.1", "acme", b"bare")
    (letter,) = tap.take(shop_queue("acme"), 1, 10)
    assert began + 0.9 <= letter.at <= began + 1 + LATE


def test_orphans_of_a_removed_shop_block_nobody(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """100 jobs of a shop without a queue are parked as dead, untouched, and the live job behind them is on time."""
    orphans = [b"orphan %d" % number for number in range(100)]
    for body in orphans:
        delay(tap, "removed", body, 1.0, level=5)
    due = delay(tap, "acme", b"live", 1.5, level=5)

    (live,) = tap.take(shop_queue("acme"), 1, 10)
    assert live.body == b"live"
    assert due - 0.05 <= live.at <= due + LATE
    assert [letter.body for letter in tap.take(DEAD, 100, 10)] == orphans
    wait_until(lambda: rabbitmq.depths(vhost).get("referrals.delay.5") == 0, 10, "an empty delay queue")


def test_a_wait_takes_the_level_that_covers_it(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Waits of 0.2 s to two hours land in the shortest level that is long enough, the longest beyond it."""
    for wait in (0.2, 4, 14, 59, 299, 899, 3599, 7200):
        delay(tap, "bolt", b"x", wait)
    expected = {f"referrals.delay.{seconds}": 1 for seconds in DELAYS[1:-1]} | {"referrals.delay.3600": 2}

    def waiting() -> dict[str, int]:
        depths = rabbitmq.depths(vhost)
        return {name: count for name, count in depths.items() if "delay" in name and count}

    wait_until(lambda: waiting() == expected, 10, f"{expected}")
    assert tap.take(shop_queue("bolt"), 1, 5)[0].body == b"x"


def test_a_long_wait_takes_several_hops(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """A job whose customer waits two hours passes the longest level several times, and is called once at its time."""
    # A policy makes this level's hour half a second: RabbitMQ takes the shorter one.
    limit(rabbitmq, vhost, "referrals.delay.3600", **{"message-ttl": 500})
    clock, refer, job = ShiftedClock(), FakeRefer2(), new_job(1, customer="patient")
    with Bench(vhost, [new_shop()], refer, clock=clock) as bench:
        bench.store.block("acme", job.customer.key, clock.now() + 7200 * SECOND)
        tap.put(JOBS, "acme", message_of(job))
        wait_until(lambda: bench.count("deferrals", shop="acme") >= 4, 15, "four hops")
        assert refer.calls == []
        clock.shift = 7200 * SECOND
        (result,) = tap.take(RESULTS, 1, 10)
    assert json.loads(result.body)["job_id"] == job.job_id
    assert refer.per_job() == {job.job_id: 1}
    assert tap.peek(DEAD) is None


def test_the_place_in_line_is_by_the_wall_clock(vhost: Vhost, tap: Tap) -> None:
    """A worker whose machine's clock was put right since it began notes the place as others read it."""
    corrected = 0
    clock = SystemClock(wall=lambda: time.time_ns() + corrected)
    corrected = 600 * 10**9
    until = clock.now() + 7200 * SECOND
    refer, job = FakeRefer2(), new_job(1, customer="patient")
    with Bench(vhost, [new_shop()], refer, clock=clock) as bench:
        bench.store.block("acme", job.customer.key, until)
        tap.put(JOBS, "acme", message_of(job))
        (letter,) = tap.take("referrals.delay.3600", 1, 10)
    assert until + 599 * SECOND < letter.headers["x-referral-place"] < until + 660 * SECOND


def test_the_place_in_line_travels_with_the_job(vhost: Vhost, tap: Tap) -> None:
    """A deferred job carries its place in its customer's line, its body untouched, and headers that don't pile up."""
    clock, refer, job = SystemClock(), FakeRefer2(), new_job(1, customer="patient")
    until = clock.now() + 7200 * SECOND
    with Bench(vhost, [new_shop()], refer, clock=clock) as bench:
        bench.store.block("acme", job.customer.key, until)
        tap.put(JOBS, "acme", message_of(job), headers={"x-mine": "kept", "x-death": []})
        (letter,) = tap.take("referrals.delay.3600", 1, 10)
    assert letter.body == message_of(job)
    assert letter.routing_key == "acme"
    assert letter.properties.expiration == "3600000"
    assert letter.properties.message_id == job.job_id
    assert letter.headers.keys() == {"x-mine", "x-referral-place"}
    assert letter.headers["x-referral-place"] >= until
