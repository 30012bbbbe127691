"""On the memory store one process consumes at a time; the next takes over when it is gone."""

import re

import pytest

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.errors import ConfigurationError
from worker.model.lanes import LANES, Lane
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.declare import declare_topology, hold_single, refuse_mixture
from worker.rabbitmq.topology import JOBS, RESULTS, queues, shop_queue, shop_queue_declaration


def test_a_second_holder_is_refused_and_told_the_remedy(vhost: Vhost) -> None:
    """The exclusive queue turns a second process away by name of the setting that would let it run."""
    params = parameters(vhost.url, name="first")
    first, second = connect(params), connect(params)
    hold_single(first)
    with pytest.raises(ConfigurationError, match="REFERRALS_REDIS_URL"):
        hold_single(second)
    first.close()
    wait_until(lambda: _holds(params), 5, "the queue to be free again")
    second.close()


def _holds(params: Parameters) -> bool:
    connection = connect(params)
    try:
        hold_single(connection)
    except ConfigurationError:
        return False
    finally:
        connection.close()
    return True


def test_the_two_kinds_of_worker_refuse_each_other(vhost: Vhost) -> None:
    """One that shares a store and one that doesn't would each let a customer be called as if the other were not."""
    declare(vhost)
    params = parameters(vhost.url, name="tested")
    with Bench(vhost, [new_shop()], FakeRefer2()):
        connection = connect(params)
        wait_until(lambda: _refused(params, shared=False), 10, "the consumers of others to be seen")
        with pytest.raises(ConfigurationError, match=r"consume referrals\.shop\.acme.*REFERRALS_REDIS_URL to theirs"):
            refuse_mixture(connection, ["acme", "gone"], shared=False)
        refuse_mixture(connection, ["acme"], shared=True)
        connection.close()
    wait_until(lambda: not _refused(params, shared=False), 10, "their end to be seen")
    holder, connection = connect(params), connect(params)
    hold_single(holder)
    with pytest.raises(ConfigurationError, match="on the memory store is running"):
        refuse_mixture(connection, ["acme"], shared=True)
    holder.close()
    wait_until(lambda: not _refused(params, shared=True), 10, "its end to be seen")
    connection.close()


@pytest.mark.parametrize("lane", LANES)
def test_workers_are_seen_by_each_lane(vhost: Vhost, tap: Tap, lane: Lane) -> None:
    """One that is closed to all but urgent jobs consumes those of its shop alone."""
    declare(vhost)
    connection = connect(parameters(vhost.url, name="tested"))
    declare_topology(connection, [shop_queue_declaration("acme", lane)])
    refuse_mixture(connection, ["gone", "acme"], shared=False)
    worker = connect(parameters(vhost.url, name="worker"))
    worker.channel().basic_consume(shop_queue("acme", lane), lambda *_: None)
    with pytest.raises(ConfigurationError, match=rf"consume {re.escape(shop_queue('acme', lane))}, and this one"):
        refuse_mixture(connection, ["gone", "acme"], shared=False)
    worker.close()
    connection.close()


def _refused(params: Parameters, *, shared: bool) -> bool:
    connection = connect(params)
    try:
        refuse_mixture(connection, ["acme"], shared=shared)
    except ConfigurationError:
        return True
    finally:
        connection.close()
    return False


def test_a_waiting_process_takes_over(vhost: Vhost, tap: Tap) -> None:
    """A second worker makes no call while the first holds the queue, and goes on with the jobs when it ends."""
    declare(vhost)
    refer = FakeRefer2()
    holder = connect(parameters(vhost.url, name="holder"))
    hold_single(holder)
    tap.put(JOBS, "acme", message_of(new_job(1)))
    with Bench(vhost, [new_shop()], refer, single=True):
        with pytest.raises(TimeoutError):
            tap.take(RESULTS, 1, 1.5)
        assert refer.calls == []
        holder.close()
        tap.take(RESULTS, 1, 20)


def test_a_failed_start_leaves_no_connection_behind(vhost: Vhost, tap: Tap) -> None:
    """A start that fails releases what it took: the next attempt is not refused for it."""
    tap.channel.queue_declare(RESULTS, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 5})
    channel = ShopChannel(parameters(vhost.url, name="link"), prefetch=1, single=True, on_message=lambda *_: None)
    with pytest.raises(ConfigurationError, match="would lose messages"):
        channel.open(queues(["acme"]))
    tap.channel.queue_delete(RESULTS)
    assert channel.open(queues(["acme"])) == []
    channel.close()
