"""A small installation under a real Prometheus, and the faults that its alerts are there for.

For whoever wants to know what an expression returns of real pages: ask for the fixture ``observatory``, provoke what
the expression is about, then ``observatory.wait_for_data(expressions)``.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pika
import psutil

from tests.monitoring.rules import hasty_rules
from tests.services import Prometheus, RabbitMQ, Scrape, Valkey, open_rabbitmq, process, wait_until
from tests.system.commands import Desk, Process
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET

FAILING = tuple(f"failing-{number}" for number in range(6))
"""A breaker lets only ten calls of a shop fail: of several shops, they are enough among the good ones."""

SHOPS = {
    "acme": "per_second = 300\nburst = 300",
    "slow": "per_second = 1\nburst = 1",  # so that calls go on for as long as the tests last
    "broken": "",
    "refused": "",
    "pushed": "adapt = false",
    **dict.fromkeys(FAILING, ""),
    "spent": "per_day = 5",
    "ending": "",
}

LABELS = {"grafana": "https://grafana.example.com", "runbook": "https://docs.example.com/runbook"}


@dataclass
class Observatory:
    """RabbitMQ, Valkey, the sandbox and a worker, seen by Prometheus."""

    desk: Desk
    rabbitmq: RabbitMQ
    valkey: Valkey
    prometheus: Prometheus
    worker: Process
    fired_when_well: set[str] = field(default_factory=set)

    def wait_for_data(self, expressions: Iterable[str], seconds: float = 20) -> set[str]:
        """Wait until every expression returns something; those that don't by then."""
        wanted = set(expressions)
        with suppress(TimeoutError):
            wait_until(lambda: not self.without_data(wanted), seconds, "data")
        return self.without_data(wanted)

    def without_data(self, expressions: Iterable[str]) -> set[str]:
        """Those of the expressions that return nothing now."""
        wanted = set(expressions)
        return wanted - self.prometheus.with_data(wanted)

    def wait_for(self, alert: str, *, shop: str | None = None) -> dict[str, dict[str, str]]:
        """Wait until an alert fires, of the shop if one is named; it, as ``labels`` and ``annotations``."""

        def found() -> dict[str, dict[str, str]] | None:
            for each in self.prometheus.alerts():
                if each["labels"]["alertname"] == alert and shop in (None, each["labels"].get("shop")):
                    return {"labels": each["labels"], "annotations": each["annotations"]}
            return None

        return wait_until(found, 40, alert) or {}

    def wait_until_over(self, alert: str) -> None:
        """Wait until an alert fires no more."""
        wait_until(lambda: alert not in self.prometheus.firing(), 40, f"{alert} to be over")

    def publish(self, shop: str, jobs: int, customer: str = "c", *, shops: str = "shops.toml") -> None:
        """Publish jobs of as many customers, whose addresses begin with ``customer``."""
        self.publish_all([shop], jobs, customer, shops=shops)

    def publish_all(self, of: Sequence[str], jobs: int, customer: str, *, shops: str = "shops.toml") -> None:
        """Publish so many jobs of each of several shops."""
        rows = [
            {"shop": shop, "customer_email": f"{customer}{number}@example.com", "channel": "sms"}
            for shop in of
            for number in range(jobs)
        ]
        self.desk.write_export("export.csv", rows)
        ended = self.desk.run("publish", "export.csv", "--campaign", "spring", "--yes", REFERRALS_SHOPS=shops)
        assert ended.returncode == 0, ended.stderr

    def write_shops(self) -> None:
        """Write the shops file as it is usually."""
        write_shops(self.desk, "shops.toml", SHOPS)

    def start_worker(self) -> None:
        """Start a worker, and wait until Prometheus has seen it."""
        self.worker = self.desk.start("work", "--threads", "16")
        begun = time.time()
        wait_until(
            lambda: self.prometheus.query(f"referral_start_timestamp_seconds > {begun}"), 40, "the worker to be seen"
        )

    @contextmanager
    def frozen_broker(self) -> Iterator[None]:
        """RabbitMQ stands still amid its work."""
        with process.frozen(psutil.Process(self.rabbitmq.pid)):
            yield


def write_shops(desk: Desk, name: str, shops: Mapping[str, str]) -> None:
    """A file of shops of the sandbox, with further lines for each."""
    secrets = desk.folder / "secrets"
    secrets.mkdir(exist_ok=True)
    lines = ["[defaults]", f'base_url = "{desk.env["SANDBOX_URL"]}"']
    for slug, settings in shops.items():
        lines += [f"[shops.{slug}]", settings]
        if slug == "ending":
            claims = {"aud": "BH", "sub": slug, "exp": int(time.time()) + 86_400}
            token = jwt.encode(claims, SANDBOX_SECRET, "HS256", {"kid": SANDBOX_KEY_ID})
            (secrets / f"{slug}.token").write_text(token)
            lines += [f'token_file = "secrets/{slug}.token"']
        else:
            (secrets / f"{slug}.key").write_text(SANDBOX_SECRET)
            lines += [f'key_id = "{SANDBOX_KEY_ID}"', f'secret_file = "secrets/{slug}.key"']
    (desk.folder / name).write_text("\n".join(lines) + "\n")


@contextmanager
def open_observatory(folder: Path) -> Iterator[Observatory]:
    """Everything running and well: some jobs are done, some wait for their shop's pace."""
    with ExitStack() as held:
        rabbitmq = held.enter_context(open_rabbitmq(folder / "rabbitmq"))
        valkey = held.enter_context(Valkey(folder / "valkey"))
        desk_folder = folder / "desk"
        desk_folder.mkdir()
        desk = Desk.of(desk_folder, rabbitmq.url)
        held.callback(desk.close)
        desk.env["REFERRALS_REDIS_URL"] = valkey.url
        desk.env["SANDBOX_URL"] = desk.start_sandbox("--no-limits").url
        write_shops(desk, "shops.toml", SHOPS)
        families = {"family": ["queue_coarse_metrics", "queue_consumer_count"]}
        scrapes = [
            Scrape("referral-worker", [f"127.0.0.1:{desk.env['REFERRALS_METRICS_PORT']}"]),
            Scrape("rabbitmq", [f"127.0.0.1:{rabbitmq.record['prometheus']}"], "/metrics/detailed", families),
        ]
        rules = [hasty_rules(folder / "rules.yml")]
        worker = desk.start("work", "--threads", "16")
        wait_until(lambda: _serves(desk), 40, "the worker")
        prometheus = held.enter_context(Prometheus(folder / "prometheus", scrapes=scrapes, rules=rules, labels=LABELS))
        observatory = Observatory(desk, rabbitmq, valkey, prometheus, worker)
        observatory.publish("slow", 600)
        observatory.publish("acme", 20)
        wait_until(lambda: prometheus.query("shop:referral_results:rate5m > 0"), 40, "jobs that are done")
        wait_until(lambda: not prometheus.broken_rules(), 20, "rules to be evaluated")
        # It fires by right until RabbitMQ was scraped first; after that it would be a fault.
        observatory.wait_until_over("ReferralQueuesUnseen")
        observatory.fired_when_well = prometheus.firing()
        yield observatory


def _serves(desk: Desk) -> bool:
    try:
        return bool(desk.metrics())
    except OSError:
        return False


def halted(seen: Observatory) -> None:
    """A shop's secret is no longer the one that Refer2 knows, and it has jobs that nobody has called."""
    secret, wrong = seen.desk.folder / "secrets" / "broken.key", "a secret that nobody else knows, long enough to sign"
    if secret.read_text() != wrong:
        # Before the worker has read it, the jobs would be sent with the good one.
        known = seen.worker.stderr.count("shops_changed")
        secret.write_text(wrong)
        wait_until(lambda: seen.worker.stderr.count("shops_changed") > known, 20, "the worker to read the secret")
    seen.publish("broken", 3, f"at{time.time_ns()}+")


def repaired(seen: Observatory) -> None:
    """It is again."""
    (seen.desk.folder / "secrets" / "broken.key").write_text(SANDBOX_SECRET)


def version_refused(seen: Observatory) -> None:
    """The account may not use the API version."""
    seen.publish("refused", 3, "inaccessible+c")


def firewalled(seen: Observatory) -> None:
    """A firewall answers the calls of one job by a page, and those after it get through."""
    seen.publish("acme", 1, f"html403+at{time.time_ns()}+")
    wait_until(lambda: "job_refused" in seen.worker.stderr, 20, "a page")
    seen.publish("acme", 5, f"at{time.time_ns()}+")


def throttled(seen: Observatory) -> None:
    """Refer2 finds a shop too fast."""
    seen.publish("pushed", 20, "throttledx2+c")


def upstream_failing(seen: Observatory) -> None:
    """Calls of several shops end in 503."""
    seen.publish_all(FAILING, 20, "fail503+c")


def orphaned(seen: Observatory) -> None:
    """Jobs were published for a shop that no worker knows: it is in the producer's shops file alone."""
    write_shops(seen.desk, "producer.toml", {"orphan": ""})
    seen.publish("orphan", 3, shops="producer.toml")


def uncollected(seen: Observatory) -> None:
    """A large campaign whose results nobody takes."""
    seen.publish("acme", 1100, "many")


def ordered(seen: Observatory) -> None:
    """An operator lifts the pause of all shops, and pauses a campaign."""
    assert seen.desk.run("shops", "resume", "--all").returncode == 0
    paused = seen.desk.run("campaigns", "pause", "autumn", "--reason", "its text is wrong")
    assert paused.returncode == 0, paused.stderr


def dead(seen: Observatory) -> None:
    """Something that is no job lies in a shop's queue."""
    with pika.BlockingConnection(pika.URLParameters(seen.rabbitmq.url)) as connection:
        connection.channel().basic_publish("referrals", "acme", b"no job")


def lane_taken(seen: Observatory) -> None:
    """Somebody's own queue has the name of the one in which a paused campaign's jobs are to wait."""
    with pika.BlockingConnection(pika.URLParameters(seen.rabbitmq.url)) as connection:
        connection.channel().queue_declare("referrals.held.ending", durable=True)
    paused = seen.desk.run("campaigns", "pause", "spring", "--shop", "ending", "--reason", "its text is wrong")
    assert paused.returncode == 0, paused.stderr
    # Until the worker has heard of it, which takes up to a second, it would call them.
    assert seen.wait_for_data(['referral_campaigns_held{kind="paused"} > 0']) == set()
    seen.publish("ending", 3, f"at{time.time_ns()}+")


def quota_spent(seen: Observatory) -> None:
    """More jobs than the shop may do today."""
    seen.publish("spent", 12)


def confirms_slow(seen: Observatory) -> None:
    """RabbitMQ stands still for a while."""
    with seen.frozen_broker():
        time.sleep(2.5)  # the fault's length: its confirms take so long


def store_down(seen: Observatory) -> None:
    """The store is gone."""
    seen.valkey.kill()


def store_back(seen: Observatory) -> None:
    """And there again."""
    seen.valkey.start()


def broker_blocked(seen: Observatory) -> None:
    """RabbitMQ has no memory left."""
    seen.rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")


def broker_free(seen: Observatory) -> None:
    """And has some again."""
    seen.rabbitmq.ctl("set_vm_memory_high_watermark", "0.6")


def broker_gone(seen: Observatory) -> None:
    """RabbitMQ crashes."""
    seen.rabbitmq.kill()


def broker_back(seen: Observatory) -> None:
    """And comes back."""
    seen.rabbitmq.start()


def shops_file_broken(seen: Observatory) -> None:
    """Somebody edits the shops file badly."""
    (seen.desk.folder / "shops.toml").write_text("[shops.acme\n")


def crashing(seen: Observatory) -> None:
    """A worker ends soon after each start."""
    for _ in range(3):
        seen.worker.kill()
        seen.start_worker()


def workers_gone(seen: Observatory) -> None:
    """No worker runs."""
    seen.worker.signal(signal.SIGTERM)
    assert seen.worker.wait(60) == 0


def workers_back(seen: Observatory) -> None:
    """One runs again."""
    seen.start_worker()


Fault = Callable[[Observatory], None]
