"""What may come in a message: dead letters are kept byte for byte, oddities do no harm, copies call once."""

import json
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import (
    CAMPAIGN,
    Bench,
    FakeRefer2,
    ShiftedClock,
    declare,
    message_of,
    new_job,
    new_shop,
)
from tests.integration.rabbitmq.tap import Tap
from tests.origins import KIM
from tests.services import RabbitMQ, Vhost, wait_until
from worker.instants import SECOND
from worker.model.verdicts import Retry
from worker.rabbitmq.frame_reader import UNREAD_PROPERTIES
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, shop_queue
from worker.scheduling.admission import CRASH_LOOP
from worker.store.memory.ledger import Started


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, ["acme", "bolt"])


def changed(number: int, **fields: Any) -> bytes:
    """A job's message with other values in its envelope; `job` changes fields of the job itself."""
    message = json.loads(message_of(new_job(number)))
    message["kwargs"]["job"] |= fields.pop("job", {})
    return json.dumps(message | fields).encode()


DEAD_LETTERS: dict[str, list[bytes]] = {
    "undecodable": [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'{"actor_name":"refer"}',
        message_of(new_job(901))[:-1],
        b"\x80\x04K\x01.",
    ],
    "oversized": [
        b'{"kwargs":{"job":' + b"[" * 50_000,
        changed(912, job={"mine": [{}] * 10_000}),
        changed(913, job={"mine": "x" * 20_000}),
        changed(914, job={f"mine-{number}": number for number in range(100)}),
    ],
    "bad_schema": [
        changed(902, kwargs={}),
        changed(903, kwargs={"job": None}),
        changed(904, job={"schema": 2}),
        changed(905, job={"channel": ""}),
        changed(906, job={"shop": "no such slug"}),
        message_of(new_job(907, shop="bolt")),
    ],
    "bad_job_id": [changed(908, job={"job_id": "0" * 32}), changed(909, job={"destination": "friend@example.com"})],
    "unknown_actor": [changed(910, actor_name="refund"), changed(911, actor_name="x" * 5000, kwargs={})],
}


@pytest.mark.parametrize("reason", DEAD_LETTERS)
def test_what_is_no_job_is_parked_and_its_neighbours_go_on(vhost: Vhost, tap: Tap, reason: str) -> None:
    """Such a message lands in `referrals.dead` as it came, with the reason; jobs before and behind it are done."""
    bodies = DEAD_LETTERS[reason]
    headers = {
        "x-mine": "kept",
        "nested": {"list": [1, -(2**40), None, True, b"\xff"], "at": datetime(2026, 1, 2, tzinfo=UTC)},
        "price": Decimal("1.25"),
    }
    refer = FakeRefer2()
    for number, body in enumerate(bodies):
        tap.put(JOBS, "acme", message_of(new_job(number)))
        tap.put(JOBS, "acme", body, headers=headers)
    tap.put(JOBS, "acme", message_of(new_job(len(bodies))))

    with Bench(vhost, [new_shop()], refer) as bench:
        letters = tap.take(DEAD, len(bodies), 15)
        results = tap.take(RESULTS, len(bodies) + 1, 15)
        assert bench.count("dead_letters", reason=reason) == len(bodies)

    assert [letter.body for letter in letters] == bodies
    assert len(results) == len(refer.calls) == len(bodies) + 1
    for letter in letters:
        assert letter.headers.items() >= headers.items()
        assert letter.headers["x-referral-reason"] == reason
        assert letter.headers["x-referral-dead-at"].endswith("+00:00")
        assert 0 < len(letter.headers["x-referral-detail"]) < 1000
        assert "example.com" not in letter.headers["x-referral-detail"]
        assert letter.properties.delivery_mode == 2
    assert tap.peek(shop_queue("acme")) is None


def test_a_crash_loop_is_parked_with_its_history(vhost: Vhost, tap: Tap) -> None:
    """A job during whose calls five workers died isn't called again; its headers count them."""
    poison, refer = new_job(1), FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.load_record(poison.job_id, Started(epoch=1, lease=0, attempts=6, takeovers=CRASH_LOOP - 1))
    tap.put(JOBS, "acme", message_of(poison))
    tap.put(JOBS, "acme", message_of(new_job(2)))
    with bench:
        (letter,) = tap.take(DEAD, 1, 10)
        tap.take(RESULTS, 1, 10)
    assert letter.body == message_of(poison)
    told = {name: letter.headers[f"x-referral-{name}"] for name in ("reason", "takeovers", "attempts")}
    assert told == {"reason": "crash_loop", "takeovers": CRASH_LOOP, "attempts": 6}
    assert [call.job for call in refer.calls] == [new_job(2)]


@pytest.mark.parametrize(
    "envelope",
    [
        {"queue_name": "somebody-elses"},
        {"queue_name": "referrals.DQ"},
        {"options": {"eta": 32_503_680_000_000}},
        {"options": {"eta": "soon", "retries": 99, "max_retries": 0, "pipe_target": {}}},
        {"options": None, "args": [1, 2], "message_timestamp": "x"},
        {"message_id": "another"},
    ],
    ids=["queue", "delay-queue", "eta", "bad-options", "bad-envelope", "message-id"],
)
def test_the_rest_of_the_envelope_decides_nothing(vhost: Vhost, tap: Tap, envelope: dict[str, Any]) -> None:
    """A foreign queue name, an `eta` and other parts of Dramatiq's envelope neither kill a thread nor delay a job."""
    threads, refer = 2, FakeRefer2()
    with Bench(vhost, [new_shop()], refer, threads=threads):
        for number in range(10):
            tap.put(JOBS, "acme", changed(number, **envelope))
        results = tap.take(RESULTS, 10, 10)
    assert {json.loads(letter.body)["job_id"] for letter in results} == {new_job(n).job_id for n in range(10)}
    assert set(refer.per_job().values()) == {1}


def test_a_campaign_is_called_as_soon_as_its_cancellation_is_undone(vhost: Vhost, tap: Tap) -> None:
    """What ended as cancelled, and is published again the moment after, is called and not taken for done with."""
    jobs, refer = [new_job(number) for number in range(5)], FakeRefer2()
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.cancel(CAMPAIGN, "acme", KIM)
    with bench:
        for outcome in ("cancelled", "sent"):
            for job in jobs:
                tap.put(JOBS, "acme", message_of(job))
            results = [json.loads(result.body) for result in tap.take(RESULTS, len(jobs), 10)]
            assert [result["outcome"] for result in results] == [outcome] * len(jobs)
            bench.store.restore(CAMPAIGN, "acme", KIM)
    assert set(refer.per_job().values()) == {1}


def test_a_copy_that_its_producer_lets_vanish_keeps_no_other_from_ending(vhost: Vhost, tap: Tap) -> None:
    """While a copy with an expiration of its producer's waits to be called again, one past its deadline ends the job:
    nobody else might ever.
    """
    job = new_job(1)
    refer = FakeRefer2(lambda _: Retry(503, "http_503"))
    tap.put(JOBS, "acme", message_of(job), expiration="3600000")
    with Bench(vhost, [new_shop()], refer):
        wait_until(lambda: refer.calls, 10, "the first call")
        late = job.model_copy(update={"not_after": datetime(2026, 1, 2, tzinfo=UTC)})
        tap.put(JOBS, "acme", message_of(late))
        (result,) = tap.take(RESULTS, 1, 20)
    assert json.loads(result.body)["outcome"] == "expired"


def test_unknown_fields_of_a_job_do_no_harm(vhost: Vhost, tap: Tap) -> None:
    """A job of a newer producer, with fields that this version doesn't know, is called."""
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer):
        tap.put(JOBS, "acme", changed(1, job={"tier": {"name": "gold"}, "customer": {"shopid": "c1", "vip": True}}))
        tap.take(RESULTS, 1, 10)
    assert [call.job.job_id for call in refer.calls] == [new_job(1).job_id]


def test_copies_of_a_job_make_one_call(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """A job that is published five times, before, during and after its call, is called once; no copy stays behind."""
    job, refer, clock = new_job(1), FakeRefer2(hold_from=1), ShiftedClock()
    # With a short lease the copy that meets the call waits for its end in memory and not in a delay queue.
    with Bench(vhost, [new_shop()], refer, longest_call=0.5, clock=clock) as bench:
        for _ in range(2):
            tap.put(JOBS, "acme", message_of(job))
        wait_until(lambda: refer.calls, 10, "the call")
        tap.put(JOBS, "acme", message_of(job))
        # One that came between the answer and its confirm would rightly publish the recorded result again.
        wait_until(lambda: bench.count("jobs_at_hand", state="set_aside") == 2, 10, "two copies that wait")
        refer.release()
        (result,) = tap.take(RESULTS, 1, 10)
        for _ in range(2):
            tap.put(JOBS, "acme", message_of(job))
        clock.shift = 15 * SECOND
        wait_until(lambda: bench.count("ledger_hits") == 4, 20, "four copies found in the ledger")
        wait_until(lambda: rabbitmq.depths(vhost).get(shop_queue("acme")) == 0, 10, "an empty queue")
    assert json.loads(result.body)["outcome"] == "sent"
    assert refer.per_job() == {job.job_id: 1}
    assert tap.peek(RESULTS) is None


class RawProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties with one header that holds these bytes, which nobody has checked."""

    def __init__(self, value: bytes) -> None:
        super().__init__(delivery_mode=2)
        self._value = value

    def encode(self) -> list[bytes]:
        entry = b"\x03odd" + self._value
        return [struct.pack(">HL", self.FLAG_HEADERS, len(entry)), entry]


@pytest.mark.parametrize(
    "value",
    [
        b"T" + struct.pack(">Q", 2**62),
        b"T" + struct.pack(">Q", 253_402_300_800),
        b"F" + struct.pack(">L", 11) + b"\x01x" + b"T" + struct.pack(">Q", 2**62),
        b"D\xff\xff\xff\xff\xff",
        b"A" + struct.pack(">L", 60_000) + b"V" * 60_000,
    ],
    ids=["far time", "year 10000", "nested far time", "decimal", "too many values"],
)
def test_headers_that_cannot_be_decoded_stop_nobody(vhost: Vhost, tap: Tap, value: bytes) -> None:
    """Such a message is read by its body: a job is done, anything else is parked; other shops don't notice."""
    bad = b"no job"
    for body in (message_of(new_job(1)), bad):
        tap.channel.basic_publish(JOBS, "acme", body, RawProperties(value))
    tap.put(JOBS, "acme", message_of(new_job(2)))
    tap.put(JOBS, "bolt", message_of(new_job(3, shop="bolt")))
    with Bench(vhost, [new_shop(), new_shop("bolt")], FakeRefer2()), capture_logs() as logs:
        results = tap.take(RESULTS, 3, 15)
        (letter,) = tap.take(DEAD, 1, 15)
    assert len({result.body for result in results}) == 3
    assert letter.body == bad
    assert letter.headers["x-referral-reason"] == "undecodable"
    kept = letter.headers.get(UNREAD_PROPERTIES)
    assert value in kept if kept is not None else "odd" in letter.headers
    assert kept is not None or len(value) < 1000
    assert not [entry for entry in logs if entry["event"] in {"consumer_failed", "consumer_disconnected"}]
