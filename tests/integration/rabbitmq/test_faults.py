"""RabbitMQ misbehaves under the consumer: nothing is lost, nothing called twice, nothing acked that was not done."""

import json
from collections.abc import Iterator
from typing import Any

import pika.exceptions
import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import (
    CONNECTION,
    SENT,
    Bench,
    FakeRefer2,
    ShiftedClock,
    declare,
    message_of,
    new_job,
    new_shop,
)
from tests.integration.rabbitmq.tap import Letter, Tap, await_listing, disconnect, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker.instants import SECOND
from worker.model.job import Job
from worker.model.verdicts import Verdict
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, queues, shop_queue

SHOPS = ("acme", "bolt", "core")


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, SHOPS)


def ids(letters: list[Letter]) -> set[str]:
    """The job ids of results."""
    return {json.loads(letter.body)["job_id"] for letter in letters}


def publish(tap: Tap, count: int, shops: tuple[str, ...] = SHOPS, *, first: int = 0) -> list[Job]:
    """That many jobs, one shop after the other, numbered from ``first``."""
    jobs = [new_job(number, shop=shops[number % len(shops)]) for number in range(first, first + count)]
    for job in jobs:
        tap.put(JOBS, job.shop, message_of(job))
    return jobs


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged during the test."""
    with capture_logs() as entries:
        yield entries


def reconnected(logs: list[Any]) -> bool:
    """Whether the consumer has logged that it is connected again."""
    return any(entry["event"] == "consumer_connected" for entry in list(logs))


def test_a_closed_connection_in_mid_run_loses_nothing(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, logs: list[Any]
) -> None:
    """RabbitMQ closes both connections during calls: every job has its result and was called once, no copy stays."""
    jobs = publish(tap, 600)
    refer, clock = FakeRefer2(hold_from=300), ShiftedClock()
    with Bench(vhost, [new_shop(shop) for shop in SHOPS], refer, longest_call=0.5, clock=clock):
        await_listing(rabbitmq, vhost, CONNECTION, count=2)
        wait_until(lambda: len(refer.calls) >= 300 + 7, 20, "calls in flight")
        disconnect(rabbitmq, vhost, CONNECTION)
        # The copies of the jobs in flight arrive while their calls are under way.
        wait_until(lambda: reconnected(logs), 10, "the consumer's new connection")
        refer.release()
        results = tap.take(RESULTS, 600, 30, distinct=True)
        clock.shift = 15 * SECOND
        every = dict.fromkeys((queue.name for queue in queues(SHOPS)), 0)
        wait_until(lambda: rabbitmq.depths(vhost) == every, 20, "every queue to be empty")
    assert ids(results) == {job.job_id for job in jobs}
    assert refer.per_job() == {job.job_id: 1 for job in jobs}


def test_nothing_is_acked_that_was_not_done(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, logs: list[Any]) -> None:
    """Acks that come after a reconnect touch no message of the new connection: what wasn't called is still queued."""
    jobs = publish(tap, 60, ("acme",))
    refer = FakeRefer2(hold_from=1)
    with Bench(vhost, [new_shop()], refer, threads=4) as bench:
        await_listing(rabbitmq, vhost, CONNECTION, count=2)
        wait_until(lambda: len(refer.calls) == 4, 10, "calls in flight")
        disconnect(rabbitmq, vhost, CONNECTION)
        wait_until(lambda: reconnected(logs), 10, "the consumer's new connection")
        bench.context.stopping.set()
        refer.release()
        done = tap.take(RESULTS, 4, 10)
    called = {call.job.job_id for call in refer.calls}
    assert ids(done) == called
    # Also those that were called: their acks went with the old connection, and the ledger knows their copies.
    left = tap.take(shop_queue("acme"), 60, 10)
    assert {json.loads(letter.body)["message_id"] for letter in left} == {job.job_id for job in jobs}


def test_a_results_queue_that_cannot_be_used_strands_nobody(vhost: Vhost, tap: Tap, logs: list[Any]) -> None:
    """The exchange has another type: jobs are requeued, none is lost, and they go on once it is fixed."""
    refer = FakeRefer2(hold_from=1)
    with Bench(vhost, [new_shop(shop) for shop in SHOPS], refer, threads=4):
        jobs = publish(tap, 60)
        wait_until(lambda: len(refer.calls) == 4, 10, "calls in flight")
        tap.channel.queue_delete(RESULTS)
        tap.channel.queue_declare(RESULTS, durable=True)
        refer.release()
        wait_until(lambda: any(entry["event"] == "queue_unusable" for entry in list(logs)), 20, "it to be told")
        tap.channel.queue_delete(RESULTS)
        declare(vhost, SHOPS)
        results = tap.take(RESULTS, 60, 60, distinct=True)
    assert ids(results) == {job.job_id for job in jobs}
    assert refer.per_job() == {job.job_id: 1 for job in jobs}
    assert not any(entry["event"] == "consumer_disconnected" for entry in logs)


def test_a_deleted_queue_is_declared_and_consumed_again(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, logs: list[Any]
) -> None:
    """An operator deletes a shop's queue: it is back within seconds, and the other shops don't notice.

    The jobs of it that were in hand are carried out; those that waited in it went with it.
    """
    jobs = publish(tap, 120)
    refer = FakeRefer2(hold_from=1)
    with Bench(vhost, [new_shop(shop) for shop in SHOPS], refer, threads=3) as bench:
        wait_until(lambda: bench.in_hand() == 16 * len(SHOPS), 10, "as many jobs in hand as may be")
        tap.channel.queue_delete(shop_queue("acme"))
        wait_until(lambda: [entry for entry in list(logs) if entry["event"] == "consumer_cancelled"], 10, "the cancel")
        wait_until(lambda: shop_queue("acme") in rabbitmq.depths(vhost), 15, "the queue to be back")
        refer.release()
        results = tap.take(RESULTS, 16 + 80, 20)
        again = publish(tap, 30, first=200)
        assert ids(tap.take(RESULTS, 30, 15)) == {job.job_id for job in again}
        assert tap.depth(DEAD) == 0
    assert {job.job_id for job in jobs if job.shop != "acme"} < ids(results)
    assert set(refer.per_job().values()) == {1}
    assert [entry for entry in logs if entry["event"] == "consumer_disconnected"] == []


@pytest.mark.parametrize("deleted", ["queue", "exchange"])
def test_deleted_results_are_declared_again(vhost: Vhost, tap: Tap, deleted: str) -> None:
    """Without the results queue, or its exchange, no job is acknowledged; a worker makes them again by itself."""
    refer = FakeRefer2(hold_from=1)
    jobs = publish(tap, 40, ("acme",))
    with Bench(vhost, [new_shop()], refer, threads=4):
        wait_until(lambda: len(refer.calls) == 4, 10, "calls in flight")
        if deleted == "queue":
            tap.channel.queue_delete(RESULTS)
        else:
            tap.channel.exchange_delete(RESULTS)
        refer.release()
        wait_until(lambda: len(refer.calls) == len(jobs), 30, "every call")
        wait_until(lambda: there(tap, RESULTS), 10, "the queue to be back")
        results = tap.take(RESULTS, len(jobs), 30, distinct=True)
    assert ids(results) == {job.job_id for job in jobs}
    assert refer.per_job() == {job.job_id: 1 for job in jobs}


def there(tap: Tap, queue: str) -> bool:
    """Whether there is a queue of that name."""
    try:
        tap.channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        tap.reopen()
        return False
    return True


def test_a_refused_result_is_published_later_without_a_second_call(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """A full results queue keeps the job: its shop rests, and with room again the recorded result goes out."""
    limit(rabbitmq, vhost, "referrals.results", **{"max-length": 5})
    jobs = publish(tap, 30, ("acme",))
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer) as bench:
        wait_until(lambda: "backing_off" in bench.closed("acme"), 15, "the shop to rest")
        assert tap.peek(DEAD) is None
        results = tap.take(RESULTS, 30, 30, distinct=True)
        wait_until(lambda: rabbitmq.depths(vhost).get(shop_queue("acme")) == 0, 20, "an empty queue")
    assert ids(results) == {job.job_id for job in jobs}
    assert refer.per_job() == {job.job_id: 1 for job in jobs}


def test_an_actor_that_raises_keeps_its_job(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """A call that ends in an exception leaves the job in its queue and lets its shop rest; the other shops go on."""

    def answer(job: Job) -> Verdict:
        if job.shop == "bolt":
            raise RuntimeError("a bug")
        return SENT

    publish(tap, 30)
    refer = FakeRefer2(answer)
    with Bench(vhost, [new_shop(shop) for shop in SHOPS], refer) as bench:
        results = tap.take(RESULTS, 20, 15)
        wait_until(lambda: "backing_off" in bench.closed("bolt"), 10, "the shop to rest")
    assert {json.loads(letter.body)["shop"] for letter in results} == {"acme", "core"}
    assert sum(call.job.shop == "bolt" for call in refer.calls) <= 20
    wait_until(lambda: rabbitmq.depths(vhost).get(shop_queue("bolt")) == 10, 10, "the shop's jobs to be back")


def test_one_unusable_queue_stops_one_shop(vhost: Vhost, tap: Tap, logs: list[Any]) -> None:
    """A shop whose queue is of another type is left out with a line that says why; the other shops are served."""
    tap.channel.queue_delete(shop_queue("acme"))
    tap.channel.queue_declare(shop_queue("acme"), durable=True)
    jobs = publish(tap, 20, ("bolt", "core"))
    with Bench(vhost, [new_shop(shop) for shop in SHOPS], FakeRefer2()):
        assert ids(tap.take(RESULTS, 20, 15)) == {job.job_id for job in jobs}
        told = wait_until(lambda: [entry for entry in list(logs) if entry["event"] == "shop_queue_unusable"], 10, "it")
    assert told[0]["shop"] == "acme"
    assert "another type" in told[0]["problem"]
