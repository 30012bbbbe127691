"""The declaring of shops' queues beside the consumer: those with jobs first, each trouble its own shop's."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from tests.integration.broker.bench import declare
from tests.integration.broker.tap import Tap
from tests.services import Vhost, wait_until
from worker.broker.connection import parameters
from worker.broker.declarer import BATCH, FIRST_PAUSE_SECONDS, Declarer
from worker.broker.topology import shop_queue


@contextmanager
def declaring(vhost: Vhost, ready: list[str]) -> Iterator[Declarer]:
    """A declarer that tells of its shops in ``ready``."""
    declarer = Declarer(parameters(vhost.url, name="declarer"), ready.extend)
    try:
        yield declarer
    finally:
        declarer.close()
        assert "declarer" not in {thread.name for thread in threading.enumerate()}


def test_existing_queues_do_not_wait_for_new_ones(vhost: Vhost) -> None:
    """Of many shops those whose queues are there are told first, wherever they stand in the file."""
    shops = [f"shop-{number}" for number in range(3 * BATCH)]
    existing = shops[2::3]
    declare(vhost, existing)
    ready: list[str] = []
    with declaring(vhost, ready) as declarer:
        declarer.declare(shops)
        wait_until(lambda: len(ready) == len(shops), 30, "all shops")
    assert ready[: len(existing)] == existing
    assert sorted(ready) == sorted(shops)


def test_an_unusable_queue_is_tried_again(vhost: Vhost, tap: Tap) -> None:
    """A queue of another type leaves its shop out, told once; when it is gone the shop is there by itself."""
    tap.channel.queue_declare(shop_queue("odd"), durable=True)
    ready: list[str] = []
    with capture_logs() as logs, declaring(vhost, ready) as declarer:
        declare(vhost, [])
        declarer.declare(["acme", "odd", "bolt"])
        wait_until(lambda: ready == ["acme", "bolt"], 20, "the others")
        tap.channel.queue_delete(shop_queue("odd"))
        wait_until(lambda: "odd" in ready, 4 * FIRST_PAUSE_SECONDS, "the shop to be tried again")
        told = [entry["event"] for entry in logs if entry.get("shop") == "odd"]
    assert told == ["shop_queue_unusable", "shop_queue_usable"]
