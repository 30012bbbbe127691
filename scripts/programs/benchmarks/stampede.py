"""Many processes on one shop: how often the store is asked for each call."""

from scripts.programs.benchmarks.fleet import measure, rows
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Site

PROCESSES = 16
PER_SECOND = 50
BURST = 20
MOST_ASKED = 2
"""What the product promises, per call."""


def run(site: Site) -> Report:
    """Half a minute of one shop."""
    seconds = site.of(30, 10)
    result = measure(site, shops=1, per_second=PER_SECOND, burst=BURST, processes=PROCESSES, seconds=seconds)
    bounded = [
        (label, figure, f"≤ {MOST_ASKED}" if "questions" in label else bound) for label, figure, bound in rows(result)
    ]
    return Report(
        ("", "measured", "bound"),
        bounded,
        [
            f"{PROCESSES} processes of {THREADS} threads, {seconds} s; {result.calls:,} calls.",
            f"One shop at {PER_SECOND}/s with burst {BURST}.",
        ],
    )


BENCHMARK = Benchmark(
    name="stampede",
    title="Many processes at one shop",
    reading="""\
As `fleet`, with so many processes that most would get nothing when they ask. A question is one run of the store's
script `admit`, which may ask for several jobs; questions are counted from the start.""",
    run=run,
)
