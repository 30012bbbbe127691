"""How many consumers queues have, as `referrals status` and `referrals shops list` ask RabbitMQ."""

from tests.integration.rabbitmq.tap import Tap
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.queue_depths import consumers


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
