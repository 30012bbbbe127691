"""`worker.publish` on a warm program while RabbitMQ restarts, freezes or takes no messages."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from tests.integration.rabbitmq.bench import declare, new_job
from tests.integration.rabbitmq.tap import tapping
from tests.services import RabbitMQ, Vhost, open_rabbitmq, process, wait_until
from worker import Job, publish
from worker.errors import BrokerError
from worker.rabbitmq.kept_publishers import kept_publishers
from worker.rabbitmq.producer import WINDOW, WINDOW_BYTES
from worker.rabbitmq.topology import shop_queue

PATIENCE = 30.0
"""Seconds for what takes under one on an idle machine; above all of pika's own time-outs but the heartbeat's."""


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own."""
    with open_rabbitmq(tmp_path_factory.mktemp("own") / "rabbitmq") as node:
        yield node


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Vhost:
    """A virtual host that stays as long as the node. RabbitMQ 3.10 may fall over one that is deleted soon after a
    restart: for good, where it has delay queues.
    """
    return rabbitmq.add_vhost()


@pytest.fixture
def url(rabbitmq: RabbitMQ, vhost: Vhost) -> str:
    """A virtual host with a shop's queue that outlives a kill; whoever connects gives up soon."""
    declare(vhost)
    wait_until(lambda: rabbitmq.registered(vhost, shop_queue("acme")), PATIENCE, "the queue on disk")
    return f"{vhost.url}?socket_timeout=2&stack_timeout=4"


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    kept_publishers().close()
    wait_until(lambda: not publishers() - before, PATIENCE, "the end of every publisher")


def publishers() -> set[threading.Thread]:
    """The threads that publish."""
    return {each for each in threading.enumerate() if each.name == "publisher"}


def new_large(number: int) -> Job:
    """A job whose message has 40 KB: a window of them is more than all buffers on the way hold."""
    return new_job(number).model_copy(update={f"filling_{n}": "x" * 8000 for n in range(5)})


def queued(vhost: Vhost, count: int) -> list[str]:
    """The ids of what is in the shop's queue, where there are so many different jobs."""
    with tapping(vhost) as tap:
        letters = tap.take(shop_queue("acme"), count, PATIENCE, distinct=True)
        assert tap.depth(shop_queue("acme")) == 0
    return [str(letter.properties.message_id) for letter in letters]


def test_a_restart_between_calls(rabbitmq: RabbitMQ, vhost: Vhost, url: str) -> None:
    """A call while RabbitMQ is away raises, and publishes nothing later; the first one after it works by itself."""
    assert publish(new_job(1), amqp_url=url) == 1
    rabbitmq.restart()
    assert publish(new_job(2), amqp_url=url) == 1
    rabbitmq.kill()
    with pytest.raises(BrokerError, match="out of reach"):
        publish(new_job(3), amqp_url=url)
    rabbitmq.start()
    assert publish(new_job(4), amqp_url=url) == 1
    assert sorted(queued(vhost, 3)) == sorted(new_job(number).job_id for number in (1, 2, 4))


def test_a_restart_during_calls(rabbitmq: RabbitMQ, vhost: Vhost, url: str) -> None:
    """Each call confirms its jobs or raises. What was confirmed is there, some of it maybe twice."""
    killed, over = threading.Event(), threading.Event()
    confirmed = [new_job(number).job_id for number in range(3000)]

    def batch() -> Iterator[Job]:
        for number in range(3000):
            if number == 1500:
                rabbitmq.kill()
                killed.set()
                rabbitmq.start()
            yield new_job(number)

    def one_by_one(thread: int) -> None:
        for number in range(10_000 * thread, 10_000 * (thread + 1)):
            job, ends = new_job(number), over.is_set()
            try:
                assert publish(job, amqp_url=url, timeout=60) == 1
                confirmed.append(job.job_id)
            except BrokerError:
                killed.wait(PATIENCE)
                over.wait(0.1)  # it takes seconds to start, with which four busy threads would compete
            if ends:
                break

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(one_by_one, thread) for thread in (1, 2, 3, 4)]
        try:
            assert publish(batch(), amqp_url=url, timeout=60) == 3000
        finally:
            over.set()
        for call in calls:
            call.result(timeout=90)
    assert set(queued(vhost, len(set(confirmed)))) >= set(confirmed)


@pytest.mark.parametrize(
    ("make", "most"), [(new_job, WINDOW), (new_large, WINDOW_BYTES // 40_000)], ids=["small", "large"]
)
def test_a_broker_that_stops_reading(rabbitmq: RabbitMQ, url: str, make: Callable[[int], Job], most: int) -> None:
    """Amid a batch the call raises by its deadline and its thread ends, though nothing closes the connection.

    Until then it has taken no more jobs than may wait for their confirms, by their number or by their bytes.
    """
    node = psutil.Process(rabbitmq.pid)
    publish(new_job(0), amqp_url=url)
    taken = 0

    def batch() -> Iterator[Job]:
        nonlocal taken
        for number in range(1000 + 2 * WINDOW):
            if number == 1000:
                meanwhile.enter_context(process.frozen(node))
            taken = number + 1
            yield make(number)

    with ExitStack() as meanwhile:
        with pytest.raises(BrokerError, match=r"confirmed nothing for 2 s .*publish again for the rest"):
            publish(batch(), amqp_url=url, timeout=2)
        assert taken <= 1000 + most + 1
        wait_until(lambda: not publishers(), PATIENCE, "the end of the publisher")
        with pytest.raises(BrokerError, match=r"127\.0\.0\.1"):
            publish(new_job(1), amqp_url=url, timeout=2)
    assert publish(new_job(2), amqp_url=url) == 1


def test_a_memory_alarm(rabbitmq: RabbitMQ, url: str) -> None:
    """Each call raises by its deadline with the likely cause, and leaves neither thread nor connection behind."""
    publish(new_job(0), amqp_url=url)
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.0001")
    try:
        for number in (1, 2):
            with pytest.raises(BrokerError, match="out of memory or disk and block publishers"):
                publish((new_large(number) for _ in range(3000)), amqp_url=url, timeout=2)
        wait_until(lambda: not publishers(), PATIENCE, "the end of the publishers")
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert publish(new_job(3), amqp_url=url, timeout=PATIENCE) == 1
