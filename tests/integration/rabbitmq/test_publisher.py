"""Confirmed publishing: each message's outcome (confirmed, refused, returned) is reported once, and none is lost."""

from collections.abc import Iterator

import pika
import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import declare
from tests.integration.rabbitmq.tap import Tap, await_listing, disconnect, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError, UnroutableError
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.outgoing import Outgoing
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.topology import RESULTS

KEY = "acme.sent.ok.plain"


class Journal:
    """What a publisher reported: each message's outcome in order, and when it was ready to publish."""

    def __init__(self) -> None:
        self.ends: dict[bytes, list[BrokerError | None]] = {}
        self.confirmed = 0
        self.ready: list[bool] = []
        self.confirmed_at_change: list[int] = []

    def listen(self, ready: bool) -> None:
        self.ready.append(ready)
        self.confirmed_at_change.append(self.confirmed)

    def outgoing(self, body: bytes, exchange: str = RESULTS, key: str = KEY) -> Outgoing:
        """A message whose end is noted here."""

        def done(error: BrokerError | None) -> None:
            self.ends.setdefault(body, []).append(error)
            self.confirmed += error is None

        return Outgoing(exchange, key, body, done, message_id="m", timestamp=1)


@pytest.fixture
def journal() -> Journal:
    """Notes of one publisher."""
    return Journal()


@pytest.fixture
def publisher(vhost: Vhost, params: Parameters, journal: Journal) -> Iterator[Publisher]:
    """A publisher onto a declared virtual host."""
    declare(vhost)
    made = Publisher(params, listener=journal.listen)
    made.start()
    yield made
    made.close(timeout=0)


def test_messages_arrive_in_order_and_persistent(publisher: Publisher, journal: Journal, tap: Tap) -> None:
    """Each message is confirmed once and arrives once, in order, with its properties."""
    bodies = [b"%d" % number for number in range(100)]
    for body in bodies:
        publisher.publish(journal.outgoing(body))
    assert publisher.wait(below=1, timeout=10)
    assert journal.ends == {body: [None] for body in bodies}
    letters = tap.take(RESULTS, 100, 5)
    assert [letter.body for letter in letters] == bodies
    sample = letters[0].properties
    assert (sample.delivery_mode, sample.content_type, sample.message_id) == (2, "application/json", "m")
    assert sample.timestamp == 1


def test_what_no_frame_has_room_for(publisher: Publisher, journal: Journal) -> None:
    """It ends in an error, and not the connection of its neighbours, which are confirmed."""
    too_long, too_large = journal.outgoing(b"lost", key="k" * 256), journal.outgoing(b"large")
    too_large.properties = pika.BasicProperties(headers={"mine": "x" * 131_072})
    with capture_logs() as logs:
        for message in (journal.outgoing(b"one"), too_long, too_large, journal.outgoing(b"two")):
            publisher.publish(message)
        assert publisher.wait(below=1, timeout=10)
    assert journal.ends[b"one"] == journal.ends[b"two"] == [None]
    assert "can't be sent: a name of AMQP has 255 bytes at most" in str(journal.ends[b"lost"])
    assert "can't be sent: its properties have 131,0" in str(journal.ends[b"large"])
    assert not logs


def test_what_no_queue_takes_is_unroutable(publisher: Publisher, journal: Journal) -> None:
    """A message without a queue ends in an error that names exchange and key; its neighbours are confirmed."""
    for body, key in ((b"one", "acme"), (b"lost", "nobody"), (b"two", "acme")):
        publisher.publish(journal.outgoing(body, "referrals", key))
    assert publisher.wait(below=1, timeout=10)
    assert journal.ends[b"one"] == journal.ends[b"two"] == [None]
    (error,) = journal.ends[b"lost"]
    assert isinstance(error, UnroutableError)
    assert "exchange referrals, routing key nobody" in str(error)


def test_equal_messages_are_told_apart_when_one_is_unroutable(publisher: Publisher, journal: Journal) -> None:
    """Of two messages with one body only the unroutable one fails, though RabbitMQ doesn't say which it was."""
    ends: list[tuple[str, BrokerError | None]] = []
    for key in ("acme", "nobody", "acme"):
        outgoing = Outgoing("referrals", key, b"same", lambda error, key=key: ends.append((key, error)))  # type: ignore[misc]
        publisher.publish(outgoing)
    assert publisher.wait(below=1, timeout=10)
    assert sorted((key, type(error).__name__) for key, error in ends) == [
        ("acme", "NoneType"),
        ("acme", "NoneType"),
        ("nobody", "UnroutableError"),
    ]


def test_a_full_queue_is_an_error_and_recovers(
    rabbitmq: RabbitMQ, vhost: Vhost, publisher: Publisher, journal: Journal, tap: Tap
) -> None:
    """What a full queue refuses ends in an error and not in a silent drop; with room again it is taken."""
    limit(rabbitmq, vhost, "referrals.results", **{"max-length": 10})

    def one_more_is_refused() -> BrokerError | None:
        body = b"%d" % len(journal.ends)
        publisher.publish(journal.outgoing(body))
        assert publisher.wait(below=1, timeout=10)
        return journal.ends[body][0]

    error = wait_until(one_more_is_refused, 10, "a refusal")
    assert "its queue is full" in str(error)
    assert not isinstance(error, UnroutableError)

    taken = [body for body, ends in journal.ends.items() if ends == [None]]
    assert [letter.body for letter in tap.take(RESULTS, len(taken), 5)] == taken
    wait_until(lambda: one_more_is_refused() is None, 10, "a confirm")


def test_nothing_is_lost_when_the_connection_is_closed(
    rabbitmq: RabbitMQ, vhost: Vhost, publisher: Publisher, journal: Journal, tap: Tap
) -> None:
    """RabbitMQ closes the connection among 5,000 messages: each is confirmed in the end and is in the queue."""
    await_listing(rabbitmq, vhost, "tested")
    bodies = [b"%d" % number for number in range(5000)]
    for number, body in enumerate(bodies):
        publisher.publish(journal.outgoing(body))
        if number == 2500:
            disconnect(rabbitmq, vhost, "tested")
    assert publisher.wait(below=1, timeout=30)

    assert journal.ready[:2] == [True, False]
    assert journal.ready[-1]
    assert journal.confirmed_at_change[1] < 5000
    assert journal.ends == {body: [None] for body in bodies}
    assert {letter.body for letter in tap.take(RESULTS, 5000, 20, distinct=True)} == set(bodies)


def test_messages_wait_for_a_broker_that_comes_later(params: Parameters, tap: Tap) -> None:
    """A message handed over while its exchange is missing goes out once it is declared."""
    # By its alternate exchange the late one leads to a queue from its first moment on.
    tap.channel.queue_declare("behind")
    tap.channel.exchange_declare("aside", "fanout")
    tap.channel.queue_bind("behind", "aside")
    journal = Journal()
    publisher = Publisher(params, listener=journal.listen)
    publisher.start()
    publisher.publish(journal.outgoing(b"early", "late", "acme"))
    wait_until(lambda: "404" in str(publisher.problem), 10, "the missing exchange to be noticed")
    tap.channel.exchange_declare("late", arguments={"alternate-exchange": "aside"})
    assert publisher.wait(below=1, timeout=20)
    publisher.close(timeout=0)
    assert journal.ends == {b"early": [None]}
    assert tap.take("behind", 1, 5)[0].body == b"early"
    assert publisher.problem is None


def test_closed_while_it_connects(params: Parameters) -> None:
    """A publisher that is closed before its connection is open ends at once, and logs no failure."""
    with capture_logs() as logs:
        for milliseconds in range(24):
            publisher = Publisher(params)
            publisher.start()
            # A connection opens in about 12 ms, step by step; each step may be the one at which it is closed.
            publisher.wait(below=0, timeout=milliseconds / 2000)
            publisher.close(timeout=0)
    assert logs == []
