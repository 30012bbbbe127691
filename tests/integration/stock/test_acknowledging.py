"""What Dramatiq's own RabbitMQ consumer acknowledges, and what ours does in the same place.

The tests of the stock side assert its defect: when one of them fails, upstream has fixed it, and what we do about it
can be looked at again.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import dramatiq
import pika
import pika.exceptions
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.integration.rabbitmq.bench import (
    CONNECTION,
    SENT,
    Bench,
    FakeRefer2,
    declare,
    message_of,
    new_job,
    new_shop,
)
from tests.integration.rabbitmq.tap import Tap, cut
from tests.services import RabbitMQ, ServiceError, Vhost, wait_until
from worker.model.job import Job
from worker.model.verdicts import Verdict
from worker.rabbitmq.topology import JOBS, RESULTS, shop_queue
from worker.shops.config import ShopConfig

QUEUE = "stock"
ACME = shop_queue("acme")


def stock_message(name: str, *, queue_name: str = QUEUE) -> bytes:
    """A message for the stock actor, whatever queue it claims to be of."""
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=queue_name, actor_name="work", args=(name,), kwargs={}, options={}
    )
    return message.encode()


def name_in(body: bytes) -> str:
    return str(json.loads(body)["args"][0])


@contextmanager
def stock_worker(vhost: Vhost, work: Callable[[str], None], *, threads: int) -> Iterator[dramatiq.Worker]:
    """A stock broker with one actor, without middleware, and a worker that runs for the length of the ``with``."""
    broker = RabbitmqBroker(url=f"{vhost.url}?client_properties={{'connection_name':'{QUEUE}'}}", middleware=[])
    dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="work")(work)
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=100)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()


def ready(tap: Tap, queue: str) -> int:
    """How many messages of the queue nobody holds."""
    count = tap.channel.queue_declare(queue, passive=True).method.message_count
    assert isinstance(count, int)
    return count


def cut_and_steal(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, *, worker: str, queue: str) -> bytes:
    """Have RabbitMQ close the worker's connections, take the message that comes back first, and hold it."""

    def stolen() -> bytes | None:
        # RabbitMQ lists connections late, new ones and closed ones.
        for each in rabbitmq.api("GET", f"/api/vhosts/{vhost.name}/connections"):
            if each.get("client_properties", {}).get("connection_name") == worker:
                with suppress(ServiceError):
                    cut(rabbitmq, [each["name"]])
        _, _, body = tap.channel.basic_get(queue)
        assert body is None or isinstance(body, bytes)
        return body

    body = wait_until(stolen, 20, f"a message of {queue}")
    assert body is not None
    return body


class Held:
    """Work that goes on until its name is let go; the end of a ``with`` lets all go."""

    def __init__(self, names: Sequence[str]) -> None:
        self.started: list[str] = []
        self._free = {name: threading.Event() for name in names}

    def work(self, name: str) -> None:
        self.started.append(name)
        self._free[name].wait(60)

    def refer(self, _shop: ShopConfig, job: Job) -> Verdict:
        self.work(f"{job.line}")
        return SENT

    def let_go(self, *names: str) -> None:
        for name in names:
            self._free[name].set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go(*self._free)


def test_stock_acks_another_message_after_a_reconnect(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """It acks by a delivery tag of the connection before: the second message is gone while its work goes on."""
    held = Held(["1", "2", "3"])
    with stock_worker(vhost, held.work, threads=1), held:
        wait_until(lambda: _exists(vhost, QUEUE), 10, "the queue")
        tap.put("", QUEUE, stock_message("1"))
        wait_until(lambda: held.started == ["1"], 10, "the first message's work")
        assert name_in(cut_and_steal(rabbitmq, vhost, tap, worker=QUEUE, queue=QUEUE)) == "1"
        for name in ("2", "3"):
            tap.put("", QUEUE, stock_message(name))
        wait_until(lambda: ready(tap, QUEUE) == 0, 10, "delivery after the reconnect")
        held.let_go("1")
        wait_until(lambda: held.started == ["1", "2"], 10, "the second message's work")
        # Its consumer thread acks the first message, which we hold; the one that is gone then is another.
        wait_until(lambda: rabbitmq.depths(vhost).get(QUEUE) == 2, 30, "the ack")

        back = name_in(cut_and_steal(rabbitmq, vhost, tap, worker=QUEUE, queue=QUEUE))
    assert back == "3"


def test_ours_acks_nothing_of_an_earlier_connection(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """The same, and both messages that were not done come back."""
    declare(vhost)
    jobs = {f"{number}": new_job(number) for number in (1, 2, 3)}
    held = Held(list(jobs))
    with Bench(vhost, [new_shop(max_in_flight=1)], held.refer, threads=1, longest_call=60), held:
        tap.put(JOBS, "acme", message_of(jobs["1"]))
        wait_until(lambda: held.started == ["1"], 10, "the first message's call")
        assert cut_and_steal(rabbitmq, vhost, tap, worker=CONNECTION, queue=ACME) == message_of(jobs["1"])
        for name in ("2", "3"):
            tap.put(JOBS, "acme", message_of(jobs[name]))
        wait_until(lambda: ready(tap, ACME) == 0, 10, "delivery after the reconnect")
        held.let_go("1")
        wait_until(lambda: held.started == ["1", "2"], 10, "the second message's call")
        (result,) = tap.take(RESULTS, 1, 10)
        assert json.loads(result.body)["job_id"] == jobs["1"].job_id

        back = [cut_and_steal(rabbitmq, vhost, tap, worker=CONNECTION, queue=ACME) for _ in range(2)]
    assert sorted(back) == sorted(message_of(jobs[name]) for name in ("2", "3"))


def test_stock_acks_what_its_actor_did_not_do(vhost: Vhost, tap: Tap) -> None:
    """Without Retries a message whose actor raises is acknowledged and nowhere any more."""
    called: list[str] = []

    def work(name: str) -> None:
        called.append(name)
        raise RuntimeError("a bug")

    with stock_worker(vhost, work, threads=2):
        wait_until(lambda: _exists(vhost, QUEUE), 10, "the queue")
        for number in range(5):
            tap.put("", QUEUE, stock_message(f"{number}"))
        wait_until(lambda: len(called) == 5, 10, "every message's work")
    # Whatever came back would come back to the front.
    tap.put("", QUEUE, stock_message("last"))
    (letter,) = tap.take(QUEUE, 1, 10)
    assert name_in(letter.body) == "last"
    assert [ready(tap, queue) for queue in (QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ")] == [0, 0, 0]


def _exists(vhost: Vhost, queue: str) -> bool:
    # Of the queue's three this is the one that the stock broker declares last. Asking for one that isn't there closes
    # the channel.
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        try:
            connection.channel().queue_declare(f"{queue}.XQ", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True


def test_ours_keeps_what_its_actor_did_not_do(vhost: Vhost, tap: Tap) -> None:
    """An actor that raises leaves its job in the queue, with a pause instead of a loop."""
    declare(vhost)
    called: list[Job] = []

    def refer(shop: ShopConfig, job: Job) -> Verdict:
        called.append(job)
        raise RuntimeError("a bug")

    jobs = [new_job(number) for number in range(5)]
    for job in jobs:
        tap.put(JOBS, "acme", message_of(job))
    with Bench(vhost, [new_shop(max_in_flight=2)], refer, threads=2):
        wait_until(lambda: len(called) >= 2, 10, "the first calls")
    wait_until(lambda: ready(tap, ACME) == 5, 10, "every job to be back")
    assert ready(tap, RESULTS) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_stock_loses_a_thread_to_each_foreign_queue_name(vhost: Vhost, tap: Tap) -> None:
    """A message that claims another queue ends the thread that works on it; after as many, nothing is done any more."""
    done: list[str] = []
    with stock_worker(vhost, done.append, threads=2) as worker:
        wait_until(lambda: _exists(vhost, QUEUE), 10, "the queue")
        for number in range(2):
            tap.put("", QUEUE, stock_message(f"foreign {number}", queue_name="elsewhere"))
        tap.put("", QUEUE, stock_message("good"))
        wait_until(lambda: not any(thread.is_alive() for thread in worker.workers), 10, "every thread to end")
    assert "good" not in done


def test_ours_works_on_under_foreign_queue_names(vhost: Vhost, tap: Tap) -> None:
    """The same, and every job is done, the foreign-named ones too."""
    declare(vhost)
    refer = FakeRefer2()
    jobs = [new_job(number) for number in range(6)]
    for job in jobs:
        envelope = json.loads(message_of(job)) | ({"queue_name": "elsewhere"} if job.line != 5 else {})
        tap.put(JOBS, "acme", json.dumps(envelope).encode())
    with Bench(vhost, [new_shop()], refer, threads=2):
        results = tap.take(RESULTS, 6, 10)
    assert {json.loads(letter.body)["job_id"] for letter in results} == {job.job_id for job in jobs}
