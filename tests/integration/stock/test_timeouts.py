"""What RabbitMQ's consumer time-out does to Dramatiq's own consumer when one shop may not be called for a while.

Ours is shown free of it in tests/integration/broker/test_own_node.py.
"""

import gc
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.broker.tap import Tap
from tests.integration.stock.consumer import QUEUE, queue_exists, stock_message, stock_worker
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until

CONSUMER_TIMEOUT_MS = 2_000


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own, with a short consumer time-out that it looks for twice a second."""
    folder = tmp_path_factory.mktemp("short") / "rabbitmq"
    with open_rabbitmq(folder, advanced={"channel_tick_interval": "500"}) as node:
        node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {CONSUMER_TIMEOUT_MS}).")
        yield node


# What the stock consumer leaves open when its channel is closed for it.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_stock_works_twice_and_stops_over_one_closed_shop(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """A job that waits for its shop loses the channel: other shops' jobs lie without a consumer, and it runs twice."""
    del rabbitmq
    started: Counter[str] = Counter()
    shop_opens = threading.Event()

    def work(name: str) -> None:
        started[name] += 1
        if name == "closed shop":
            shop_opens.wait(60)

    def nobody_consumes() -> bool:
        return not tap.channel.queue_declare(QUEUE, passive=True).method.consumer_count

    with stock_worker(vhost, work, threads=4):
        try:
            wait_until(lambda: queue_exists(vhost, QUEUE), 10, "the queue")
            tap.put("", QUEUE, stock_message("closed shop"))
            wait_until(lambda: started["closed shop"] == 1, 10, "the closed shop's work")
            wait_until(nobody_consumes, 20, "the channel to be closed")
            tap.put("", QUEUE, stock_message("other shop"))
            wait_until(lambda: started["closed shop"] == 2, 20, "the same work to be started again")
        finally:
            shop_opens.set()
    # Now rather than in the middle of another test, to which the warnings would be put down.
    gc.collect()
