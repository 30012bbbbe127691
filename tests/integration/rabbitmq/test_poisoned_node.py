"""What one message can do to RabbitMQ itself, tried on a node that nobody else uses, since it may not be well after."""

from pathlib import Path

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.forging import Forged, entry
from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import Vhost, open_rabbitmq, wait_until
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, delay_exchange, shop_queue

UNREADABLE = entry("x-death", ["no table"])
"""A list of deaths that RabbitMQ 3.10 stumbles over where it has to add one."""


def comes_round(tap: Tap) -> bool:
    """Whether a job that waits in a delay queue comes back to its shop."""
    tap.put(delay_exchange(1), "bolt", b"round", expiration="1")
    try:
        tap.take(shop_queue("bolt"), 1, 10)
    except TimeoutError:
        return False
    return True


def test_what_a_worker_moves_does_rabbitmq_no_harm(tmp_path: Path) -> None:
    """A job and a letter with a forged list of deaths are deferred and dead-lettered, and delays go on."""
    with open_rabbitmq(tmp_path / "rabbitmq") as node:
        vhost = Vhost("/", node.url)
        declare(vhost, ["acme", "bolt"])
        with tapping(vhost) as tap, Bench(vhost, [new_shop(customer_per_second=1.0)], FakeRefer2()) as bench:
            jobs = [new_job(number, customer="keen") for number in range(14)]
            for body in (b"no job", *map(message_of, jobs)):
                tap.channel.basic_publish(JOBS, "acme", body, Forged(UNREADABLE), mandatory=True)
            tap.take(DEAD, 1, 30)
            tap.take(RESULTS, len(jobs), 60)
            assert bench.count("deferrals") >= 1
            assert comes_round(tap)


def test_what_rabbitmq_moves_itself(tmp_path: Path) -> None:
    """The same headers on a message that expires in its shop's queue leave RabbitMQ 4 well, and 3.10 without delays."""
    with open_rabbitmq(tmp_path / "rabbitmq") as node:
        vhost = Vhost("/", node.url)
        declare(vhost, ["acme", "bolt"])
        safe = int(node.api("GET", "/api/overview")["rabbitmq_version"].partition(".")[0]) >= 4
        with tapping(vhost) as tap:
            assert comes_round(tap)
            tap.channel.basic_publish(JOBS, "acme", b"x", Forged(UNREADABLE, expiration="1"), mandatory=True)
            if safe:
                tap.take(DEAD, 1, 20)
            else:
                wait_until(lambda: "reached_max_restart_intensity" in node.logged(), 20, "RabbitMQ to give up")
            assert comes_round(tap) == safe
