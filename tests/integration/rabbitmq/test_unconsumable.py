"""A queue that RabbitMQ does not have consumed, or does not answer for, keeps its own shop waiting and no other."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.roles import Roles
from tests.integration.rabbitmq.tap import Tap
from tests.services import Forwarder, RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError
from worker.model.lanes import ShopLane
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.failures import was_asked_too_much
from worker.rabbitmq.queue_probe import QueueProbe
from worker.rabbitmq.topology import JOBS, RESULTS, queues, shop_queue

SHOPS = ("acme", "bolt")
QUEUE = shop_queue("acme")

CONSUME = b"\x00\x3c\x00\x14\x00\x00" + bytes([len(QUEUE)]) + QUEUE.encode()
"""How a frame of basic.consume begins that names the queue."""


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, SHOPS)


@pytest.fixture
def between(vhost: Vhost) -> Iterator[Forwarder]:
    """What stands between RabbitMQ and the worker. It may drop a question, which RabbitMQ then leaves unanswered."""
    with Forwarder(urlsplit(vhost.url).port or 5672) as made:
        yield made


def behind(vhost: Vhost, between: Forwarder) -> Vhost:
    """The virtual host as it is reached there."""
    parts = urlsplit(vhost.url)
    login, _, _ = parts.netloc.rpartition("@")
    return replace(vhost, url=parts._replace(netloc=f"{login}@127.0.0.1:{between.port}").geturl())


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged during the test."""
    with capture_logs() as entries:
        yield entries


def told(logs: list[Any], event: str) -> list[Any]:
    """The problems of a kind so far."""
    return [entry for entry in list(logs) if entry["event"] == event]


@pytest.mark.parametrize("answered", [True, False])
def test_others_are_served(
    rabbitmq: RabbitMQ,
    vhost: Vhost,
    tap: Tap,
    as_role: Roles,
    between: Forwarder,
    logs: list[Any],
    answered: bool,
) -> None:
    """One that could not be consumed is tried again; however long that takes, the other shop's jobs are called."""
    user = as_role("worker", configure=".*", write=".*", read=f"^(?!{re.escape(QUEUE)}$).*")
    with Bench(behind(user, between), [new_shop(shop) for shop in SHOPS], FakeRefer2()):
        wait_until(lambda: told(logs, "shop_queue_unusable"), 20, "the queue to be refused")
        if answered:
            rabbitmq.api(
                "PUT",
                f"/api/permissions/{vhost.name}/{urlsplit(user.url).username}",
                {"configure": ".*", "write": ".*", "read": ".*"},
            )
            tap.put(JOBS, "acme", message_of(new_job(1)))
            assert len(tap.take(RESULTS, 1, 20)) == 1
            assert told(logs, "shop_queue_usable")
        else:
            between.drop = CONSUME
            wait_until(lambda: between.dropped, 20, "the queue to be tried again")
            jobs = [new_job(number, shop="bolt") for number in range(10)]
            for job in jobs:
                tap.put(JOBS, "bolt", message_of(job))
            results = tap.take(RESULTS, len(jobs), 10, distinct=True)
            assert {json.loads(letter.body)["job_id"] for letter in results} == {job.job_id for job in jobs}


def test_a_probe_ends_without_an_answer(vhost: Vhost, between: Forwarder, logs: list[Any]) -> None:
    """It says why, and the queue is tried again later; so it is where the probe itself fails."""
    woken: list[bool] = []
    of = ShopLane("acme")
    between.drop = CONSUME
    silent = parameters(behind(vhost, between).url, name="tested")
    # Without a node our own code fails, as by a mistake.
    probes = [QueueProbe(params, lambda: woken.append(True), patience=0.2) for params in (silent, Parameters(()))]
    for probe in probes:
        assert probe.is_usable(of)
        probe.failed(of, BrokerError("541 INTERNAL_ERROR"))
    for probe in probes:
        wait_until(lambda: probe.is_usable(of) or probe.findings, 20, "a finding")  # noqa: B023 - called here
        probe.take()
        assert not probe.is_usable(of)
    _, _, unanswered, failed = (entry["problem"] for entry in told(logs, "shop_queue_unusable"))
    assert "has left a question unanswered for 0.2 s" in unanswered
    assert "the probe failed" in failed
    assert (len(woken), between.dropped) == (2, 1)


def test_a_queue_that_answers_the_probe_alone(params: Parameters, logs: list[Any]) -> None:
    """What fails again on the shared channel goes on failing, so that all shops wait with it more and more rarely."""
    of, silent = ShopLane("acme"), BrokerError("has left a question unanswered")
    probe = QueueProbe(params, lambda: None)
    probe.failed(of, silent)
    wait_until(lambda: probe.is_usable(of) or probe.findings, 20, "a finding")
    probe.take()
    assert probe.is_usable(of)
    probe.failed(of, silent)
    assert not probe.is_usable(of)
    # The same failure is told once, and the pause after the second is longer.
    assert [entry["event"] for entry in logs] == ["shop_queue_unusable"]
    probe.consumed(of)
    assert probe.is_usable(of)
    assert told(logs, "shop_queue_usable")


def test_consuming_ends_without_an_answer(vhost: Vhost, between: Forwarder) -> None:
    """The consumer waits so long and no longer, and then without the queue."""
    channel = ShopChannel(
        parameters(behind(vhost, between).url, name="tested"),
        prefetch=1,
        single=False,
        on_message=lambda *_: None,
        patience=0.2,
    )
    channel.open(queues(()))
    channel.subscribe(ShopLane("bolt"))
    between.drop = CONSUME
    with pytest.raises(BrokerError, match=r"unanswered for 0\.2 s") as raised:
        channel.subscribe(ShopLane("acme"))
    assert raised.value.reason == "silent"
    assert was_asked_too_much(raised.value.__cause__)
    assert not channel.up
    channel.open(queues(()))
    channel.subscribe(ShopLane("bolt"))
    channel.close()
