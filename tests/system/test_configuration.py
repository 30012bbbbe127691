"""A configuration that can't work ends in one line with place and remedy, with its exit code and no secret."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import pika
import pytest

from tests.services import Vhost, wait_until
from tests.services.process import free_ports
from tests.system.commands import Desk, Process
from worker.cli.main import COMMANDS

SECRET = "s3cret-that-nobody-may-see"
WORK = ("work",)
COLLECT = ("collect", "--out", "results.csv", "--until-idle", "1")
PUBLISH = ("publish", "campaign.csv", "--shop", "acme", "--campaign", "spring")


def add_to_shops(text: str) -> Callable[[Desk], None]:
    """Break the shops file by a line at its end, in the last shop's table."""

    def change(desk: Desk) -> None:
        with (desk.folder / "shops.toml").open("a") as file:
            file.write(text + "\n")

    return change


def nobody_listens(desk: Desk) -> None:
    """A RabbitMQ that is not there."""
    (port,) = free_ports(1)
    desk.env["REFERRALS_AMQP_URL"] = f"amqp://guest:{SECRET}@127.0.0.1:{port}/%2f"


def wrong_password(desk: Desk) -> None:
    """A password that RabbitMQ refuses."""
    desk.env["REFERRALS_AMQP_URL"] = desk.env["REFERRALS_AMQP_URL"].replace("guest:guest@", f"guest:{SECRET}@")


def absent_vhost(desk: Desk) -> None:
    """A virtual host that RabbitMQ doesn't have."""
    desk.env["REFERRALS_AMQP_URL"] = desk.env["REFERRALS_AMQP_URL"].replace("/test-", "/absent-")


def classic_queue(desk: Desk) -> None:
    """Somebody's classic queue under one of our names."""
    with pika.BlockingConnection(pika.URLParameters(desk.env["REFERRALS_AMQP_URL"])) as connection:
        connection.channel().queue_declare("referrals.shop.acme", durable=True)


def variable(name: str, value: str) -> Callable[[Desk], None]:
    """Set an environment variable."""

    def change(desk: Desk) -> None:
        desk.env[name] = value

    return change


def remove(name: str) -> Callable[[Desk], None]:
    """Take a file away."""

    def change(desk: Desk) -> None:
        (desk.folder / name).unlink()

    return change


def write(name: str, text: str) -> Callable[[Desk], None]:
    """Write a file."""

    def change(desk: Desk) -> None:
        (desk.folder / name).write_text(text)

    return change


@dataclass(frozen=True)
class Case:
    """What is wrong, the command that meets it, its exit code, and what its line must say."""

    change: Callable[[Desk], None]
    command: tuple[str, ...]
    code: int
    words: tuple[str, ...]


CASES = {
    "unknown-key": Case(add_to_shops("per_secnd = 5"), WORK, 2, ("shops.toml", "acme", "per_secnd", "per_second?")),
    "rate-of-zero": Case(add_to_shops("per_second = 0"), PUBLISH, 2, ("shops.toml", "acme", "per_second", "greater")),
    "bad-slug": Case(add_to_shops('[shops."a b"]'), WORK, 2, ("shops.toml", "'a b'", "letters, digits")),
    "not-toml": Case(add_to_shops("per_second 5"), WORK, 2, ("shops.toml", "not TOML", "line")),
    "pasted-secret": Case(
        add_to_shops(f'[shops.bolt]\nkey_id = "{SECRET}"\nsecret_file = "{SECRET}"'),
        WORK,
        2,
        ("shops.toml", "[shops.bolt] secret_file", "names no file"),
    ),
    "pasted-secret-for-shops": Case(
        variable("REFERRALS_SHOPS", SECRET), PUBLISH, 2, ("names no file", "REFERRALS_SHOPS")
    ),
    "pasted-secret-for-authority": Case(
        variable("REFERRALS_CA_FILE", SECRET), WORK, 2, ("REFERRALS_CA_FILE", "no file")
    ),
    "pasted-secret-for-client": Case(
        variable("REFERRALS_AMQP_URL", f"amqps://guest:guest@h/?certfile={SECRET}"), COLLECT, 2, ("certfile", "no file")
    ),
    "plain-amqp": Case(
        variable("REFERRALS_AMQP_URL", f"amqp://guest:{SECRET}@rabbit.other.org/%2f"),
        COLLECT,
        2,
        ("REFERRALS_AMQP_URL", "rabbit.other.org", "amqps://", "REFERRALS_ALLOW_PLAINTEXT"),
    ),
    "plain-redis": Case(
        variable("REFERRALS_REDIS_URL", f"redis://:{SECRET}@10.0.0.7:6379/0"),
        ("shops", "list"),
        2,
        ("REFERRALS_REDIS_URL", "10.0.0.7", "rediss://", "REFERRALS_ALLOW_PLAINTEXT"),
    ),
    "plain-http": Case(
        add_to_shops('base_url = "http://refer2.other.org"'),
        WORK,
        2,
        ("[shops.acme] base_url", "refer2.other.org", "https://", "REFERRALS_ALLOW_PLAINTEXT"),
    ),
    "no-secret": Case(remove("secrets/acme.key"), WORK, 2, ("shops.toml", "acme", "secrets/acme.key", "put the")),
    "no-shops-file": Case(remove("shops.toml"), PUBLISH, 2, ("shops.toml", "REFERRALS_SHOPS")),
    "shop-not-in-file": Case(
        lambda _: None,
        ("publish", "campaign.csv", "--shop", "bolt", "--campaign", "spring"),
        2,
        ("shops.toml", "'bolt'", "acme"),
    ),
    "no-rabbitmq-work": Case(nobody_listens, WORK, 1, ("127.0.0.1:", "out of reach", "REFERRALS_AMQP_URL")),
    "no-rabbitmq-publish": Case(nobody_listens, PUBLISH, 1, ("127.0.0.1:", "out of reach", "REFERRALS_AMQP_URL")),
    "no-rabbitmq-collect": Case(nobody_listens, COLLECT, 1, ("127.0.0.1:", "out of reach", "REFERRALS_AMQP_URL")),
    "password": Case(wrong_password, WORK, 1, ("127.0.0.1:", "user or password", "REFERRALS_AMQP_URL")),
    "vhost": Case(absent_vhost, PUBLISH, 1, ("127.0.0.1:", "'absent-", "REFERRALS_AMQP_URL")),
    "no-amqp-url": Case(
        variable("REFERRALS_AMQP_URL", f"http://guest:{SECRET}@h/"), WORK, 2, ("REFERRALS_AMQP_URL", "amqp://")
    ),
    "metrics-port": Case(
        variable("REFERRALS_METRICS_PORT", "http"), WORK, 2, ("REFERRALS_METRICS_PORT", "valid integer")
    ),
    "classic-queue": Case(classic_queue, PUBLISH, 2, ("referrals.shop.acme", "another type", "delete it")),
    "processes": Case(lambda _: None, ("work", "--processes", "2"), 2, ("REFERRALS_REDIS_URL", "--processes 1")),
    "no-export": Case(remove("campaign.csv"), PUBLISH, 1, ("campaign.csv", "No such file")),
    "unknown-header": Case(
        write("campaign.csv", "mail,via\na@example.com,sms\n"), PUBLISH, 2, ("mail", "via", "--map")
    ),
    "other-results": Case(write("results.csv", "a,b\n1,2\n"), COLLECT, 2, ("results.csv", "other columns", "--out")),
    "no-results-folder": Case(
        lambda _: None, ("collect", "--out", "no/r.csv"), 1, ("no: there is no such folder", "r.csv")
    ),
    "short-sandbox-secret": Case(
        write("secrets/acme.key", "short"), ("sandbox", "--shops", "shops.toml"), 2, ("'acme'", "32")
    ),
}


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A desk where everything is right but for what the test breaks."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    desk.write_export("campaign.csv", [{"customer_email": "a@example.com", "channel": "sms"}])
    return desk


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_line_names_place_and_remedy(desk: Desk, case: Case) -> None:
    """The command ends by itself with the exit code that fits and exactly one line, which holds no secret."""
    case.change(desk)
    ended = desk.run(*case.command, timeout=30)
    assert ended.returncode == case.code, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("referrals: ")
    for word in case.words:
        assert word in line
    for private in (SECRET, "secret of acme", "guest", "example.com"):
        assert private not in line


def test_plaintext_that_is_asked_for_is_told(desk: Desk) -> None:
    """A worker, and a person's command, warn of each host that they reach unencrypted beyond this machine."""
    # Linux takes it for this machine; the rule doesn't.
    anywhere = desk.env["REFERRALS_AMQP_URL"].replace("127.0.0.1", "0.0.0.0")
    desk.write_shops("http://0.0.0.0:9", ["acme"])
    desk.env |= {"REFERRALS_AMQP_URL": anywhere, "REFERRALS_ALLOW_PLAINTEXT": "0.0.0.0"}
    worker = desk.start("work")
    wait_until(lambda: has_subscribed(worker) or not worker.running(), 30, "the worker")
    lines = [json.loads(line) for line in worker.stderr.splitlines()]
    told = [(line["setting"], line["host"]) for line in lines if line["event"] == "plaintext_allowed"]
    assert told == [("REFERRALS_AMQP_URL", "0.0.0.0"), ("base_url", "0.0.0.0")]
    published = desk.run("publish", "campaign.csv", "--shop", "acme", "--campaign", "spring")
    assert published.returncode == 0, published.stderr
    assert "plaintext_allowed" in published.stderr
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_taken_port_is_told(desk: Desk) -> None:
    """A sandbox whose port is taken says so and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = desk.run("sandbox", "--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr == f"referrals: sandbox: port {port} is in use; choose another with --port\n"


def test_a_second_worker_on_the_memory_store_is_refused(desk: Desk, vhost: Vhost) -> None:
    """While a worker runs without Redis a second one ends at once and names the setting that would let it run."""
    first = desk.start("work")
    # Its check at the start has the queue too, and gives it back before its process takes it.
    wait_until(lambda: "ready for action" in first.stderr or not first.running(), 30, "the first worker")
    wait_until(lambda: "referrals.single" in exclusive_queues(vhost), 20, "the first worker's exclusive queue")

    second = desk.run("work", REFERRALS_METRICS_PORT=str(free_ports(1)[0]))

    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert "REFERRALS_REDIS_URL" in line
    assert first.running()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0


def has_subscribed(worker: Process) -> bool:
    """Whether it consumes its shops' queues."""
    return '"subscribed"' in worker.stderr


def test_a_worker_of_the_other_kind_is_refused(desk: Desk, redis_url: str) -> None:
    """On its own memory beside workers that share a store, it would call whom they hold back: whichever came first."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    shared = {"REFERRALS_REDIS_URL": redis_url}
    for first, second in ((shared, {}), ({}, shared)):
        ports = {"REFERRALS_METRICS_PORT": str(free_ports(1)[0])}
        worker = desk.start("work", **first, **ports)
        wait_until(partial(has_subscribed, worker), 30, "the first to be there")
        refused = desk.run("work", timeout=60, **second)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert "REFERRALS_REDIS_URL" in refused.stderr
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0


def test_a_blank_campaign_is_refused(desk: Desk) -> None:
    """It could not be cancelled by its name."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    desk.write_export("campaign.csv", [{"customer_shopid": "c1", "channel": "sms"}])
    for blank in ("", "  "):
        for command in (("publish",), ("run", "--out", "results.csv")):
            refused = desk.run(*command, "campaign.csv", "--shop", "acme", "--campaign", blank)
            assert refused.returncode == 2
            assert "--campaign: is blank" in refused.stderr


def test_the_help_names_every_command(desk: Desk) -> None:
    """Also those that have commands of their own."""
    told = desk.run("--help").stdout
    assert all(re.search(rf"^  {name} ", told, re.MULTILINE) for name in COMMANDS), told


def test_a_second_worker_by_dramatiq_s_command_is_refused(desk: Desk, vhost: Vhost) -> None:
    """The same for `dramatiq worker.actors`, whose processes end with the code instead of waiting in silence."""
    del vhost
    first = desk.start("work")
    wait_until(lambda: "ready for action" in first.stderr or not first.running(), 30, "the first worker")
    second = desk.start(
        "worker.actors", "--processes", "1", program="dramatiq", REFERRALS_METRICS_PORT=str(free_ports(1)[0])
    )
    assert second.wait() == 2
    assert "REFERRALS_REDIS_URL" in second.stderr
    first.signal(signal.SIGTERM)
    assert first.wait() == 0


def test_version(desk: Desk) -> None:
    """The version is the distribution's."""
    assert desk.run("--version").stdout == f"referrals {metadata.version('referral-dispatch')}\n"


def exclusive_queues(vhost: Vhost) -> str:
    """What RabbitMQ says to somebody else who asks for the exclusive queue; empty while there is none."""
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        try:
            connection.channel().queue_declare("referrals.single", passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_text if error.reply_code == 405 else ""
    return ""


@pytest.mark.parametrize("program", ["worker", "dramatiq"])
def test_a_taken_metrics_port_does_not_stop_the_work(desk: Desk, program: str) -> None:
    """A worker works without its metrics while another process has the port, says so, and serves them afterwards."""
    command = ("work",) if program == "worker" else ("worker.actors", "-p", "1", "-t", "4")
    with socket.create_server(("127.0.0.1", int(desk.env["REFERRALS_METRICS_PORT"]))):
        work = desk.start(*command, program=program)
        wait_until(lambda: "metrics_port_taken" in work.stderr, 20, "the line about the port")
    (line,) = [line for line in work.stderr.splitlines() if "metrics_port_taken" in line]
    told = json.loads(line)
    assert (told["level"], told["by"].split(" (")[0]) == ("warning", f"process {os.getpid()}")
    wait_until(lambda: _serves_metrics(desk), 20, "the metrics")
    work.signal(signal.SIGTERM)
    assert work.wait() == 0


def _serves_metrics(desk: Desk) -> bool:
    try:
        return ("refer2_responses_total", "acme", "ok") in desk.metrics()
    except OSError:
        return False


def test_dramatiqs_own_command_tells_it_too(desk: Desk) -> None:
    """`dramatiq worker.actors` with a broken shops file ends with our line and our exit code's meaning."""
    add_to_shops("per_secnd = 5")(desk)
    work = desk.start("worker.actors", "-p", "1", program="dramatiq")
    assert work.wait() != 0
    told = [line for line in work.stderr.splitlines() if "per_secnd" in line]
    assert len(told) == 1
    assert "did you mean per_second?" in told[0]
