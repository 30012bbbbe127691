"""What we lean on in Dramatiq beyond its documentation.

`pyproject.toml` pins the versions for which this was read and tried. Before it admits another one, these must pass.
"""

import inspect
import re
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from queue import Empty, PriorityQueue, SimpleQueue
from typing import Any

import dramatiq
import pytest
from dramatiq import cli
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage, Middleware, default_middleware

from tests.services.wait import wait_until
from worker.process.work_queue import WorkQueue, hand_over_simply

QUEUE = "contract"


class Proxy(dramatiq.MessageProxy):
    """A message in hand, with something of our own on it."""

    def __init__(self, number: int, argument: object = None) -> None:
        super().__init__(
            dramatiq.Message(
                queue_name=QUEUE,
                actor_name="work",
                args=(),
                kwargs={"job": argument},
                options={},
                message_id=f"{number}",
            )
        )
        self.number = number


class Log:
    """What happened, in order; safe to write from any thread."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def __call__(self, text: str) -> None:
        self.entries.append(text)

    def order(self, *texts: str) -> bool:
        """Whether these happened, each after the one before."""
        rest = iter(self.entries)
        return all(text in rest for text in texts)


class Consumer(dramatiq.Consumer):
    """Yields what it is given; None while there is nothing."""

    def __init__(self, log: Log, messages: "SimpleQueue[Proxy]", timeout: int) -> None:
        self._log = log
        self._messages = messages
        self._timeout = timeout / 1000
        self.acked: list[Any] = []
        self.nacked: list[Any] = []
        self.requeued: list[Any] = []

    def __next__(self) -> Proxy | None:
        try:
            return self._messages.get(timeout=self._timeout)
        except Empty:
            return None

    def ack(self, message: Any) -> None:
        self.acked.append(message)
        self._log(f"ack in {threading.current_thread().__class__.__name__}")

    def nack(self, message: Any) -> None:
        self.nacked.append(message)

    def requeue(self, messages: Any) -> None:
        self.requeued.extend(messages)
        self._log("requeue")

    def close(self) -> None:
        self._log("close")


class Broker(dramatiq.Broker):
    """As small as ours over a run: one queue, announced without a delay queue."""

    def __init__(self, log: Log, *middleware: Middleware) -> None:
        super().__init__(middleware=[CurrentMessage(), *middleware])
        self.queues: set[str] = set()
        self.messages: SimpleQueue[Proxy] = SimpleQueue()
        self.consumers: list[Consumer] = []
        self.asked: list[tuple[str, int, int]] = []
        self._log = log

    def declare_queue(self, queue_name: str) -> None:
        self.emit_before("declare_queue", queue_name)
        self.queues.add(queue_name)
        self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        self.asked.append((queue_name, prefetch, timeout))
        self._log("consume")
        self.consumers.append(Consumer(self._log, self.messages, timeout))
        return self.consumers[-1]

    def serve(self, work: Callable[[Any], None]) -> None:
        """Declare the one actor."""
        dramatiq.actor(broker=self, actor_name="work", queue_name=QUEUE)(lambda job: work(job))


class Hooks(Middleware):
    """Middleware of nothing but the given hooks, which are called with the broker and the hook's own arguments."""

    def __init__(self, **hooks: Callable[..., None]) -> None:
        for name, hook in hooks.items():
            assert hasattr(Middleware, name)
            setattr(self, name, hook)


def raising(error: BaseException) -> Callable[..., None]:
    """A hook that raises."""

    def hook(*_: object) -> None:
        raise error

    return hook


@contextmanager
def working(broker: dramatiq.Broker, threads: int = 2) -> Iterator[dramatiq.Worker]:
    """A worker with our queue between consumer and threads, for the length of a ``with``."""
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=20)
    hand_over_simply(worker)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def test_the_installed_version_is_one_that_was_read() -> None:
    """The range in pyproject.toml is the one that this file speaks of, and what is installed lies in it."""
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "dramatiq[rabbitmq]>=2.2,<2.3" in pyproject["project"]["dependencies"]
    assert version("dramatiq").split(".")[:2] == ["2", "2"]


def test_the_actor_meets_the_very_message_that_the_consumer_yielded() -> None:
    """The current message is our proxy itself, its arguments are passed uncopied, and ack gets it back."""
    met: list[tuple[Any, Any]] = []
    broker, argument, proxy = Broker(Log()), object(), None
    broker.serve(lambda job: met.append((CurrentMessage.get_current_message(), job)))
    with working(broker):
        proxy = Proxy(1, argument)
        broker.messages.put(proxy)
        wait_until(lambda: broker.consumers and broker.consumers[0].acked, 5, "the ack")
    (current, job) = met[0]
    assert current is proxy
    assert job is argument
    assert broker.consumers[0].acked[0] is proxy
    assert CurrentMessage.get_current_message() is None


def test_ack_comes_from_the_worker_thread_whatever_the_actor_did() -> None:
    """An actor that raises is acked like one that returned, only a message marked failed is nacked."""

    def work(job: str) -> None:
        if job == "raise":
            raise RuntimeError("a bug")
        if job == "fail":
            message: Any = CurrentMessage.get_current_message()
            message.fail()

    log = Log()
    broker = Broker(log)
    broker.serve(work)
    with working(broker):
        for number, job in enumerate(("return", "raise", "fail")):
            broker.messages.put(Proxy(number, job))
        wait_until(
            lambda: broker.consumers and len(broker.consumers[0].acked + broker.consumers[0].nacked) == 3, 5, "all"
        )
    (consumer,) = broker.consumers
    assert sorted(each.number for each in consumer.acked) == [0, 1]
    assert [each.number for each in consumer.nacked] == [2]
    assert log.entries.count("ack in WorkerThread") == 2


def test_one_consumer_is_asked_for_a_queue_without_delays() -> None:
    """A queue that is announced without a delay queue has a single consumer thread, which iterates one consumer."""
    broker = Broker(Log())
    broker.serve(lambda _: None)
    with working(broker, threads=3) as worker:
        wait_until(lambda: broker.consumers, 5, "the consumer")
        assert set(worker.consumers) == {QUEUE}
        assert worker.worker_threads == 3
    assert broker.asked == [(QUEUE, 6, 20)]


def test_a_second_consumer_comes_of_announcing_a_delay_queue() -> None:
    """The event that ours leaves out is what would start one."""
    broker = Broker(Log())
    with working(broker) as worker:
        broker.emit_after("declare_queue", QUEUE)
        broker.emit_after("declare_delay_queue", f"{QUEUE}.DQ")
        assert set(worker.consumers) == {QUEUE, f"{QUEUE}.DQ"}


def test_messages_start_in_the_order_they_were_yielded() -> None:
    """The queue between consumer and threads is first in, first out for messages of one actor."""
    started: list[int] = []
    broker = Broker(Log())
    broker.serve(started.append)
    for number in range(50):
        broker.messages.put(Proxy(number, number))
    with working(broker, threads=1):
        wait_until(lambda: len(started) == 50, 5, "all")
    assert started == list(range(50))


def test_a_second_actor_may_have_another_priority() -> None:
    """With several actors Dramatiq's own queue stays."""
    broker = Broker(Log())
    kinds = []
    for name in ("work", "more"):
        dramatiq.actor(broker=broker, actor_name=name, queue_name=QUEUE)(lambda _: None)
        with working(broker) as worker:
            kinds.append(type(worker.work_queue))
    assert kinds == [WorkQueue, PriorityQueue]


def test_what_dramatiq_uses_of_its_queue() -> None:
    """All of it is there, but for what waits until everything is done: only tests of stock workers do that."""
    source = inspect.getsource(dramatiq.worker).replace(inspect.getsource(dramatiq.Worker.join), "")
    used = set(re.findall(r"work_queue\.(\w+)", source)) | {"get_nowait"}
    assert "iter_queue(self.work_queue)" in source
    assert used <= set(dir(WorkQueue))
    assert used == {"put", "get", "get_nowait", "task_done"}


def test_stop_waits_for_calls_then_gives_back_then_closes() -> None:
    """Hooks and calls of a stop come in the order in which ours relies on them; what hadn't started is handed back."""
    log, release, entered = Log(), threading.Event(), threading.Event()

    def begin(*_: object) -> None:
        log("before_worker_shutdown")
        release.set()

    hooks = Hooks(
        before_worker_shutdown=begin,
        before_worker_thread_shutdown=lambda *_: log("worker thread ends"),
        before_consumer_thread_shutdown=lambda *_: log("consumer thread ends"),
        after_worker_shutdown=lambda *_: log("after_worker_shutdown"),
    )

    def work(job: int) -> None:
        entered.set()
        release.wait(10)
        log("the call ends")

    broker = Broker(log, hooks)
    broker.serve(work)
    proxies = [Proxy(number, number) for number in range(3)]
    for proxy in proxies:
        broker.messages.put(proxy)
    with working(broker, threads=1) as worker:
        entered.wait(5)
        wait_until(lambda: worker.work_queue.qsize() == 2, 5, "the others to be handed over")
    assert log.order(
        "before_worker_shutdown",
        "the call ends",
        "ack in WorkerThread",
        "worker thread ends",
        "consumer thread ends",
        "requeue",
        "close",
        "after_worker_shutdown",
    )
    (consumer,) = broker.consumers
    assert consumer.acked == proxies[:1]
    assert [id(each) for each in consumer.requeued] == [id(each) for each in proxies[1:]]


def test_the_number_of_threads_is_known_before_anything_is_consumed() -> None:
    """`before_worker_boot` runs with the worker, before its consumers are made."""
    log = Log()

    broker = Broker(log, Hooks(before_worker_boot=lambda _, worker: log(f"boot of {worker.worker_threads}")))
    broker.serve(lambda _: None)
    with working(broker, threads=5):
        wait_until(lambda: broker.consumers, 5, "the consumer")
    assert log.order("boot of 5", "consume")


def test_a_hook_that_fails_is_swallowed_and_one_that_exits_is_not() -> None:
    """Nothing that may be lost belongs into a hook; but a refusal to start can leave by SystemExit."""

    with working(Broker(Log(), Hooks(before_worker_boot=raising(RuntimeError("a bug"))))):
        pass
    with pytest.raises(SystemExit), working(Broker(Log(), Hooks(before_worker_boot=raising(SystemExit(2))))):
        pass


def test_the_hooks_have_their_names() -> None:
    """Dramatiq calls hooks by name: one that was renamed would silently never run."""
    ours = {"after_process_boot", "before_worker_boot", "before_worker_shutdown", "after_worker_shutdown"}
    assert ours <= {name for name, _ in inspect.getmembers(Middleware, inspect.isfunction)}


def test_a_worker_process_handles_signals_before_it_tells_of_its_boot() -> None:
    """Our handlers chain to Dramatiq's, so its own must be there when `after_process_boot` runs, and its worker not."""
    source = inspect.getsource(cli.worker_process)
    places = [
        source.index(text) for text in ("signal.SIGTERM, termhandler", 'emit_after("process_boot")', "Worker(broker")
    ]
    assert places == sorted(places)
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= cli.HANDLED_SIGNALS


def test_the_command_line_that_work_hands_over_is_understood() -> None:
    """Every flag that `referrals work` passes exists and means what it did."""
    flags = [
        "worker.actors",
        "--processes",
        "3",
        "--threads",
        "5",
        "--worker-shutdown-timeout",
        "90000",
        "--skip-logging",
    ]
    arguments = cli.make_argument_parser().parse_args(flags)  # type: ignore[no-untyped-call]
    assert (arguments.broker, arguments.processes, arguments.threads) == ("worker.actors", 3, 5)
    assert (arguments.worker_shutdown_timeout, arguments.skip_logging) == (90_000, True)
    assert list(inspect.signature(cli.main).parameters) == ["args"]


def test_the_middleware_that_ours_leaves_out() -> None:
    """A new piece of default middleware has to be judged: it would be missing from our broker."""
    assert [each.__name__ for each in default_middleware] == [
        "AgeLimit",
        "TimeLimit",
        "ShutdownNotifications",
        "Callbacks",
        "Pipelines",
        "Retries",
    ]


def test_the_stock_broker_has_what_ours_overrides() -> None:
    """Signatures of the methods that our broker replaces, and the attributes that it sets."""
    assert list(inspect.signature(RabbitmqBroker.consume).parameters) == ["self", "queue_name", "prefetch", "timeout"]
    assert list(inspect.signature(RabbitmqBroker.declare_queue).parameters) == ["self", "queue_name", "ensure"]
    assert list(inspect.signature(RabbitmqBroker.enqueue).parameters) == ["self", "message", "delay"]
    broker = RabbitmqBroker(confirm_delivery=True, middleware=[])
    assert broker.queues == set()
    assert hasattr(broker, "parameters")
