"""What it takes to read a shop's customer list and predict each job by it, and how much memory."""

import json
from pathlib import Path
from typing import Any

from scripts.programs.benchmarks.inputs import CHANNEL, customer, write_shops
from scripts.programs.benchmarks.process import BenchmarkError, run_watched
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Api, Site

SHOP = "shop-000"
UNLIMITED = {"per_day": 100_000_000}
"""So that simulating days takes no time, which is not what is measured."""


def write_customers(path: Path, number: int) -> None:
    """So many customers, each with both ids and an address."""
    with path.open("w") as file:
        file.write("bhid,shopid,email\n")
        file.writelines(f"bh{one:07x}c0ffee,{7 * 10**12 + one},{customer(one)}\n" for one in range(number))


def write_campaign(path: Path, rows: int) -> None:
    """Of twenty rows each, one names nobody and two name two customers, or one and nobody."""
    with path.open("w") as file:
        file.write("customer_shopid,customer_email\n")
        for one in range(rows):
            shopid, email = 7 * 10**12 + one, customer(one)
            if one % 20 == 0:
                email = f"nobody-{one}@example.com"
            elif one % 20 == 1:
                shopid, email = 9 * 10**12 + one, f"nobody-{one}@example.com"
            elif one % 20 == 2:
                shopid += 1
            file.write(f"{shopid},{email}\n")


def planned(site: Site, api: Api, export: Path, *options: str) -> tuple[dict[str, Any], float, float]:
    """``referrals plan``: what it printed, its seconds and its peak in MiB."""
    shops = site.folder / "shops.toml"
    write_shops(shops, api.url, [SHOP], UNLIMITED)
    arguments = ("plan", str(export), "--shop", SHOP, "--campaign", "bench", "--channel", CHANNEL, "--json", *options)
    printed, seconds, peak = run_watched(site.referrals(*arguments), site.environment(shops=shops))
    return json.loads(printed), seconds, peak


def run(site: Site) -> Report:
    """Campaigns and lists, small and large, with ``--match`` and without."""
    most, fewer, few = site.of(1_000_000, 20_000), site.of(100_000, 2_000), 1_000
    customers, export = site.folder / "customers.csv", site.folder / "campaign.csv"
    rows = []
    for listed, jobs, options in (
        (fewer, few, ()),
        (fewer, few, ("--match",)),
        (most, few, ("--match",)),
        (most, most, ()),
        (most, most, ("--match",)),
    ):
        write_customers(customers, listed)
        write_campaign(export, jobs)
        with site.api("--no-limits", "--customers", str(customers)) as api:
            plan, seconds, peak = planned(site, api, export, *options)
            if api.count():
                raise BenchmarkError(f"a plan made {api.count()} calls")
        predicted = plan["predicted"]
        if options and sorted(predicted.values()) != [jobs // 20, jobs // 10, jobs - 3 * (jobs // 20)]:
            raise BenchmarkError(f"predicted {predicted} of {jobs} jobs")
        rows.append((f"{jobs:,}", f"{listed:,}" if options else "not read", f"{seconds:.1f}", f"{peak:.0f}"))
    return Report(
        ("jobs", "customers in the list", "took, s", "peak resident memory, MiB"),
        rows,
        ["The sandbox, which serves the list, runs on the same cores and makes it as fast as it is read."],
    )


BENCHMARK = Benchmark(
    name="matching",
    title="A plan that reads the customer list",
    reading="""\
`referrals plan --match` from its start to its end, and the same plan without. Of the list nothing is held but sixteen
bytes for each id, three to a customer here: 48 MB for a million customers, whatever else the list says of them. Each
run must predict what was made up, and the sandbox must have met no call.""",
    run=run,
)
