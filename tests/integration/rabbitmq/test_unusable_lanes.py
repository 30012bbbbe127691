"""A lane that can't take what should wait there: others pass, and nothing stays in hand for it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_shop
from tests.integration.rabbitmq.tap import Tap, limit
from tests.origins import KIM
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until
from worker.model.campaign_orders import Hold
from worker.model.job import Customer, Job
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.lane_making import make_lanes
from worker.rabbitmq.topology import JOBS, shop_queue

HELD, BULK = shop_queue("acme", "held"), shop_queue("acme")


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of this file's own: one that has lost a queue's leader may not be well after."""
    with open_rabbitmq(tmp_path_factory.mktemp("own") / "rabbitmq") as node:
        yield node


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost)


def put(tap: Tap, campaign: str, numbers: Sequence[int], key: str = "acme") -> None:
    """Publish these jobs of the campaign."""
    for number in numbers:
        customer = Customer(shopid=f"{campaign}{number}")
        job = Job.create(shop="acme", campaign=campaign, customer=customer, channel="whatsapp", line=number)
        tap.put(JOBS, key, message_of(job))


def called(refer: FakeRefer2) -> Counter[str]:
    """How many calls each campaign had."""
    return Counter(call.job.campaign for call in list(refer.calls))


@contextmanager
def without_leader(rabbitmq: RabbitMQ, vhost: Vhost, queue: str) -> Iterator[None]:
    """The queue is there, and its only member is not."""
    named = f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost.name}">>, queue, <<"{queue}">>)), '
    rabbitmq.ctl("eval", f"{named} ra:stop_server(quorum_queues, amqqueue:get_pid(Q)).")
    try:
        yield
    finally:
        rabbitmq.ctl("eval", f"{named} ra:restart_server(quorum_queues, amqqueue:get_pid(Q)).")


def pass_by(rabbitmq: RabbitMQ, vhost: Vhost, bench: Bench, refer: FakeRefer2, tap: Tap, logs: list[Any]) -> None:
    """Behind a paused campaign another one is called, nothing stays in hand, and the log says why."""
    put(tap, "spring", range(60))
    put(tap, "summer", range(40))
    wait_until(lambda: called(refer)["summer"] == 40, 30, "the other campaign to be called")
    assert called(refer)["spring"] == 0
    wait_until(lambda: rabbitmq.depths(vhost)[BULK] == 0, 30, "nothing to be in hand")
    (told,) = (entry for entry in logs if entry["event"] == "lane_unusable")
    assert HELD in told["problem"]
    wait_until(lambda: bench.count("lanes_unusable") == 1, 5, "the gauge")
    assert bench.closed("acme") == set()


def go_on(bench: Bench, refer: FakeRefer2) -> None:
    """Once it is resumed the campaign is called, each job once."""
    bench.store.resume_campaign("spring", "acme", KIM)
    wait_until(lambda: called(refer)["spring"] == 60, 90, "the campaign to be called")
    assert set(refer.per_job().values()) == {1}


def paused(vhost: Vhost, refer: FakeRefer2) -> Bench:
    """A worker that hears of the pause first."""
    bench = Bench(vhost, [new_shop()], refer)
    bench.store.pause_campaign("spring", "acme", KIM)
    return bench


def test_a_queue_of_another_kind(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """A classic queue of the lane's name is no place for jobs; once it is gone they wait where they should."""
    tap.channel.queue_declare(HELD, durable=True)
    with capture_logs() as logs, paused(vhost, refer := FakeRefer2()) as bench:
        pass_by(rabbitmq, vhost, bench, refer, tap, logs)
        tap.channel.queue_delete(HELD)
        wait_until(lambda: rabbitmq.depths(vhost).get(HELD) == 60, 120, "all of it to be held")
        wait_until(lambda: bench.count("lanes_unusable") == 0, 5, "the gauge")
        go_on(bench, refer)


def test_a_user_that_may_declare_none(
    rabbitmq: RabbitMQ, as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap
) -> None:
    """A confined worker without the lane goes on, and calls what is resumed."""
    with capture_logs() as logs, paused(as_role("confined worker"), refer := FakeRefer2()) as bench:
        pass_by(rabbitmq, vhost, bench, refer, tap, logs)
        go_on(bench, refer)


def test_a_lane_that_is_full(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """By a policy it takes ten jobs; it is tried now and then, and takes the rest once it may."""
    limit(rabbitmq, vhost, "^referrals.held", **{"max-length": 10})
    with capture_logs() as logs, paused(vhost, refer := FakeRefer2()) as bench:
        pass_by(rabbitmq, vhost, bench, refer, tap, logs)
        go_on(bench, refer)


def test_a_rest_stays_where_it_waits(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """What a publisher holds back goes into no other lane, where it would be called, though its own takes nothing."""
    with paused(vhost, refer := FakeRefer2()) as bench:
        make_lanes(parameters(vhost.url, name="tested"), [ShopLane("acme", "held")], bench.store)
        bench.store.publish_campaign("autumn", "acme", KIM, rest=Hold("first", "", 0), brake=None, detail="")
        put(tap, "autumn", range(20), "acme.held")
        limit(rabbitmq, vhost, "^referrals.held", **{"max-length": 1})
        wait_until(lambda: tap.depth(HELD) == 4, 20, "sixteen of it to be in hand")
        # An order that lets something of the shop go has the lane looked through.
        bench.store.pause_campaign("winter", "acme", KIM)
        bench.store.resume_campaign("winter", "acme", KIM)
        wait_until(lambda: bench.count("publish_refusals") > 1, 30, "the lane to be tried again")
        assert called(refer)["autumn"] == 0
        bench.store.release_campaign("autumn", "acme", KIM)
        wait_until(lambda: called(refer)["autumn"] == 20, 90, "the rest to be called")
    assert set(refer.per_job().values()) == {1}


def test_a_queue_that_loses_its_leader(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """RabbitMQ refuses what is published to a queue that is being consumed: the shop goes on."""
    with capture_logs() as logs, paused(vhost, refer := FakeRefer2()) as bench:
        make_lanes(parameters(vhost.url, name="tested"), [ShopLane("acme", "held")], bench.store)
        wait_until(lambda: logs and logs[-1].get("queues") == 2, 20, "it to be consumed")
        with without_leader(rabbitmq, vhost, HELD):
            pass_by(rabbitmq, vhost, bench, refer, tap, logs)
        go_on(bench, refer)


def test_a_queue_without_a_leader_from_the_start(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """RabbitMQ closes the connection over it: the shop's other queues are consumed all the same, and it is later."""
    bench = paused(vhost, refer := FakeRefer2())
    make_lanes(parameters(vhost.url, name="tested"), [ShopLane("acme", "held")], bench.store)
    with capture_logs() as logs, ExitStack() as stack:
        with without_leader(rabbitmq, vhost, HELD):
            stack.enter_context(bench)
            pass_by(rabbitmq, vhost, bench, refer, tap, logs)
            assert sum(entry["event"] == "consumer_disconnected" for entry in logs) <= 2
        go_on(bench, refer)
        wait_until(lambda: any(entry["event"] == "shop_queue_usable" for entry in logs), 90, "it to be consumed")
