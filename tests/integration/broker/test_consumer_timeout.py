"""RabbitMQ closes a channel over a delivery that lies too long: closed and slow shops don't let it come to that."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.broker.bench import SENT, Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.broker.tap import tapping
from tests.services import RabbitMQ, open_rabbitmq, wait_until
from worker.broker.topology import JOBS, RESULTS, shop_queue
from worker.jobs import Job
from worker.verdicts import Halted, Verdict

CONSUMER_TIMEOUT = 4.0

JOBS_PER_SHOP = 40

HALTED = Halted(401, "invalid_token", None, every_shop=False)


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ that closes the channel of a delivery that is four seconds old, within half a second."""
    timeout = f"consumer_timeout = {int(CONSUMER_TIMEOUT * 1000)}"
    with open_rabbitmq(tmp_path / "own", config=[timeout], advanced={"channel_tick_interval": "500"}) as node:
        yield node


def test_a_closed_shop_does_not_close_the_channel_of_all(impatient: RabbitMQ) -> None:
    """With one shop at its quota, one halted and one slow, the channel outlives three consumer time-outs."""
    shops = [new_shop("quota", per_day=3), new_shop("halted"), new_shop("slow", per_second=4.0, burst=1)]
    vhost = impatient.add_vhost()
    declare(vhost, [shop.slug for shop in shops])

    def answer(job: Job) -> Verdict:
        return HALTED if job.shop == "halted" else SENT

    logs: list[Any]
    with tapping(vhost) as tap, capture_logs() as logs:
        for shop in shops:
            for number in range(JOBS_PER_SHOP):
                tap.put(JOBS, shop.slug, message_of(new_job(number, shop.slug)))
        with Bench(vhost, shops, FakeRefer2(answer), longest_held=CONSUMER_TIMEOUT / 2):
            began = time.monotonic()
            results = tap.take(RESULTS, 3 + JOBS_PER_SHOP, 30)
            wait_until(lambda: time.monotonic() > began + 3 * CONSUMER_TIMEOUT, 30, "three consumer time-outs")
        assert [entry for entry in logs if entry["event"] == "consumer_disconnected"] == []
        assert Counter(json.loads(letter.body)["shop"] for letter in results) == {"quota": 3, "slow": JOBS_PER_SHOP}
        for slug, left in (("quota", JOBS_PER_SHOP - 3), ("halted", JOBS_PER_SHOP)):
            letters = tap.take(shop_queue(slug), left, 10)
            assert len({letter.body for letter in letters}) == left
            assert tap.peek(shop_queue(slug)) is None
