"""What a producer claims in its headers counts for nothing: neither on our copies, nor on what RabbitMQ moves."""

from datetime import UTC, datetime, timedelta

import pika
import pytest

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.forging import CLAIMS, RESULT_DEATH, Forged, deaths, entry, table
from tests.integration.rabbitmq.tap import Letter, Tap, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker.model.job import Job
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.topology import DEAD, DELAYS, JOBS, RESULTS, delay_exchange, shop_queue

OWN_DEATH = (entry("queue", shop_queue("acme")), entry("reason", "expired"), entry("count", 1))

FORGERIES: dict[str, tuple[bytes, ...]] = {
    "a death of a result": (entry("x-death", [RESULT_DEATH]),),
    "two lists of deaths": (entry("x-death", [RESULT_DEATH]),) * 2,
    "a text before the deaths": (entry("x-death", "none"), entry("x-death", [RESULT_DEATH])),
    "a death with two queues": (deaths(table(*OWN_DEATH, entry("queue", RESULTS))),),
    "a death with two reasons": (deaths(table(*OWN_DEATH, entry("reason", "delivery_limit"))),),
    "a worker's note": (entry("x-referral-reason", "crash_loop"), entry("x-referral-dead-at", "2020-01-01T00:00:00Z")),
    "a time before all times": (entry("x-referral-dead-at", "0001-01-01T00:00:00+14:00"),),
    "a header that nobody can read": (b"\x04when" + b"T" + b"\xff" * 8, entry("x-death", [RESULT_DEATH])),
}
"""By what a producer would have its own message taken for a result, or for a worker's letter."""


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, ["acme", "bolt"])


def await_letters(params: Parameters, count: int) -> list[DeadLetter]:
    """The letters, once there are so many."""
    found: list[DeadLetter] = []

    def there() -> bool:
        with DeadQueue(params) as queue:
            found[:] = queue.letters()
        return len(found) >= count

    wait_until(there, 20, f"{count} dead letters")
    return found


def await_copy(tap: Tap, bench: Bench) -> Letter:
    """The one job that was deferred, consumed from its delay queue."""
    wait_until(lambda: bench.count("deferrals", shop="acme") == 1, 10, "a deferral")
    copies: list[Letter] = []

    def there() -> bool:
        # How long it is to midnight decides in which of them.
        found = (tap.peek(f"referrals.delay.{seconds}") for seconds in DELAYS)
        copies.extend(copy for copy in found if copy is not None)
        return bool(copies)

    wait_until(there, 10, "the copy")
    (copy,) = copies
    return copy


def headers_of(letter: Letter) -> set[str]:
    """The names of its headers, but for the one that its delivery to the test adds."""
    return letter.headers.keys() - {"x-delivery-count"}


def test_burying_keeps_no_claim(vhost: Vhost, tap: Tap) -> None:
    """A dead letter has what the worker says of it and the producer's own headers, and nothing made up."""
    headers = {name: value for name, value in CLAIMS.items() if name not in {"CC", "BCC"}}
    tap.put(JOBS, "acme", b"no job", headers=headers | {"mine": "kept"})
    tap.put(JOBS, "acme", b"no job", headers={"CC": ["acme"], "BCC": ["acme"], "mine": "kept"})
    with Bench(vhost, [new_shop()], FakeRefer2()):
        letters = tap.take(DEAD, 2, 20)
    for letter in letters:
        assert headers_of(letter) == {"mine", "x-referral-reason", "x-referral-detail", "x-referral-dead-at"}
        assert letter.headers.get("x-delivery-count") != CLAIMS["x-delivery-count"]
        assert letter.headers["x-referral-reason"] == "undecodable"


def test_deferring_keeps_no_claim(vhost: Vhost, tap: Tap) -> None:
    """The copy that waits in a delay queue routes to its shop alone, and its place in line is the store's."""
    first, second = (new_job(number, customer="keen") for number in (1, 2))
    with Bench(vhost, [new_shop(customer_per_day=1)], FakeRefer2()) as bench:
        tap.put(JOBS, "acme", message_of(first))
        tap.take(RESULTS, 1, 20)
        tap.put(JOBS, "acme", message_of(second), headers=CLAIMS | {"mine": "kept"})
        copy = await_copy(tap, bench)
    assert headers_of(copy) == {"mine", "x-referral-place"}
    assert copy.headers.get("x-delivery-count") != CLAIMS["x-delivery-count"]
    latest = datetime.now(UTC) + timedelta(days=2)
    assert copy.headers["x-referral-place"] < latest.timestamp() * 1_000_000


def test_a_place_in_line_is_kept_on_the_way_round(vhost: Vhost, tap: Tap) -> None:
    """A job that comes back from a delay queue too early goes there again with the place that it was given."""
    place = int((datetime.now(UTC) + timedelta(days=2)).timestamp() * 1_000_000)
    first, second = (new_job(number, customer="keen") for number in (1, 2))
    with Bench(vhost, [new_shop(customer_per_day=1)], FakeRefer2()) as bench:
        tap.put(JOBS, "acme", message_of(first))
        tap.take(RESULTS, 1, 20)
        properties = {"expiration": "1", "headers": {"x-referral-place": place}}
        tap.channel.basic_publish(
            delay_exchange(1), "acme", message_of(second), pika.BasicProperties(delivery_mode=2, **properties)
        )
        wait_until(lambda: bench.count("deferrals", shop="acme") == 1, 20, "it to be deferred")
        (copy,) = tap.take("referrals.delay.3600", 1, 10)
    assert copy.headers["x-referral-place"] == place


def test_what_could_not_be_read_is_carried_along(vhost: Vhost, tap: Tap) -> None:
    """Properties that no worker can decode go in a header of ours through a delay queue and into a letter."""
    unreadable = b"\x04when" + b"T" + b"\xff" * 8
    first, second = (new_job(number, customer="keen") for number in (1, 2))
    with Bench(vhost, [new_shop(customer_per_day=1)], FakeRefer2()) as bench:
        for job in (first, second):
            tap.channel.basic_publish(JOBS, "acme", message_of(job), Forged(unreadable), mandatory=True)
        copy = await_copy(tap, bench)
        assert unreadable in copy.headers["x-referral-properties"]
        returning = pika.BasicProperties(delivery_mode=2, expiration="1", headers=copy.headers)
        tap.channel.basic_publish(delay_exchange(1), "acme", b"no job", returning)
        (letter,) = tap.take(DEAD, 1, 20)
    assert unreadable in letter.headers["x-referral-properties"]
    assert letter.headers["x-referral-reason"] == "undecodable"


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_copy_to_another_queue_is_refused(vhost: Vhost, tap: Tap, header: str) -> None:
    """A job that a header CC or BCC has brought to its shop's queue is parked: its routing key was another shop's."""
    job = new_job(1, shop="bolt")
    tap.put(JOBS, "acme", message_of(job), headers={header: ["bolt"]})
    refer = FakeRefer2()
    with Bench(vhost, [new_shop(), new_shop("bolt")], refer):
        letters = tap.take(DEAD, 2, 20)
        tap.put(JOBS, "bolt", message_of(new_job(2, shop="bolt")))
        tap.take(RESULTS, 1, 20)
    assert [letter.headers["x-referral-reason"] for letter in letters] == ["bad_schema"] * 2
    assert [call.job.line for call in refer.calls] == [2]


def test_a_key_that_is_no_text_stops_nobody(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """A routing key that is not UTF-8, with the shop's beside it, is parked like any other copy, and can be read."""
    named = pika.BasicProperties(delivery_mode=2, headers={"CC": ["acme"]})
    tap.channel.basic_publish(JOBS, b"\xff\xfe", message_of(new_job(1)), named, mandatory=True)
    tap.put(JOBS, "acme", message_of(new_job(2)))
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer):
        tap.take(RESULTS, 1, 20)
        (letter,) = await_letters(params, 1)
    assert (letter.reason, letter.shop) == ("bad_schema", "acme")
    assert [call.job.line for call in refer.calls] == [2]


def test_what_an_administrator_puts_back_is_taken(vhost: Vhost, tap: Tap) -> None:
    """A message that a shovel has moved comes by the default exchange and the queue's name, and is a job as before."""
    tap.put("", shop_queue("acme"), message_of(new_job(1)))
    with Bench(vhost, [new_shop()], FakeRefer2()):
        tap.take(RESULTS, 1, 20)


def test_what_rabbitmq_moves_is_told_by_rabbitmq(tap: Tap, params: Parameters) -> None:
    """A message that expired in a shop's queue is no result and no worker's letter, whatever its headers claim."""
    before = datetime.now(UTC) - timedelta(minutes=1)
    jobs: dict[bytes, str] = {}
    for number, (name, entries) in enumerate(FORGERIES.items()):
        body = message_of(new_job(number))
        jobs[body] = name
        tap.channel.basic_publish(JOBS, "acme", body, Forged(*entries, expiration="1"), mandatory=True)
    dotted = message_of(new_job(99))
    jobs[dotted] = "a result's routing key"
    tap.put(JOBS, "acme.sent.ok.plain", dotted, headers={"CC": ["acme"], "x-death": [RESULT_DEATH]}, expiration="1")
    odd = message_of(new_job(98))
    jobs[odd] = "a routing key that is no text"
    tap.channel.basic_publish(JOBS, b"\xff\xfe", odd, Forged(entry("CC", ["acme"]), expiration="1"), mandatory=True)
    letters = {jobs[letter.body]: letter for letter in await_letters(params, len(jobs))}
    assert letters.keys() == set(jobs.values())
    for name, letter in letters.items():
        assert not letter.is_result, name
        assert letter.worker_reason is None, name
        assert letter.reason in {"expired", "unlabelled"}, name
        assert isinstance(letter.job, Job)
        assert letter.shop == "acme"
        assert letter.dead_at is None or letter.dead_at >= before, name


def test_a_result_that_rabbitmq_moved_is_one(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """A message that a collector rejected, or a policy removed, is shown as one from the queue of results."""
    tap.put(RESULTS, "acme.sent.ok.plain", b"rejected")
    method, _, _ = tap.channel.basic_get(RESULTS)
    tap.channel.basic_reject(method.delivery_tag, requeue=False)
    await_letters(params, 1)
    limit(rabbitmq, vhost, "^referrals[.]results$", **{"message-ttl": 1})
    tap.put(RESULTS, "acme.sent.ok.plain", b"expired")
    letters = {letter.body: letter for letter in await_letters(params, 2)}
    assert all(letter.is_result for letter in letters.values())
    assert letters[b"rejected"].reason == "unreadable_result"
    assert letters[b"expired"].reason == "expired"


def test_a_letter_of_an_older_worker_is_no_result(tap: Tap, params: Parameters) -> None:
    """Older workers kept a forged death on their dead letters, beside their own note; the note decides."""
    headers = {"x-death": [RESULT_DEATH], "x-referral-reason": "undecodable", "x-referral-detail": "why"}
    tap.put(DEAD, "acme", b"forged", headers=headers)
    (letter,) = await_letters(params, 1)
    assert not letter.is_result


def test_a_note_on_what_has_come_round_is_believed(tap: Tap, params: Parameters) -> None:
    """Older workers kept the death in a delay queue on their dead letters: such a letter is a worker's all the same."""
    death = {"queue": "referrals.delay.5", "reason": "expired", "count": 1, "exchange": "referrals.delay.5"}
    headers = {"x-death": [death], "x-referral-reason": "crash_loop", "x-referral-detail": "why"}
    tap.put(DEAD, "acme", b"mine", headers=headers)
    (letter,) = await_letters(params, 1)
    assert (letter.worker_reason, letter.reason, letter.detail) == ("crash_loop", "crash_loop", "why")
