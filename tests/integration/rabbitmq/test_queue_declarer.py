"""The declaring of shops' queues beside the consumer: those with jobs first, each trouble its own shop's."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import declare
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.errors import BrokerError
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.queue_declarer import BATCH, FIRST_PAUSE_SECONDS, QueueDeclarer
from worker.rabbitmq.topology import shop_queue


@contextmanager
def declaring(urls: str, ready: list[ShopLane]) -> Iterator[QueueDeclarer]:
    """A declarer that puts its shops into ``ready``, and soon gives up on a node that doesn't answer."""
    params = parameters(urls, name="declarer")
    for node in params.nodes:
        node.stack_timeout = 0.5
    declarer = QueueDeclarer(params, ready.extend)
    try:
        yield declarer
    finally:
        declarer.close()
        assert "declarer" not in {thread.name for thread in threading.enumerate()}


def test_existing_queues_do_not_wait_for_new_ones(vhost: Vhost) -> None:
    """Of many shops those whose queues exist are reported first, whatever their order in the file."""
    shops = [f"shop-{number}" for number in range(3 * BATCH)]
    existing = shops[2::3]
    declare(vhost, existing)
    ready: list[ShopLane] = []
    with declaring(vhost.url, ready) as declarer:
        declarer.declare(map(ShopLane, shops))
        wait_until(lambda: len(ready) == len(shops), 30, "all shops")
    assert [of.shop for of in ready[: len(existing)]] == existing
    assert sorted(of.shop for of in ready) == sorted(shops)


def test_a_node_that_says_nothing_holds_nobody_up(vhost: Vhost) -> None:
    """One of two nodes takes connections and never answers: the other is tried in turn, whichever came first."""
    declare(vhost, [])
    ready: list[ShopLane] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dumb = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/%2f"
        with declaring(f"{dumb},{vhost.url}", ready) as declarer:
            # Each time the nodes are tried in another order.
            for number in range(8):
                declarer.declare([ShopLane(f"shop-{number}")])
                wait_until(partial(ready.__contains__, ShopLane(f"shop-{number}")), 20, "the shop")
        only = parameters(dumb, name="tested")
        only.nodes[0].stack_timeout = 0.5
        with pytest.raises(BrokerError, match=r"127\.0\.0\.1:\d+ takes connections and answers nothing for 0\.5 s"):
            connect(only)


def test_an_unusable_queue_is_tried_again(vhost: Vhost, tap: Tap) -> None:
    """A queue of another type leaves its shop out, logged once; once it is deleted, the shop is served."""
    tap.channel.queue_declare(shop_queue("odd"), durable=True)
    ready: list[ShopLane] = []
    with capture_logs() as logs, declaring(vhost.url, ready) as declarer:
        declare(vhost, [])
        declarer.declare(map(ShopLane, ("acme", "odd", "bolt")))
        wait_until(lambda: ready == [ShopLane("acme"), ShopLane("bolt")], 20, "the others")
        tap.channel.queue_delete(shop_queue("odd"))
        wait_until(lambda: ShopLane("odd") in ready, 4 * FIRST_PAUSE_SECONDS, "the shop to be tried again")
        told = [entry["event"] for entry in logs if entry.get("shop") == "odd"]
    assert told == ["shop_queue_unusable", "shop_queue_usable"]
