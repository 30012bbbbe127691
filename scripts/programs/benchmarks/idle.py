"""What a worker does with nothing to do: its latency and its use of the processor."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from scripts.programs.benchmarks.contenders import CONTENDERS, Contender, jobs
from scripts.programs.benchmarks.process import fine_usage
from scripts.programs.benchmarks.report import Benchmark, Report, cell, share
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
    """Some rounds of each, by turns, so that the machine's other load affects both."""
    count, seconds, rounds = site.of(200, 50), site.of(10, 4), site.of(3, 1)
    taken: dict[str, list[Idle]] = {contender.name: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            taken[contender.name].append(measure(site, contender, count, seconds))
    rows = [
        _row(
            f"publish to call, p{percent}, ms",
            1,
            [[one.percentile(percent) for one in idle] for idle in taken.values()],
        )
        for percent in (50, 99)
    ]
    rows.append(_row("CPU while idle, % of a core", 2, [[one.cpu for one in idle] for idle in taken.values()]))
    return Report(
        ("", *taken, "ratio"),
        rows,
        [
            (
                f"Rounds of {count} jobs, one at a time, over {SHOPS} shops, each after {seconds} s without jobs; "
                f"{rounds} by turns; medians, and in brackets the least and the most."
            )
        ],
    )


def _row(label: str, digits: int, of_both: Sequence[Sequence[float]]) -> tuple[str, ...]:
    ours, stock = of_both
    return label, cell(ours, digits), cell(stock, digits), share(median(ours), median(stock))


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
