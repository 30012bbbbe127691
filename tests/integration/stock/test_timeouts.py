"""What RabbitMQ's consumer time-out does to Dramatiq's own consumer when one shop may not be called for a while.

Ours is shown free of it in tests/integration/rabbitmq/test_own_node.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rabbitmq.tap import Tap
from tests.integration.stock.processes import QUEUE, stock
from tests.integration.stock.upstream import Upstream
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until

CONSUMER_TIMEOUT_MS = 2_000


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own, with a short consumer time-out that it looks for twice a second."""
    folder = tmp_path_factory.mktemp("short") / "rabbitmq"
    with open_rabbitmq(folder, advanced={"channel_tick_interval": "500"}) as node:
        node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {CONSUMER_TIMEOUT_MS}).")
        yield node


def test_stock_loses_its_channel_to_a_job_that_is_held(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """A job held for its shop has the queue's channel closed: nobody consumes any more, and then it is called twice."""

    def nobody_consumes() -> bool:
        return not tap.channel.queue_declare(QUEUE, passive=True).method.consumer_count

    with Upstream() as upstream:
        upstream.hold()
        with stock(vhost, upstream, tmp_path, messages=1):
            wait_until(lambda: len(upstream.arrivals) == 1, 20, "the job to be held")
            wait_until(lambda: not nobody_consumes(), 20, "the consumer to be seen")
            wait_until(nobody_consumes, 20, "the channel to be closed")
            wait_until(lambda: len(upstream.arrivals) == 2, 20, "the same job's second call")
