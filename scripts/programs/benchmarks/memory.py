"""What the processes hold in memory."""

import json
import sys

from scripts.programs.benchmarks.contenders import CONTENDERS, Contender, jobs
from scripts.programs.benchmarks.inputs import write_large
from scripts.programs.benchmarks.process import BenchmarkError, resident_mib, run_to_end
from scripts.programs.benchmarks.report import Benchmark, Report, share
from scripts.programs.benchmarks.site import SHOPS, Site
from worker.campaigns.interleave import WINDOW


def resident(site: Site, contender: Contender, count: int) -> tuple[float, float]:
    """MiB once every shop's queue is consumed, and after ``count`` more jobs."""
    with site.vhost() as vhost, site.api() as api:
        contender.declare(vhost)
        with contender.start(site, vhost, api) as program:
            worker = program.worker()
            contender.publish(vhost, jobs(SHOPS))
            api.wait_for(SHOPS, 60)
            start = resident_mib(worker)
            contender.publish(vhost, jobs(count, first=SHOPS))
            api.wait_for(SHOPS + count, 600)
            site.wait_for_results(vhost, SHOPS + count)
            return start, resident_mib(worker)


def run(site: Site) -> Report:
    """Both workers before and after a backlog; the importer on a large export."""
    count, megabytes = site.of(10_000, 2_000), site.of(200, 20)
    (ours, ours_after), (stock, stock_after) = (resident(site, contender, count) for contender in CONTENDERS)
    export = site.folder / "large.csv"
    rows = write_large(export, megabytes)
    command = [sys.executable, "-m", "scripts.programs.benchmarks.importing", str(export)]
    printed, _ = run_to_end(command, site.environment())
    export.unlink()
    read = json.loads(printed)
    if not read["rows"] == read["jobs"] == rows:
        raise BenchmarkError(f"of {rows} rows {read['rows']} were read and {read['jobs']} became jobs")
    return Report(
        ("MiB", *(contender.name for contender in CONTENDERS), "ratio"),
        [
            (f"worker, {SHOPS} shops, one job each done", f"{ours:.0f}", f"{stock:.0f}", share(ours, stock)),
            (
                f"worker, {count:,} jobs later",
                f"{ours_after:.0f}",
                f"{stock_after:.0f}",
                share(ours_after, stock_after),
            ),
            (f"importer, peak, export of {megabytes} MB", f"{read['peak_kib'] / 1024:.0f}", "", ""),
        ],
        [f"The export has {rows:,} rows and 12 columns; {rows / read['seconds']:,.0f} rows a second were read."],
    )


BENCHMARK = Benchmark(
    name="memory",
    title="Memory",
    reading=f"""\
Resident memory of a worker process, without Dramatiq's parent, on the memory store. Both workers grow with their first
backlog, when buffers fill and each thread opens its session; ours also keeps the ledger of finished jobs for its
retention. The importer is run alone, in a process of its own. Its peak consists of its window of {WINDOW:,} jobs and
the cache of job ids, both of fixed size: it must not grow with the export.""",
    run=run,
)
