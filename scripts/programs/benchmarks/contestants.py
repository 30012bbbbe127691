"""The contestants of ``peers`` behind one protocol: how jobs are sent to each, how it is started, where jobs are."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from scripts.programs.benchmarks.course import Course
from scripts.programs.benchmarks.inputs import write_shops
from scripts.programs.benchmarks.process import BenchmarkError, Program
from scripts.programs.benchmarks.site import ROOT
from worker.model.job import Job
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer

_PROGRAMS = "scripts.programs.benchmarks.peers"
_WITHOUT_UVLOOP = ROOT / "scripts/programs/benchmarks/peers/without_uvloop"


@dataclass(frozen=True)
class Places:
    """Where jobs are: how many results are where they belong, and how many jobs or messages are elsewhere, by place."""

    results: int
    elsewhere: Mapping[str, int]

    def __str__(self) -> str:
        return ", ".join([f"results: {self.results:,}", *(f"{place}: {n:,}" for place, n in self.elsewhere.items())])


class Sender(Protocol):
    """Sends a job; returns once it has taken it."""

    def __call__(self, job: Job, /) -> None: ...


class Contestant(Protocol):
    """A worker, with as many calls under way at once as the course has threads."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def limiter(self) -> str:
        """What it has of its own to keep a shop's limit, in tables."""

    @property
    def queued(self) -> bool:
        """Whether jobs can be sent to it while it works."""

    def sending(self, course: Course) -> AbstractContextManager[Sender]:
        """A producer of the contestant's own; at its end all jobs are in the queue."""

    def start(self, course: Course) -> Program:
        """The worker."""

    def places(self, course: Course) -> Places:
        """As the queue itself, or the store, tells."""


class Ours:
    """``referrals work`` with everything on: the shared store, the ledger, the limits, INFO logs, quorum queues."""

    name = "Referral Dispatch"
    limiter = "a bucket for each shop, in the store"
    queued = True

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        with Producer(parameters(course.vhost.url, name="bench")) as producer:
            producer.declare(course.shops)
            yield producer.send
            producer.flush()

    def start(self, course: Course) -> Program:
        shops = course.site.folder / "shops.toml"
        write_shops(shops, course.api_url, list(course.shops), course.keys)
        more = {"REFERRALS_REDIS_URL": course.site.searched_store()}
        if course.ca_file is not None:
            more["REFERRALS_CA_FILE"] = str(course.ca_file)
        size = ("--processes", str(course.processes), "--threads", str(course.threads))
        command = course.site.referrals("work", *size)
        return course.site.start("ours", command, course.site.environment(course.vhost, shops, **more))

    def places(self, course: Course) -> Places:
        return _in_rabbitmq(course)


@dataclass(frozen=True)
class Queued:
    """A contestant in Python on RabbitMQ: ``module`` sends jobs, and ``command`` starts the worker of it."""

    name: str
    module: str
    command: tuple[str, ...]
    limiter: str
    environment: tuple[tuple[str, str], ...] = ()
    queued: bool = True

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        course.declare_results()
        command = course.python("-m", f"{_PROGRAMS}.{self.module}")
        with _feeding(command, self._environment(course)) as send:
            yield send

    def start(self, course: Course) -> Program:
        names = {"module": f"{_PROGRAMS}.{self.module}", "threads": course.threads, "processes": course.processes}
        command = course.python("-m", *(word.format(**names) for word in self.command))
        return course.site.start(self.module, command, self._environment(course))

    def places(self, course: Course) -> Places:
        return _in_rabbitmq(course)

    def _environment(self, course: Course) -> dict[str, str]:
        # Limits are kept where ours are, in a store that keeps nothing on disk.
        return course.environment(BENCH_REDIS_URL=course.site.valkey.url, **dict(self.environment))


class Pool:
    """Threads with requests and no queue: from a file to a file."""

    name = "a pool of threads, no queue"
    limiter = "none; waits as `Retry-After` says"
    queued = False

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        self._results(course).unlink(missing_ok=True)
        with (course.site.folder / "pool.jobs").open("w") as file:
            yield lambda job: _write(file, job)

    def start(self, course: Course) -> Program:
        jobs = course.site.folder / "pool.jobs"
        command = course.python("-m", f"{_PROGRAMS}.pool", str(jobs), str(self._results(course)))
        return course.site.start("pool", command, course.environment())

    def places(self, course: Course) -> Places:
        results = self._results(course)
        return Places(results.read_bytes().count(b"\n") if results.exists() else 0, {})

    def _results(self, course: Course) -> Path:
        return course.site.folder / "pool.results"


_LISTED_STATES = ("wait", "active", "paused")
_SORTED_STATES = ("completed", "delayed", "prioritized", "failed")


class BullMQ:
    """BullMQ on Node.js, over a Valkey that writes each change to disk before it answers."""

    name = "BullMQ, undici"
    limiter = "the limiter of a queue for each shop"
    queued = True

    @contextmanager
    def sending(self, course: Course) -> Iterator[Sender]:
        with _feeding(self._command(course, "send"), self._environment(course)) as send:
            yield send

    def start(self, course: Course) -> Program:
        return course.site.start("bullmq", self._command(course, "work"), self._environment(course))

    def places(self, course: Course) -> Places:
        client = course.durable_store()
        kept = {state: sum(map(client.zcard, client.scan_iter(f"bull:*:{state}"))) for state in _SORTED_STATES}
        kept |= {state: sum(map(client.llen, client.scan_iter(f"bull:*:{state}"))) for state in _LISTED_STATES}
        return Places(kept.pop("completed"), {state: number for state, number in kept.items() if number})

    def _environment(self, course: Course) -> dict[str, str]:
        return course.environment(BENCH_REDIS_URL=course.durable.url)

    def _command(self, course: Course, verb: str) -> list[str]:
        # Modules are looked for beside the program.
        program = course.tools.modules / "bullmq.mjs"
        shutil.copyfile(ROOT / "scripts/programs/benchmarks/peers/bullmq.mjs", program)
        return [str(course.tools.node), str(program), verb]


_DRAMATIQ = ("dramatiq", "{module}", "-p", "{processes}", "-t", "{threads}")
_CELERY = ("celery", "-A", "{module}", "worker", "-c", "{threads}", "--without-gossip", "--without-mingle")
_THREADS, _PREFORK = ("-P", "threads", "--without-heartbeat"), ("-P", "prefork", "--without-heartbeat")
# Its 100 tasks at once by default, of which 16 call at a time while others wait for RabbitMQ.
_TASKIQ = ("taskiq", "worker", "{module}:broker", "-w", "1", "--log-level", "WARNING")
_WINDOW, _RATE = "`WindowRateLimiter` and a retry", "`rate_limit` of a task for each shop"

OURS = Ours()
UNTUNED = Queued("Dramatiq, requests as it comes", "dramatiq_worker", _DRAMATIQ, _WINDOW, (("BENCH_UNTUNED", "1"),))
DRAMATIQ = Queued("Dramatiq, requests", "dramatiq_worker", _DRAMATIQ, _WINDOW)
CELERY = Queued("Celery with threads, requests", "celery_worker", (*_CELERY, *_THREADS), _RATE)
# Its default: beside a pool of threads its limiter takes twice as long for the same jobs.
CELERY_PREFORK = Queued("Celery with processes, requests", "celery_worker", (*_CELERY, *_PREFORK), _RATE)
TASKIQ = Queued("taskiq with uvloop, aiohttp", "taskiq_worker", _TASKIQ, "none; a retry after 1 s")
# It takes uvloop if it can import it, and comes without.
PLAIN_TASKIQ = Queued(
    "taskiq, aiohttp", "taskiq_worker", _TASKIQ, TASKIQ.limiter, (("PYTHONPATH", f"{_WITHOUT_UVLOOP}:{ROOT}"),)
)

CONTESTANTS: tuple[Contestant, ...] = (OURS, UNTUNED, DRAMATIQ, CELERY, PLAIN_TASKIQ, TASKIQ, Pool(), BullMQ())
LIMITED: tuple[Contestant, ...] = (OURS, DRAMATIQ, CELERY_PREFORK, TASKIQ, Pool(), BullMQ())


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


def _in_rabbitmq(course: Course) -> Places:
    depths = course.site.rabbitmq.depths(course.vhost)
    return Places(depths.pop("referrals.results", 0), {queue: depth for queue, depth in depths.items() if depth})
