"""The producing side: each job is confirmed by RabbitMQ, or the caller gets an error."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from worker.clock import Clock, SystemClock
from worker.errors import AccessRefusedError, BrokerError, UnconfirmedError, UnroutableError
from worker.instants import to_datetime
from worker.model.job import Job, is_expired
from worker.model.lanes import Lane, ShopLane
from worker.model.message import encode_message
from worker.model.trace_context import TraceContext
from worker.rabbitmq.connection import Parameters, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.outgoing import Done, Outgoing, ignore_outcome
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.topology import EXCHANGES, JOBS, PRODUCER_PREFIX, producer_exchange, queues
from worker.telemetry.tracing import Tracing

WINDOW = 4000
"""Unconfirmed messages in flight. The more there are, the more of them share a write to disk on RabbitMQ's side."""

WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes of their bodies, to bound memory: reached by 4,000 messages of 4 KiB, ten times as large as ordinary ones."""


class Producer:
    """Publishes jobs over one connection with pipelined confirms. A context manager; leaving it waits for all confirms.

    For one thread. A job whose confirm never came may have arrived all the same; publishing it again is safe, since the
    ledger lets one job id be called once. ``timeout`` (seconds) counts while nothing is confirmed. A producer with a
    ``name`` publishes by an exchange of its own, and reaches only the shops whose table in the workers' shops file
    names it. ``urgent`` jobs go into the queues that their shops have for these; ``prepare`` is called with each such
    lane before its first job. A ``publisher`` that is given is another's: it is connected already, and left open.
    ``tracing`` says to which trace each job belongs.
    """

    def __init__(
        self,
        params: Parameters,
        *,
        name: str | None = None,
        urgent: bool = False,
        prepare: Callable[[ShopLane], None] | None = None,
        clock: Clock | None = None,
        timeout: float = 30.0,
        publisher: Publisher | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._is_lent = publisher is not None
        self._publisher = publisher or Publisher(params, gives_up=True)
        # Ours alone, since a publisher that is lent has messages of others too. Those that ended grow on its thread.
        self._sent = self._ended = 0
        self._sent_bytes = self._ended_bytes = 0
        self._params = params
        self._own = producer_exchange(name) if name is not None else None
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._lane: Lane = "urgent" if urgent else "bulk"
        self._prepare = prepare if urgent else None
        self._prepared: set[ShopLane] = set()
        self._error: BrokerError | None = None
        self.confirmed = 0
        self.late = 0
        """Jobs whose deadline had passed when they were handed over; no worker calls them."""
        self.counted: Counter[tuple[str, str]] = Counter()
        """Confirmed jobs by shop and campaign."""

    def declare(self, shops: Iterable[str]) -> list[str]:
        """Declare everything that these shops need; returns a line for each difference on RabbitMQ's side. Blocks.

        Raises:
          BrokerError, ConfigurationError: as `declare_topology` says.
        """
        connection = connect(self._params)
        try:
            exchanges = EXCHANGES if self._own is None else (*EXCHANGES, self._own)
            return declare_topology(connection, queues(shops), exchanges=exchanges)
        finally:
            connection.close()

    def send(self, job: Job, *, lane: Lane = "bulk") -> None:
        """Hand a job over, for a lane of its shop that exists; what is urgent is no bulk. Blocks while the window of
        unconfirmed messages is full.

        Raises:
          UnroutableError: an earlier job's shop has no queue.
          AccessRefusedError: this user may not publish.
          BrokerError: RabbitMQ refused an earlier job, or confirms nothing any more.
          UsageError: the job's message is larger than a worker takes; it is not published.
        """
        self._raise_failure()
        of = ShopLane(job.shop, self._lane if lane == "bulk" else lane)
        if self._prepare is not None and of.lane == "urgent" and of not in self._prepared:
            self._prepare(of)
            self._prepared.add(of)
        if not self._has_room() and not self._publisher.wait_until(self._has_room, timeout=self._timeout):
            raise self._stuck()

        # Not the job itself, of which thousands would be kept until they are confirmed.
        counter = job.shop, job.campaign

        exchange = JOBS if self._own is None else self._own.name
        span = self._tracing.published(job.shop, job.job_id, exchange) if self._tracing is not None else None

        def done(error: BrokerError | None) -> None:
            if span is not None:
                span.end(error.reason if error is not None else None)
            if error is None:
                self.confirmed += 1
                self.counted[counter] += 1
            elif self._error is None:
                self._error = _explain(exchange, of, error)
            self._ended_bytes += size
            # Last, since whoever sees that all have ended must also see the error.
            self._ended += 1

        now = self._clock.now() + self._clock.ahead()
        self.late += is_expired(job, now)
        trace = span.context if span is not None else None
        message = outgoing(job, now, done, exchange=exchange, lane=of.lane, trace=trace)
        size = len(message.body)
        self._sent += 1
        self._sent_bytes += size
        self._publisher.publish(message)

    def _has_room(self) -> bool:
        return self._sent - self._ended < WINDOW and self._sent_bytes - self._ended_bytes < WINDOW_BYTES

    def flush(self) -> None:
        """Wait until every job is confirmed; raises as :meth:`send`."""
        while True:
            ended = self._ended
            self._raise_failure()
            if ended == self._sent:
                return
            if not self._publisher.wait_until(lambda: self._ended > ended, timeout=self._timeout):  # noqa: B023 - it waits
                raise self._stuck()

    def __enter__(self) -> Self:
        if self._is_lent:
            return self
        # The publisher connects in the background and retries for ever. A first connection here raises at once what
        # the caller would else learn only by the time-out.
        connect(self._params).close()
        self._publisher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            if not self._is_lent:
                self._publisher.close(timeout=0)

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    def _stuck(self) -> BrokerError:
        reason = self._publisher.problem or "it may be out of memory or disk and block publishers"
        return BrokerError(
            f"RabbitMQ confirmed nothing for {self._timeout:g} s ({reason}); {self.confirmed} jobs are confirmed, "
            "publish again for the rest: a job is called once however often it is published"
        )


def outgoing(
    job: Job,
    now: int,
    done: Done = ignore_outcome,
    *,
    exchange: str = JOBS,
    lane: Lane = "bulk",
    trace: TraceContext | None = None,
) -> Outgoing:
    """The message of a job, for a lane of its shop; ``trace`` is what it belongs to.

    ``now`` (the wall clock) becomes its ``published_at`` unless it has one already.
    """
    dated = job if job.published_at is not None else job.model_copy(update={"published_at": to_datetime(now)})
    body = encode_message(dated, published_at_ms=now // 1000)
    key = ShopLane(job.shop, lane).key
    headers = trace.headers if trace is not None else None
    return Outgoing(exchange, key, body, done, message_id=job.job_id, timestamp=now // 1_000_000, headers=headers)


def publish_each(
    messages: Sequence[Outgoing], params: Parameters, *, timeout: float = 30.0
) -> list[BrokerError | None]:
    """Publish messages and return the outcome of each, in their order: None where it was confirmed.

    Blocks for at most ``timeout`` seconds, and raises nothing for a message that was not confirmed.
    """
    publisher = Publisher(params, gives_up=True)
    outcomes: list[BrokerError | None] = [UnconfirmedError("")] * len(messages)

    def done(number: int) -> Done:
        message = messages[number]

        def note(error: BrokerError | None) -> None:
            of = ShopLane.of_key(message.routing_key) or ShopLane(message.routing_key)
            outcomes[number] = _explain(message.exchange, of, error) if error else None

        return note

    publisher.start()
    for number, message in enumerate(messages):
        message.done = done(number)
        publisher.publish(message)
    publisher.close(timeout=timeout)
    why = f": {publisher.problem}" if publisher.problem is not None else ""
    silent = UnconfirmedError(f"RabbitMQ did not confirm it within {timeout:g} s{why}")
    return [silent if isinstance(each, UnconfirmedError) else each for each in outcomes]


def _explain(exchange: str, of: ShopLane, error: BrokerError) -> BrokerError:
    if isinstance(error, AccessRefusedError):
        own = exchange.removeprefix(PRODUCER_PREFIX)
        remedy = (
            f"or is REFERRALS_PRODUCER not {own}?"
            if own != exchange
            else "or set REFERRALS_PRODUCER to the name of one that publishes for its own shops alone"
        )
        # A user has three permissions (configure, write, read), and RabbitMQ 3.10 doesn't say which is missing.
        return AccessRefusedError(f"{error} (write, for {exchange}); {remedy}")
    if not isinstance(error, UnroutableError):
        return error
    shop = of.shop
    if exchange == JOBS and of.lane == "urgent":
        return UnroutableError(
            f"shop {shop} has no queue for urgent jobs: set `urgent = true` for it in the workers' shops file, or give "
            "REFERRALS_REDIS_URL here too, so that they hear of a new one"
        )
    if exchange == JOBS:
        return UnroutableError(
            f"shop {shop} has no queue: start a worker whose shops file names it, or run `referrals publish` once"
        )
    if exchange.startswith(PRODUCER_PREFIX):
        kind, also = ("urgent ", ", and `urgent = true`") if of.lane == "urgent" else ("", "")
        return UnroutableError(
            f"shop {shop} takes no {kind}jobs by the exchange {exchange}: the workers' shops file must have "
            f"{exchange.removeprefix(PRODUCER_PREFIX)} among the shop's producers{also}"
        )
    return error
