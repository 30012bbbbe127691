"""A message as RabbitMQ delivered it, and the job in hand that was read from it.

Runs on the consumer's thread. Notes that workers leave on a message for each other travel as headers, by the wall
clock: the steady time of two processes differs.
"""

import pika
import pika.spec

from worker.model.job import Job
from worker.model.lanes import ASIDE, LANES, Lane, ShopLane
from worker.model.trace_context import TRACEPARENT, TRACESTATE, TraceContext, read_trace_context
from worker.rabbitmq.topology import RETURN
from worker.scheduling.attribution import Trouble
from worker.scheduling.delivery import Delivery
from worker.store.protocol import AdmitRequest

PLACE_HEADER = "x-referral-place"
"""The instant that the store has reserved for the job's customer (microseconds of the wall clock)."""

MOVED_AT_HEADER = "x-referral-moved-at"
"""When the job was moved into the held lane, or to its end (microseconds of the wall clock)."""

MOVED_FROM_HEADER = "x-referral-moved-from"
"""The lane by which it had come before a worker moved it into the held one."""

TROUBLE_HEADER = "x-referral-trouble"
"""What the job's calls have met, for the worker that meets it next."""

NOTES = frozenset({PLACE_HEADER, MOVED_AT_HEADER, MOVED_FROM_HEADER, TROUBLE_HEADER})
"""All of these headers."""

READ = NOTES | {TRACEPARENT, TRACESTATE}
"""All headers that are looked at."""


class Received:
    """A message from the queue of a ``lane`` of ``shop``. ``returned`` from a delay queue, it is a worker's own copy.

    ``tag`` is the delivery tag, valid on the channel of that ``generation`` alone. ``at`` is when it came
    (microseconds), and the wall clock was ``ahead`` of that.
    """

    __slots__ = ("ahead", "at", "body", "generation", "lane", "properties", "returned", "shop", "tag")

    def __init__(
        self,
        of: ShopLane,
        method: pika.spec.Basic.Deliver,
        generation: int,
        body: bytes,
        properties: pika.BasicProperties,
        at: int,
        ahead: int,
    ) -> None:
        self.shop, self.lane = of
        self.tag: int = method.delivery_tag
        self.returned: bool = method.exchange == RETURN
        self.generation = generation
        self.body = body
        self.properties = properties
        self.at = at
        self.ahead = ahead

    @property
    def of(self) -> ShopLane:
        """The shop and lane whose queue it is in."""
        return ShopLane(self.shop, self.lane)

    @property
    def expires(self) -> bool:
        """Whether RabbitMQ may drop it once it is back in its queue; a worker's copy never expires there."""
        return not self.returned and self.properties.expiration is not None

    @property
    def place_in_line(self) -> int | None:
        """The place in its customer's line that a worker has noted; what a producer writes there counts for nothing."""
        # A producer could give its job any place; only workers' copies come by the return exchange.
        place = (self.properties.headers or {}).get(PLACE_HEADER) if self.returned else None
        return place - self.ahead if isinstance(place, int) else None

    @property
    def moved_at(self) -> int:
        """When it was moved into the held lane, as a worker has noted it; 0 where none has."""
        noted = (self.properties.headers or {}).get(MOVED_AT_HEADER) if self.returned else None
        return noted if isinstance(noted, int) else 0

    @property
    def moved_from(self) -> Lane | None:
        """By which lane it had come before that; None where a publisher has put it into the held one."""
        noted = (self.properties.headers or {}).get(MOVED_FROM_HEADER) if self.returned else None
        return next((lane for lane in LANES if lane == noted), None)

    @property
    def trace(self) -> TraceContext | None:
        """The trace that its producer claims for it. A worker's copy has it too."""
        headers = self.properties.headers
        return read_trace_context(headers) if headers else None

    @property
    def trouble(self) -> Trouble | None:
        """What the job's calls have met, as a worker has noted it; what a producer writes there counts for nothing."""
        if not self.returned:
            return None
        trouble = Trouble.read((self.properties.headers or {}).get(TROUBLE_HEADER), self.at + self.ahead)
        return trouble.moved(-self.ahead) if trouble is not None else None


class RabbitmqDelivery(Delivery):
    """A job in hand, with the message that it came by."""

    def __init__(self, job: Job, request: AdmitRequest, message: Received) -> None:
        super().__init__(job, request)
        self.message = message
        self.lane = message.lane
        self.arrived_at = message.at
        self.trace = message.trace
        self.is_copy = message.returned
        self.trouble = message.trouble
        if message.lane in ASIDE:
            self.moved_at, self.moved_from = message.moved_at, message.moved_from
