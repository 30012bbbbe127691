"""RabbitMQ fails under load, each time on a node that may be broken: all goes on by itself, and nothing is repeated."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import pika
import pytest

from tests.faults import behaviours, broker_faults
from tests.faults.broker_faults import HEARTBEAT_SECONDS, Fault
from tests.faults.drain import RESULTS
from tests.faults.jobs import FaultJob
from tests.faults.nodes import Nodes
from tests.faults.site import GRANTS, PATIENCE, SHOPS, THREADS, Heal, Site
from tests.faults.upstream import PROMPT, Behaviour, Call, always, slow
from tests.services import open_rabbitmq, wait_until
from tests.unit.rawserver import Connection

WORKERS = 2
PER_SECOND = 30
JOBS = 300

CONSUMER_TIMEOUT_SECONDS = 100
"""Above the longest pause of a shop through which a worker keeps its jobs in hand: a minute, and what came before."""

QUIET_SECONDS = 3

LIMITED = 'referral_unready{part="rabbitmq",reason="limit"} 1.0'
"""In the metrics of a worker that was refused a connection because there are too many."""

PATIENT = {"REFERRALS_READ_TIMEOUT_SECONDS": "300", "REFERRALS_CALL_DEADLINE_SECONDS": "300"}
"""For calls that are held until a queue is broken, on whatever machine."""


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A node of these rows alone, which they may break as long as they repair it."""
    config = [f"consumer_timeout = {CONSUMER_TIMEOUT_SECONDS * 1000}"]
    folder = tmp_path_factory.mktemp("breakable")
    made = Nodes(
        lambda number: open_rabbitmq(folder / str(number), config=config, advanced={"channel_tick_interval": "1000"})
    )
    yield made
    made.close()


@pytest.mark.parametrize(
    "fault",
    [
        broker_faults.crashed,
        broker_faults.application_restarted,
        broker_faults.connections_closed,
        broker_faults.unreachable,
    ],
)
def test_broker(site: Site, fault: Fault) -> None:
    """Producer and workers connect again; what was under way is answered once, and what was unconfirmed is known."""
    site.configure(per_second=PER_SECOND / len(SHOPS), burst=5)
    site.desk.env["REFERRALS_AMQP_URL"] += f"?heartbeat={HEARTBEAT_SECONDS}"
    site.upstream.plan = always(slow(0.1))
    site.start(WORKERS)
    with site.load(per_second=PER_SECOND):
        for _ in range(site.times(5)):
            wait_until(lambda: site.upstream.in_progress >= WORKERS, PATIENCE, "calls in flight")
            fault(site)
            site.faults += 1
            assert all(worker.alive() for worker in site.workers)
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be back")
            site.await_calls(PER_SECOND)
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": len(site.verdict().ok)}


@pytest.mark.parametrize("fault", [broker_faults.out_of_memory, broker_faults.out_of_disk])
def test_alarm(site: Site, fault: Callable[[Site], Heal]) -> None:
    """RabbitMQ takes no messages: no call is started whose result had nowhere to go, and nobody is restarted for it."""
    site.configure(per_second=1, burst=5)
    site.upstream.plan = always(slow(0.05))
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))
    heal = fault(site)
    before = len(site.upstream.calls())
    try:
        site.faults += 1
        # It tells a publisher that it is blocked when that publishes.
        wait_until(lambda: _calls_stopped(site), PATIENCE, "calls to stop")
        assert all(worker.alive() for worker in site.workers)
        assert len(site.upstream.calls()) - before <= WORKERS * GRANTS, "results pile up"
    finally:
        heal()
    site.configure()
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": JOBS}


def _calls_stopped(site: Site) -> bool:
    calls = len(site.upstream.calls())
    time.sleep(QUIET_SECONDS)  # that nothing happens can only be watched
    return len(site.upstream.calls()) == calls


def held_up(site: Site, jobs: int, workers: int = WORKERS) -> Callable[[], None]:
    """Workers with calls under way that are answered once this is called, and no result in the queue."""
    answering: list[Behaviour] = []

    def reply(connection: Connection) -> None:
        while not answering and not connection.wait(0.02):
            pass
        PROMPT.reply(connection)

    site.upstream.plan = always(Behaviour("held", reply))
    site.start(workers, env=PATIENT)
    site.publish(site.jobs(jobs))
    wait_until(lambda: site.upstream.in_progress == workers * THREADS, PATIENCE, "calls under way")
    return lambda: answering.append(PROMPT)


def test_results_queue_deleted(site: Site) -> None:
    """A result that no queue takes leaves its job unacknowledged; it goes out once the queue is declared again."""
    jobs = 60
    answer = held_up(site, jobs)
    site.rabbitmq.api("DELETE", f"/api/queues/{site.vhost.name}/{RESULTS}")
    site.faults += 1
    answer()
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": jobs}


def test_results_queue_full(site: Site) -> None:
    """A result that is refused leaves its job unacknowledged; it goes out once there is room."""
    jobs, room = 60, 5
    answer = held_up(site, jobs)
    policy = f"/api/policies/{site.vhost.name}/full"
    definition = {"max-length": room, "overflow": "reject-publish"}
    site.rabbitmq.api(
        "PUT", policy, {"pattern": f"^{RESULTS}$", "definition": definition, "apply-to": "queues", "priority": 9}
    )
    site.faults += 1
    answer()
    wait_until(lambda: site.events("job_given_back"), PATIENCE, "a job to be given back")
    # Depths lag; but what was acknowledged before its confirm would never come back.
    wait_until(lambda: sum(site.depths().values()) == jobs, PATIENCE, "every job to be in a queue still")
    # Somebody takes results again, which alone makes room: RabbitMQ 3.10 goes on refusing once the policy is gone.
    wait_until(lambda: len(set(site.take())) == jobs, PATIENCE, "every result")
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": jobs}


def test_shop_queue_deleted(site: Site) -> None:
    """The calls under way end with their results; the queue is declared again, and what comes next is done."""
    # Jobs that wait in a queue are gone with it, which no worker can help; so every job is under way.
    first = THREADS
    answer = held_up(site, first, workers=1)
    for shop in SHOPS:
        site.rabbitmq.api("DELETE", f"/api/queues/{site.vhost.name}/referrals.shop.{shop}")
        site.faults += 1
    answer()
    declared = {f"referrals.shop.{shop}" for shop in SHOPS}
    wait_until(lambda: declared <= site.rabbitmq.depths(site.vhost).keys(), PATIENCE, "the queues to be declared again")
    wait_until(lambda: len(site.consumers()) >= len(SHOPS), PATIENCE, "their consumers")
    site.publish(site.jobs(60, first=first))
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": first + 60}


def called_since(site: Site, shop: str, calls: int) -> bool:
    """Whether a shop has been called more often than that."""
    return len(site.upstream.calls(shop=shop)) > calls


def test_halted_past_consumer_timeout(site: Site) -> None:
    """A shop that stays closed for longer than RabbitMQ lets a delivery lie: the others don't notice."""

    def plan(call: Call) -> Behaviour:
        return behaviours.FIREWALL if call.shop == "acme" else PROMPT

    site.upstream.plan = plan
    site.start(WORKERS)
    closed_at = time.monotonic()
    with site.load(per_second=2):
        while time.monotonic() < closed_at + CONSUMER_TIMEOUT_SECONDS * 1.3:
            calls = len(site.upstream.calls(shop="core"))
            wait_until(partial(called_since, site, "core", calls), PATIENCE, "another shop's call")
    site.faults += 1
    assert not site.events("consumer_disconnected") + site.events("consumer_cancelled")
    site.upstream.plan = always(PROMPT)
    site.configure(tables={"acme": {"key_id": "key-rotated"}})
    site.settle()

    site.judge(repeats=0)
    assert not site.events("consumer_disconnected") + site.events("consumer_cancelled")
    assert site.ended.outcomes == {"sent": len(site.verdict().attempted)}


def test_at_its_limits(site: Site) -> None:
    """A vhost that takes no more connections, then none but the queues that it has: both are told by RabbitMQ's reason,
    hold up no other shop, and end by themselves once there is room.
    """
    site.configure(per_second=PER_SECOND / len(SHOPS), burst=5)
    site.upstream.plan = always(slow(0.1))
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))
    site.await_calls(JOBS // 10)
    for _ in range(site.times(3)):
        broker_faults.limit(site, "max-connections", 1)
        broker_faults.connections_closed(site)
        site.faults += 1
        wait_until(lambda: all(LIMITED in worker.page() for worker in site.workers), PATIENCE, "the limit to be told")
        assert not any(worker.ready() for worker in site.workers)
        broker_faults.limit(site, "max-connections", -1)
        wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")

    broker_faults.limit(site, "max-queues", len(site.rabbitmq.depths(site.vhost)))
    site.faults += 1
    site.shops = (*SHOPS, "late")
    site.configure(per_second=PER_SECOND / len(SHOPS), burst=5)
    wait_until(lambda: site.events("shop_queue_unusable"), PATIENCE, "the limit to be met")
    assert all("raise the vhost's max-queues" in str(told["problem"]) for told in site.events("shop_queue_unusable"))
    more = [FaultJob(SHOPS[number % len(SHOPS)], JOBS + number) for number in range(JOBS // 3)]
    site.publish(more)
    site.await_calls(len(more) // 2)
    broker_faults.limit(site, "max-queues", -1)
    wait_until(lambda: len(site.consumers()) == WORKERS * len(site.shops), PATIENCE, "the shop to be served")
    site.publish(FaultJob("late", 2 * JOBS + number) for number in range(JOBS // 10))
    site.settle()

    verdict = site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}


def test_orphans_in_a_delay_queue(site: Site) -> None:
    """A hundred jobs of a shop that is gone stand before the repeats of others: they go to the dead queue."""
    orphans = 100
    left = dict.fromkeys(SHOPS, 4)

    def plan(call: Call) -> Behaviour:
        if left[call.shop]:
            left[call.shop] -= 1
            return behaviours.UNAVAILABLE
        return PROMPT

    site.upstream.plan = plan
    site.start(WORKERS)
    gone = [FaultJob("gone", 9000 + number) for number in range(orphans)]
    connection = pika.BlockingConnection(pika.URLParameters(site.vhost.url))
    channel = connection.channel()
    channel.confirm_delivery()
    for job in gone:
        properties = pika.BasicProperties(delivery_mode=2, expiration="500")
        channel.basic_publish("referrals.delay.1", "gone", job.message(), properties, mandatory=True)
        site.published[job.job_id] = True
    connection.close()
    site.faults += orphans
    site.publish(site.jobs(60))
    site.settle()

    site.judge(repeats=0, dead=orphans)
    assert site.ended.outcomes == {"sent": 60}
