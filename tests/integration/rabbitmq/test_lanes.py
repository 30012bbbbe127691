"""A shop's other lanes: found by whoever needs them, and no job leaves its lane by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.services import RabbitMQ, Vhost, wait_until
from worker.model.lanes import EXTRA_LANES, LANES, Lane, ShopLane
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.port import RabbitmqPort
from worker.rabbitmq.topology import JOBS, RESULTS, queues, shop_queue, shop_queue_declaration
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import FOREVER
from worker.scheduling.loop import GatedConsumer
from worker.scheduling.port import Intake


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    connection = connect(parameters(vhost.url, name="bench declare"))
    lanes = [shop_queue_declaration("acme", lane) for lane in EXTRA_LANES]
    declare_topology(connection, [*queues(["acme", "bolt"]), *lanes])
    connection.close()


def put(tap: Tap, *keys: str) -> None:
    """Publish a job of acme by each of these routing keys."""
    for number, key in enumerate(keys):
        tap.put(JOBS, key, message_of(new_job(number)))


def test_lanes_that_nobody_remembers_are_found(vhost: Vhost, tap: Tap) -> None:
    """A worker whose store knows of no lane searches RabbitMQ, and calls what waits in each; there is one of each."""
    put(tap, "acme.urgent", "acme.held", "acme")
    refer = FakeRefer2()
    with capture_logs() as logs, Bench(vhost, [new_shop(), new_shop("bolt")], refer) as bench:
        wait_until(lambda: len(refer.calls) == 3, 20, "all lanes to be called")
        tap.take(RESULTS, 3, 10)
        controls = bench.store.controls()
    assert controls.all_lanes
    assert controls.lanes == {ShopLane("acme", lane) for lane in EXTRA_LANES}
    assert [entry["lanes"] for entry in logs if entry["event"] == "lanes_found"] == [len(EXTRA_LANES)]
    assert [tap.depth(shop_queue("acme", lane)) for lane in LANES] == [0] * len(LANES)


def test_a_lane_that_is_listed_is_consumed_within_moments(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Once the store lists a lane of a shop, a worker that runs declares and consumes it."""
    refer = FakeRefer2()
    with Bench(vhost, [new_shop("bolt")], refer) as bench:
        wait_until(lambda: bench.store.controls().all_lanes, 20, "the search to be over")
        bench.store.add_lanes([ShopLane("bolt", "urgent")])
        wait_until(lambda: shop_queue("bolt", "urgent") in rabbitmq.depths(vhost), 20, "the lane")
        tap.put(JOBS, "bolt.urgent", message_of(new_job(1, "bolt")))
        wait_until(lambda: refer.calls, 10, "the call")


def test_a_job_keeps_its_lane_while_it_is_delayed(vhost: Vhost, tap: Tap) -> None:
    """What waits for its customer comes back by the lane it came by."""
    with Bench(vhost, [new_shop(customer_per_second=0.02)], FakeRefer2()):
        for number in range(2):
            tap.put(JOBS, "acme.urgent", message_of(new_job(number, customer="ann")))
        (letter,) = tap.take("referrals.delay.60", 1, 20)
    assert letter.routing_key == "acme.urgent"


def test_a_message_of_another_lane_is_refused(vhost: Vhost, tap: Tap) -> None:
    """A binding that brings bulk into the urgent queue makes it urgent for nobody."""
    tap.channel.queue_bind(shop_queue("acme", "urgent"), JOBS, "acme")
    put(tap, "acme")
    refer = FakeRefer2()
    with Bench(vhost, [new_shop()], refer):
        (letter,) = tap.take("referrals.dead", 1, 20)
        wait_until(lambda: refer.calls, 10, "the call of the other copy")
    assert "its routing key is not acme.urgent" in letter.headers["x-referral-detail"]


@contextmanager
def stepped(bench: Bench, vhost: Vhost) -> Iterator[tuple[GatedConsumer[Delivery], RabbitmqPort]]:
    """A consumer that the test steps, with its port."""
    ports: list[RabbitmqPort] = []

    def connected(intake: Intake[Delivery]) -> RabbitmqPort:
        ports.append(RabbitmqPort(intake, parameters(vhost.url, name="stepped"), single=False))  # type: ignore[arg-type]
        return ports[0]

    consumer: GatedConsumer[Delivery] = GatedConsumer(bench.context, connected, timeout=100)  # type: ignore[arg-type]
    try:
        yield consumer, ports[0]
    finally:
        consumer.close()


def test_a_job_is_moved_into_a_lane_that_nobody_had(vhost: Vhost, tap: Tap) -> None:
    """The lane is declared and listed first; the job is then in one place only, with what a worker noted on it."""
    tap.put(JOBS, "bolt", message_of(new_job(1, "bolt")))
    bench = Bench(vhost, [new_shop("bolt")], FakeRefer2())
    with stepped(bench, vhost) as (consumer, port):

        def handed_out(lane: Lane) -> Delivery:
            delivery = wait_until(lambda: next(consumer), 20, f"a job from {lane}")
            assert isinstance(delivery, Delivery)
            assert delivery.lane == lane
            return delivery

        delivery = handed_out("bulk")
        assert delivery.grant is not None
        bench.store.release(delivery.request, delivery.grant.epoch, called=False)
        consumer.gate.finished(delivery)
        port.move(delivery, "held", FOREVER)  # type: ignore[arg-type]
        moved = handed_out("held")
        assert moved.job == delivery.job
        assert ShopLane("bolt", "held") in bench.store.controls().lanes
        consumer.requeue([moved])
    assert tap.depth(shop_queue("bolt")) == 0
    assert tap.take(shop_queue("bolt", "held"), 1, 10)[0].exchange == "referrals.return"
