"""Producers with an exchange of their own: RabbitMQ itself keeps each to its shops, whatever it writes."""

from pathlib import Path
from typing import Any

import pika.exceptions
import pytest
from pika import BasicProperties
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.forging import Forged, entry
from tests.integration.rabbitmq.roles import Roles, refused
from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import RabbitMQ, Vhost, wait_until
from worker import publish
from worker.cli.dead.republish import publish_anew
from worker.errors import ConfigurationError, UnroutableError
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.producer_exchanges import ProducerBindings
from worker.rabbitmq.topology import DEAD, DELAYS, JOBS, RESULTS, shop_queue
from worker.shops.registry import ShopRegistry

PRODUCERS = {"acme": ("acme-crm",), "bolt": ("bolt-app", "acme-crm-2")}

OWN = "referrals.from.acme-crm"


def bind(vhost: Vhost, producers: dict[str, tuple[str, ...]]) -> None:
    """Declare and bind as a worker does whose shops file says so."""
    declare(vhost, list(producers))
    connection = connect(parameters(vhost.url, name="bench bind"))
    ProducerBindings(lambda shop: producers[shop]).follow(connection, map(ShopLane, producers))
    connection.close()


def write(folder: Path, **producers: list[str]) -> Path:
    """A shops file with these shops and producers."""
    (folder / "secret").write_text("0" * 40)
    path = folder / "shops.toml"
    tables = "".join(f"[shops.{slug}]\nproducers = {names}\n" for slug, names in producers.items())
    path.write_text(f'[defaults]\nkey_id = "k1"\nsecret_file = "secret"\nper_second = 1000\n{tables}')
    return path


def holds_nothing(tap: Tap, *queues: str) -> bool:
    """Whether none of the queues has a message. What was confirmed is in its queues."""
    return all(tap.peek(queue) is None for queue in queues)


def test_a_producer_reaches_its_own_shops_alone(as_role: Roles, vhost: Vhost, tap: Tap) -> None:
    """By routing key, CC, BCC, a neighbour's exchange or any other: no message gets where RabbitMQ doesn't let it."""
    bind(vhost, PRODUCERS)
    user = as_role("tenant producer")
    everything_else = (RESULTS, DEAD, shop_queue("bolt"), *(f"referrals.delay.{seconds}" for seconds in DELAYS))
    with tapping(user) as tenant:
        tenant.put(OWN, "acme", b"mine")
        with pytest.raises(pika.exceptions.UnroutableError):
            tenant.put(OWN, "bolt", b"another's")
        for name in ("CC", "BCC"):
            wished = ["bolt", "acme.sent.ok.plain", "", RESULTS, DEAD, shop_queue("bolt")]
            tenant.put(OWN, "acme", b"copied", headers={name: wished})
            with pytest.raises(pika.exceptions.UnroutableError):
                tenant.put(OWN, "nowhere", b"copied", headers={name: wished})
    for exchange in (JOBS, RESULTS, DEAD, "referrals.from.bolt-app", "referrals.from.acme-crm-2", ""):
        with tapping(user) as tenant, refused():
            tenant.put(exchange, "acme", b"elsewhere")
    assert holds_nothing(tap, *everything_else)
    assert [letter.body for letter in tap.take(shop_queue("acme"), 3, 10)] == [b"mine", b"copied", b"copied"]


def test_bound_to_the_exchange_of_all_a_producer_would_reach_every_shop(vhost: Vhost, tap: Tap) -> None:
    """Why queues are bound: RabbitMQ reads CC anew at each exchange that a message passes."""
    declare(vhost, ["acme", "bolt"], producers=["acme-crm"])
    tap.channel.exchange_bind(JOBS, OWN, "acme")
    tap.put(OWN, "acme", b"copied", headers={"CC": ["bolt"]})
    assert tap.peek(shop_queue("bolt")) is not None


def test_a_worker_lets_the_producers_of_its_file_in(as_role: Roles, vhost: Vhost, tap: Tap) -> None:
    """A shop's producers publish for it once a worker has read the file, by `worker.publish` and by name."""
    user = as_role("tenant producer")
    refer = FakeRefer2()
    with Bench(vhost, [new_shop("acme", producers=["acme-crm"]), new_shop("bolt")], refer):

        def published() -> bool:
            try:
                return publish(new_job(1), amqp_url=user.url, producer="acme-crm", timeout=1) == 1
            except Exception as error:  # noqa: BLE001 - whatever it is until the exchange is there and bound
                print(error)
                return False

        wait_until(published, 30, "the exchange to be bound")
        tap.take(RESULTS, 1, 20)
        with pytest.raises(UnroutableError, match=r"bolt takes no jobs by .* have acme-crm among the shop's producers"):
            publish(new_job(2, shop="bolt"), amqp_url=user.url, producer="acme-crm")
        tap.put(JOBS, "acme", message_of(new_job(3)))
        tap.take(RESULTS, 1, 20)
    assert {call.job.line for call in refer.calls} == {1, 3}


def takes(tap: Tap, exchange: str, shop: str) -> bool:
    """Whether a job of the shop that is published to this exchange reaches a queue."""
    try:
        tap.put(exchange, shop, message_of(new_job(1, shop=shop)))
    except pika.exceptions.UnroutableError:
        return False
    except pika.exceptions.ChannelClosedByBroker:
        tap.reopen()
        return False
    return True


def test_a_producer_that_leaves_the_file_is_shut_out(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """A worker that runs unbinds the one and binds the other, and says so; the shop is served all the time."""
    registry = ShopRegistry.load(write(tmp_path, acme=["acme-crm"], bolt=[]))
    logs: list[Any]
    with capture_logs() as logs, Bench(vhost, [], FakeRefer2(), registry=registry):
        wait_until(lambda: takes(tap, OWN, "acme"), 20, "the producer to be let in")
        write(tmp_path, acme=["acme-app"], bolt=["acme-crm"])
        wait_until(lambda: not takes(tap, OWN, "acme"), 20, "it to be shut out")
        wait_until(lambda: takes(tap, "referrals.from.acme-app", "acme"), 20, "the other to be let in")
        wait_until(lambda: takes(tap, OWN, "bolt"), 20, "it to be let in elsewhere")
        tap.put(JOBS, "acme", message_of(new_job(2)))
        tap.take(RESULTS, 3, 20, distinct=True)
    assert [(entry["shop"], entry["producer"]) for entry in logs if entry["event"] == "producer_removed"] == [
        ("acme", "acme-crm")
    ]


def test_a_shop_that_comes_back_without_its_producers(vhost: Vhost, tap: Tap, tmp_path: Path) -> None:
    """A shop that leaves the file takes its producers' bindings along, and back without them it has none."""
    registry = ShopRegistry.load(write(tmp_path, acme=["acme-crm"], bolt=[]))
    logs: list[Any]
    with capture_logs() as logs, Bench(vhost, [], FakeRefer2(), registry=registry):
        wait_until(lambda: takes(tap, OWN, "acme"), 20, "the producer to be let in")
        write(tmp_path, bolt=[])
        wait_until(lambda: not takes(tap, OWN, "acme"), 20, "it to be shut out")
        assert takes(tap, JOBS, "acme")
        tap.channel.queue_delete(shop_queue("acme"))
        write(tmp_path, acme=[], bolt=["acme-crm"])
        wait_until(lambda: takes(tap, OWN, "bolt"), 20, "it to be let in elsewhere")
        wait_until(lambda: takes(tap, JOBS, "acme"), 20, "the shop to be served again, its queue included")
        assert not takes(tap, OWN, "acme")
        write(tmp_path, acme=["acme-crm"], bolt=[])
        wait_until(lambda: takes(tap, OWN, "acme"), 20, "the producer to be let in again")
    assert [(entry["shop"], entry["producer"]) for entry in logs if entry["event"] == "producer_removed"] == [
        ("acme", "acme-crm"),
        ("bolt", "acme-crm"),
    ]


def test_a_replay_carries_no_job_to_another_shop(as_role: Roles, vhost: Vhost, tap: Tap) -> None:
    """A job of another shop than its queue's is left alone, whoever dead-lettered it, whatever its headers say."""
    bind(vhost, {"acme": ("acme-crm",), "bolt": ()})
    copied, unreadable = entry("CC", ["acme"]), b"\x04when" + b"T" + b"\xff" * 8
    forged = entry("x-death", [{"queue": shop_queue("bolt"), "reason": "expired", "count": 1}])
    ways = {
        "by its key": ("acme", BasicProperties(delivery_mode=2)),
        "expired by its key": ("acme", BasicProperties(delivery_mode=2, expiration="1")),
        "expired": ("bolt", Forged(copied, expiration="1")),
        "expired with a death": ("bolt", Forged(copied, forged, expiration="1")),
        "expired with two lists of deaths": ("bolt", Forged(copied, forged, forged, expiration="1")),
        "expired, and nobody can read its headers": ("bolt", Forged(unreadable, copied, expiration="1")),
    }
    names: dict[bytes, str] = {}
    with tapping(as_role("tenant producer")) as tenant:
        for number, (name, (key, properties)) in enumerate(reversed(ways.items())):
            body = message_of(new_job(number, shop="bolt"))
            names[body] = name
            tenant.channel.basic_publish(OWN, key, body, properties, mandatory=True)
        names[mine := message_of(new_job(98))] = "its own"
        tenant.channel.basic_publish(OWN, "acme", mine, BasicProperties(delivery_mode=2, expiration="1"))
    params = parameters(vhost.url, name="tested")
    with Bench(vhost, [new_shop("acme", producers=["acme-crm"]), new_shop("bolt")], FakeRefer2()):
        wait_until(lambda: tap.depth(DEAD) == len(names), 20, "the letters")
    with DeadQueue(params) as queue:
        letters = list(queue.letters())
        told = publish_anew(letters, params, None, None)
    assert [names[letter.body] for letter in told.done] == ["its own"]
    left = {names[letter.body]: why for letter, why in told.left}
    assert left.keys() == ways.keys()
    assert all("another shop than acme" in why or "which shop's queue it came from" in why for why in left.values())
    shops = {names[letter.body]: letter.shop for letter in letters}
    assert {name for name, shop in shops.items() if shop != "acme"} <= {
        "expired with two lists of deaths",
        "expired, and nobody can read its headers",
    }
    assert holds_nothing(tap, shop_queue("bolt"))


def test_a_binding_of_before_carries_no_job(vhost: Vhost, tap: Tap) -> None:
    """What an earlier worker has bound, and the file no longer says, is refused where it arrives, with the remedy."""
    bind(vhost, PRODUCERS)
    tap.put(OWN, "acme", message_of(new_job(1)))
    tap.put("referrals.from.bolt-app", "bolt", message_of(new_job(2, shop="bolt")))
    refer = FakeRefer2()
    with Bench(vhost, [new_shop("acme", producers=["acme-app"]), new_shop("bolt", producers=["bolt-app"])], refer):
        (letter,) = tap.take(DEAD, 1, 20)
        tap.take(RESULTS, 1, 20)
    assert [call.job.line for call in refer.calls] == [2]
    assert letter.headers["x-referral-reason"] == "bad_schema"
    assert "name it there, or unbind the exchange from referrals.shop.acme" in letter.headers["x-referral-detail"]


def test_the_documented_command_unbinds(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """What `rabbitmqadmin delete binding` asks RabbitMQ for takes the producer's way to the shop's queue away."""
    bind(vhost, PRODUCERS)
    tap.put(OWN, "acme", b"mine")
    path = f"/api/bindings/{vhost.name}/e/{OWN}/q/{shop_queue('acme')}/acme"
    rabbitmq.api("DELETE", path)
    with pytest.raises(pika.exceptions.UnroutableError):
        tap.put(OWN, "acme", b"mine")


def test_a_confined_worker_serves_a_shop_whose_producer_is_missing(as_role: Roles, vhost: Vhost, tap: Tap) -> None:
    """A user that may not configure logs once that a producer's exchange is missing; the shop's other jobs go on."""
    declare(vhost)
    shop = new_shop("acme", producers=["acme-crm"])
    with capture_logs() as logs, Bench(as_role("confined worker"), [shop], FakeRefer2()):
        tap.put(JOBS, "acme", message_of(new_job(1)))
        tap.take(RESULTS, 1, 20)
        wait_until(lambda: any(e["event"] == "producer_exchange_unusable" for e in logs), 10, "it to be told")
    (told,) = [entry for entry in logs if entry["event"] == "producer_exchange_unusable"]
    assert told["shop"] == "acme"
    assert "exchange referrals.from.acme-crm does not exist" in told["problem"]


def test_a_confined_worker_takes_what_others_have_bound(as_role: Roles, vhost: Vhost, tap: Tap) -> None:
    """Where an administrator has declared and bound a producer's exchange, its jobs are called, without a complaint."""
    bind(vhost, PRODUCERS)
    tap.put(OWN, "acme", message_of(new_job(1)))
    shop = new_shop("acme", producers=["acme-crm"])
    with capture_logs() as logs, Bench(as_role("confined worker"), [shop], FakeRefer2()):
        tap.take(RESULTS, 1, 20)
    told = {entry["event"] for entry in logs if entry["log_level"] in {"warning", "error"}}
    assert told <= {"rabbitmq_trusts_headers"}


def test_an_older_rabbitmq_is_told_of(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Where producers have exchanges of their own, a RabbitMQ that one of them can stop is worth a warning, once."""
    declare(vhost)
    connection = connect(parameters(vhost.url, name="tested"))
    with capture_logs() as logs:
        origins = ProducerBindings(lambda _shop: ("acme-crm",))
        for _ in range(2):
            origins.follow(connection, [ShopLane("acme")])
    connection.close()
    version = rabbitmq.api("GET", "/api/overview")["rabbitmq_version"]
    assert len(logs) == (0 if int(version.partition(".")[0]) >= 4 else 1)


def test_a_producer_hears_what_is_missing(as_role: Roles, vhost: Vhost) -> None:
    """Before the first job: that its exchange is not there yet, or that its name is none."""
    declare(vhost)
    user = as_role("tenant producer")
    producer = Producer(parameters(user.url, name="tested"), name="acme-crm")
    with pytest.raises(ConfigurationError, match=r"exchange referrals\.from\.acme-crm does not exist"):
        producer.declare(["acme"])
    declare(vhost, producers=["acme-crm"])
    assert producer.declare(["acme"]) == []
    with pytest.raises(ConfigurationError, match="is no producer's name"):
        publish(new_job(1), amqp_url=user.url, producer="acme.crm")
