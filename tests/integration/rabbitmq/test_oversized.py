"""Bodies beyond any bound: nobody holds them, and RabbitMQ moves them whole to where a person finds them."""

import hashlib
import tracemalloc
from collections.abc import Callable

import pika
import pytest
import structlog

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.model.job import Job
from worker.rabbitmq import frames
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, shop_queue
from worker.text.bounds import IN_HAND, LETTER, MESSAGE, ORDINARY, RESULT, structural_characters

LARGEST_OF_RABBITMQ = 16 * 1024 * 1024
"""Bytes that RabbitMQ 4 takes; 3.10 takes more."""

HEADERS = {"x-mine": "kept"}


@pytest.fixture(autouse=True)
def declared(vhost: Vhost) -> None:
    """The queues that the tap publishes to."""
    declare(vhost, ["acme"])


def letters(vhost: Vhost) -> list[DeadLetter]:
    """What `referrals dead` sees."""
    with DeadQueue(parameters(vhost.url, name="tested")) as queue:
        return list(queue.letters())


@pytest.mark.parametrize("size", [MESSAGE.size + 1, LETTER.size + 1, LARGEST_OF_RABBITMQ])
def test_a_job_beyond_any(vhost: Vhost, tap: Tap, size: int) -> None:
    """It lies in the dead queue to the byte, with its reason and size; those before and behind it are called."""
    large = message_of(new_job(9)).ljust(size)
    refer = FakeRefer2()
    for body in (message_of(new_job(1)), large, large, message_of(new_job(2))):
        tap.put(JOBS, "acme", body, headers=HEADERS)
    with Bench(vhost, [new_shop()], refer) as bench:
        tap.take(RESULTS, 2, 30)
        tap.put(JOBS, "acme", message_of(new_job(3)))
        tap.take(RESULTS, 1, 30)
        assert bench.count("dead_letters", reason="oversized") == 2
        (letter, _) = found = letters(vhost)
        assert [(one.reason, one.shop, one.size) for one in found] == [("oversized", "acme", size)] * 2
        assert (letter.id, letter.job, letter.dead_at is None) == (hashlib.sha256(large).hexdigest()[:12], None, False)
        assert letter.detail == f"the body has {size:,} bytes, and 65,536 is the most of a job's"
        assert letter.headers.items() >= HEADERS.items()
    assert [call.job.line for call in refer.calls] == [1, 2, 3]
    assert [letter.body for letter in tap.take(DEAD, 2, 30)] == [large] * 2


def test_as_large_as_a_job_may_be(vhost: Vhost, tap: Tap) -> None:
    """A body of exactly the bound is a job."""
    tap.put(JOBS, "acme", message_of(new_job(1)).ljust(MESSAGE.size))
    with Bench(vhost, [new_shop()], FakeRefer2()):
        tap.take(RESULTS, 1, 30)


def test_headers_beyond_a_frame(vhost: Vhost, tap: Tap) -> None:
    """RabbitMQ notes a second delivery on headers that fill a frame already: such a job is called, and so are those
    behind it.
    """
    fixed = len(b"".join(pika.BasicProperties(delivery_mode=2, headers={"mine": ""}).encode()))
    before = frames.OVERHEAD + 12
    tap.put(JOBS, "acme", message_of(new_job(1)), headers={"mine": "x" * (131_072 - before - fixed)})
    method, _, _ = tap.channel.basic_get(shop_queue("acme"))
    tap.channel.basic_nack(method.delivery_tag)
    tap.put(JOBS, "acme", message_of(new_job(2)))
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer):
        tap.take(RESULTS, 2, 30)
    assert sorted(call.job.line or 0 for call in refer.calls) == [1, 2]


def test_somebody_else_rejected_it(vhost: Vhost, tap: Tap) -> None:
    """What was rejected by hand and is no larger than a job goes by RabbitMQ's own word."""
    tap.put(JOBS, "acme", message_of(new_job(1)))
    method, _, _ = tap.channel.basic_get("referrals.shop.acme")
    tap.channel.basic_reject(method.delivery_tag, requeue=False)
    wait_until(lambda: [letter.reason for letter in letters(vhost)] == ["rejected"], 20, "the letter")


def test_a_result_beyond_any(vhost: Vhost, tap: Tap) -> None:
    """It comes without its body, which is no result; rejected, all of it lies in the dead queue."""
    large = b"[]".ljust(RESULT.size + 1)
    for body in (b"1", large, b"2"):
        tap.put(RESULTS, "acme.sent.ok.plain", body)
    collector = ResultConsumer(parameters(vhost.url, name="tested"))
    batch: list[tuple[int, bytes]] = []
    while len(batch) < 3:
        batch += collector.batch(seconds=1)
    assert [body for _, body in batch] == [b"1", b"", b"2"]
    collector.reject([batch[1][0]])
    collector.ack(batch[2][0])
    collector.close()
    assert [letter.body for letter in tap.take(DEAD, 1, 30)] == [large]


@pytest.mark.parametrize("size", [LARGEST_OF_RABBITMQ, 131_072, MESSAGE.size + 131_072 - 8])
def test_letters_beyond_any_take_no_memory(vhost: Vhost, tap: Tap, size: int) -> None:
    """Looking at one holds a frame of it at a time, wherever the frames end; the letter behind it is whole."""
    tap.put("", DEAD, b"x" * size)
    tap.put("", DEAD, b"behind")
    queue = DeadQueue(parameters(vhost.url, name="tested"))
    with queue:
        tracemalloc.start()
        found = list(queue.letters())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [letter.size for letter in found] == [size, 6]
    assert (found[0].id, found[1].body) == (hashlib.sha256(b"x" * size).hexdigest()[:12], b"behind")
    assert peak < LETTER.size


ROOM = 64 * 1024 * 1024
"""Bytes that a worker may take for what producers publish."""

CROWD = 24
"""Shops whose jobs are all as large as may be: with the usual prefetch three times what a worker takes in hand."""

DENSE_CROWD = 50
"""Shops whose jobs have less than 4 KiB, made of nothing but keys: twice what a worker takes in hand."""


def as_large_as_may_be(job: Job) -> bytes:
    """As many bytes as there may be, and texts of the widest characters."""
    wide = {f"k{key}": "\U0001f600" + "x" * 900 for key in range(60)}
    return message_of(job.model_copy(update=wide)).ljust(MESSAGE.size)


def small_and_dense(job: Job) -> bytes:
    """What takes most memory for its bytes: thirty times as much."""
    nested: dict[str, object] = {}
    for _ in range(24):
        nested = {"a": nested}
    return message_of(job.model_copy(update={"note": [nested] * 20}))


@pytest.mark.parametrize(("shop_count", "body_of"), [(CROWD, as_large_as_may_be), (DENSE_CROWD, small_and_dense)])
def test_a_crowd(vhost: Vhost, tap: Tap, shop_count: int, body_of: Callable[[Job], bytes]) -> None:
    """Of many shops' largest jobs a worker holds no more than fits, and loses none; ordinary jobs go on beside them.

    The large ones' shops are called once and then wait, so that all that comes stays.
    """
    shops = [f"crowd-{number}" for number in range(shop_count)]
    declare(vhost, [*shops, "acme"])
    large = {}
    for number in range(16 * shop_count):
        job = new_job(number, shops[number % shop_count])
        large[job.job_id] = body_of(job)
        tap.put(JOBS, job.shop, large[job.job_id])
    slow = [new_shop(shop, per_second=0.02, burst=1) for shop in shops]
    refer = FakeRefer2()
    tracemalloc.start()
    with Bench(vhost, [*slow, new_shop()], refer) as bench:
        some = shop_count // 6
        wait_until(lambda: len({call.job.shop for call in refer.calls}) >= some, 60, "the crowd's first calls")
        ordinary = [new_job(number) for number in range(200)]
        for job in ordinary:
            tap.put(JOBS, "acme", message_of(job))
        done = {job.job_id for job in ordinary}
        wait_until(lambda: done <= {call.job.job_id for call in refer.calls}, 60, "the ordinary jobs")
        _, peak = tracemalloc.get_traced_memory()
        assert bench.count("dead_letters", reason="oversized") == 0
    tracemalloc.stop()
    assert peak < ROOM
    called = {call.job.job_id for call in refer.calls} - done
    missing = {job_id: body for job_id, body in large.items() if job_id not in called}
    left = []
    for shop in shops:
        left += tap.take(shop_queue(shop), sum(f'"shop":"{shop}"'.encode() in body for body in missing.values()), 30)
    assert sorted(letter.body for letter in left) == sorted(missing.values())


def test_a_crowd_makes_room_for_who_holds_nothing(vhost: Vhost, tap: Tap) -> None:
    """When jobs fill the memory, the shop that holds most of it gives some back, not the one that comes next."""
    shops = [f"crowd-{number}" for number in range(9)]
    declare(vhost, [*shops, "acme"])
    # One of each shop is called, and then all of them are in hand and leave less room than a job of 64 KB takes.
    each = (IN_HAND - 100_000) // (16 * len(shops)) + ORDINARY
    for number in range(17 * len(shops)):
        job = new_job(number, shops[number % len(shops)])
        body = message_of(job)
        tap.put(JOBS, job.shop, body.ljust(each // 5 - 16 * structural_characters(body)))
    slow = [new_shop(shop, per_second=0.02, burst=1) for shop in shops]
    refer = FakeRefer2()
    with Bench(vhost, [*slow, new_shop()], refer) as bench, structlog.testing.capture_logs() as logs:
        wait_until(lambda: len(refer.calls) == len(shops), 60, "the crowd's first calls")
        wait_until(lambda: bench.in_hand() == 16 * len(shops), 60, "the crowd to be in hand")
        wanted = [new_job(number) for number in range(1000, 1031)]
        tap.put(JOBS, "acme", message_of(wanted[0]).ljust(64_000))
        for job in wanted[1:]:
            tap.put(JOBS, "acme", message_of(job))
        done = {job.job_id for job in wanted}
        wait_until(lambda: done <= {call.job.job_id for call in refer.calls}, 30, "the jobs of who held nothing")
    crowded = {line["shop"] for line in logs if line["event"] == "shop_crowded"}
    assert len(crowded) == 1
    assert crowded <= set(shops)


def test_a_crowd_ends(vhost: Vhost, tap: Tap) -> None:
    """Once there is room, every job of a shop that found none is called, once."""
    shops = [f"crowd-{number}" for number in range(CROWD)]
    declare(vhost, shops)
    jobs = [new_job(number, shops[number % CROWD]) for number in range(16 * CROWD)]
    for job in jobs:
        tap.put(JOBS, job.shop, message_of(job).ljust(MESSAGE.size))
    refer = FakeRefer2(hold_from=1)
    with Bench(vhost, [new_shop(shop) for shop in shops], refer) as bench, structlog.testing.capture_logs() as logs:
        wait_until(lambda: any(line["event"] == "shop_crowded" for line in logs), 60, "a shop to be crowded out")
        refer.release()
        tap.take(RESULTS, len(jobs), 120)
        assert bench.count("dead_letters", reason="oversized") == 0
    assert set(refer.per_job().values()) == {1}
    assert refer.per_job().keys() == {job.job_id for job in jobs}
