"""The limits of a hundred shops at once, shared by several worker processes."""

from statistics import mean

from scripts.programs.benchmarks.fleet import PROCESSES, measure, rows
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import SHOPS, THREADS, Site

PER_SECOND = 5
BURST = 2


def run(site: Site) -> Report:
    """A minute of all shops."""
    seconds = site.of(60, 10)
    result = measure(site, shops=SHOPS, per_second=PER_SECOND, burst=BURST, processes=PROCESSES, seconds=seconds)
    used = [share.used for share in result.shares]
    return Report(
        ("of the worst shop", "measured", "bound"),
        rows(result),
        [
            f"{PROCESSES} processes of {THREADS} threads, {seconds} s; {result.calls:,} calls.",
            f"{SHOPS} shops at {PER_SECOND}/s with burst {BURST}.",
            f"Part of the limit that was used, mean of all shops: {mean(used):.2%}.",
        ],
    )


BENCHMARK = Benchmark(
    name="hundred",
    title="A hundred shops, several processes",
    reading=f"""\
As `fleet`, with {SHOPS} shops: {SHOPS * PER_SECOND} calls a second in total, which is close to the machine's limit with
RabbitMQ, Valkey and the receiving side on the same cores.""",
    run=run,
)
