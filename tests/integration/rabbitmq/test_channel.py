"""The channel that all shops' queues are consumed on."""

import time
from collections import Counter

import pika

from tests.integration.rabbitmq.bench import new_job
from tests.services import Vhost
from worker.model.lanes import ShopLane
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.producer import outgoing, publish_each
from worker.rabbitmq.topology import queues

OF = ShopLane("acme")
JOBS = 600
PREFETCH = 16


def test_a_queue_is_consumed_anew_while_deliveries_are_in_hand(vhost: Vhost, params: Parameters) -> None:
    """By another prefetch, again and again: each message comes once, and the connection stands."""
    del vhost
    tags: list[int] = []
    came: Counter[str] = Counter()

    def take(of: ShopLane, method: pika.spec.Basic.Deliver, _body: bytes, properties: pika.BasicProperties) -> None:
        assert of == OF
        tags.append(method.delivery_tag)
        came[str(properties.message_id)] += 1

    channel = ShopChannel(params, prefetch=PREFETCH, single=False, on_message=take)
    channel.open(queues([OF.shop]))
    assert publish_each([outgoing(new_job(number), 0) for number in range(JOBS)], params) == [None] * JOBS
    for prefetch in (None, 100, None, 200, None, JOBS):
        expected = min(JOBS, came.total() + (prefetch or PREFETCH))
        channel.subscribe(OF, prefetch=prefetch)
        deadline = time.monotonic() + 10
        while came.total() < expected and time.monotonic() < deadline:
            channel.pump(1, ready=lambda: False)
        assert came.total() >= expected
        # Most are still in hand when it is consumed anew.
        for tag in tags[::3]:
            channel.ack(tag, channel.generation)
        del tags[::3]
        channel.unsubscribe(OF)
    assert set(came.values()) == {1}
    channel.close()


def test_a_consumer_of_higher_priority_is_filled_first(vhost: Vhost, params: Parameters) -> None:
    """Up to its prefetch; what it has no room for goes to the other."""
    del vhost
    came: Counter[int] = Counter()

    def consume(priority: int) -> ShopChannel:
        channel = ShopChannel(params, prefetch=PREFETCH, single=False, on_message=lambda *_: came.update([priority]))
        channel.open(queues([OF.shop]))
        channel.subscribe(OF, priority=priority)
        return channel

    channels = [consume(0), consume(7)]
    for jobs, expected in ((range(PREFETCH), {7: PREFETCH}), (range(PREFETCH, PREFETCH + 4), {7: PREFETCH, 0: 4})):
        assert publish_each([outgoing(new_job(number), 0) for number in jobs], params) == [None] * len(jobs)
        deadline = time.monotonic() + 10
        while came.total() < sum(expected.values()) and time.monotonic() < deadline:
            for channel in channels:
                channel.pump(0.05, ready=lambda: False)
        assert came == expected
    for channel in channels:
        channel.close()
