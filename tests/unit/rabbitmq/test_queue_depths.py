"""RabbitMQ's page of metrics, as `referrals status` reads it."""

import pytest

from worker.rabbitmq.queue_depths import Depth, read

QUEUE = '{vhost="/",queue="referrals.shop.acme"}'


def test_depths() -> None:
    """What is ready and what somebody has in hand, by queue; other lines are of no interest."""
    page = [
        "# TYPE rabbitmq_detailed_queue_messages_ready gauge\n",
        f"rabbitmq_detailed_queue_messages_ready{QUEUE} 12\n",
        f"rabbitmq_detailed_queue_messages_unacked{QUEUE} 1.5e+3\n",
        f"rabbitmq_detailed_queue_messages_persistent{QUEUE} 99\n",
        'rabbitmq_detailed_queue_messages_ready{vhost="/"} 7\n',
    ]
    assert read(page) == {"referrals.shop.acme": Depth(12, 1500)}


def test_numbers_beyond_any() -> None:
    """A count that no queue has is shown as the largest there is, and one beyond floats is no page of metrics."""
    assert read([f"rabbitmq_detailed_queue_messages_ready{QUEUE} 1e300"]) == {
        "referrals.shop.acme": Depth(2**53 - 1, 0)
    }
    with pytest.raises(ValueError, match="1e999"):
        read([f"rabbitmq_detailed_queue_messages_ready{QUEUE} 1e999"])
