"""What would disturb every other test on a node: alarms, and consumer time-outs."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import SENT, Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap, tapping
from tests.integration.stock.processes import QUEUE, stock
from tests.integration.stock.upstream import Upstream
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until
from worker.errors import BrokerError
from worker.model.job import Job
from worker.model.verdicts import Halted, Verdict
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.outgoing import Outgoing
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.topology import JOBS, RESULTS, shop_queue

CONSUMER_TIMEOUT = 4.0

JOBS_PER_SHOP = 40

HALTED = Halted(401, "invalid_token", None, every_shop=False)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own, which looks for consumers' time-outs twice a second."""
    folder = tmp_path_factory.mktemp("own") / "rabbitmq"
    with open_rabbitmq(folder, advanced={"channel_tick_interval": "500"}) as node:
        yield node


ALARMS = {
    "memory": ("set_vm_memory_high_watermark", "0.0001", "0.4"),
    "disk": ("set_disk_free_limit", "900000GB", "50MB"),
}
"""A command of rabbitmqctl, the limit that is passed at once, and the usual one."""


@contextmanager
def alarm(node: RabbitMQ, resource: str) -> Iterator[None]:
    """RabbitMQ out of memory or disk: it blocks every connection that publishes."""
    command, passed, usual = ALARMS[resource]
    node.ctl(command, passed)
    try:
        yield
    finally:
        node.ctl(command, usual)


def time_out(node: RabbitMQ, seconds: float) -> None:
    """Give consumers so long from now on, on channels that are opened from now on."""
    node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {int(seconds * 1000)}).")


@contextmanager
def frames_of(node: RabbitMQ, largest: int) -> Iterator[None]:
    """A node that takes frames of at most so many bytes."""
    node.ctl("eval", f"application:set_env(rabbit, frame_max, {largest}).")
    try:
        yield
    finally:
        node.ctl("eval", "application:set_env(rabbit, frame_max, 131072).")


def test_smaller_frames_are_refused(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A node whose frames have no room for the copies of jobs is named with the setting, by all that connect to it."""
    params = parameters(vhost.url, name="tested")
    publisher = Publisher(params)
    with frames_of(rabbitmq, 65_536):
        with pytest.raises(BrokerError) as refused:
            connect(params)
        publisher.start()
        problem = wait_until(lambda: publisher.problem, 10, "the publisher's problem")
    for told in (refused.value, problem):
        assert "takes frames of at most 65,536 bytes" in str(told)
        assert "take frame_max out of rabbitmq.conf, or set it to 131072" in str(told)
    wait_until(lambda: publisher.problem is None, 10, "the publisher's connection, once the setting is gone")
    publisher.close(timeout=0)


def test_a_publisher_hears_of_a_memory_alarm_and_outlives_it(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """While RabbitMQ is out of memory the listener gets "not ready"; afterwards "ready", and every message is there."""
    declare(vhost)
    heard: list[bool] = []
    ends: list[BrokerError | None] = []

    def listen(ready: bool) -> None:
        heard.append(ready)

    publisher = Publisher(parameters(vhost.url, name="tested"), listener=listen)
    publisher.start()
    wait_until(lambda: heard == [True], 10, "the publisher's connection")
    with alarm(rabbitmq, "memory"):
        publisher.publish(Outgoing(RESULTS, "acme.sent.ok.plain", b"held", ends.append))
        wait_until(lambda: heard == [True, False], 10, "the listener to hear of the alarm")
        assert ends == []
    wait_until(lambda: heard == [True, False, True], 20, "the listener to hear of its end")
    assert publisher.close(timeout=10)
    assert ends == [None]
    assert [letter.body for letter in tap.take(RESULTS, 1, 5)] == [b"held"]


@pytest.mark.parametrize("resource", ALARMS)
def test_an_alarm_stops_calls_and_loses_nothing(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, resource: str) -> None:
    """While RabbitMQ takes no results no call starts; afterwards every job has its result, called once."""
    declare(vhost)
    jobs = [new_job(number) for number in range(200)]
    for job in jobs:
        tap.put(JOBS, "acme", message_of(job))
    refer = FakeRefer2(hold_from=50)
    with Bench(vhost, [new_shop()], refer, threads=4) as bench:
        wait_until(lambda: len(refer.calls) >= 50 + 3, 10, "calls in flight")
        with alarm(rabbitmq, resource):
            refer.release()
            wait_until(lambda: "broker_blocked" in bench.closed("acme"), 10, "the gate to close")
            wait_until(lambda: bench.count("results") == len(refer.calls), 10, "the calls in flight to end")
            calls = len(refer.calls)
            # A call could start in each of its rounds.
            beats: set[float] = set()

            def went_round() -> bool:
                beats.add(bench.count("pump_beat"))
                return len(beats) > 3

            wait_until(went_round, 20, "the consumer's rounds")
            assert len(refer.calls) == calls < 200
        results = tap.take(RESULTS, 200, 30, distinct=True)
    assert {json.loads(letter.body)["job_id"] for letter in results} == {job.job_id for job in jobs}
    assert set(refer.per_job().values()) == {1}


def test_a_closed_shop_does_not_close_the_channel_of_all(rabbitmq: RabbitMQ) -> None:
    """With one shop at its quota, one halted and one slow, the channel outlives three consumer time-outs.

    RabbitMQ closes a channel, and with it every shop's consumer, over one delivery that lies too long.
    """
    time_out(rabbitmq, CONSUMER_TIMEOUT)
    shops = [new_shop("quota", per_day=3), new_shop("halted"), new_shop("slow", per_second=4.0, burst=1)]
    vhost = rabbitmq.add_vhost()
    declare(vhost, [shop.slug for shop in shops])

    def answer(job: Job) -> Verdict:
        return HALTED if job.shop == "halted" else SENT

    logs: list[Any]
    with tapping(vhost) as tap, capture_logs() as logs:
        for shop in shops:
            for number in range(JOBS_PER_SHOP):
                tap.put(JOBS, shop.slug, message_of(new_job(number, shop.slug)))
        with Bench(vhost, shops, FakeRefer2(answer), longest_held=CONSUMER_TIMEOUT / 2):
            began = time.monotonic()
            results = tap.take(RESULTS, 3 + JOBS_PER_SHOP, 30)
            wait_until(lambda: time.monotonic() > began + 3 * CONSUMER_TIMEOUT, 30, "three consumer time-outs")
        assert [entry for entry in logs if entry["event"] == "consumer_disconnected"] == []
        assert Counter(json.loads(letter.body)["shop"] for letter in results) == {"quota": 3, "slow": JOBS_PER_SHOP}
        for slug, left in (("quota", JOBS_PER_SHOP - 3), ("halted", JOBS_PER_SHOP)):
            letters = tap.take(shop_queue(slug), left, 10)
            assert len({letter.body for letter in letters}) == left
            assert tap.peek(shop_queue(slug)) is None


def test_stock_loses_its_channel_to_a_job_that_is_held(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, tmp_path: Path
) -> None:
    """A job held for its shop has the queue's channel closed, as Dramatiq's own broker does it: nobody consumes any
    more, and then it is called twice.
    """
    time_out(rabbitmq, 2)

    def nobody_consumes() -> bool:
        return not tap.channel.queue_declare(QUEUE, passive=True).method.consumer_count

    with Upstream() as upstream:
        upstream.hold()
        with stock(vhost, upstream, tmp_path, messages=1):
            wait_until(lambda: len(upstream.arrivals) == 1, 20, "the job to be held")
            wait_until(lambda: not nobody_consumes(), 20, "the consumer to be seen")
            wait_until(nobody_consumes, 20, "the channel to be closed")
            wait_until(lambda: len(upstream.arrivals) == 2, 20, "the same job's second call")
