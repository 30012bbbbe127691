"""CPU per job, jobs a second and memory of one worker process, beside what else one would build it on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from scripts.programs.benchmarks.contenders import jobs
from scripts.programs.benchmarks.contestants import CONTESTANTS, Contestant
from scripts.programs.benchmarks.course import Course, Tools
from scripts.programs.benchmarks.dispatch import WARM_SHARE
from scripts.programs.benchmarks.inputs import UNLIMITED, slugs
from scripts.programs.benchmarks.process import BenchmarkError, peak_mib, tree_usage
from scripts.programs.benchmarks.report import Benchmark, Picture, Report, cell, panel
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site
from scripts.programs.benchmarks.standin import StandIn, stand_in
from tests.services import Valkey

_POLL_SECONDS = 0.1
_STALLED_SECONDS = 60
_SETTLE_SECONDS = 120

VERSIONS = ("dramatiq", "celery", "taskiq", "taskiq-aio-pika", "requests", "aiohttp", "uvloop")


@dataclass(frozen=True)
class Lap:
    """One worker's way through the jobs, without its start: CPU in milliseconds a job, peak memory in MiB."""

    cpu: float
    jobs_per_second: float
    peak: float


def measure(course: Course, api: StandIn, contestant: Contestant, count: int) -> Lap:
    """Send ``count`` jobs, start the worker, and see what it takes until all of them are called."""
    course.empty_durable_store()
    with contestant.sending(course) as send:
        for job in jobs(count):
            send(job)
    before = api.count()
    with contestant.start(course) as program:
        warm, peak = None, 0.0
        seen, moved_at = 0, time.monotonic()
        while (done := api.count() - before) < count:
            if done != seen:
                seen, moved_at = done, time.monotonic()
            if warm is None and done >= count * WARM_SHARE:
                warm = (done, tree_usage(program.processes()))
            peak = max(peak, *map(peak_mib, program.processes()))
            if time.monotonic() > moved_at + _STALLED_SECONDS:
                raise BenchmarkError(
                    f"{contestant.name}: {done:,} calls for {count:,} jobs, and none in {_STALLED_SECONDS} s; the jobs "
                    f"are at: {contestant.places(course)}; it said: {program.output()[-500:]}"
                )
            time.sleep(_POLL_SECONDS)  # between two looks
        end = tree_usage(program.processes())
        if warm is None:
            raise BenchmarkError(f"{count} jobs are too few to measure: they were done within {_POLL_SECONDS} s")
        _settle(course, contestant, count)
    steady = end.since(warm[1])
    return Lap(steady.cpu * 1000 / (done - warm[0]), (done - warm[0]) / steady.at, peak)


def _settle(course: Course, contestant: Contestant, count: int) -> None:
    """Until that many results are where they belong and nothing is anywhere else."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (places := contestant.places(course)).results != count or places.elsewhere:
        if time.monotonic() > deadline:
            where = f"{_SETTLE_SECONDS} s after the last of {count:,} calls, the jobs are at: {places}"
            raise BenchmarkError(f"{contestant.name}: {where}")
        time.sleep(_POLL_SECONDS)  # between two looks


@contextmanager
def courses(site: Site, *, tls: bool) -> Iterator[tuple[StandIn, "partial[Course]"]]:
    """The stand-in, and a maker of courses for virtual hosts."""
    with (
        Valkey(site.folder / "durable", appendonly="yes", appendfsync="always") as durable,
        stand_in(site, tls=tls) as api,
    ):
        yield (
            api,
            partial(
                Course,
                site=site,
                tools=Tools.made(),
                durable=durable,
                api_url=api.url,
                ca_file=api.ca_file,
                shops=slugs(SHOPS),
                keys=UNLIMITED,
                threads=THREADS,
            ),
        )


def run(site: Site, *, tls: bool) -> Report:
    """Some rounds, all by turns in each, so that the machine's other load affects all."""
    count, rounds = site.of(5_000, 2_000), site.of(3, 1)
    taken: dict[str, list[Lap]] = {contestant.name: [] for contestant in CONTESTANTS}
    with courses(site, tls=tls) as (api, course_of):
        for _ in range(rounds):
            for contestant in CONTESTANTS:
                with site.vhost() as vhost:
                    taken[contestant.name].append(measure(course_of(vhost=vhost), api, contestant, count))
    tools, (ours, *_) = Tools.made(), taken.values()
    rows = [
        (
            name,
            cell([lap.cpu for lap in laps], 2),
            f"{median(lap.cpu for lap in ours) / median(lap.cpu for lap in laps):.2f}",
            cell([lap.jobs_per_second for lap in laps], 0),
            cell([lap.peak for lap in laps], 0),
        )
        for name, laps in taken.items()
    ]
    head = ("one process", "CPU a job, ms", "ours is", "jobs a second", "peak memory, MiB")
    lines = [
        f"Rounds of {count:,} jobs, {rounds} by turns; medians, and in brackets the least and the most.",
        f"{SHOPS} shops, {THREADS} threads, or calls at once.",
        f"Contestants: {tools.versions(*VERSIONS)}.",
    ]
    name = "peers-tls" if tls else "peers"
    picture = Picture(name, "CPU a job and jobs a second, as in the table below", _drawn(tools, taken))
    return Report(head, rows, lines, picture)


def _drawn(tools: Tools, taken: dict[str, list[Lap]]) -> str:
    panels = [
        panel("CPU a job, ms", 2, [[lap.cpu for lap in laps] for laps in taken.values()]),
        panel("jobs a second", 0, [[lap.jobs_per_second for lap in laps] for laps in taken.values()]),
    ]
    return tools.draw({"names": list(taken), "panels": panels})


_READING = """\
One process of each does the same work: it takes a job, calls a stand-in for Refer2 (nginx, which answers at once) by
{transport}, parses the answer, publishes the result persistent, mandatory and confirmed, and acknowledges the job. Jobs
and results of those on RabbitMQ are in quorum queues; BullMQ keeps both in a Valkey that syncs each change to disk. At
most 16 calls are under way at once. Referral Dispatch does it with everything on: a queue for each of 100 shops, the
shared store with the ledger and the limits of shops and customers, fairness, the check of job ids, metrics, INFO logs.
It keeps its process to one core by itself, as it does everywhere; the kernel places the others. The store's Valkey
keeps nothing on disk here; in production it writes once a second, which no worker waits for. The others have none of
that: one queue, no limits, and a job delivered again is called again. They are written as their guides have it, below
`scripts/programs/benchmarks/peers/`; those that use requests turn its `trust_env` off, except the one that is named
"requests as it comes". taskiq is there as it comes, on asyncio's own event loop, and with uvloop, a faster one that it
takes where it is installed. None of them writes a log line a job: taskiq logs warnings only, since it would write one
otherwise, and all others log as they do by default. The pool of threads has no queue: it reads a file, writes a file,
and loses what it was doing when it ends.

CPU is user and system time of all the processes of a worker, as the kernel counts it, from a tenth of the jobs on. It
rises on a busy machine, for all alike, so read the ratios first: "ours is" 0.50 means half of that contestant's CPU.
Jobs a second are bounded by the machine, since nginx, RabbitMQ and Valkey run on the same cores. Memory is the peak of
the largest process. A round counts only once every result is where it belongs and no job is left anywhere else."""

BENCHMARKS = (
    Benchmark(
        name="peers",
        title="Beside what else one would build it on",
        reading=_READING.format(transport="plain HTTP"),
        run=partial(run, tls=False),
    ),
    Benchmark(
        name="peers-tls",
        title="The same over TLS",
        reading="""\
The same contestants and the same work as `peers`, with calls over TLS: a session is opened once for each connection
and reused, as Refer2 allows.""",
        run=partial(run, tls=True),
    ),
)
