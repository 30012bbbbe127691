"""Where a row of the fault table happens: a virtual host, a Valkey, a receiving side, and workers as processes."""

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pika

from tests import canaries
from tests.faults.checker import Verdict, called_after_the_end, check, overrun
from tests.faults.drain import DEAD, RESULTS, SUPPRESSION, Ended
from tests.faults.jobs import CHANNEL, FaultJob
from tests.faults.producer import Producer, put
from tests.faults.upstream import Upstream
from tests.faults.worker import Worker
from tests.services import RabbitMQ, Valkey, Vhost, wait_until
from tests.services.process import free_ports
from tests.system.commands import Desk

SHOPS = ("acme", "bolt", "core")

SHORT_TIMES = {
    "REFERRALS_CONNECT_TIMEOUT_SECONDS": "0.3",
    "REFERRALS_READ_TIMEOUT_SECONDS": "5.1",
    "REFERRALS_CALL_DEADLINE_SECONDS": "5.2",
}
"""The shortest that the settings allow: a call that nobody answers for is taken over after its lease of 16 s."""

CANARY = "canary-amqp-p4ssword"
"""The workers' password on RabbitMQ: found in a log, it is a leak."""

LEASE_SECONDS = 16

PATIENCE = 240
"""Seconds after which a row gives up on what it waits for. It is no measure: on a shared machine a process can take a
minute to start that takes a second else."""

THREADS = 4
"""Calls that a worker can have under way, and so the most that its death can cause to be repeated."""

GRANTS = THREADS + 2
"""Jobs that a worker can have been granted: those above, and what waits for the next free thread."""

BUNCHED_SECONDS = 0.5
"""How much later than granted a call may arrive: a grant may lie unused for 0.25 s, and both ends are busy."""

CALM_SECONDS = 1.5
"""How long every queue must be empty: depths are half a second old, and a job on its way between two may be missed."""

OUTCOMES = frozenset({RESULTS, DEAD, SUPPRESSION})
"""Queues of what came out. All others hold jobs that are on their way."""

SILENT_SECONDS = 30
"""How long a queue may be missing from RabbitMQ's figures before it is asked itself: after a crash of RabbitMQ 3.10 one
that nothing happens to can stay out of them for minutes."""


Heal = Callable[[], None]
"""Ends a fault."""


class Limits(NamedTuple):
    """A shop's, of calls."""

    per_second: float
    burst: int


@dataclass
class Site:
    """One row's world. What a row injects it counts in ``faults``.

    ``full`` asks for the whole number of repetitions; ``started`` has every worker that was ever started; ``limits``
    the widest for each shop that workers have met in the shops file. A row whose store loses its data is ``forgetful``.
    """

    desk: Desk
    rabbitmq: RabbitMQ
    vhost: Vhost
    valkey: Valkey
    upstream: Upstream
    full: bool
    shops: tuple[str, ...] = SHOPS
    faults: int = 0
    forgetful: bool = False
    limits: dict[str, Limits] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    started: list[Worker] = field(default_factory=list)
    published: dict[str, bool] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    """Jobs that are to be called whatever became of other copies of them."""
    ended: Ended = field(default_factory=Ended)
    _producers: list[Producer] = field(default_factory=list)

    @property
    def armed(self) -> Path:
        """The folder of the failpoints."""
        return self.desk.folder / "armed"

    def times(self, full: int, once: int = 1) -> int:
        """How often to inject."""
        return full if self.full else once

    def configure(
        self,
        *,
        tables: Mapping[str, Mapping[str, object]] | None = None,
        **keys: object,
    ) -> None:
        """Write the shops file: wide limits unless ``keys`` tell otherwise, or the ``tables`` of single shops."""
        usual: dict[str, Any] = {"per_second": 200, "burst": 20, "base_url": self.upstream.url} | keys
        lines = ["[defaults]", *_toml(usual)]
        folder = self.desk.folder
        (folder / "secrets").mkdir(exist_ok=True)
        for shop in self.shops:
            secret = folder / "secrets" / f"{shop}.key"
            if not secret.exists():
                secret.write_text(f"canary secret of {shop}, long enough to sign with\n")
            own = {"key_id": f"key-{shop}", "secret_file": f"secrets/{shop}.key"} | dict((tables or {}).get(shop, {}))
            lines += [f"[shops.{shop}]", *_toml(own)]
            limits = usual | own
            before = self.limits.get(shop, Limits(0, 0)) if self.started else Limits(0, 0)
            widest = (max(limits["per_second"], before.per_second), max(limits["burst"], before.burst))
            self.limits[shop] = Limits(*widest)
        half_written = folder / "shops.toml.new"
        half_written.write_text("\n".join(lines) + "\n")
        half_written.replace(folder / "shops.toml")

    def jobs(self, count: int, *, first: int = 0) -> list[FaultJob]:
        """That many jobs, the shops by turns; the same numbers make the same jobs."""
        return list(itertools.islice(self._endless(first), count))

    def _endless(self, first: int) -> Iterator[FaultJob]:
        return (FaultJob(self.shops[number % len(self.shops)], number) for number in itertools.count(first))

    def start(
        self,
        count: int = 1,
        *,
        processes: int = 1,
        failing: bool = False,
        env: Mapping[str, str] | None = None,
        through: Sequence[str] | None = None,
        python: str | None = None,
    ) -> list[Worker]:
        """Start workers of so many processes each and wait until all are ready.

        ``failing`` ones have failpoints; ``through`` is a program that their log is piped through; ``python`` has
        another release.
        """
        new = [
            self._start(processes=processes, failing=failing, env=env or {}, through=through, python=python)
            for _ in range(count)
        ]
        for worker in new:
            wait_until(worker.ready_or_ended, PATIENCE, "a worker to be ready")
            assert worker.process.running(), worker.process.stderr[-3000:]
        wanted = len(self.shops) * sum(worker.processes for worker in self.workers if worker.process.running())
        wait_until(lambda: len(self.consumers()) >= wanted, PATIENCE, f"{wanted} consumers")
        return new

    def revive(self, *, failing: bool = False, env: Mapping[str, str] | None = None) -> None:
        """Start a worker in place of each that has ended, as whoever runs them would."""
        gone = [worker for worker in self.workers if not worker.process.running()]
        for worker in gone:
            self.relieve(worker, failing=failing, env=env)

    def relieve(
        self,
        worker: Worker,
        *,
        failing: bool = False,
        env: Mapping[str, str] | None = None,
        python: str | None = None,
    ) -> None:
        """Start another in a worker's place, which is left to end by itself."""
        self.workers.remove(worker)
        self._start(failing=failing, env=env or {}, python=python)

    @contextlib.contextmanager
    def load(self, *, per_second: float, first: int = 0) -> Iterator[Producer]:
        """Publish jobs in the background for as long as the block lasts."""
        producer = self._producer(self._endless(first), per_second)
        try:
            yield producer
        finally:
            producer.stop()
            producer.join(PATIENCE)

    def command(self, *arguments: str) -> None:
        """Run a command of the operator's, which must succeed."""
        done = self.desk.run(*arguments, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr

    def export(self, jobs: Iterable[FaultJob]) -> str:
        """The name of a file with the jobs as a shop would export them."""
        rows = [{"shop": job.shop, "customer_email": job.email, "channel": CHANNEL} for job in jobs]
        self.desk.write_export("export.csv", rows)
        return "export.csv"

    def publish_export(self, jobs: Sequence[FaultJob], *options: str) -> None:
        """Publish jobs of one campaign by the command."""
        self.command("publish", self.export(jobs), "--campaign", jobs[0].campaign, "--yes", *options)
        self.published |= {job.job_id: True for job in jobs}

    def publish(self, jobs: Iterable[FaultJob]) -> None:
        """Publish jobs as fast as RabbitMQ confirms, and wait for that."""
        self._producer(jobs, None).join(PATIENCE)

    def put(self, messages: Iterable[tuple[str, bytes, str]]) -> None:
        """Publish bodies as they are, each confirmed: shop, body, message id."""
        connection = pika.BlockingConnection(pika.URLParameters(self.vhost.url))
        channel = connection.channel()
        channel.confirm_delivery()
        for shop, body, message_id in messages:
            put(channel, shop, body, message_id=message_id)
        connection.close()

    def _producer(self, jobs: Iterable[FaultJob], per_second: float | None) -> Producer:
        producer = Producer(self.vhost.url, jobs, per_second=per_second)
        self._producers.append(producer)
        producer.start()
        return producer

    def depths(self) -> dict[str, int]:
        """Messages by queue, for those that have any."""
        return {name: count for name, count in self.rabbitmq.depths(self.vhost).items() if count}

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until no job is on its way any more, and every one is acknowledged; then take what came out.

        Raises:
          AssertionError: they have not become fewer for so many ``seconds``, or a queue has told nothing for so long;
            what came out is taken all the same.
        """
        deadline = time.monotonic() + seconds
        calm_since, silent_since, fewest = None, None, None
        while True:
            told = self.rabbitmq.depths(self.vhost)
            left = sum(count for name, count in told.items() if name not in OUTCOMES)
            # Just after a crash some queues tell nothing yet. Without them there seem to be fewer than for minutes.
            seem_fewer = fewest is None or left < fewest
            silent = self._queues() - told.keys() if seem_fewer or not left else set()
            now = time.monotonic()
            silent_since = (silent_since or now) if silent else None
            if silent_since is not None and now - silent_since >= SILENT_SECONDS:
                # What is handed out is not in these answers. By now its worker has acknowledged it or is gone.
                asked = {name: self.rabbitmq.ready(self.vhost, name) for name in silent}
                left += sum(count or 0 for name, count in asked.items() if name not in OUTCOMES)
                silent = {name for name, count in asked.items() if count is None}
            calm_since = (calm_since or now) if not left and not silent else None
            if left and not silent and (fewest is None or left < fewest):
                fewest, deadline = left, now + seconds
            if now >= deadline or (calm_since is not None and now - calm_since >= CALM_SECONDS):
                break
            time.sleep(0.1)  # between two looks
        self.take()
        assert not left, f"jobs are on their way, and came to no fewer for {seconds} s; {self.evidence()}"
        assert not silent, f"nobody knows what is in {silent} after {seconds} s"

    def _queues(self) -> set[str]:
        # Those that there are. One that has no leader yet, as after a crash, tells no number of messages, and is not
        # empty for that.
        return {queue["name"] for queue in self.rabbitmq.api("GET", f"/api/queues/{self.vhost.name}?columns=name")}

    def await_calls(self, more: int) -> None:
        """Wait until there have been more than so many calls since now."""
        enough = len(self.upstream.calls()) + more
        wait_until(lambda: len(self.upstream.calls()) > enough, PATIENCE, "more calls")

    def take(self) -> list[str]:
        """Take what came out so far; returns the job ids of all results."""
        self.ended.take(self.vhost.url)
        return self.ended.results

    def verdict(self) -> Verdict:
        """The judge's word on all that happened so far."""
        published = dict(self.published)
        for producer in self._producers:
            for job_id, confirmed in producer.published.items():
                published[job_id] = confirmed or published.get(job_id, False)
        ended = self.ended
        return check(
            published, self.upstream.carried_out(), ended.final, ended.dead, uncalled=ended.uncalled, wanted=self.wanted
        )

    def judge(self, *, repeats: int = 0, dead: int = 0, interrupted: int = 0) -> Verdict:
        """Fail unless the promise was kept: nothing lost or unexpected, at most so many calls twice and none after its
        job's end, and no shop called beyond its limits by more than a burst.

        ``dead`` is how many dead letters there are to be, ``interrupted`` how many jobs may have been called and ended
        as not called: their call was under way as its worker died or the store forgot it.
        """
        verdict = self.verdict()
        broken = {name: len(getattr(verdict, name)) for name in ("lost", "unexpected", "contradicted")}
        kept = not (verdict.lost or verdict.unexpected) and len(verdict.contradicted) <= interrupted
        assert kept, f"{broken}; {self.evidence()}"
        assert verdict.repeats <= repeats, f"{verdict.repeats} repeats, at most {repeats} are due; {self.evidence()}"
        assert len(self.ended.dead) == dead, f"dead letters: {self.ended.reasons}; {self.evidence()}"
        late = called_after_the_end(((call.job_id, call.at) for call in self.upstream.calls()), self.ended.ended_at)
        assert self.forgetful or not late, f"called after their end: {late}; {self.evidence()}"
        self.assert_paced(bursts=self.faults if self.forgetful else 1)
        return verdict

    def assert_nothing_leaked(self) -> None:
        """No address and no secret is in a log at DEBUG, on a page of metrics or in a header. Once all have ended."""
        folder = self.desk.folder
        for number, worker in enumerate(self.started):
            (folder / f"worker-{number}.prom").write_text(worker.last_page)
        canaries.save_headers(folder / "ended.headers", self.ended.headers)
        secrets = [path.read_text().strip() for path in (folder / "secrets").iterdir()]
        canaries.assert_clean(folder, secrets=[CANARY, *secrets], at_least=len(self.started))

    def events(self, name: str) -> list[dict[str, object]]:
        """Log lines of that event, of all workers."""
        named = (line for line in self._logged() if f'"{name}"' in line)
        return [record for line in named if (record := json.loads(line))["event"] == name]

    def warnings(self) -> list[str]:
        """Log lines of all workers that are more than information."""
        return [line for line in self._logged() if '"level": "info"' not in line and '"level": "debug"' not in line]

    def _logged(self) -> Iterator[str]:
        return (line for worker in self.started for line in worker.process.stderr.splitlines())

    def stop(self) -> None:
        """Stop every worker in order; one that doesn't end, or not well, has a thread that is stuck."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            assert worker.process.wait(PATIENCE) == 0, worker.process.stderr[-3000:]

    def assert_paced(self, *, bursts: int) -> None:
        """No shop was called faster than its limits and so many bursts more, as the receiving side saw it."""
        for shop, limits in self.limits.items():
            arrivals = [call.at for call in self.upstream.calls(shop=shop)]
            beyond = overrun(arrivals, per_second=limits.per_second, burst=limits.burst)
            most = bursts * limits.burst + limits.per_second * BUNCHED_SECONDS
            assert beyond <= most, f"{shop} was called {beyond:.1f} times beyond its limit, {most:.1f} are due"

    def close(self) -> None:
        """End every worker."""
        for worker in self.started:
            if worker.process.running():
                # A frozen one would not even be killed in order.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.process.pid, signal.SIGCONT)
                worker.kill()
        self.desk.close()

    def _start(
        self,
        *,
        processes: int = 1,
        failing: bool,
        env: Mapping[str, str],
        through: Sequence[str] | None = None,
        python: str | None = None,
    ) -> Worker:
        (port,) = free_ports(1)
        self.armed.mkdir(exist_ok=True)
        metrics = self.desk.folder / f"metrics-{len(self.started)}"
        own = {
            "REFERRALS_METRICS_PORT": str(port),
            "REFERRALS_LOG_LEVEL": "DEBUG",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "FAULTS_ARMED": str(self.armed),
        }
        if python is not None:
            own["PYTHONPATH"] = ""
        if failing:
            command, program = ["tests.faults.actors", "-p", "1", "-t", str(THREADS), "--skip-logging"], "dramatiq"
        else:
            command, program = ["work", "--processes", str(processes), "--threads", str(THREADS)], "worker"
        # A program, not a fork of one: it is struck by its process tree, and a preloaded library shifts its clock.
        python = python or sys.executable
        process = self.desk.start(*command, program=program, python=python, through=through, **(own | dict(env)))
        worker = Worker(process, port, processes)
        self.workers.append(worker)
        self.started.append(worker)
        return worker

    def consumers(self) -> list[object]:
        """What RabbitMQ lists: each worker's to each queue."""
        listing: list[object] = self.rabbitmq.api("GET", f"/api/consumers/{self.vhost.name}")
        return listing

    def evidence(self) -> str:
        """What became of the jobs so far, for whoever has to find out why a row failed."""
        return (
            f"calls {self.upstream.treated()}, outcomes {self.ended.outcomes}, dead {self.ended.reasons}, "
            f"queues {self.depths()}, kept in {self.desk.folder}"
        )


def _toml(keys: Mapping[str, object]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
