"""How many consumers queues have, as `referrals status` and `referrals shops list` ask RabbitMQ, and which go first."""

from random import Random
from typing import Any

from tests.integration.rabbitmq.bench import Bench, FakeRefer2
from tests.integration.rabbitmq.tap import Tap
from tests.services import RabbitMQ, Vhost, wait_until
from tests.unit.making import make_shop
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.queue_depths import consumers
from worker.rabbitmq.topology import shop_queue


def test_consumers(tap: Tap, params: Parameters) -> None:
    """At this moment, 0 for a queue that isn't there; what another connection keeps to itself is left out."""
    channel = tap.channel
    for queue in ("taken", "left"):
        channel.queue_declare(queue)
    channel.queue_declare("own", exclusive=True)
    tag = channel.basic_consume("taken", lambda *_: None)
    names = ["nowhere", "taken", "own", "left"]
    assert consumers(params, names) == {"nowhere": 0, "taken": 1, "left": 0}
    channel.basic_cancel(tag)
    assert consumers(params, names) == {"nowhere": 0, "taken": 0, "left": 0}


def test_a_worker_draws_priorities_at_slow_shops(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """One for each, so that their short queues go to few processes; a fast shop's goes to all alike."""
    slow = [f"slow-{number}" for number in range(3)]
    shops = [make_shop("fast"), *(make_shop(slug, per_second=2.0) for slug in slow)]
    bench = Bench(vhost, shops, FakeRefer2())
    bench.context.shuffle = Random(1)

    def seen() -> dict[str, Any]:
        listing: Any = rabbitmq.api("GET", f"/api/consumers/{vhost.name}")
        return {each["queue"]["name"]: dict(each["arguments"]).get("x-priority", 0) for each in listing}

    with bench:
        wait_until(lambda: len(seen()) == len(shops), 20, "the consumers of all shops")
        drawn = seen()
    assert drawn[shop_queue("fast")] == 0
    assert len({drawn[shop_queue(slug)] for slug in slow}) == len(slow)
