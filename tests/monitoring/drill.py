"""``scripts/drill``: break a shop's credential under load, watch its alert fire, repair it, watch the alert resolve.

Everything is real and private: RabbitMQ, Valkey, two workers, the sandbox, Prometheus. What happens is told as it does.
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.monitoring.rules import RULES, hasty_rules
from tests.services import Prometheus, Scrape, ServiceError, open_rabbitmq, wait_until
from tests.services.process import free_ports
from tests.services.valkey import Valkey
from tests.system.commands import Desk, Sandbox

SHOPS = ("acme", "beta", "gamma")
BROKEN = "acme"
ALERT = "ReferralShopHalted"
PER_SECOND = 5
CALLS_BEFORE = 50
"""Calls of the shop before its credential breaks."""

_USAGE = """\
usage: scripts/drill [--hasty]

  Breaks a shop's credential under load, waits for the alert ReferralShopHalted, repairs the credential, waits until the
  alert is over, and counts that no job was lost or done twice. On private services; takes about four minutes.
  --hasty: alerts that don't wait for what they see to last; one minute
"""


class Drill:
    """The drill on a desk whose RabbitMQ and store run; ``say`` gets each line of the transcript."""

    def __init__(self, desk: Desk, broker_metrics: str, rules: Path, jobs: int, say: Callable[[str], None]) -> None:
        self._desk = desk
        self._broker_metrics = broker_metrics
        self._rules = rules
        self._jobs = jobs
        self._say_line = say
        self._begun = time.monotonic()

    def run(self) -> bool:
        """Do it; whether every job was done once. Blocks for minutes.

        Raises:
          TimeoutError: something that should have happened did not.
        """
        with ExitStack() as held:
            held.callback(self._desk.close)
            sandbox = self._start()
            prometheus = held.enter_context(self._prometheus())
            self._publish()
            self._wait(lambda: self._done(sandbox, BROKEN) >= CALLS_BEFORE, "calls")
            self._say(
                f"{self._done(sandbox, BROKEN)} calls of {BROKEN} answered, no alert fires: {self._quiet(prometheus)}"
            )
            self._break_and_see(sandbox, prometheus)
            self._mend_and_see(prometheus)
            return self._count(sandbox)

    def _start(self) -> Sandbox:
        desk = self._desk
        desk.write_shops("http://127.0.0.1:9", list(SHOPS))
        sandbox = desk.start_sandbox("--shops", "shops.toml")
        desk.write_shops(sandbox.url, list(SHOPS), per_second=PER_SECOND)
        self._ports = free_ports(2)
        for port in self._ports:
            desk.start("work", REFERRALS_METRICS_PORT=str(port))
        desk.start("collect", "--out", "results.csv")
        return sandbox

    def _prometheus(self) -> Prometheus:
        families = {"family": ["queue_coarse_metrics", "queue_consumer_count"]}
        scrapes = [
            Scrape("referral-worker", [f"127.0.0.1:{port}" for port in self._ports]),
            Scrape("rabbitmq", [self._broker_metrics], "/metrics/detailed", families),
        ]
        return Prometheus(self._desk.folder / "prometheus", scrapes=scrapes, rules=[self._rules])

    def _publish(self) -> None:
        rows = [
            {"shop": shop, "customer_email": f"c{number}@example.com", "channel": "sms"}
            for number in range(self._jobs)
            for shop in SHOPS
        ]
        self._desk.write_export("spring.csv", rows)
        published = self._desk.run("publish", "spring.csv", "--campaign", "spring", "--yes")
        assert published.returncode == 0, published.stderr
        self._say(f"published {len(rows):,} jobs of {', '.join(SHOPS)}; two workers, {PER_SECOND} calls/s a shop")

    def _break_and_see(self, sandbox: Sandbox, prometheus: Prometheus) -> None:
        self._secret = self._secret_file.read_text()
        self._secret_file.write_text("a secret that the provider does not know, though long enough\n")
        self._say(f"{self._secret_file.name} now holds a secret that Refer2 does not know")
        self._wait(lambda: self._refused(sandbox), "a refusal")
        self._say(f"Refer2 answered invalid_token to {self._refused(sandbox)} calls; the shop is halted")
        self._wait(lambda: ALERT in prometheus.firing(), ALERT)
        for alert in prometheus.alerts():
            labels, notes = alert["labels"], alert["annotations"]
            self._say(f"firing: {labels['alertname']} severity={labels['severity']} shop={labels['shop']}")
            for name in ("summary", "dashboard_url", "runbook_url"):
                self._say_line(f"           {name}: {notes[name]}")
        self._say("$ referrals shops list")
        for line in self._desk.run("shops", "list", COLUMNS="110").stdout.rstrip().splitlines():
            self._say_line(f"           {line.rstrip()}")
        other = next(shop for shop in SHOPS if shop != BROKEN)
        ((_, waiting),) = prometheus.query(f'shop:referral_jobs_waiting:sum{{shop="{BROKEN}"}}')
        rate = prometheus.query(f'sum(rate(refer2_responses_total{{shop="{other}"}}[20s]))')[0][1]
        self._say(f"{waiting:,.0f} jobs of {BROKEN} wait, untouched; {other} goes on at {rate:.1f} calls/s")

    def _mend_and_see(self, prometheus: Prometheus) -> None:
        self._secret_file.write_text(self._secret)
        self._say(f"{self._secret_file.name} holds the right secret again")
        self._wait(lambda: ALERT not in prometheus.firing(), "the alert to be over")
        self._say(f"resolved: {ALERT}")

    def _count(self, sandbox: Sandbox) -> bool:
        total = self._jobs * len(SHOPS)
        self._wait(lambda: len(self._desk.results()) >= total, "every result")
        results = Counter((row["shop"], row["customer_email"]) for row in self._desk.results())
        outcomes = Counter(row["outcome"] for row in self._desk.results())
        calls = Counter(
            (call["shop"], call["body"]["customer"]["email"]) for call in sandbox.calls() if call["code"] == "ok"
        )
        whole = outcomes == {"sent": total} and set(results.values()) == set(calls.values()) == {1}
        told = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
        self._say(f"{len(results):,} of {total:,} jobs have their result ({told})")
        once = "yes" if whole else "NO"
        self._say(f"{self._refused(sandbox)} calls were refused; each job was carried out exactly once: {once}")
        return whole

    @property
    def _secret_file(self) -> Path:
        return self._desk.folder / "secrets" / f"{BROKEN}.key"

    def _done(self, sandbox: Sandbox, shop: str) -> int:
        return sum(call["shop"] == shop and call["code"] == "ok" for call in sandbox.calls())

    def _refused(self, sandbox: Sandbox) -> int:
        return sum(call["code"] == "invalid_token" for call in sandbox.calls())

    def _quiet(self, prometheus: Prometheus) -> str:
        return "yes" if not prometheus.firing() else "NO"

    def _say(self, text: str) -> None:
        self._say_line(f"{time.monotonic() - self._begun:7.1f} s  {text}")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, 240, what)


def main(arguments: list[str]) -> int:
    """Do the drill on services of its own; 0, 1 where it went wrong, or 2 with the usage."""
    if arguments not in ([], ["--hasty"]):
        print(_USAGE, end="", file=sys.stderr)
        return 0 if arguments == ["--help"] else 2
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        try:
            rabbitmq = held.enter_context(open_rabbitmq(folder / "rabbitmq"))
            valkey = held.enter_context(Valkey(folder / "valkey"))
            (folder / "desk").mkdir()
            desk = Desk.of(folder / "desk", rabbitmq.url)
            desk.env["REFERRALS_REDIS_URL"] = valkey.url
            rules = hasty_rules(folder / "rules.yml") if arguments else RULES
            drill = Drill(desk, f"127.0.0.1:{rabbitmq.record['prometheus']}", rules, 150 if arguments else 800, print)
            return 0 if drill.run() else 1
        except (ServiceError, TimeoutError) as error:
            print(f"scripts/drill: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
