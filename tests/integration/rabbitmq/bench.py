"""A worker in this process: the real consumer, gate, ledger and dispatch, with a stand-in for the calls."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import dramatiq
from dramatiq.middleware import CurrentMessage
from prometheus_client import CollectorRegistry

from tests.services import Vhost
from worker.clock import Clock, SystemClock
from worker.dispatch.dispatcher import Dispatcher
from worker.instants import SECOND
from worker.model.job import Customer, Job
from worker.model.message import ACTOR, QUEUE, encode_message
from worker.model.verdicts import Missing, Sent, Verdict
from worker.rabbitmq.broker import ReferralBroker
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.port import LONGEST_HELD
from worker.rabbitmq.topology import EXCHANGES, producer_exchange, queues
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import Gate
from worker.scheduling.loop import GatedConsumer
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey
from worker.shops.registry import ShopRegistry
from worker.store.memory.store import MemoryStore
from worker.telemetry.metrics.process import Metrics

CONNECTION = "bench worker"

CAMPAIGN = "spring"

SENT = Sent(200, None, {"link": "https://example.com/r/1"}, None)


def new_shop(slug: str = "acme", **table: Any) -> ShopConfig:
    """A shop that hardly limits anything unless ``table`` says so."""
    usual = {"per_second": 2000.0, "burst": 2000, "customer_per_second": 2000.0, "customer_per_day": 100_000}
    return ShopConfig.of(slug, SigningKey("k1", b"0" * 32), ShopTable(**usual | table))


def new_job(number: int, shop: str = "acme", customer: str | None = None) -> Job:
    """A job of a customer of its own, unless ``customer`` names one; ``number`` is its line and tells jobs apart."""
    return Job.create(
        shop=shop,
        campaign=CAMPAIGN,
        customer=Customer(shopid=customer or f"c{number}"),
        channel="whatsapp" if customer is None else f"custom-{number}",
        line=number,
    )


def message_of(job: Job) -> bytes:
    """The job as it travels."""
    return encode_message(job, published_at_ms=0)


def declare(vhost: Vhost, shops: Sequence[str] = ("acme",), producers: Sequence[str] = ()) -> list[str]:
    """Declare what these shops need, and the exchanges of these producers, unbound; says what differs."""
    connection = connect(parameters(vhost.url, name="bench declare"))
    try:
        return declare_topology(connection, queues(shops), exchanges=(*EXCHANGES, *map(producer_exchange, producers)))
    finally:
        connection.close()


class ShiftedClock(SystemClock):
    """The system's clock, which a test may put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = 0

    def now(self) -> int:
        return super().now() + self.shift

    def ahead(self) -> int:
        return 0


@dataclass(frozen=True)
class Call:
    """A call that was made; ``at`` is the wall clock's seconds at its start."""

    at: float
    job: Job


class FakeRefer2:
    """Notes each call and answers it with ``answer``; from the ``hold_from``-th call on, only once released."""

    def __init__(self, answer: Callable[[Job], Verdict] = lambda _job: SENT, *, hold_from: int | None = None) -> None:
        self._answer = answer
        self._hold_from = hold_from
        self._free = threading.Event()
        self._lock = threading.Lock()
        self.calls: list[Call] = []

    def __call__(self, _shop: ShopConfig, job: Job) -> Verdict:
        with self._lock:
            self.calls.append(Call(time.time(), job))
            held = self._hold_from is not None and len(self.calls) >= self._hold_from
        if held:
            self._free.wait(60)
        return self._answer(job)

    def release(self) -> None:
        """Answer what is held back and whatever comes."""
        self._free.set()

    def per_job(self) -> Counter[str]:
        """How often each job was called, by its id."""
        return Counter(call.job.job_id for call in list(self.calls))


class _WatchedBroker(ReferralBroker):
    # Hands out the gate of its consumer, to be looked at.

    gate: Gate[Any] | None = None

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        consumer = super().consume(queue_name, prefetch, timeout)
        assert isinstance(consumer, GatedConsumer)
        self.gate = consumer.gate
        return consumer


class Bench:
    """A worker that runs for the length of a ``with``.

    ``longest_call`` sets the leases, ``longest_held`` how long an unstarted delivery is kept; both are in seconds.
    """

    def __init__(
        self,
        vhost: Vhost,
        shops: Sequence[ShopConfig],
        refer: Callable[[ShopConfig, Job], Verdict],
        *,
        threads: int = 8,
        prefetch: int = 16,
        longest_call: float = 1.0,
        longest_held: float | None = None,
        single: bool = False,
        clock: Clock | None = None,
        registry: ShopRegistry | None = None,
        status: Callable[[ShopConfig], Verdict | None] | None = None,
    ) -> None:
        clock = clock or SystemClock()
        registry = registry or ShopRegistry.of(*shops)
        self.store = MemoryStore(clock)
        self.metrics = Metrics(CollectorRegistry())
        self.context = Context(
            store=self.store,
            shops=registry,
            clock=clock,
            metrics=self.metrics,
            threads=threads,
            prefetch=prefetch,
            longest_call=int(longest_call * SECOND),
            status=status,
        )
        dispatcher = Dispatcher(
            shop_of=registry.get,
            refer=refer,
            read_back=lambda *_: Missing(),
            store=self.store,
            clock=clock,
            metrics=self.metrics,
            stopping=self.context.stopping.is_set,
        )
        self.broker = _WatchedBroker(
            self.context,
            parameters(vhost.url, name=CONNECTION),
            single=single,
            longest_held=int(longest_held * SECOND) if longest_held else LONGEST_HELD,
        )

        @dramatiq.actor(broker=self.broker, actor_name=ACTOR, queue_name=QUEUE)
        def refer_job(job: Job) -> None:
            delivery: object = CurrentMessage.get_current_message()
            assert isinstance(delivery, Delivery)
            assert delivery.grant is not None
            delivery.disposition = dispatcher.dispatch(
                job,
                delivery.request,
                delivery.grant,
                probing=delivery.probing,
                ends_if_refused=delivery.ends_if_refused,
                waits_alone=delivery.waits_alone,
            )

        self._worker = dramatiq.Worker(self.broker, worker_timeout=100, worker_threads=threads)

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter or gauge of this worker, summed over the labels that are not given."""
        family = getattr(self.metrics, name).collect()[0]
        return sum(
            float(sample.value)
            for sample in family.samples
            if (family.type == "gauge" or sample.name.endswith("_total")) and labels.items() <= sample.labels.items()
        )

    def closed(self, shop: str) -> set[str]:
        """Why the gate lets no job of the shop go now; empty where it does."""
        return set(self.broker.gate.reasons(shop)) if self.broker.gate else set()

    def in_hand(self) -> int:
        """How many jobs wait at the gate or are being called."""
        gate = self.broker.gate
        return gate.in_flight + sum(map(gate.waiting, self.context.shops.slugs())) if gate else 0

    def start(self) -> None:
        """Begin to consume."""
        self._worker.start()

    def stop(self) -> None:
        """Drain: calls under way finish, all other jobs are requeued."""
        self.context.stopping.set()
        self._worker.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
