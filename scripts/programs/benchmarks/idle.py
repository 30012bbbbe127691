"""What a worker does with nothing to do: its latency and its use of the processor."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from scripts.programs.benchmarks.contenders import CONTENDERS, Contender, jobs
from scripts.programs.benchmarks.process import fine_usage
from scripts.programs.benchmarks.report import Benchmark, Report, share
from scripts.programs.benchmarks.site import SHOPS, Site
from worker.clock import SystemClock

SETTLE_SECONDS = 3
LONGEST_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Idle:
    """CPU as a percentage of one core; latencies in milliseconds."""

    cpu: float
    latencies: Sequence[float]

    def percentile(self, percent: int) -> float:
        """The latency that so many percent of the jobs don't exceed."""
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


def measure(site: Site, contender: Contender, count: int, seconds: float) -> Idle:
    """Let the worker idle for ``seconds``, then send ``count`` jobs one at a time."""
    clock = SystemClock()
    pause = random.Random(1)
    with site.vhost() as vhost, site.api() as api:
        contender.declare(vhost)
        with contender.start(site, vhost, api) as program, contender.sending(vhost) as send:
            worker = program.worker()
            contender.publish(vhost, jobs(SHOPS))
            api.wait_for(SHOPS, 60)
            time.sleep(SETTLE_SECONDS)
            before = fine_usage(worker)
            time.sleep(seconds)
            used = fine_usage(worker).since(before)
            sent = {}
            for job in jobs(count, first=SHOPS):
                time.sleep(pause.random() * LONGEST_PAUSE_SECONDS)
                sent[job.customer.email] = clock.now()
                send(job)
            api.wait_for(SHOPS + count, 60)
            arrived = {call["body"]["customer"]["email"]: call["arrived_at"] for call in api.calls()}
            latencies = [(arrived[email] - at) / 1000 for email, at in sent.items()]
            return Idle(used.cpu / used.at * 100, latencies)


def run(site: Site) -> Report:
    """Each worker once."""
    count, seconds = site.of(200, 50), site.of(10, 4)
    ours, stock = (measure(site, contender, count, seconds) for contender in CONTENDERS)
    rows = [
        (f"publish to call, p{percent}, ms", f"{a:.1f}", f"{b:.1f}", share(a, b))
        for percent in (50, 99)
        for a, b in [(ours.percentile(percent), stock.percentile(percent))]
    ]
    rows.append(("CPU while idle, % of a core", f"{ours.cpu:.2f}", f"{stock.cpu:.2f}", share(ours.cpu, stock.cpu)))
    return Report(
        ("", *(contender.name for contender in CONTENDERS), "ratio"),
        rows,
        [f"{count} jobs, one at a time, over {SHOPS} shops; idle for {seconds} s."],
    )


BENCHMARK = Benchmark(
    name="idle",
    title="An idle worker",
    reading="""\
The latency of a single job runs from just before it is published to its arrival at the sandbox: RabbitMQ's write to
disk, the delivery, the store's grant, the hand-over to a thread and the HTTP request. Both timestamps are from the same
machine's clock. Our jobs go through a quorum queue; stock's go through a classic one, which delivers before it has
written to disk. The CPU is that of a worker process that consumes the queues of all shops while no job arrives.""",
    run=run,
)
