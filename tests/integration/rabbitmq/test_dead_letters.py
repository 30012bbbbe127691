"""The dead queue on a real broker: every reason, what is kept of a message, and looking without losing."""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pika
import pytest

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Letter, Tap, await_listing, disconnect, limit, tapping
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.producer import outgoing, publish_each
from worker.rabbitmq.properties import DROPPED
from worker.rabbitmq.topology import DEAD, DELAYS, JOBS, RESULTS, RETURN, shop_queue

ODD = (
    b"\x05float" + b"d" + struct.pack(">d", 1.25),
    b"\x06single" + b"f" + struct.pack(">f", 0.5),
    b"\x05short" + b"s" + struct.pack(">h", -7),
    b"\x04byte" + b"b\xff",
    b"\x06latin1" + b"S" + struct.pack(">I", 4) + b"caf\xe9",
    b"\x06binary" + b"x" + struct.pack(">I", 3) + b"\x00\xff\x01",
    b"\x02at" + b"T" + struct.pack(">Q", 1_793_577_600),
    b"\x05price" + b"D\x02" + struct.pack(">i", 12500),
    b"\x04list" + b"A" + struct.pack(">I", 3) + b"t\x01V",
)
"""Header entries as they travel, of types that pika reads and would write otherwise."""


class Raw(pika.BasicProperties):  # type: ignore[misc]
    """Properties of these header entries, message id and application id, which nobody has interpreted."""

    def __init__(self, *entries: bytes) -> None:
        super().__init__(delivery_mode=2)
        self._table = b"".join(entries)

    def encode(self) -> list[bytes]:
        flags = self.FLAG_CONTENT_TYPE | self.FLAG_HEADERS | self.FLAG_MESSAGE_ID | self.FLAG_APP_ID
        return [struct.pack(">H", flags), b"\x03x/y", struct.pack(">I", len(self._table)), self._table, b"\x02m1\x02a1"]


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, ["acme"])


def read(params: Parameters) -> list[DeadLetter]:
    """What is in the dead queue, where it stays."""
    with DeadQueue(params) as queue:
        return list(queue.letters())


def await_letters(params: Parameters, count: int) -> list[DeadLetter]:
    """The letters, once there are so many."""
    found: list[DeadLetter] = []

    def there() -> bool:
        found[:] = read(params)
        return len(found) >= count

    wait_until(there, 20, f"{count} dead letters")
    return found


@contextmanager
def raw_properties(params: Parameters, *queues: str) -> Iterator[bytes]:
    """The first message's properties as they travel."""
    connection = connect(params)
    try:
        channel = connection.channel()
        found: list[Any] = []

        def there() -> bool:
            # What a worker has counted as deferred may still be on its way.
            found.extend(properties for queue in queues if (properties := channel.basic_get(queue)[1]) is not None)
            return bool(found)

        wait_until(there, 10, f"a message in one of {queues}")
        yield found[0].raw
    finally:
        connection.close()


def test_headers_and_body_are_kept_to_the_byte(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """A dead letter has its headers as they travelled, of whatever type, its other properties and a binary body."""
    body = bytes(range(256)) * 100
    tap.channel.basic_publish(JOBS, "acme", body, Raw(*ODD), mandatory=True)
    with Bench(vhost, [new_shop()], FakeRefer2()):
        (letter,) = await_letters(params, 1)
    assert letter.body == body
    assert letter.reason == "undecodable"
    with raw_properties(params, DEAD) as raw:
        assert all(entry in raw for entry in ODD)
        assert raw[2:6] == b"\x03x/y"
        assert b"\x02m1" in raw
        assert b"\x02a1" in raw


def test_a_deferred_job_keeps_its_headers(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """On a job's way through a delay queue its headers stay as they were, though its own expiry goes."""
    job = new_job(1, customer="keen")
    tap.channel.basic_publish(JOBS, "acme", message_of(job), Raw(*ODD), mandatory=True)
    shop = new_shop(customer_per_day=1)
    refer = FakeRefer2()
    with Bench(vhost, [shop], refer) as bench:
        tap.take(RESULTS, 1, 10)
        tap.channel.basic_publish(JOBS, "acme", message_of(new_job(2, customer="keen")), Raw(*ODD), mandatory=True)
        wait_until(lambda: bench.count("deferrals", shop="acme") == 1, 10, "a deferral")
    # How long it is to midnight decides which of them.
    with raw_properties(params, *(f"referrals.delay.{seconds}" for seconds in DELAYS)) as raw:
        assert all(entry in raw for entry in ODD)


def test_a_dead_letter_does_not_expire(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """A producer's expiration ends with its job: a dead letter stays, and shows no expiration."""
    for body, expiration in ((b"soon", "60000"), (b"never", None)):
        tap.put(JOBS, "acme", body, expiration=expiration, message_id=body.decode())
    with Bench(vhost, [new_shop()], FakeRefer2()):
        await_letters(params, 2)
    letters = [tap.peek(DEAD) for _ in range(2)]
    for letter in letters:
        assert letter is not None
        assert letter.properties.message_id == letter.body.decode()
        assert letter.properties.expiration is None


def test_a_message_that_names_its_user(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """RabbitMQ takes a user's name from that user alone: copies by a worker, dead or deferred, name nobody."""
    user = pika.URLParameters(vhost.url).credentials.username
    shop = new_shop(customer_per_day=1)
    with Bench(vhost, [shop], FakeRefer2()) as bench:
        tap.put(JOBS, "acme", message_of(new_job(1, customer="keen")), user_id=user)
        tap.take(RESULTS, 1, 10)
        tap.put(JOBS, "acme", message_of(new_job(2, customer="keen")), user_id=user)
        tap.put(JOBS, "acme", b"no job", user_id=user)
        wait_until(lambda: bench.count("deferrals", shop="acme") == 1, 10, "a deferral")
        await_letters(params, 1)
        deferred: list[Letter] = []

        def there() -> bool:
            deferred.extend(letter for seconds in DELAYS if (letter := tap.peek(f"referrals.delay.{seconds}")))
            return bool(deferred)

        wait_until(there, 10, "the deferred job")
    letter = tap.peek(DEAD)
    assert letter is not None
    assert [copy.properties.user_id for copy in (*deferred, letter)] == [None, None]
    assert [copy.properties.headers is not None for copy in (*deferred, letter)] == [True, True]


def test_several_deaths(tap: Tap, params: Parameters) -> None:
    """If RabbitMQ moved a message several times, the last move states why it is here, and from where."""
    # Each move is RabbitMQ's own: from 4.0 on it forgets those that a publisher tells of.
    tap.channel.queue_declare("by-hand", arguments={"x-dead-letter-exchange": DEAD})
    tap.channel.queue_bind("by-hand", RETURN, "gone")
    tap.put("referrals.delay.1", "gone", b"expired first", expiration="1")
    wait_until(lambda: tap.depth("by-hand") == 1, 10, "the message")
    method, _, _ = tap.channel.basic_get("by-hand")
    tap.channel.basic_reject(method.delivery_tag, requeue=False)
    (letter,) = await_letters(params, 1)
    assert len(letter.headers["x-death"]) == 2
    assert (letter.reason, letter.detail) == ("rejected", "RabbitMQ took it out of by-hand")
    assert letter.dead_at is not None


def test_headers_without_room_for_more(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """Where headers fill a whole frame, the dead letter's own go before them, and nothing stops."""
    huge = b"\x04huge" + b"S" + struct.pack(">I", 130_900) + b"h" * 130_900
    tap.channel.basic_publish(JOBS, "acme", b"no job", Raw(huge), mandatory=True)
    tap.put(JOBS, "acme", message_of(new_job(1)))
    with Bench(vhost, [new_shop()], FakeRefer2()):
        tap.take(RESULTS, 1, 15)
        (letter,) = await_letters(params, 1)
    assert letter.headers[DROPPED] == len(huge)
    assert (letter.reason, letter.body) == ("undecodable", b"no job")


def test_what_the_worker_does_not_see(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """Letters that RabbitMQ itself moved have a reason and a time too, taken from its notes."""
    before = datetime.now(UTC).replace(microsecond=0)
    gone, stray = message_of(new_job(1, shop="gone")), message_of(new_job(2))
    tap.channel.basic_publish("referrals.delay.1", "gone", gone, pika.BasicProperties(delivery_mode=2, expiration="1"))
    tap.put(RETURN, "no shop!", stray)
    tap.put(JOBS, "acme", b"looping")
    limit(rabbitmq, vhost, "^referrals[.]shop[.]", **{"delivery-limit": 1})
    for _ in range(4):
        method, _, _ = tap.channel.basic_get(shop_queue("acme"))
        if method is None:
            break
        tap.channel.basic_nack(method.delivery_tag, requeue=True)
    tap.put("referrals.results", "acme.sent.ok.plain", b"no result")
    method, _, _ = tap.channel.basic_get(RESULTS)
    tap.channel.basic_reject(method.delivery_tag, requeue=False)
    tap.put(DEAD, "", b"by hand")
    letters = {letter.body: letter for letter in await_letters(params, 5)}
    assert {body: letter.reason for body, letter in letters.items()} == {
        gone: "unknown_shop",
        stray: "unroutable",
        b"looping": "crash_loop",
        b"no result": "unreadable_result",
        b"by hand": "unlabelled",
    }
    assert [body for body, letter in letters.items() if letter.is_result] == [b"no result"]
    assert letters[gone].shop == "gone"
    assert letters[gone].campaign == "spring"
    assert [letters[body].detail for body in (gone, b"no result", b"by hand")] == [
        "no queue takes jobs of 'gone'",
        "RabbitMQ took it out of referrals.results",
        None,
    ]
    dated = [letters[body].dead_at for body in (gone, b"looping", b"no result")]
    assert all(at is not None and before <= at <= datetime.now(UTC) for at in dated)
    assert letters[b"by hand"].dead_at is None


def test_looking_leaves_everything_in_its_place(tap: Tap, params: Parameters) -> None:
    """However often it is read, in part or whole, the queue keeps its letters in their order; removed ones are gone."""
    bodies = [b"%d" % number for number in range(30)]
    for body in bodies:
        tap.put(DEAD, "", body)
    for _ in range(3):
        with DeadQueue(params) as queue:
            next(queue.letters())
        assert [letter.body for letter in read(params)] == bodies
    with DeadQueue(params) as queue:
        queue.remove([letter for letter in queue.letters() if int(letter.body) % 3 == 1])
    assert [letter.body for letter in read(params)] == [body for body in bodies if int(body) % 3 != 1]


def test_reading_ends_at_what_was_there(tap: Tap, params: Parameters) -> None:
    """Letters that come while somebody reads are left for the next time."""
    for number in range(3):
        tap.put(DEAD, "", b"%d" % number)
    with DeadQueue(params) as queue:
        seen: list[Any] = []
        for letter in queue.letters():
            seen.append(letter.body)
            tap.put(DEAD, "", b"new")
    assert seen == [b"0", b"1", b"2"]


def test_a_connection_that_breaks_is_told_in_a_line(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, params: Parameters
) -> None:
    """The connection breaks while letters are read: the error names the node, and every letter is still there."""
    for number in range(3):
        tap.put(DEAD, "", b"%d" % number)
    queue = DeadQueue(params)
    letters = queue.letters()
    next(letters)
    await_listing(rabbitmq, vhost, "tested", count=1)
    disconnect(rabbitmq, vhost, "tested")
    with pytest.raises(BrokerError, match=r"RabbitMQ at 127\.0\.0\.1:\d+ (closed|is out of reach)"):
        list(letters)
    queue.close()
    assert [letter.body for letter in await_letters(params, 3)] == [b"0", b"1", b"2"]


def test_each_of_several_is_told(tap: Tap, params: Parameters) -> None:
    """Of jobs that are published together each is confirmed or refused by itself."""
    jobs = [new_job(1), new_job(2, shop="gone"), new_job(3)]
    told = publish_each([outgoing(job, 0) for job in jobs], params)
    assert [error is None for error in told] == [True, False, True]
    assert "gone" in str(told[1])
    assert {tap.peek(shop_queue("acme")) is None for _ in range(2)} == {False}


@pytest.mark.parametrize("value", [5, True, ["acme"], {"a": 1}, "", None])
def test_fields_that_are_no_text(value: object) -> None:
    """Only a text in the body names a letter's shop; for anything else, or an empty text, the routing key counts."""
    body = json.dumps({"shop": value, "campaign": value, "job_id": value}).encode()
    letter = DeadLetter(tag=1, exchange=JOBS, routing_key="bolt.more", headers={}, clear=True, body=body)
    assert (letter.shop, letter.campaign, letter.job_id) == ("bolt", None, None)


@pytest.mark.parametrize(
    ("key", "body", "shop"),
    [
        ("referrals.shop.bolt", b'{"shop":"acme"}', "bolt"),
        ("a.queue.of.theirs", b'{"shop":"acme"}', "acme"),
        ("a.queue.of.theirs", b"no job", "a"),
    ],
)
def test_whose_a_letter_by_the_default_exchange_is(key: str, body: bytes, shop: str) -> None:
    """The name of a shop's queue names the shop; the name of another queue adds nothing to the body."""
    assert DeadLetter(tag=1, exchange="", routing_key=key, headers={}, clear=True, body=body).shop == shop


def test_a_virtual_host_without_our_queues(rabbitmq: RabbitMQ) -> None:
    """Looking where no worker ever was finds no letter, and leaves the queue for those to come."""
    vhost = rabbitmq.add_vhost()
    try:
        params = parameters(vhost.url, name="tested")
        assert read(params) == []
        with tapping(vhost) as tap:
            tap.put(DEAD, "", b"first")
        assert [letter.body for letter in read(params)] == [b"first"]
    finally:
        rabbitmq.delete_vhost(vhost)
