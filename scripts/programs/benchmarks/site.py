"""Where it is measured: a folder, a private RabbitMQ and Valkey, and the programs on them."""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from scripts.programs.benchmarks.process import BenchmarkError, Program, run_to_end
from tests.services import RabbitMQ, Valkey, Vhost, wait_until
from tests.services.process import free_ports
from worker.clock import SystemClock
from worker.errors import StoreError
from worker.store.redis.store import RedisStore

ROOT = Path(__file__).resolve().parents[3]

THREADS = 16
SHOPS = 100


@dataclass(frozen=True)
class Site:
    """The folder, the RabbitMQ and the Valkey of a run. ``quick`` asks for a fraction of the work."""

    folder: Path
    rabbitmq: RabbitMQ
    valkey: Valkey
    quick: bool

    def of(self, usual: int, quick: int) -> int:
        """How much to do."""
        return quick if self.quick else usual

    @contextmanager
    def vhost(self) -> Iterator[Vhost]:
        """A virtual host with nothing in it."""
        made = self.rabbitmq.add_vhost()
        try:
            yield made
        finally:
            self.rabbitmq.delete_vhost(made)

    @contextmanager
    def api(self, *limits: str) -> Iterator["Api"]:
        """The sandbox in a process of its own; it holds nothing back unless it is given limits."""
        command = self.referrals("sandbox", "--port", "0", *(limits or ("--no-limits",)))
        with Program(command, self.environment(), self.folder / "sandbox.log") as sandbox:
            yield Api(sandbox.wait_for("Refer2 sandbox on"))

    @contextmanager
    def upstream(self, *arguments: str) -> Iterator["Api"]:
        """The fast stand-in for Refer2, where the sandbox's own CPU would be in the way."""
        command = [sys.executable, "-m", "scripts.programs.benchmarks.upstream", *arguments]
        with Program(command, self.environment(), self.folder / "upstream.log") as upstream:
            yield Api(upstream.wait_for("Refer2 sandbox on"))

    def empty_store(self) -> str:
        """The URL of the Valkey, with nothing in it."""
        client: Any = redis.Redis.from_url(self.valkey.url)
        client.flushall()
        client.close()
        return self.valkey.url

    def searched_store(self) -> str:
        """The URL of the Valkey, as if a worker had been there before and searched RabbitMQ for the shops' lanes.

        The first worker ever, or the first after the store lost its data, asks for 600 queues of 100 shops, at an
        instant of its own in its first ten seconds: 0.4 s of CPU that are not the price of any job.
        """
        url, done = self.empty_store(), Future[StoreError | None]()
        store = RedisStore(url, SystemClock())
        store.add_lanes((), are_all=True, done=done.set_result)
        problem = done.result(timeout=10)
        store.close()
        if problem is not None:
            raise problem
        return url

    def start(self, name: str, command: list[str], env: dict[str, str]) -> Program:
        """A program in the background, with its output in the folder."""
        return Program(command, env, self.folder / f"{name}.log")

    def referrals(self, *arguments: str) -> list[str]:
        """The command line of ``referrals``."""
        return [sys.executable, "-m", "worker", *arguments]

    def environment(self, vhost: Vhost | None = None, shops: Path | None = None, **more: str) -> dict[str, str]:
        """The environment of our programs: nobody else's settings, and a metrics port of its own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REFERRALS_")}
        named = {"PYTHONPATH": str(ROOT), "REFERRALS_METRICS_PORT": str(free_ports(1)[0])} | more
        if vhost is not None:
            named["REFERRALS_AMQP_URL"] = vhost.url
        if shops is not None:
            named["REFERRALS_SHOPS"] = str(shops)
        return inherited | named

    def order(self, env: dict[str, str], *arguments: str) -> None:
        """A command of the operator's, which must succeed."""
        run_to_end(self.referrals(*arguments), env)

    def publish(self, env: dict[str, str], *exports: Path, campaign: str = "bench") -> tuple[dict[str, Any], float]:
        """``referrals publish``: its summary, and the CPU seconds that it took."""
        arguments = ("publish", *map(str, exports), "--campaign", campaign, "--yes", "--json")
        printed, cpu = run_to_end(self.referrals(*arguments), env)
        summary: dict[str, Any] = json.loads(printed)
        if summary["published"] != summary["rows"]:
            raise BenchmarkError(f"of {summary['rows']} rows only {summary['published']} were published")
        return summary, cpu

    def wait_for_consumers(self, vhost: Vhost, count: int) -> None:
        """Until so many consumers are subscribed, each process's to each queue counted.

        Raises:
          TimeoutError: there aren't so many within five minutes.
        """
        # Asked too often, the listing of thousands would itself take a good part of a core.
        listing = f"/api/consumers/{vhost.name}"
        deadline = time.monotonic() + 300
        while len(self.rabbitmq.api("GET", listing)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited 300 s in vain for {count} consumers")
            time.sleep(0.1)

    def wait_for_results(self, vhost: Vhost, count: int, seconds: float = 60) -> None:
        """Until that many results are in their queue and nothing is anywhere else; so no job was lost or repeated.

        Raises:
          TimeoutError: it doesn't come to that.
        """

        def depths() -> bool:
            queues = self.rabbitmq.depths(vhost)
            results = queues.pop("referrals.results", 0)
            return results == count and not any(queues.values())

        wait_until(depths, seconds, f"{count} results in RabbitMQ and nothing else")


@dataclass(frozen=True)
class Api:
    """The sandbox, as it reports itself."""

    url: str

    def count(self) -> int:
        """Calls answered so far."""
        return int(json.loads(_read(f"{self.url}/_sandbox/summary"))["calls"])

    def calls(self) -> list[dict[str, Any]]:
        """The calls, in the order of their arrival; ``arrived_at`` is in microseconds since the epoch."""
        return [json.loads(line) for line in _read(f"{self.url}/_sandbox/calls").splitlines()]

    def wait_for(self, count: int, seconds: float) -> None:
        """Until that many calls are answered."""
        wait_until(lambda: self.count() >= count, seconds, f"{count} calls")


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())
