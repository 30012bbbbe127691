"""What a worker process holds in memory when few or many jobs wait in RabbitMQ."""

import time
from dataclasses import dataclass

from scripts.programs.benchmarks.inputs import CHANNEL, customer, slugs, write_shops
from scripts.programs.benchmarks.process import resident_mib
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Site
from tests.services import Vhost, wait_until
from worker.model.job import Customer, Job
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer

QUEUES = 20
CLOSED = 0.1
OPEN = 2
"""Calls a second of a shop: next to none, and while the worker works; slow enough that the few jobs last."""

SETTLE_SECONDS = 10
WORK_SECONDS = 20
MOST_GROWTH = 0.05
"""What the product promises from the fewest jobs to the most."""


@dataclass(frozen=True)
class Held:
    """MiB of the worker process with its prefetch full, and after it has worked for a while."""

    waiting: float
    worked: float


def measure(site: Site, count: int) -> Held:
    """Publish ``count`` jobs, and look at a worker that may do nothing, then at the same one at work."""
    file = site.folder / "shops.toml"
    with site.vhost() as vhost, site.upstream() as api:
        write_shops(file, api.url, slugs(QUEUES), {"per_second": CLOSED, "burst": 1})
        fill(vhost, count)
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        with site.start("work", site.referrals("work", "--threads", str(THREADS)), env) as program:
            worker = program.worker()
            wait_until(lambda: api.count() >= QUEUES, 120, "each shop's first call")
            time.sleep(SETTLE_SECONDS)
            waiting = resident_mib(worker)
            write_shops(file, api.url, slugs(QUEUES), {"per_second": OPEN, "burst": 1})
            time.sleep(WORK_SECONDS)
            wait_until(lambda: api.count() >= QUEUES * OPEN * WORK_SECONDS // 2, 60, "the worker to work")
            return Held(waiting, resident_mib(worker))


def fill(vhost: Vhost, count: int) -> None:
    """Put that many jobs into the shops' queues, confirmed."""
    shops = slugs(QUEUES)
    with Producer(parameters(vhost.url, name="bench")) as producer:
        producer.declare(shops)
        for number in range(count):
            producer.send(
                Job.create(
                    shop=shops[number % QUEUES],
                    campaign="bench",
                    customer=Customer(email=customer(number)),
                    channel=CHANNEL,
                    line=number,
                )
            )


def run(site: Site) -> Report:
    """Few jobs, then many."""
    few, many = 1_000, site.of(1_000_000, 30_000)
    least, most = measure(site, few), measure(site, many)
    bound = f"≤ {1 + MOST_GROWTH:.2f}"
    return Report(
        ("worker, MiB", f"{few:,} queued", f"{many:,} queued", "ratio", "bound"),
        [
            (label, f"{a:.1f}", f"{b:.1f}", f"{b / a:.3f}", bound)
            for label, a, b in (
                (f"{SETTLE_SECONDS} s after its start", least.waiting, most.waiting),
                (f"after {WORK_SECONDS} s of work", least.worked, most.worked),
            )
        ],
        [f"{QUEUES} shops at {CLOSED}/s, then at {OPEN}/s; {THREADS} threads, limits and ledger in Valkey."],
    )


BENCHMARK = Benchmark(
    name="backlog",
    title="Memory and the backlog",
    reading="""\
Resident memory of the worker process, without Dramatiq's parent, over a fresh virtual host each. At first the shops'
limits allow hardly any call, so that the worker holds a full prefetch; then the shops file is changed, the worker
follows it, and it works for a while.""",
    run=run,
)
