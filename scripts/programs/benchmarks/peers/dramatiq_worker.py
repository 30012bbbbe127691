"""Dramatiq: ``dramatiq scripts.programs.benchmarks.peers.dramatiq_worker``; as a program, it sends jobs from its input.

One quorum queue, the default middleware, each result published confirmed before the message is acknowledged.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.rate_limits import WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

from scripts.programs.benchmarks.peers import refer2
from scripts.programs.benchmarks.peers.threaded import call


class QuorumBroker(RabbitmqBroker):
    """Dramatiq's broker, with queues that survive the loss of a node, as ours are."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)  # type: ignore[no-untyped-call]
        return arguments | {"x-queue-type": "quorum"}


broker: Any = QuorumBroker(url=refer2.AMQP_URL, confirm_delivery=True)
dramatiq.set_broker(broker)
if refer2.PER_SECOND:
    broker.add_middleware(CurrentMessage())
    _backend: Any = RedisBackend(url=os.environ["BENCH_REDIS_URL"])


@contextmanager
def permitted(job: dict[str, Any]) -> Iterator[int]:
    """Within the shop's limit: the number of this attempt; raises, for a retry, where the shop has no room."""
    if not refer2.PER_SECOND:
        yield 1
        return
    message: Any = CurrentMessage.get_current_message()
    limiter: Any = WindowRateLimiter
    with limiter(_backend, f"shop-{job['shop']}", limit=refer2.PER_SECOND, window=1).acquire():
        yield message.options.get("retries", 0) + 1


def refer(job: dict[str, Any]) -> None:
    """One call, one result."""
    with permitted(job) as attempt:
        called_at = refer2.now()
        result = refer2.result(job, call(job), called_at, attempt)
    broker.channel.basic_publish(
        refer2.EXCHANGE,
        refer2.routing_key(job),
        result,
        pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=job["job_id"]),
        mandatory=True,
    )


# Without a bound of its retries, and with short pauses: by the defaults, a job is dead after 20 and waits from 15 s on.
_actor = dramatiq.actor(queue_name="refer", max_retries=None, min_backoff=500, max_backoff=2000)(refer)

if __name__ == "__main__":
    for line in sys.stdin:
        _actor.send(json.loads(line))
    broker.close()
