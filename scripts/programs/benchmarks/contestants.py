"""The contestants of ``peers`` behind one protocol: how jobs are sent to each, how it is started, when it is done."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import jwt
import redis

from scripts.programs.benchmarks.inputs import write_shops
from scripts.programs.benchmarks.process import BenchmarkError, Program
from scripts.programs.benchmarks.site import ROOT, Site
from tests.services import Valkey, Vhost, wait_until
from worker.model.job import Job
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.topology import queues
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET

_PROGRAMS = "scripts.programs.benchmarks.peers"
_SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Tools:
    """Where ``scripts/peers`` has put the contestants' packages."""

    python: Path
    node: Path

    @classmethod
    def made(cls) -> "Tools":
        """Made, if they aren't yet."""
        done = subprocess.run([ROOT / "scripts/peers"], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError("scripts/peers failed, see above")
        return cls(*map(Path, done.stdout.split()))

    def draw(self, description: object) -> str:
        """The SVG of what drawing.py is asked for."""
        command = [self.python / "bin/python", ROOT / "scripts/programs/benchmarks/drawing.py"]
        drawn = subprocess.run(command, input=json.dumps(description), stdout=subprocess.PIPE, text=True, check=True)
        return drawn.stdout

    def versions(self, *names: str) -> str:
        """Those of Python packages, and of Node.js and BullMQ's parts."""
        program = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
        listed = subprocess.check_output([self.python / "bin/python", "-c", program, *names], text=True).strip()
        for name in ("bullmq", "ioredis", "undici"):
            package = json.loads((self.node / "node_modules" / name / "package.json").read_text())
            listed += f", {name} {package['version']}"
        return (
            f"{listed}, Node.js {subprocess.check_output([self.python / 'bin/node', '--version'], text=True).strip()}"
        )


@dataclass(frozen=True)
class Course:
    """What a contestant runs on: an empty virtual host, empty stores, and the API. ``keys`` are each shop's limits."""

    site: Site
    tools: Tools
    vhost: Vhost
    durable: Valkey
    api_url: str
    ca_file: Path | None
    shops: Sequence[str]
    keys: Mapping[str, float]
    threads: int
    per_second: int = 0

    def environment(self, **more: str) -> dict[str, str]:
        """That of a contestant's program."""
        claims = {"aud": "BH", "exp": int(time.time()) + 86_400}
        tokens = {
            shop: jwt.encode(claims | {"sub": shop}, SANDBOX_SECRET, algorithm="HS256", headers={"kid": SANDBOX_KEY_ID})
            for shop in self.shops
        }
        file = self.site.folder / "tokens.json"
        file.write_text(json.dumps(tokens))
        if self.ca_file is not None:
            more["BENCH_CA_FILE"] = str(self.ca_file)
        its = {
            "BENCH_API_URL": self.api_url,
            "BENCH_AMQP_URL": self.vhost.url,
            "BENCH_REDIS_URL": self.durable.url,
            "BENCH_TOKENS": str(file),
            "BENCH_THREADS": str(self.threads),
            "BENCH_PER_SECOND": str(self.per_second),
        }
        return self.site.environment() | its | more

    def python(self, *arguments: str) -> list[str]:
        """A command line in the contestants' environment."""
        return [str(self.tools.python / "bin/python"), *arguments]

    def declare_results(self) -> None:
        """The exchange and the queue of results, where contestants publish theirs too."""
        connection = connect(parameters(self.vhost.url, name="bench"))
        declare_topology(connection, queues(()))
        connection.close()


class Sender(Protocol):
    """Sends a job; returns once it has taken it."""

    def __call__(self, job: Job, /) -> None: ...


class Contestant(Protocol):
    """One process that works jobs off, with as many calls under way at once as the course has threads."""

    @property
    def name(self) -> str:
        """In tables."""

    def sending(self, course: Course) -> AbstractContextManager[Sender]:
        """A producer of the contestant's own; at its end all jobs are in the queue."""

    def start(self, course: Course) -> Program:
        """The worker."""

    def settle(self, course: Course, count: int) -> None:
        """Until that many results are where they belong and nothing is anywhere else.

        Raises:
          TimeoutError: it doesn't come to that.
        """


class Ours:
    """``referrals work`` with everything on: the shared store, the ledger, the limits, INFO logs, quorum queues."""

    name = "Referral Dispatch"

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        with Producer(parameters(course.vhost.url, name="bench")) as producer:
            producer.declare(course.shops)
            yield producer.send
            producer.flush()

    def start(self, course: Course) -> Program:
        shops = course.site.folder / "shops.toml"
        write_shops(shops, course.api_url, list(course.shops), course.keys)
        more = {"REFERRALS_REDIS_URL": course.site.empty_store()}
        if course.ca_file is not None:
            more["REFERRALS_CA_FILE"] = str(course.ca_file)
        command = course.site.referrals("work", "--threads", str(course.threads))
        return course.site.start("ours", command, course.site.environment(course.vhost, shops, **more))

    def settle(self, course: Course, count: int) -> None:
        course.site.wait_for_results(course.vhost, count, _SETTLE_SECONDS)


@dataclass(frozen=True)
class Queued:
    """A contestant in Python on RabbitMQ: ``module`` sends jobs, and ``command`` starts the worker of it."""

    name: str
    module: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        course.declare_results()
        command = course.python("-m", f"{_PROGRAMS}.{self.module}")
        with _feeding(command, course.environment(**dict(self.environment))) as send:
            yield send

    def start(self, course: Course) -> Program:
        words = [word.format(module=f"{_PROGRAMS}.{self.module}", threads=course.threads) for word in self.command]
        return course.site.start(self.module, course.python("-m", *words), course.environment(**dict(self.environment)))

    def settle(self, course: Course, count: int) -> None:
        course.site.wait_for_results(course.vhost, count, _SETTLE_SECONDS)


class Pool:
    """Threads with requests and no queue: from a file to a file."""

    name = "a pool of threads, no queue"

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        with (course.site.folder / "pool.jobs").open("w") as file:
            yield lambda job: _write(file, job)

    def start(self, course: Course) -> Program:
        jobs, results = course.site.folder / "pool.jobs", course.site.folder / "pool.results"
        command = course.python("-m", f"{_PROGRAMS}.pool", str(jobs), str(results))
        return course.site.start("pool", command, course.environment())

    def settle(self, course: Course, count: int) -> None:
        def written() -> bool:
            return (course.site.folder / "pool.results").read_bytes().count(b"\n") == count

        wait_until(written, _SETTLE_SECONDS, f"{count} results in a file")


class BullMQ:
    """BullMQ on Node.js, over a Valkey that writes each change to disk before it answers."""

    name = "BullMQ, undici"

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        _client(course).flushall()
        with _feeding(self._command(course, "send"), course.environment()) as send:
            yield send

    def start(self, course: Course) -> Program:
        return course.site.start("bullmq", self._command(course, "work"), course.environment())

    def settle(self, course: Course, count: int) -> None:
        client = _client(course)

        def completed() -> bool:
            kept = sum(client.zcard(key) for key in client.scan_iter("bull:*:completed"))
            left = sum(client.llen(key) for kind in ("wait", "active") for key in client.scan_iter(f"bull:*:{kind}"))
            return bool(kept == count and left == 0)

        wait_until(completed, _SETTLE_SECONDS, f"{count} jobs that BullMQ has completed")

    def _command(self, course: Course, verb: str) -> list[str]:
        # Modules are looked for beside the program.
        program = course.tools.node / "bullmq.mjs"
        shutil.copyfile(ROOT / "scripts/programs/benchmarks/peers/bullmq.mjs", program)
        return [str(course.tools.python / "bin/node"), str(program), verb]


_DRAMATIQ = ("dramatiq", "{module}", "-p", "1", "-t", "{threads}")
_CELERY = ("celery", "-A", "{module}", "worker", "-P", "threads", "-c", "{threads}")
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
# Its 100 tasks at once by default, of which 16 call at a time while others wait for RabbitMQ.
_TASKIQ = ("taskiq", "worker", "{module}:broker", "-w", "1", "--log-level", "WARNING")

TUNED = Queued("Dramatiq, requests", "dramatiq_worker", _DRAMATIQ)
CELERY = Queued("Celery with threads, requests", "celery_worker", (*_CELERY, *_QUIET))
CONTESTANTS: tuple[Contestant, ...] = (
    Ours(),
    Queued("Dramatiq, requests as it comes", "dramatiq_worker", _DRAMATIQ, (("BENCH_UNTUNED", "1"),)),
    TUNED,
    CELERY,
    Queued("taskiq with uvloop, aiohttp", "taskiq_worker", _TASKIQ),
    Pool(),
    BullMQ(),
)


@contextmanager
def _feeding(command: list[str], env: dict[str, str]) -> Iterator[Sender]:
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdin is not None
        into = program.stdin
        yield lambda job: _write(into, job)
        into.close()
        if program.wait() != 0:
            raise BenchmarkError(f"{' '.join(command)} failed, see above")


def _write(file: IO[str], job: Job) -> None:
    file.write(json.dumps(job.model_dump(mode="json", exclude_none=True)) + os.linesep)


def _client(course: Course) -> Any:
    return redis.Redis.from_url(course.durable.url)
