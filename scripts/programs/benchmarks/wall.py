"""A wall of one customer's jobs ahead of everybody else's in a shop's queue."""

import urllib.request
from dataclasses import dataclass

from scripts.programs.benchmarks.inputs import write_export, write_shops, write_wall
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import Site

SHOP = "acme"
PER_SECOND = 50
BURST = 20
CUSTOMER_PER_SECOND = 2

LEAST_SHARE = 0.85
MOST_DEFERRALS = 1.5
"""What the product promises."""


@dataclass(frozen=True)
class Passage:
    """How the others came through: their calls a second, and deferrals for each job of the wall."""

    pace: float
    deferrals: float
    seconds: float


def measure(site: Site, wall: int, others: int) -> Passage:
    """Publish the wall, then the others; see when the others are called, and wait for the last of the wall."""
    shops, first, second = (site.folder / name for name in ("shops.toml", "wall.csv", "others.csv"))
    write_wall(first, wall, SHOP)
    write_export(second, others, [SHOP])
    with site.vhost() as vhost, site.api() as api:
        keys = {"per_second": PER_SECOND, "burst": BURST, "customer_per_second": CUSTOMER_PER_SECOND}
        write_shops(shops, api.url, [SHOP], keys | {"customer_per_day": wall + 1})
        env = site.environment(vhost, shops)
        for export in [first] * bool(wall) + [second]:
            site.publish(env, export)
        with site.start("wall", site.referrals("work"), env):
            api.wait_for(wall + others, 600)
            deferrals = _deferrals(int(env["REFERRALS_METRICS_PORT"]))
            site.wait_for_results(vhost, wall + others)
        calls = api.calls()
    arrivals = [call["arrived_at"] for call in calls if call["body"]["channel"] != "email"]
    seconds = (arrivals[-1] - calls[0]["arrived_at"]) / 1e6
    return Passage((len(arrivals) - BURST) / seconds, deferrals / wall if wall else 0.0, seconds)


def run(site: Site) -> Report:
    """The same others without a wall, then behind it."""
    wall, others = site.of(300, 40), site.of(1000, 500)
    alone, behind = measure(site, 0, others), measure(site, wall, others)
    return Report(
        ("", "measured", "bound"),
        [
            (
                "others' share of the shop's configured pace",
                _percent(behind.pace / PER_SECOND),
                f"≥ {_percent(LEAST_SHARE)}",
            ),
            ("the same without the wall", _percent(alone.pace / PER_SECOND), ""),
            ("deferrals per job of the wall", f"{behind.deferrals:.2f}", f"≤ {MOST_DEFERRALS}"),
        ],
        [
            f"{wall} jobs of one customer ahead of {others:,} of others.",
            f"The others took {behind.seconds:.1f} s, without the wall {alone.seconds:.1f} s.",
            f"The shop: {PER_SECOND} a second, burst {BURST}; a customer: {CUSTOMER_PER_SECOND} a second.",
        ],
    )


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _deferrals(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("referral_deferrals_total{"))


BENCHMARK = Benchmark(
    name="wall",
    title="A wall of one customer",
    reading="""\
One customer with many friends may be called twice a second; its jobs stand at the head of the shop's queue. The share
is the pace at which the shop's other customers are called, from their first call to their last, divided by the shop's
configured pace; the shop's initial burst is subtracted. The customer's own calls use the same pace, so 100 % is not
possible behind a wall. A deferral is one trip of a job through a delay queue; without places in line each job of the
wall would make many.""",
    run=run,
)
