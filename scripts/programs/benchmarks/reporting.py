"""What it takes to make a campaign's report of its results, and how much memory."""

import json

from scripts.programs.benchmarks.inputs import write_results
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Site


def run(site: Site) -> Report:
    """Few results and many, in both formats, and with messages of which no two are alike."""
    most, fewer = site.of(1_000_000, 20_000), site.of(100_000, 2_000)
    results, page = site.folder / "results", site.folder / "report.html"
    rows = []
    for number, form, alike in ((fewer, "csv", True), (most, "csv", True), (most, "jsonl", True), (most, "csv", False)):
        write_results(results, number, form, alike=alike)
        arguments = ("report", "bench", "--from", str(results), "--out", str(page), "--json")
        printed, seconds, peak = run_watched(site.referrals(*arguments), site.environment())
        figures = json.loads(printed)
        if figures["jobs"] != number or figures["outcomes"]["rejected"] != number // 20:
            raise BenchmarkError(f"of {number:,} results {figures['jobs']:,} were counted: {figures['outcomes']}")
        size = page.stat().st_size / 1024
        told = "alike" if alike else "all different"
        rows.append(
            (f"{number:,}", form, told, f"{seconds:.1f}", f"{number / seconds:,.0f}", f"{peak:.0f}", f"{size:.0f}")
        )
    return Report(
        ("results", "format", "messages", "took, s", "results a second", "peak resident memory, MiB", "page, KiB"),
        rows,
    )


BENCHMARK = Benchmark(
    name="report",
    title="The report of a campaign",
    reading="""\
`referrals report` from its start to its end. Most of the time goes into reading: each result is checked as a whole, its
job's id included. Memory holds the ids of the jobs that were seen, up to a bound beyond which they go to disk, and the
figures: it must not grow with the results. Each run must count what was made up.""",
    run=run,
)
