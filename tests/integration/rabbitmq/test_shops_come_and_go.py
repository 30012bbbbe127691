"""Shops that are added to the file and removed from it while a worker runs."""

from collections import Counter
from pathlib import Path

import pika.exceptions
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, ShiftedClock, declare, message_of, new_job
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.instants import SECOND
from worker.rabbitmq.subscriptions import FIRST_LOOK
from worker.rabbitmq.topology import JOBS, RESULTS, shop_queue
from worker.shops.registry import ShopRegistry


def write(folder: Path, *slugs: str) -> Path:
    """A shops file with these shops."""
    (folder / "secret").write_text("0" * 40)
    path = folder / "shops.toml"
    tables = "".join(f"[shops.{slug}]\n" for slug in slugs)
    path.write_text(f'[defaults]\nkey_id = "k1"\nsecret_file = "secret"\nper_second = 1000\n{tables}')
    return path


def test_a_shop_that_is_added_is_served(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """Its queue is declared and consumed without a restart; the log tells how long that took, not since when the
    connection is up.
    """
    declare(vhost, ["acme"])
    registry = ShopRegistry.load(write(tmp_path, "acme"))
    clock = ShiftedClock()

    def subscriptions() -> list[float]:
        return [line["seconds"] for line in logs if line["event"] == "subscribed"]

    with capture_logs() as logs, Bench(vhost, [], FakeRefer2(), registry=registry, clock=clock):
        wait_until(lambda: len(subscriptions()) == 1, 20, "the first shop's queue")
        clock.shift += 1000 * SECOND
        write(tmp_path, "acme", "bolt")

        def published() -> bool:
            try:
                tap.put(JOBS, "bolt", message_of(new_job(1, "bolt")))
            except pika.exceptions.UnroutableError:
                return False
            return True

        wait_until(published, 20, "the new shop's queue")
        assert tap.take(RESULTS, 1, 10)[0].routing_key.startswith("bolt.")
        assert subscriptions()[1] < 1000


def test_a_shop_that_is_removed_finishes_its_calls_and_keeps_its_queue(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """Calls under way end with their results, the rest stays in the queue untouched, and a warning counts it."""
    declare(vhost, ["acme", "bolt"])
    jobs = [new_job(number) for number in range(40)]
    for job in jobs:
        tap.put(JOBS, "acme", message_of(job))
    refer = FakeRefer2(hold_from=1)
    registry = ShopRegistry.load(write(tmp_path, "acme", "bolt"))
    with capture_logs() as logs, Bench(vhost, [], refer, registry=registry, threads=4):
        wait_until(lambda: len(refer.calls) == 4, 20, "calls under way")
        write(tmp_path, "bolt")
        wait_until(lambda: any(entry["event"] == "shop_removed" for entry in logs), 10, "the removal to be seen")
        refer.release()
        tap.take(RESULTS, 4, 10)

        def warned() -> list[int]:
            return [entry["messages"] for entry in list(logs) if entry["event"] == "removed_shop_has_jobs"]

        wait_until(warned, 3 * FIRST_LOOK / SECOND, "the warning")
        assert warned() == [36]
        tap.put(JOBS, "bolt", message_of(new_job(1, "bolt")))
        assert tap.take(RESULTS, 1, 10)[0].routing_key.startswith("bolt.")
    assert Counter(call.job.shop for call in refer.calls) == {"acme": 4, "bolt": 1}
    left = tap.take(shop_queue("acme"), 36, 10)
    assert {letter.body for letter in left} < {message_of(job) for job in jobs}
