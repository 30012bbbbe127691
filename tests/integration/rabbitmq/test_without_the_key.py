"""A worker that lacks the key of the suppression lists: the others get the jobs."""

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.origins import KIM
from tests.services import Vhost, wait_until
from worker.model.suppression import NO_KEY
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.queue_depths import consumers
from worker.rabbitmq.topology import JOBS

QUEUE = "referrals.shop.acme"


def test_it_holds_no_jobs(vhost: Vhost, tap: Tap, params: Parameters) -> None:
    """It consumes no queue; once there are no such lists any more, it goes on."""
    declare(vhost)
    calls = FakeRefer2()
    with Bench(vhost, [new_shop()], calls) as bench:
        wait_until(lambda: consumers(params, [QUEUE]) == {QUEUE: 1}, 20, "the worker")
        bench.store.listed("*", 1, 1, b"another.")
        bench.store.record("suppress add", KIM)
        wait_until(lambda: consumers(params, [QUEUE]) == {QUEUE: 0}, 20, "the worker to leave the queue")
        for number in range(5):
            tap.put(JOBS, "acme", message_of(new_job(number)))
        assert (tap.depth(QUEUE), calls.calls) == (5, [])
        bench.store.listed("*", 0, 2, NO_KEY)
        bench.store.record("suppress remove", KIM)
        wait_until(lambda: len(calls.calls) == 5, 20, "the calls")
