"""What spans cost a worker, and a run in one process."""

from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median

from scripts.programs.benchmarks.contenders import Ours
from scripts.programs.benchmarks.dispatch import measure
from scripts.programs.benchmarks.inputs import UNLIMITED, slugs, write_export, write_shops
from scripts.programs.benchmarks.process import BenchmarkError, run_to_end
from scripts.programs.benchmarks.report import Benchmark, Report, cell, share
from scripts.programs.benchmarks.site import SHOPS, THREADS, Api, Site
from tests.system.otlp import Collector


def run(site: Site) -> Report:
    """Some rounds, all by turns in each."""
    count, rounds = site.of(12_000, 1_000), site.of(3, 1)
    with ExitStack() as stack:
        every, hundredth = stack.enter_context(Collector()), stack.enter_context(Collector())
        ways: dict[str, dict[str, str]] = {
            "without": {},
            "1 job in 100": {
                "OTEL_EXPORTER_OTLP_ENDPOINT": hundredth.url,
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.01",
            },
            "every job": {"OTEL_EXPORTER_OTLP_ENDPOINT": every.url},
        }
        worker: dict[str, list[float]] = {way: [] for way in ways}
        alone: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, environment in ways.items():
                worker[way].append(measure(site, Ours(**environment), count).steady_cpu)
            with site.api() as api:
                for way, environment in ways.items():
                    alone[way].append(_alone(site, api, count, environment))
        came = len(every.spans) / (2 * rounds * count)
    if not came:
        raise BenchmarkError("the collector got no spans")
    return Report(
        ("CPU a job, ms", *ways, *(f"{way}, ratio" for way in list(ways)[1:])),
        [
            (label, *(cell(taken[way], 3) for way in ways), *(_ratio(taken, way) for way in list(ways)[1:]))
            for label, taken in (("`referrals work`", worker), ("`referrals run`", alone))
        ],
        [
            f"{rounds} rounds of {count:,} jobs each way, by turns; medians. {SHOPS} shops, {THREADS} threads.",
            f"With every job {came:.2f} spans a job came; of its four, what finds the queue full is dropped.",
        ],
    )


def _ratio(taken: Mapping[str, list[float]], way: str) -> str:
    return share(median(taken[way]), median(taken["without"]))


def _alone(site: Site, api: Api, count: int, environment: Mapping[str, str]) -> float:
    shops, export, out = site.folder / "shops.toml", site.folder / "export.csv", site.folder / "results.csv"
    write_shops(shops, api.url, slugs(SHOPS), UNLIMITED)
    write_export(export, count, slugs(SHOPS))
    arguments = ("run", str(export), "--campaign", "bench", "--out", str(out), "--threads", str(THREADS), "--yes")
    _, cpu = run_to_end(site.referrals(*arguments), site.environment(None, shops, **environment))
    for path in (out, out.with_name("results.csv.journal")):
        path.unlink()
    return cpu * 1000 / count


BENCHMARK = Benchmark(
    name="traces",
    title="What spans cost",
    reading="""\
A worker and a run in one process, without OpenTelemetry's variables, with a sampler that takes one job in a hundred,
and with all spans of all jobs exported to a collector over OTLP. The work and the sandbox are those of `dispatch`. CPU
is user and system time of the process: the worker's without its start, the run's with all of it. The collector's own
is not in it. Read the ratio: it is beside the cheapest calls that there are, which are answered at once, with the
ledger in the process's own memory.""",
    run=run,
)
