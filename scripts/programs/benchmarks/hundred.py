"""The limits of a hundred shops at once, shared by a few worker processes and by many."""

from functools import partial
from statistics import mean, median

from scripts.programs.benchmarks.fleet import PROCESSES, SPARE_SECONDS, measure, rows
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site

PER_SECOND = 5
BURST = 2

MANY = 16
SPARE_SECONDS_OF_MANY = 90


def run(site: Site, *, processes: int, spare: int) -> Report:
    """A minute of all shops."""
    seconds = site.of(60, 10)
    result = measure(
        site, shops=SHOPS, per_second=PER_SECOND, burst=BURST, processes=processes, seconds=seconds, spare=spare
    )
    used = [share.used for share in result.shares]
    return Report(
        ("of the worst shop", "measured", "bound"),
        rows(result),
        [
            f"{processes} processes of {THREADS} threads, {seconds} s; {result.calls:,} calls.",
            f"{SHOPS} shops at {PER_SECOND}/s with burst {BURST}.",
            f"Part of the limit that was used, of all shops: median {median(used):.2%}, mean {mean(used):.2%}.",
        ],
    )


BENCHMARKS = (
    Benchmark(
        name="hundred",
        title="A hundred shops, several processes",
        reading=f"""\
As `fleet`, with {SHOPS} shops: {SHOPS * PER_SECOND} calls a second in total, which is close to the machine's limit with
RabbitMQ, Valkey and the receiving side on the same cores.""",
        run=partial(run, processes=PROCESSES, spare=SPARE_SECONDS),
    ),
    Benchmark(
        name="many",
        title="A hundred shops, many processes",
        reading=f"As `hundred`, with {MANY} processes on the same cores.",
        run=partial(run, processes=MANY, spare=SPARE_SECONDS_OF_MANY),
    ),
)
