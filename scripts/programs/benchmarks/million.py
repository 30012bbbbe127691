"""What a million rows take to plan and to publish, and how much memory."""

import json

from scripts.programs.benchmarks.contenders import Ours
from scripts.programs.benchmarks.inputs import CHANNEL, slugs, write_shops, write_wide
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import SHOPS, Site


def run(site: Site) -> Report:
    """``referrals plan``, then ``referrals publish``, on the same export."""
    rows = site.of(1_000_000, 20_000)
    export, shops = site.folder / "customers_export.csv", site.folder / "shops.toml"
    write_wide(export, rows)
    write_shops(shops, "http://127.0.0.1:1", slugs(SHOPS), {})
    campaign = (str(export), "--shop", slugs(1)[0], "--campaign", "bench", "--channel", CHANNEL, "--json")
    with site.vhost() as vhost:
        Ours().declare(vhost)
        planned, planning, plan_peak = run_watched(
            site.referrals("plan", *campaign), site.environment(vhost, shops, REFERRALS_REDIS_URL=site.empty_store())
        )
        published, publishing, publish_peak = run_watched(
            site.referrals("publish", *campaign, "--yes"), site.environment(vhost, shops)
        )
    plan, summary = json.loads(planned), json.loads(published)
    if not plan["rows"] == plan["jobs"] == summary["published"] == rows:
        raise BenchmarkError(f"of {rows} rows {plan['jobs']} were planned and {summary['published']} published")
    (shop,) = plan["shops"].values()
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
        ],
        [
            f"{rows:,} rows of 12 columns, {export.stat().st_size / 1e6:,.0f} MB, of one shop, read as Shopify's.",
            f"The plan: {shop['days']:,} days, since the shop's quota is the default. It asks the store for each job.",
        ],
    )


BENCHMARK = Benchmark(
    name="million",
    title="A million rows, planned and published",
    reading="""\
Both commands read the same export over the same rules. A plan asks the shared store what it knows of each job and
simulates the campaign; it publishes nothing. Publishing waits for RabbitMQ's confirms, and asks no store here. The peak
is the kernel's own figure for the command's process; it must not grow with the export, but for the eight bytes a job by
which a plan counts the jobs of each customer, and the index of job ids on disk.""",
    run=run,
)
