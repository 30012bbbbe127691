"""CPU per job and jobs per second of one worker process, beside a stock Dramatiq worker."""

import time
from dataclasses import dataclass
from statistics import median

from scripts.programs.benchmarks.contenders import CONTENDERS, Contender, jobs
from scripts.programs.benchmarks.process import BenchmarkError, resident_mib, usage
from scripts.programs.benchmarks.report import Benchmark, Report, share, spread
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site

WARM_SHARE = 0.1
"""The part of the jobs after which a worker counts as started up: connected, subscribed, its sessions open."""

POLL_SECONDS = 0.25
LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Round:
    """One worker's way through the backlog; CPU in milliseconds a job, memory in MiB."""

    cpu: float
    steady_cpu: float
    jobs_per_second: float
    resident: float


def measure(site: Site, contender: Contender, count: int) -> Round:
    """Publish ``count`` jobs, start the worker, and see what it takes until all of them are called."""
    with site.vhost() as vhost, site.api() as api:
        contender.declare(vhost)
        contender.publish(vhost, jobs(count))
        with contender.start(site, vhost, api) as program:
            worker = program.worker()
            deadline = time.monotonic() + LONGEST_SECONDS
            warm = None
            while (done := api.count()) < count:
                if warm is None and done >= count * WARM_SHARE:
                    warm = (done, usage(worker))
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{contender.name}: {done} of {count} jobs in {LONGEST_SECONDS} s")
                time.sleep(POLL_SECONDS)
            end = usage(worker)
            if warm is None:
                raise BenchmarkError(f"{count} jobs are too few to measure: they were done within {POLL_SECONDS} s")
            site.wait_for_results(vhost, count)
            steady, steady_jobs = end.since(warm[1]), done - warm[0]
            return Round(
                cpu=end.cpu * 1000 / count,
                steady_cpu=steady.cpu * 1000 / steady_jobs,
                jobs_per_second=steady_jobs / steady.at,
                resident=resident_mib(worker),
            )


def run(site: Site) -> Report:
    """Some rounds of each, by turns, so that the machine's other load affects both."""
    count, rounds = site.of(10_000, 2_000), site.of(3, 1)
    taken: dict[str, list[Round]] = {contender.name: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            taken[contender.name].append(measure(site, contender, count))
    ours, stock = taken.values()
    rows = []
    lines = [
        f"{rounds} rounds of {count:,} jobs each, by turns; medians. {SHOPS} shops, {THREADS} threads, one process."
    ]
    for label, field, digits in (
        ("worker CPU per job, ms, without start-up", "steady_cpu", 3),
        ("worker CPU per job, ms, with start-up", "cpu", 3),
        ("jobs a second", "jobs_per_second", 0),
        ("resident memory at the end, MiB", "resident", 0),
    ):
        of_ours, of_stock = ([getattr(one, field) for one in side] for side in (ours, stock))
        a, b = median(of_ours), median(of_stock)
        rows.append((label, f"{a:,.{digits}f}", f"{b:,.{digits}f}", share(a, b)))
        lines.append(f"{label}, by round: {spread(of_ours, digits)}; stock {spread(of_stock, digits)}")
    return Report(("", *taken, "ratio"), rows, lines)


BENCHMARK = Benchmark(
    name="dispatch",
    title="CPU per job, beside stock Dramatiq",
    reading="""\
Both workers take the same jobs from a queue per shop, call the same sandbox, which answers at once, parse its answer,
publish the result persistent, mandatory and confirmed to the same results queue, and acknowledge. The stock worker is
`scripts/programs/benchmarks/stock.py`: Dramatiq's default middleware and classic queues, a `requests` session per
thread, a cached token; it has no limits per shop or customer, no ledger, no fairness and no check of the job id, ours
has them all, in its own memory: with the shared store, as workers mostly run, see `peers`. CPU is the worker process's
user and system time, as the kernel counts it. It rises on a busy machine, for both alike, so read the ratio first: 0.50
is half of stock's. Jobs a second are bounded by the machine, since the sandbox and RabbitMQ run on the same cores. A
round counts only once every result is in its queue and no message is left anywhere else.""",
    run=run,
)
