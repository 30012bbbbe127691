"""What more shops cost one worker process: until it consumes all of their queues, and for each job."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from scripts.programs.benchmarks.inputs import UNLIMITED, slugs, write_export, write_shops
from scripts.programs.benchmarks.process import BenchmarkError, Program, usage
from scripts.programs.benchmarks.report import Benchmark, Report, spread
from scripts.programs.benchmarks.site import THREADS, Site
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer

SIZES = (10, 100, 1000)
MOST = 1.2
"""What the product promises: CPU per job at the largest size, times that at the smallest."""

MOST_SECONDS = 5
"""What the product promises for subscribing to existing queues."""

WARM_SHARE = 0.1
LONGEST_SECONDS = 300


@dataclass(frozen=True)
class Round:
    """Seconds until all queues are consumed, from the command's start and from the worker process's; CPU in
    milliseconds per job.
    """

    from_start: float
    subscribing: float
    cpu: float


def measure(site: Site, shops: int, count: int) -> Round:
    """Start a worker over queues that exist, then let it work on ``count`` jobs spread over all of them."""
    names = slugs(shops)
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, count, names)
    with site.vhost() as vhost, site.upstream() as api:
        write_shops(file, api.url, names, UNLIMITED)
        env = site.environment(vhost, file)
        with Producer(parameters(vhost.url, name="bench")) as producer:
            producer.declare(names)
        started = time.time()
        with site.start("work", site.referrals("work", "--threads", str(THREADS)), env) as program:
            ready, subscribed = (_logged_at(program, event) for event in ("Worker process is ready", "subscribed"))
            site.wait_for_consumers(vhost, shops)
            worker = program.worker()
            site.publish(env, export)
            warm = None
            deadline = time.monotonic() + LONGEST_SECONDS
            while (done := api.count()) < count:
                if warm is None and done >= count * WARM_SHARE:
                    warm = (done, usage(worker))
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{done} of {count} jobs in {LONGEST_SECONDS} s")
                time.sleep(0.1)
            end = usage(worker)
            if warm is None:
                raise BenchmarkError(f"{count} jobs are too few to measure")
            site.wait_for_results(vhost, count)
            return Round(subscribed - started, subscribed - ready, end.since(warm[1]).cpu * 1000 / (done - warm[0]))


def _logged_at(program: Program, event: str) -> float:
    program.wait_for(f'"event": "{event}')
    line = next(line for line in program.output().splitlines() if f'"event": "{event}' in line)
    return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()


def run(site: Site) -> Report:
    """The sizes by turns."""
    count, rounds = site.of(5_000, 3_000), site.of(3, 1)
    taken: dict[int, list[Round]] = {shops: [] for shops in SIZES}
    for _ in range(rounds):
        for shops in SIZES:
            taken[shops].append(measure(site, shops, count))
    cpu = {shops: median(one.cpu for one in side) for shops, side in taken.items()}
    ratio = cpu[SIZES[-1]] / cpu[SIZES[0]]
    return Report(
        ("shops", *map(str, SIZES), "bound"),
        [
            (
                "from the worker process to all queues consumed, s",
                *(f"{median(one.subscribing for one in side):.1f}" for side in taken.values()),
                f"≤ {MOST_SECONDS}",
            ),
            (
                "from the command's start, s",
                *(f"{median(one.from_start for one in side):.1f}" for side in taken.values()),
                "",
            ),
            ("worker CPU per job, ms", *(f"{value:.3f}" for value in cpu.values()), f"ratio ≤ {MOST}"),
        ],
        [
            f"{rounds} rounds of {count:,} jobs each, by turns; medians. {THREADS} threads, one process, memory store.",
            f"CPU per job, {SIZES[-1]} shops beside {SIZES[0]}: {ratio:.2f}.",
            *(
                f"CPU per job with {shops} shops, by round: {spread([one.cpu for one in side], 3)}"
                for shops, side in taken.items()
            ),
        ],
    )


BENCHMARK = Benchmark(
    name="shops",
    title="More shops in one process",
    reading="""\
The queues exist before the worker starts, as after a first start. The worker logs when it is ready and when it has
subscribed to every shop's queue; RabbitMQ is then asked to confirm that. The command's start includes Python and its
imports, twice, and the check of the worker's prerequisites. Then jobs are published for all shops by turns while the
worker takes them; the first tenth, when each thread opens its session, is left out of the CPU per job.""",
    run=run,
)
