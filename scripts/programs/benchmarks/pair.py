"""Two processes on the cores that broker, store and API also use."""

from statistics import median

from scripts.programs.benchmarks.contestants import DRAMATIQ, OURS
from scripts.programs.benchmarks.race import Lap, courses, measure
from scripts.programs.benchmarks.report import Benchmark, Report, cell
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site

LEAST_JOBS_PER_SECOND = 1_400
"""What two of our processes shall do on two cores."""

_SIZES = ((OURS, 1), (OURS, 2), (DRAMATIQ, 1), (DRAMATIQ, 2))


def run(site: Site) -> Report:
    """Some rounds, all by turns in each."""
    count, rounds = site.of(10_000, 2_000), site.of(3, 1)
    taken: dict[tuple[str, int], list[Lap]] = {(contestant.name, processes): [] for contestant, processes in _SIZES}
    with courses(site, tls=False) as (api, course_of):
        for _ in range(rounds):
            for contestant, processes in _SIZES:
                with site.vhost() as vhost:
                    lap = measure(course_of(vhost=vhost, processes=processes), api, contestant, count)
                    taken[contestant.name, processes].append(lap)
    rows = [
        (
            f"{name}, {processes} process{'es' * (processes > 1)}",
            cell([lap.jobs_per_second for lap in laps], 0),
            f"≥ {LEAST_JOBS_PER_SECOND:,}" if (name, processes) == (OURS.name, 2) else "",
            cell([lap.cpu for lap in laps], 2),
            f"{median(lap.peak for lap in laps):.0f}",
        )
        for (name, processes), laps in taken.items()
    ]
    return Report(
        ("", "jobs a second", "bound", "CPU a job, ms", "peak memory of a process, MiB"),
        rows,
        [
            f"Rounds of {count:,} jobs, {rounds} by turns; medians, and in brackets the least and the most.",
            f"{SHOPS} shops; {THREADS} threads in each process.",
        ],
    )


BENCHMARK = Benchmark(
    name="pair",
    title="Two processes on two cores",
    reading="""\
The same work and the same stand-in as `peers`, with one process and with two. RabbitMQ, the store, the stand-in and the
harness run on the same cores, so that two processes can't do twice what one does.""",
    run=run,
)
