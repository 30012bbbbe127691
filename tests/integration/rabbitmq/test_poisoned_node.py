"""What one message can do to RabbitMQ itself, tried on a node that nobody else uses, since it may not be well after."""

from collections.abc import Iterator

import pytest

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.forging import Forged, entry
from tests.integration.rabbitmq.tap import Tap
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, delay_exchange, shop_queue

UNREADABLE = entry("x-death", ["no table"])
"""A list of deaths that RabbitMQ 3.10 stumbles over where it has to add one."""


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own: only the last of its tests harms it."""
    with open_rabbitmq(tmp_path_factory.mktemp("own") / "rabbitmq") as node:
        yield node


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Vhost:
    """A virtual host that stays: who deletes one from a node that isn't well may wait."""
    return rabbitmq.add_vhost()


def comes_round(tap: Tap) -> bool:
    """Whether a job that waits in a delay queue comes back to its shop."""
    tap.put(delay_exchange(1), "bolt", b"round", expiration="1")
    try:
        tap.take(shop_queue("bolt"), 1, 10)
    except TimeoutError:
        return False
    return True


def test_what_a_worker_moves_does_rabbitmq_no_harm(vhost: Vhost, tap: Tap) -> None:
    """A job and a letter with a forged list of deaths are deferred and dead-lettered, and delays go on."""
    declare(vhost, ["acme", "bolt"])
    with Bench(vhost, [new_shop(customer_per_second=1.0)], FakeRefer2()) as bench:
        jobs = [new_job(number, customer="keen") for number in range(14)]
        for body in (b"no job", *map(message_of, jobs)):
            tap.channel.basic_publish(JOBS, "acme", body, Forged(UNREADABLE), mandatory=True)
        tap.take(DEAD, 1, 30)
        tap.take(RESULTS, len(jobs), 60)
        assert bench.count("deferrals") >= 1
        assert comes_round(tap)


def test_what_rabbitmq_moves_itself(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """The same headers on a message that expires in its shop's queue leave RabbitMQ 4 well, and 3.10 without delays."""
    declare(vhost, ["acme", "bolt"])
    safe = int(rabbitmq.api("GET", "/api/overview")["rabbitmq_version"].partition(".")[0]) >= 4
    assert comes_round(tap)
    tap.channel.basic_publish(JOBS, "acme", b"x", Forged(UNREADABLE, expiration="1"), mandatory=True)
    if safe:
        tap.take(DEAD, 1, 20)
    else:
        wait_until(lambda: "reached_max_restart_intensity" in rabbitmq.logged(), 20, "RabbitMQ to give up")
    assert comes_round(tap) == safe
