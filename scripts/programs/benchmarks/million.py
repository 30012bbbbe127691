"""What a million rows take to plan and to publish, and how much memory."""

import json
from pathlib import Path

from scripts.programs.benchmarks.contenders import Ours
from scripts.programs.benchmarks.inputs import CHANNEL, slugs, write_shops, write_wide
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report, share
from scripts.programs.benchmarks.site import SHOPS, Site


def run(site: Site) -> Report:
    """``referrals plan``, then ``referrals publish``, on the same export; ``publish`` on a small and a large one."""
    rows = site.of(1_000_000, 20_000)
    export, shops = site.folder / "customers_export.csv", site.folder / "shops.toml"
    write_wide(export, rows)
    write_shops(shops, "http://127.0.0.1:1", slugs(SHOPS), {})
    with site.vhost() as vhost:
        Ours().declare(vhost)
        planned, planning, plan_peak = run_watched(
            site.referrals("plan", *_campaign(export)),
            site.environment(vhost, shops, REFERRALS_REDIS_URL=site.empty_store()),
        )
    plan = json.loads(planned)
    if not plan["rows"] == plan["jobs"] == rows:
        raise BenchmarkError(f"of {rows} rows {plan['jobs']} were planned")
    (shop,) = plan["shops"].values()
    publishing, publish_peak = _publish(site, export, shops, rows)
    megabytes = export.stat().st_size / 1e6
    others, peaks = [], []
    sizes = small, large = site.of(10_000, 2_000), site.of(5_000_000, 40_000)
    for size in sizes:
        write_wide(export, size)
        took, peak = _publish(site, export, shops, size)
        peaks.append(peak)
        others.append((f"{size:,} rows: peak resident memory, MiB", "", f"{peak:.0f}"))
    others += [
        (f"{large:,} rows : {small:,} rows, by peak", "", share(peaks[1], peaks[0])),
        (f"{large:,} rows : {rows:,} rows, by peak", "", share(peaks[1], publish_peak)),
        (f"{large:,} rows: rows a second", "", f"{large / took:,.0f}"),
    ]
    export.unlink()
    return Report(
        ("", "plan", "publish"),
        [
            (
                "rows a second, from the command's start to its end",
                f"{rows / planning:,.0f}",
                f"{rows / publishing:,.0f}",
            ),
            ("took, s", f"{planning:.0f}", f"{publishing:.0f}"),
            ("peak resident memory, MiB", f"{plan_peak:.0f}", f"{publish_peak:.0f}"),
            *others,
        ],
        [
            f"{rows:,} rows of 12 columns, {megabytes:,.0f} MB, of one shop, read as Shopify's; others alike.",
            f"The plan: {shop['days']:,} days, since the shop's quota is the default. It asks the store for each job.",
        ],
    )


def _publish(site: Site, export: Path, shops: Path, rows: int) -> tuple[float, float]:
    """The seconds and the peak of memory, in MiB; the messages are dropped afterwards."""
    with site.vhost() as vhost:
        Ours().declare(vhost)
        published, seconds, peak = run_watched(
            site.referrals("publish", *_campaign(export), "--yes"), site.environment(vhost, shops)
        )
    if (count := json.loads(published)["published"]) != rows:
        raise BenchmarkError(f"of {rows} rows {count} were published")
    return seconds, peak


def _campaign(export: Path) -> tuple[str, ...]:
    return (str(export), "--shop", slugs(1)[0], "--campaign", "bench", "--channel", CHANNEL, "--json")


BENCHMARK = Benchmark(
    name="million",
    title="A million rows, planned and published",
    reading="""\
Both commands read the same export over the same rules. A plan asks the shared store what it knows of each job and
simulates the campaign; it publishes nothing. Publishing waits for RabbitMQ's confirms, and asks no store here. The peak
is the kernel's own figure for the command's process; it must not grow with the export, except that a plan keeps eight
bytes a job to count the jobs of each customer. Until the cache of the index of job ids is full (1 MiB, at about 40,000
rows) it still grows; the index itself grows on disk.""",
    run=run,
)
