"""The configured pace against an API that takes its time, with as many threads as Little's law asks for."""

import math
from dataclasses import dataclass

from scripts.programs.benchmarks.inputs import slugs, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Site
from worker.instants import SECOND

SHOPS = 10
PER_SECOND = 20
BURST = 2
"""Small: what a burst leaves over, a tenth of spare threads could use for long, which would pass for pace."""

PACE = SHOPS * PER_SECOND
MARGIN = 1.1
LATENCIES = (0.02, 0.1, 0.5)
SETTLED_AFTER = 2.0
"""Seconds from the first call on: the shops' bursts are over."""

UNTIL_SHARE = 0.9
"""Of the calls: after it, some shops may have no jobs left."""


@dataclass(frozen=True)
class Pace:
    """Threads, and calls a second once the bursts are over, while each shop has jobs left."""

    threads: int
    per_second: float


def measure(site: Site, latency: float, jobs: int) -> Pace:
    """Send all jobs and see at which pace they were called."""
    threads = math.ceil(PACE * latency * MARGIN)
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, jobs, slugs(SHOPS))
    with site.vhost() as vhost, site.upstream("--latency", str(latency)) as api:
        write_shops(file, api.url, slugs(SHOPS), {"per_second": PER_SECOND, "burst": BURST})
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.publish(env, export)
        with site.start("work", site.referrals("work", "--threads", str(threads)), env):
            site.wait_for_results(vhost, jobs, seconds=60 + 10 * jobs / PACE)
        arrived = sorted(call["arrived_at"] for call in api.calls())
    settled = [at for at in arrived[: round(jobs * UNTIL_SHARE)] if at >= arrived[0] + SETTLED_AFTER * SECOND]
    return Pace(threads, (len(settled) - 1) / (settled[-1] - settled[0]) * SECOND)


def run(site: Site) -> Report:
    """Each latency once."""
    jobs = site.of(4_000, 1_000)
    taken = {latency: measure(site, latency, jobs) for latency in LATENCIES}
    rows = [
        (
            f"{latency * 1000:g}",
            f"{PACE * latency:g}",
            f"{pace.threads}",
            f"{pace.per_second:.1f}",
            f"{pace.per_second / PACE:.3f}",
        )
        for latency, pace in taken.items()
    ]
    head = ("latency of the API, ms", "busy by Little's law", "threads", "calls a second", "of the configured pace")
    return Report(head, rows, [f"{jobs:,} jobs over {SHOPS} shops at {PER_SECOND}/s each: {PACE}/s."])


BENCHMARK = Benchmark(
    name="latency",
    title="The configured pace against a slow API",
    reading="""\
By Little's law, calls at a pace of λ a second that take W seconds each keep λ·W threads busy. One process gets that
many threads and a tenth more, and has the shared store and RabbitMQ beside it. The pace is counted by the stand-in for
Refer2, from two seconds after the first call, when the shops' bursts are over, to nine tenths of the calls, when each
shop still has jobs.""",
    run=run,
)
