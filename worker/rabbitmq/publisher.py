"""Confirmed publishing from many threads over one connection.

A job may be acknowledged only after RabbitMQ has confirmed its result, and RabbitMQ confirms once most of the queue's
nodes have the result on disk. Waiting for each confirm in turn would bound the throughput by that, so one thread
publishes for all others and takes the confirms as they come.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import pika
import pika.channel
import pika.exceptions
import structlog

from worker.backoff import Backoff
from worker.errors import BrokerError, UnroutableError, raised_at
from worker.rabbitmq.connection import Node, Parameters
from worker.rabbitmq.failures import ACCESS_REFUSED, failure, node_address
from worker.rabbitmq.frame_connections import FrameConnection
from worker.rabbitmq.frames import Confirm
from worker.rabbitmq.outgoing import Outgoing

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 15.0

CLOSE_SECONDS = 1.0
"""How long RabbitMQ has to agree that a connection is closed; it takes 1 ms."""

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Called with whether messages can go out now: not while disconnected, nor while RabbitMQ blocks publishers."""

    def __call__(self, ready: bool) -> None: ...


def _nobody_listens(ready: bool) -> None:
    del ready


def _ignored(_frame: object) -> None:
    pass


class Publisher:
    """Publishes persistent, mandatory messages and pipelines their confirms. Any thread may use it.

    A message that was not confirmed when the connection broke is published again on the next connection. So it may
    arrive twice, and it is never lost while the process lives. It fails only where RabbitMQ returns it (no queue takes
    it) or refuses it (its queue is full), and where no frame has room for it. A missing permission may be granted while
    a worker waits; with ``gives_up`` it fails all messages at once, and no further one is taken.

    The connection, its callbacks and ``done`` run on the publisher's own thread; ``_lock`` guards what other threads
    hand over.
    """

    def __init__(self, params: Parameters, *, listener: Listener | None = None, gives_up: bool = False) -> None:
        self.params = params
        """What it connects by."""
        self._node = params.nodes[0]
        self._untried: list[Node] = []
        self._listener = listener or _nobody_listens
        self._gives_up = gives_up
        self._refusal: BrokerError | None = None
        self._lock = threading.Lock()
        self._incoming: deque[Outgoing] = deque()
        self._pending: OrderedDict[int, Outgoing] = OrderedDict()
        self._last_tag = 0
        self._connection: FrameConnection | None = None
        self._channel: pika.channel.Channel | None = None
        self._flush_asked = False
        self._stop = threading.Event()
        self._idle = threading.Condition()
        self._unfinished = 0
        self._backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._problem: BrokerError | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Start the thread, which connects; messages may be published at once and wait for the connection."""
        self._thread.start()

    @property
    def problem(self) -> BrokerError | None:
        """Why there is no connection now; None while there is one or none was tried yet."""
        return self._problem

    def publish(self, message: Outgoing) -> None:
        """Hand a message over; returns at once. ``message.done`` is called when its outcome is known."""
        with self._idle:
            self._unfinished += 1
        with self._lock:
            refusal = self._refusal
            if refusal is None:
                self._incoming.append(message)
                # One wake-up takes all that has gathered: each is a system call.
                if self._channel is None or self._flush_asked or self._connection is None:
                    return
                self._flush_asked = True
                self._connection.ioloop.add_callback_threadsafe(self._flush)
        if refusal is not None:
            self._end(message, refusal)

    def wait(self, *, below: int, timeout: float) -> bool:
        """Wait until fewer than ``below`` messages are unfinished; False when ``timeout`` seconds went by first."""
        with self._idle:
            return self._idle.wait_for(lambda: self._unfinished < below, timeout)

    def wait_until(self, met: Callable[[], bool], *, timeout: float) -> bool:
        """Wait until ``met``, asked after each outcome, is true; False when ``timeout`` seconds went by first."""
        with self._idle:
            return self._idle.wait_for(met, timeout)

    def close(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for what is unfinished, then close; False if that was not enough."""
        finished = self.wait(below=1, timeout=timeout)
        self._stop.set()
        with self._lock:
            if self._connection is not None:
                self._connection.ioloop.add_callback_threadsafe(self._close_connection)
        # A listener may close it, on its own thread.
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        return finished

    def _run(self) -> None:
        """The publisher's thread: one session after the other, until it is closed or refused."""
        while not self._stop.is_set():
            try:
                self._session()
            except (pika.exceptions.AMQPError, OSError) as error:
                self._note(error)
            except Exception as error:  # noqa: BLE001 - without this thread nothing could be published ever again
                # pika fails by an assertion where a connection is closed while it opens, which then does no harm.
                if not self._stop.is_set():
                    log.error("publisher_failed", error=type(error).__name__, where=raised_at(error))
            # A pause only after every node was tried: a cluster with one node down is then reached at once.
            if not self._untried:
                self._stop.wait(self._backoff.next())
        if self._refusal is not None:
            # publish() adds no more once there is a refusal.
            while self._incoming:
                self._end(self._incoming.popleft(), self._refusal)

    def _session(self) -> None:
        """Connect to one node and publish there until the connection ends; what is unconfirmed then goes out anew.

        Each cluster node is tried once before the thread pauses.
        """
        self._untried = self._untried or self.params.shuffled()
        self._node = self._untried.pop()
        with self._lock:
            if self._stop.is_set():
                return
            connection = self._connection = FrameConnection(
                self._node,
                on_open_callback=self._on_connection_open,
                on_open_error_callback=self._on_open_error,
                on_close_callback=self._on_connection_closed,
            )
            connection.on_confirm = self._on_confirm
        try:
            connection.ioloop.start()
        finally:
            self._disconnected()
            connection.ioloop.close()

    def _on_connection_open(self, connection: pika.SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._listener(ready=False))
        connection.add_on_connection_unblocked_callback(lambda *_: self._listener(ready=True))
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_open_error(self, connection: pika.SelectConnection, error: BaseException) -> None:
        if not self._stop.is_set():
            self._note(error)
        connection.ioloop.stop()

    def _on_connection_closed(self, connection: pika.SelectConnection, error: BaseException) -> None:
        # When we closed it ourselves, the reason was noted before.
        if not isinstance(error, pika.exceptions.ConnectionClosedByClient):
            self._note(error)
        connection.ioloop.stop()

    def _on_channel_open(self, channel: pika.channel.Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        # The confirms themselves are the connection's to take.
        channel.confirm_delivery(_ignored, callback=lambda _frame: self._on_ready(channel))

    def _on_channel_closed(self, _channel: pika.channel.Channel, error: BaseException) -> None:
        # An exchange or a permission is missing, and RabbitMQ has closed the channel for it: nothing more can be
        # published here. All of it is tried again on a new connection, after a pause.
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            self._note(error)
            if self._gives_up and error.reply_code == ACCESS_REFUSED:
                with self._lock:
                    self._refusal = failure(error, self._node)
                self._stop.set()
            self._close_connection()

    def _on_ready(self, channel: pika.channel.Channel) -> None:
        if self._problem is not None:
            log.info("publisher_connected", place=node_address(self._node))
        self._problem = None
        self._last_tag = 0
        with self._lock:
            self._channel = channel
        self._listener(ready=True)
        self._flush()

    def _flush(self) -> None:
        """Publish all that has gathered. Delivery tags count from 1 on each channel, in the order of publishing."""
        with self._lock:
            self._flush_asked = False
            channel, connection = self._channel, self._connection
        while connection is not None and channel is not None and channel.is_open and self._incoming:
            message = self._incoming.popleft()
            try:
                # As mandatory: RabbitMQ returns what no queue takes, in place of dropping it and confirming.
                connection.publish(
                    channel.channel_number, message.exchange, message.routing_key, message.packed(), message.body
                )
            except ValueError as error:
                # RabbitMQ would end the connection over it, again and again, and with it all other messages.
                self._end(message, BrokerError(f"a message of {message.place} can't be sent: {error}"))
                continue
            self._last_tag += 1
            self._pending[self._last_tag] = message

    def _on_return(
        self, _channel: pika.channel.Channel, method: pika.spec.Basic.Return, _properties: object, body: bytes
    ) -> None:
        # RabbitMQ returns a message before it confirms it, and doesn't say by which tag it was published. The first
        # pending one that is equal will do: equal messages share their outcome.
        for message in self._pending.values():
            if (
                not message.returned
                and message.body == body
                and (message.exchange, message.routing_key) == (method.exchange, method.routing_key)
            ):
                message.returned = True
                return

    def _on_confirm(self, confirm: Confirm) -> None:
        """RabbitMQ confirms or refuses one message, or several."""
        # A confirm proves that publishing works; a connection alone doesn't, where each is closed over a permission.
        self._backoff.reset()
        if not confirm.multiple:
            self._finish(self._pending.pop(confirm.tag), confirmed=confirm.confirmed)
            return
        while self._pending and next(iter(self._pending)) <= confirm.tag:
            self._finish(self._pending.popitem(last=False)[1], confirmed=confirm.confirmed)

    def _finish(self, message: Outgoing, *, confirmed: bool) -> None:
        error: BrokerError | None = None
        if message.returned:
            error = UnroutableError(f"no queue takes messages of {message.place}")
        elif not confirmed:
            error = BrokerError(f"RabbitMQ refused a message of {message.place}: its queue is full or unavailable")
        self._end(message, error)

    def _end(self, message: Outgoing, error: BrokerError | None) -> None:
        message.done(error)
        with self._idle:
            self._unfinished -= 1
            self._idle.notify_all()

    def _disconnected(self) -> None:
        """The session is over: take back what was not confirmed, which may have arrived or not."""
        with self._lock:
            self._channel = None
            self._connection = None
            self._flush_asked = False
        for message in self._pending.values():
            message.returned = False
        # In front and in their order: what was not confirmed goes out first on the next connection.
        self._incoming.extendleft(reversed(self._pending.values()))
        self._pending.clear()
        self._listener(ready=False)

    def _close_connection(self) -> None:
        # The loop ends once RabbitMQ has agreed to the close. Stopping it here would leave the socket open.
        connection = self._connection
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()
            # One that is frozen, or blocks publishers, would only do so much later.
            connection.ioloop.call_later(CLOSE_SECONDS, connection.abort)

    def _note(self, error: BaseException) -> None:
        """Remember why there is no connection; logged when it changes, not at every attempt."""
        problem = failure(error, self._node)
        if self._problem is None or str(problem) != str(self._problem):
            log.warning("publisher_disconnected", problem=str(problem))
        self._problem = problem
