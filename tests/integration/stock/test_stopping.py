"""How Dramatiq's own worker stops on SIGTERM, and how ours does: real processes, real signals, calls under way."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.rabbitmq.bench import declare, new_job
from tests.integration.rabbitmq.tap import Tap
from tests.integration.stock.processes import QUEUE, THREADS, Running, started, stock
from tests.integration.stock.upstream import Upstream
from tests.services import Vhost, wait_until
from tests.services.process import free_ports
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.topology import RESULTS, shop_queue

BACKLOG = 600
"""More than a worker here does until it is stopped."""

LATE_SECONDS = 0.4
"""A call that arrives this much after the signal began after it: it takes some milliseconds on its way."""

SHOPS = """
[defaults]
base_url = "{url}"
key_id = "k1"
secret_file = "secret"
per_second = 1000
burst = 100
customer_per_second = 100
[shops.acme]
"""


@contextmanager
def ours(vhost: Vhost, upstream: Upstream, folder: Path, *, messages: int) -> Iterator[Running]:
    """`referrals work`, with jobs to work on."""
    declare(vhost)
    with Producer(parameters(vhost.url, name="test")) as producer:
        for number in range(messages):
            producer.send(new_job(number))
    (folder / "secret").write_text("0" * 40)
    (folder / "shops.toml").write_text(SHOPS.format(url=upstream.url))
    environment = {
        "REFERRALS_AMQP_URL": vhost.url,
        "REFERRALS_SHOPS": str(folder / "shops.toml"),
        "REFERRALS_METRICS_PORT": str(free_ports(1)[0]),
    }
    with started(["worker", "work", "--threads", str(THREADS)], environment, folder / "worker.log") as running:
        yield running


@pytest.fixture
def slow() -> Iterator[Upstream]:
    """An upstream that takes 20 ms for an answer."""
    with Upstream(seconds=0.02) as upstream:
        yield upstream


def assert_left(tap: Tap, queue: str, messages: int) -> None:
    """So many messages are in a queue, once RabbitMQ has taken back what a worker held that is gone."""

    def left() -> bool:
        return bool(tap.channel.queue_declare(queue, passive=True).method.message_count == messages)

    wait_until(left, 10, f"{messages} messages in {queue}")


def late_calls(running: Running, upstream: Upstream) -> int:
    """Stop a busy worker and count the calls that began after the signal.

    Dramatiq looks once a second whether to stop, counted from when it is ready; the signal is sent right after such a
    look, so that the next one is most of a second away.
    """
    ready = time.monotonic()
    wait_until(lambda: len(upstream.arrivals) > 20 and time.monotonic() > ready + 1.1, 20, "a busy worker")
    signalled = time.monotonic()
    running.child.send_signal(signal.SIGTERM)
    running.parent.wait(timeout=30)
    return sum(arrived > signalled + LATE_SECONDS for arrived in upstream.arrivals)


def test_stock_takes_the_signal_of_a_group_for_two(vhost: Vhost, tap: Tap, slow: Upstream, tmp_path: Path) -> None:
    """The second copy of one SIGTERM ends it at once: every call under way is cut, the exit code is 1."""
    slow.hold()
    with stock(vhost, slow, tmp_path, messages=THREADS) as running:
        wait_until(lambda: len(slow.arrivals) == THREADS, 20, "calls under way")
        running.stop_as_a_group()
        assert running.parent.wait(timeout=30) == 1
        slow.release()
    assert slow.finished == 0
    assert_left(tap, QUEUE, THREADS)


def test_ours_takes_the_signal_of_a_group_for_one(vhost: Vhost, tap: Tap, slow: Upstream, tmp_path: Path) -> None:
    """The same: calls under way finish, their results are in RabbitMQ, nothing is left to do, the exit code is 0."""
    slow.hold()
    with ours(vhost, slow, tmp_path, messages=THREADS) as running:
        wait_until(lambda: len(slow.arrivals) == THREADS, 20, "calls under way")
        running.stop_as_a_group()
        with pytest.raises(subprocess.TimeoutExpired):
            running.parent.wait(timeout=0.5)
        slow.release()
        assert running.parent.wait(timeout=30) == 0
    assert len(slow.arrivals) == THREADS
    assert_left(tap, RESULTS, THREADS)
    assert_left(tap, shop_queue("acme"), 0)


def test_stock_starts_calls_after_the_signal(vhost: Vhost, slow: Upstream, tmp_path: Path) -> None:
    """For up to a second after SIGTERM it goes on as if nothing were."""
    with stock(vhost, slow, tmp_path, messages=BACKLOG) as running:
        assert late_calls(running, slow) > 0


def test_ours_starts_no_call_after_the_signal(vhost: Vhost, tap: Tap, slow: Upstream, tmp_path: Path) -> None:
    """The same: no call begins any more, each that began has its result, every other job is back in its queue."""
    with ours(vhost, slow, tmp_path, messages=BACKLOG) as running:
        assert late_calls(running, slow) == 0
        assert running.parent.returncode == 0
    assert_left(tap, RESULTS, len(slow.arrivals))
    assert_left(tap, shop_queue("acme"), BACKLOG - len(slow.arrivals))
