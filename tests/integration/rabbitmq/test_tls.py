"""RabbitMQ over TLS, which wants a certificate of its clients too, and several nodes to choose from."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import tapping
from tests.services import RabbitMQ, Vhost, open_rabbitmq, wait_until
from tests.services.process import free_ports
from worker import publish
from worker.errors import BrokerError, ConfigurationError
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import JOBS, RESULTS


@dataclass(frozen=True)
class TLSNode:
    """A node whose certificate is for ``localhost``, and the files around it."""

    rabbitmq: RabbitMQ
    port: int
    folder: Path

    def url(self, vhost: str = "%2f", *, host: str = "localhost", **options: str) -> str:
        """The URL of a client that trusts the right authority and shows a good certificate, unless told otherwise.

        Options whose value is empty are left out; the others name files of the folder, or are values.
        """
        told = {"cacertfile": "ca.pem", "certfile": "client.pem"} | options
        query = "&".join(
            f"{name}={self.folder / value if name.endswith('file') else value}" for name, value in told.items() if value
        )
        return f"amqps://guest:guest@{host}:{self.port}/{vhost}?{query}"


def listens(port: int) -> bool:
    """Whether the port takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSNode]:
    """A node that takes clients over TLS, and only with a certificate of its authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "other.pem")
    for maker, name, file in (
        (authority, "localhost", "server.pem"),
        (authority, "worker@example.com", "client.pem"),
        (stranger, "worker@example.com", "stranger.pem"),
    ):
        maker.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(folder / file)
    (port,) = free_ports(1)
    config = [
        f"listeners.ssl.1 = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {folder / 'ca.pem'}",
        f"ssl_options.certfile = {folder / 'server.pem'}",
        f"ssl_options.keyfile = {folder / 'server.pem'}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]
    with open_rabbitmq(folder / "rabbitmq", config=config) as rabbitmq:
        # RabbitMQ opens this port after the plain one, for which it was waited.
        wait_until(lambda: listens(port), 30, "the port for TLS")
        yield TLSNode(rabbitmq, port, folder)


def test_everything_works_over_mutual_tls(node: TLSNode) -> None:
    """Producer, worker and collector, each over TLS with a client's certificate, carry jobs to their results."""
    vhost = node.rabbitmq.add_vhost()
    url = node.url(vhost.name)
    over_tls = Vhost(vhost.name, url)
    declare(over_tls)
    assert publish([new_job(number) for number in range(20)], amqp_url=url) == 20
    collector = ResultConsumer(parameters(url, name="tested"))
    results: list[tuple[int, bytes]] = []

    def all_there() -> bool:
        results.extend(collector.batch(seconds=0.1))
        return len(results) >= 20

    with Bench(over_tls, [new_shop()], FakeRefer2()):
        wait_until(all_there, 15, "20 results")
    collector.close()


def test_another_name_can_be_asked_for(node: TLSNode) -> None:
    """Where the node is reached by another name than its certificate's, the URL may name the one to expect."""
    connect(parameters(node.url(host="127.0.0.1", server_name_indication="localhost"), name="tested")).close()


def by_connection(params: Parameters) -> str:
    """What a connection that can't be made says."""
    with pytest.raises(BrokerError) as caught:
        connect(params)
    return str(caught.value)


def by_publisher(params: Parameters) -> str:
    """What the publisher, which connects in another way, says."""
    publisher = Publisher(params)
    publisher.start()
    problem = wait_until(lambda: publisher.problem, 10, "the publisher's problem")
    publisher.close(timeout=0)
    assert problem is not None
    return str(problem)


@pytest.mark.parametrize("told_by", [by_connection, by_publisher])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"host": "127.0.0.1"}, "its certificate is not accepted (IP address mismatch, "),
        ({"cacertfile": "other.pem"}, "its certificate is not accepted (self-signed certificate in certificate chain)"),
        ({"cacertfile": ""}, "its certificate is not accepted ("),
        ({"certfile": ""}, "TLS failed ("),
        ({"certfile": "stranger.pem"}, "TLS failed ("),
    ],
    ids=["host", "authority", "no authority", "no certificate", "certificate"],
)
def test_what_is_not_trusted_is_one_line(
    node: TLSNode, wrong: dict[str, str], told: str, told_by: Callable[[Parameters], str]
) -> None:
    """A wrong host name, an unknown authority, a certificate that is missing or strange: a line says which."""
    line = told_by(parameters(node.url(**wrong), name="tested"))
    assert f":{node.port}: {told}" in line
    assert "\n" not in line


def test_a_port_of_the_other_kind_is_named(node: TLSNode) -> None:
    """TLS to the plain port, and plain AMQP to the port for TLS, end in two different lines."""
    plain = parameters(f"amqp://guest:guest@localhost:{node.port}/%2f", name="tested")
    assert "a port for TLS takes amqps://" in by_connection(plain)
    tls = parameters(node.url().replace(str(node.port), str(node.rabbitmq.record["amqp"])), name="tested")
    assert "name its port for TLS" in by_connection(tls)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cacertfile": "absent.pem"}, r"cacertfile: .*/absent\.pem: No such file"),
        ({"certfile": "ca.pem"}, r"certfile: .*/ca\.pem: does not hold a certificate and its unencrypted key in PEM"),
        ({"certfile": "", "keyfile": "client.pem"}, "keyfile without certfile"),
        ({"verify": "verify_none"}, "leave out the option 'verify'; there are"),
        ({"ssl_options": "{'protocol': 2}"}, "leave out the option 'ssl_options'; there are"),
    ],
    ids=["absent", "no key", "no certificate", "unverified", "pika's own"],
)
def test_options_that_cannot_be_used_are_named(node: TLSNode, options: dict[str, str], told: str) -> None:
    """A file that isn't there or isn't right, or a wish not to verify, is refused before anything is tried."""
    with pytest.raises(ConfigurationError, match=rf"^REFERRALS_AMQP_URL: {told}"):
        parameters(node.url(**options), name="tested")


def test_another_node_serves_where_one_is_gone(vhost: Vhost) -> None:
    """With a dead node in the list producer, worker and collector all find the one that lives."""
    (dead,) = free_ports(1)
    several = Vhost(vhost.name, f"amqp://guest:guest@127.0.0.1:{dead}/%2f, {vhost.url}")
    declare(several)
    publish([new_job(number) for number in range(10)], amqp_url=several.url)
    with tapping(vhost) as tap, Bench(several, [new_shop()], FakeRefer2()):
        tap.put(JOBS, "acme", message_of(new_job(10)))
        tap.take(RESULTS, 11, 15)
    ResultConsumer(parameters(several.url, name="tested")).close()


def test_every_node_that_was_tried_is_named() -> None:
    """Where no node lives, the line names each with its own reason."""
    first, second = free_ports(2)
    url = f"amqp://guest:guest@127.0.0.1:{first}/%2f,amqp://guest:guest@127.0.0.1:{second}/%2f"
    line = by_connection(parameters(url, name="tested"))
    for port in (first, second):
        assert f"RabbitMQ at 127.0.0.1:{port} is out of reach ([Errno 111] Connection refused)" in line
