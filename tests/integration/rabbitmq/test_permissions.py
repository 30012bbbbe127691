"""The permissions that the documentation gives each role: enough for its job, and for nothing more."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.roles import documented, refused
from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import AccessRefusedError, ConfigurationError
from worker.instants import SECOND
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.declare import hold_single
from worker.rabbitmq.outgoing import Outgoing, ignore_outcome
from worker.rabbitmq.producer import WINDOW, Producer, outgoing, publish_each
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import DEAD, EXCHANGES, JOBS, RESULTS, RETURN, delay_exchange, shop_queue

ROOT = Path(__file__).parents[3]

DEFINITIONS = ROOT / "k8s" / "overlays" / "dev" / "rabbitmq" / "definitions.json"


def consume(tap: Tap, queue: str) -> None:
    """Ask for a queue's messages."""
    tap.channel.basic_get(queue)


def send(tap: Tap, exchange: str) -> None:
    """Publish to an exchange, and hear what RabbitMQ says."""
    tap.put(exchange, "acme", b"{}")


FORBIDDEN: dict[str, list[Callable[[Tap], None]]] = {
    "producer": [
        lambda tap: consume(tap, shop_queue("acme")),
        lambda tap: consume(tap, RESULTS),
        lambda tap: send(tap, RESULTS),
        lambda tap: send(tap, DEAD),
        lambda tap: tap.channel.queue_declare(shop_queue("bolt"), durable=True),
        lambda tap: tap.channel.queue_purge(shop_queue("acme")),
        lambda tap: tap.channel.queue_delete(shop_queue("acme")),
    ],
    "tenant producer": [
        lambda tap: send(tap, JOBS),
        lambda tap: send(tap, RETURN),
        lambda tap: send(tap, RESULTS),
        lambda tap: send(tap, DEAD),
        lambda tap: send(tap, "referrals.delay.1"),
        lambda tap: send(tap, "referrals.from.bolt-app"),
        lambda tap: send(tap, "referrals.from.acme-crm-2"),
        lambda tap: send(tap, ""),
        lambda tap: consume(tap, shop_queue("acme")),
        lambda tap: consume(tap, RESULTS),
        lambda tap: tap.channel.queue_bind(shop_queue("bolt"), "referrals.from.acme-crm", "bolt"),
        lambda tap: tap.channel.exchange_bind(JOBS, "referrals.from.acme-crm", "bolt"),
        lambda tap: tap.channel.exchange_delete("referrals.from.acme-crm"),
        lambda tap: tap.channel.queue_purge(shop_queue("acme")),
    ],
    "collector": [
        lambda tap: send(tap, JOBS),
        lambda tap: send(tap, RESULTS),
        lambda tap: consume(tap, shop_queue("acme")),
        lambda tap: consume(tap, DEAD),
        lambda tap: tap.channel.queue_delete(RESULTS),
    ],
    "operator": [
        lambda tap: consume(tap, shop_queue("acme")),
        lambda tap: consume(tap, RESULTS),
        lambda tap: send(tap, DEAD),
        lambda tap: tap.channel.queue_purge(RESULTS),
        lambda tap: tap.channel.queue_delete(DEAD),
    ],
    "confined worker": [
        lambda tap: send(tap, JOBS),
        lambda tap: consume(tap, RESULTS),
        lambda tap: consume(tap, DEAD),
        lambda tap: tap.channel.queue_declare(shop_queue("bolt"), durable=True),
        lambda tap: tap.channel.queue_delete(shop_queue("acme")),
        lambda tap: tap.channel.exchange_delete(JOBS),
    ],
    "worker": [
        lambda tap: tap.channel.queue_declare("somebody-elses", durable=True),
        lambda tap: tap.channel.basic_publish("amq.topic", "acme", b"{}"),
    ],
}


@pytest.mark.parametrize("role", FORBIDDEN)
def test_a_role_may_do_nothing_beyond_its_job(as_role: Callable[[str], Vhost], vhost: Vhost, role: str) -> None:
    """What another role does, or a vandal, RabbitMQ refuses to the user of this one."""
    declare(vhost, producers=("acme-crm", "acme-crm-2", "bolt-app"))
    user = as_role(role)
    for act in FORBIDDEN[role]:
        with tapping(user) as tap, refused():
            act(tap)
            # A publish without a permission is answered by closing the channel, on the next round trip.
            tap.channel.queue_declare(RESULTS, passive=True)


def work_through(user: Vhost, tap: Tap) -> list[Any]:
    """Have a worker send jobs of one customer, some of which must wait, and dead-letter one more; returns its logs."""
    jobs = [new_job(number, customer="c1") for number in range(14)]
    for body in (*map(message_of, jobs), b"no job"):
        tap.put(JOBS, "acme", body)
    logs: list[Any]
    refer = FakeRefer2()
    with capture_logs() as logs, Bench(user, [new_shop(customer_per_second=4.0)], refer) as bench:
        results = tap.take(RESULTS, len(jobs), 30)
        dead = tap.take(DEAD, 1, 10)
        assert bench.count("deferrals") >= 1
    assert {json.loads(letter.body)["job_id"] for letter in results} == {job.job_id for job in jobs}
    assert [letter.body for letter in dead] == [b"no job"]
    assert set(refer.per_job().values()) == {1}
    return logs


def test_a_worker_declares_and_does_its_job(as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap) -> None:
    """On an empty virtual host the worker's user declares everything, then calls, defers, dead-letters, publishes."""
    user = as_role("worker")
    assert declare(user) == []
    work_through(user, tap)


def test_a_confined_worker_runs_on_what_is_there(as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap) -> None:
    """A worker that may not configure does its job where everything is declared, and finds nothing to complain of."""
    declare(vhost)
    user = as_role("confined worker")
    assert declare(user) == []
    logs = work_through(user, tap)
    assert [line["event"] for line in logs if line["log_level"] in {"warning", "error"}] == ["dead_letter"]


def test_a_confined_worker_asks_rabbitmq_once_for_what_it_may_not(
    rabbitmq: RabbitMQ, as_role: Callable[[str], Vhost], vhost: Vhost
) -> None:
    """RabbitMQ logs each refusal as an error: there is one in a declaration, however many shops there are."""
    shops = [f"shop{number}" for number in range(30)]
    declare(vhost, shops)
    user = as_role("confined worker")
    name = user.url.split("//")[1].split(":")[0]
    refusals = re.compile(rf"access to .* refused for user '{name}'")

    assert declare(user, shops) == []
    with tapping(user) as tap, refused():
        # One more, so that the log is known to have caught up.
        tap.channel.queue_declare("last", durable=True)

    def logged() -> list[str]:
        return [line for line in rabbitmq.logged().splitlines() if refusals.search(line)]

    wait_until(lambda: any("'last'" in line for line in logged()), 10, "RabbitMQ's log")
    assert len({line for line in logged() if "'last'" not in line}) == 1


def test_a_confined_worker_names_what_is_missing(as_role: Callable[[str], Vhost]) -> None:
    """Where nothing is declared yet, a user that may not configure gets what is missing and the remedy."""
    with pytest.raises(
        ConfigurationError, match=r"exchange referrals\.dead does not exist .*start a worker whose user"
    ):
        declare(as_role("confined worker"))


@pytest.mark.parametrize("exchange", [exchange.name for exchange in EXCHANGES])
def test_an_exchange_that_may_not_be_declared(
    as_role: Callable[..., Vhost], vhost: Vhost, tap: Tap, exchange: str
) -> None:
    """Each is named with the remedy where it is missing, and taken as it is where another has declared it."""
    narrow = as_role("worker", configure=rf"^referrals\.(?!{re.escape(exchange.removeprefix('referrals.'))}$).*$")
    if exchange == JOBS:
        narrow = as_role("worker", configure=r"^referrals\..+$")
    declare(vhost)
    assert declare(narrow) == []
    tap.channel.exchange_delete(exchange)
    with pytest.raises(ConfigurationError, match=rf"exchange {re.escape(exchange)} does not exist .*start a worker"):
        declare(narrow)


def test_the_single_queue_that_may_not_be_taken(as_role: Callable[..., Vhost], vhost: Vhost) -> None:
    """A worker on the memory store that may not take its exclusive queue gets an error with both remedies."""
    declare(vhost)
    narrow = as_role("worker", configure=r"^referrals\.(shop|delay)\..+$")
    connection = connect(parameters(narrow.url, name="tested"))
    with pytest.raises(ConfigurationError, match=r"may not configure the queue referrals\.single.*REFERRALS_REDIS_URL"):
        hold_single(connection)
    connection.close()
    allowed = connect(parameters(as_role("worker").url, name="tested"))
    hold_single(allowed)
    allowed.close()


def test_a_confined_worker_finds_a_new_shop_by_itself(as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap) -> None:
    """A shop whose queue is declared later is served later, while the others are served all the time."""
    declare(vhost)
    refer = FakeRefer2()
    with Bench(as_role("confined worker"), [new_shop(), new_shop("late")], refer):
        tap.put(JOBS, "acme", message_of(new_job(1)))
        tap.take(RESULTS, 1, 20)
        declare(vhost, ["late"])
        tap.put(JOBS, "late", message_of(new_job(2, shop="late")))
        tap.take(RESULTS, 1, 30)
    assert [call.job.shop for call in refer.calls] == ["acme", "late"]


def test_a_producer_publishes(as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap) -> None:
    """The producer's user publishes confirmed jobs of a shop that workers know, without a word on permissions."""
    declare(vhost)
    with Producer(parameters(as_role("producer").url, name="tested")) as producer:
        assert producer.declare(["acme"]) == []
        producer.send(new_job(1))
        producer.flush()
        assert producer.confirmed == 1
    assert tap.take(shop_queue("acme"), 1, 5)[0].body


def test_a_producer_hears_that_a_shop_has_no_queue_yet(as_role: Callable[[str], Vhost], vhost: Vhost) -> None:
    """For a shop that no worker has seen, the producer gets the remedy before it publishes anything."""
    declare(vhost)
    producer = Producer(parameters(as_role("producer").url, name="tested"))
    with pytest.raises(ConfigurationError, match=r"queue referrals\.shop\.bolt does not exist .*start a worker"):
        producer.declare(["acme", "bolt"])


def send_all(producer: Producer, jobs: int) -> None:
    """Publish so many jobs."""
    with producer:
        for number in range(jobs):
            producer.send(new_job(number))


@pytest.mark.parametrize(
    ("name", "remedy"), [(None, "set REFERRALS_PRODUCER"), ("acme-crm", "is REFERRALS_PRODUCER not acme-crm")]
)
def test_a_producer_that_may_not_publish_hears_it_at_once(
    as_role: Callable[..., Vhost], vhost: Vhost, name: str | None, remedy: str
) -> None:
    """A missing permission is named with its remedy after one answer: no time-out is waited for."""
    declare(vhost, producers=("acme-crm",))
    user = as_role("producer", write="^$")
    producer = Producer(parameters(user.url, name="tested"), name=name, timeout=3600)
    with pytest.raises(AccessRefusedError, match=rf"exchange 'referrals.* refused .*\(write, .*{remedy}"):
        send_all(producer, 2 * WINDOW)
    assert producer.confirmed == 0


def test_what_may_not_be_replayed_is_told_of_each(as_role: Callable[..., Vhost], vhost: Vhost) -> None:
    """Letters published anew by who may not publish are all refused, for their reason, and none waits for a confirm."""
    declare(vhost)
    user = as_role("operator", write="^$")
    messages = [outgoing(new_job(number), 0) for number in range(3)]
    errors = publish_each(messages, parameters(user.url, name="tested"), timeout=3600)
    assert [type(error) for error in errors] == [AccessRefusedError] * 3


def test_a_queue_that_may_not_be_read_is_told_with_its_remedy(as_role: Callable[[str], Vhost], vhost: Vhost) -> None:
    """A user that may read neither dead letters nor results gets the queue's name and where permissions are listed."""
    declare(vhost)
    user = parameters(as_role("producer").url, name="tested")
    with (
        pytest.raises(AccessRefusedError, match=r"'referrals\.dead' .*refused .*docs/rabbitmq\.md#users"),
        DeadQueue(user) as queue,
    ):
        list(queue.letters())
    with pytest.raises(AccessRefusedError, match=r"'referrals\.results' .*refused .*docs/rabbitmq\.md#users"):
        ResultConsumer(user)


def test_a_collector_takes_results_and_buries_what_is_none(
    as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap
) -> None:
    """The collector's user consumes, acknowledges and rejects into the dead queue."""
    declare(vhost)
    for body in (b"no result", b"{}"):
        tap.put(RESULTS, "acme.sent.ok.plain", body)
    collector = ResultConsumer(parameters(as_role("collector").url, name="tested"))
    taken: list[tuple[int, bytes]] = []

    def both() -> bool:
        taken.extend(collector.batch(seconds=1))
        return len(taken) == 2

    wait_until(both, 10, "both results")
    collector.reject([taken[0][0]])
    collector.ack(taken[1][0])
    assert [letter.body for letter in tap.take(DEAD, 1, 10)] == [b"no result"]
    collector.close()
    assert tap.peek(RESULTS) is None


def test_a_queue_that_may_not_be_consumed_stops_its_shop_alone(
    as_role: Callable[..., Vhost], vhost: Vhost, tap: Tap
) -> None:
    """A read pattern that misses one shop: the others are served, and the line names shop and reason."""
    declare(vhost, ["acme", "bolt"])
    narrow = as_role("worker", read=r"^referrals(\.(results|return|dead|suppression|delay\..+|shop\.acme))?$")
    with capture_logs() as logs, Bench(narrow, [new_shop("bolt"), new_shop("acme")], FakeRefer2()):
        for number in range(5):
            job = new_job(number)
            tap.put(JOBS, "acme", message_of(job))
            assert tap.take(RESULTS, 1, 20)
    told = [entry for entry in logs if entry["event"] == "shop_queue_unusable"]
    assert {entry["shop"] for entry in told} == {"bolt"}
    assert "403 ACCESS_REFUSED" in told[0]["problem"]
    # Once, and once more for each time that it was tried again.
    assert sum(entry["event"] == "consumer_disconnected" for entry in logs) <= 2


def test_an_operator_replays_what_is_dead(as_role: Callable[[str], Vhost], vhost: Vhost, tap: Tap) -> None:
    """The operator's user reads the dead queue, publishes jobs and results anew and removes what it published."""
    declare(vhost)
    tap.put(DEAD, "acme", message_of(new_job(1)), headers={"x-referral-reason": "crash_loop"})
    params = parameters(as_role("operator").url, name="tested")
    with DeadQueue(params) as dead:
        (letter,) = dead.letters()
        result = Outgoing(RESULTS, "acme.sent.ok.plain", b"{}", ignore_outcome)
        assert publish_each([outgoing(new_job(1), 0), result], params) == [None, None]
        dead.remove([letter])
    assert tap.take(shop_queue("acme"), 1, 5)
    assert tap.take(RESULTS, 1, 5)
    assert tap.peek(DEAD) is None


def test_definitions_of_the_dev_overlay_load(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """RabbitMQ takes the definitions that dev and compose.yaml load, and lets each of their users in."""
    definitions = json.loads(DEFINITIONS.read_text())
    for entry in (*definitions["vhosts"], *definitions["users"]):
        entry["name"] = entry["name"].replace("referral", f"{vhost.name}-referral")
    for entry in definitions["permissions"]:
        entry.update({key: entry[key].replace("referral", f"{vhost.name}-referral") for key in ("vhost", "user")})
    (made,) = definitions["vhosts"]
    try:
        rabbitmq.api("POST", "/api/definitions", definitions)
        for user in definitions["users"]:
            url = rabbitmq.url_of(made["name"]).replace("guest:guest", f"{user['name']}:{user['password']}")
            connect(parameters(url, name="tested")).close()
    finally:
        rabbitmq.api("DELETE", f"/api/vhosts/{made['name']}")
        for user in definitions["users"]:
            rabbitmq.api("DELETE", f"/api/users/{user['name']}")


def test_delays_are_covered() -> None:
    """The confined worker's permission to write names the delay exchanges as they are called."""
    pattern = documented("confined worker")["write"]
    for seconds in (1, 60, 10_000):
        assert re.search(pattern, delay_exchange(seconds * SECOND))
