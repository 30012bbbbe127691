"""One shop's limit, shared by several worker processes: how much of it they use, and whether they ever exceed it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.programs.benchmarks.inputs import slugs, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Site
from scripts.programs.benchmarks.stamps import most_at_once, most_over, watching
from tests.services import wait_until
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.limits.token_bucket import Rate

PROCESSES = 4
LEAST_USED = 0.99
"""What the product promises."""

SPARE_SECONDS = 15
"""Of work beyond the window that is looked at: for the start before it, and so that it doesn't end within. The start of
many processes needs more."""


@dataclass(frozen=True)
class Share:
    """What one shop got in the window. ``used`` is of what its limit allows; ``over`` of any window, by store stamps;
    ``arrivals_over`` the same at the receiving side; ``at_once`` the most calls that were under way.
    """

    used: float
    over: int
    arrivals_over: int
    at_once: int


@dataclass(frozen=True)
class Run:
    """All shops of a run, how many calls were answered by status, and what the store was asked."""

    shares: Sequence[Share]
    statuses: Counter[int]
    calls: int
    asks: int
    asked: int


def measure(
    site: Site, *, shops: int, per_second: int, burst: int, processes: int, seconds: int, spare: int = SPARE_SECONDS
) -> Run:
    """Let the processes work on more than enough jobs for ``seconds``, once all of them are there.

    The provider allows the same rate and a burst of a second's worth, and answers 429 at once.
    """
    names = slugs(shops)
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, shops * (burst + per_second * (seconds + spare)), names)
    with site.vhost() as vhost, site.upstream("--per-second", str(per_second)) as api:
        write_shops(file, api.url, names, {"per_second": per_second, "burst": burst})
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.publish(env, export)
        command = site.referrals("work", "--processes", str(processes), "--threads", str(THREADS))
        with watching(site.valkey.url) as watch:
            with site.start("work", command, env):
                site.wait_for_consumers(vhost, processes * shops)
                wait_until(lambda: api.count() >= shops * burst, 120, "every shop's first calls")
                began = SystemClock().now()
                time.sleep(seconds + 1)
            stamps, calls = watch.stamps(), api.calls()
    rate = Rate.per_second(per_second, burst)
    shares = []
    for shop in names:
        granted = stamps.calls[shop]
        used = sum(began <= call.start_at < began + seconds * SECOND for call in granted) / (per_second * seconds)
        arrived = [call["arrived_at"] for call in calls if call["shop"] == shop]
        over = most_over([call.start_at for call in granted], rate.interval, rate.burst)
        arrivals_over = most_over(arrived, rate.interval, rate.burst)
        shares.append(Share(used, over, arrivals_over, most_at_once(granted)))
    return Run(
        shares,
        Counter(call["status"] for call in calls),
        len(calls),
        stamps.asks.total(),
        stamps.asked.total(),
    )


def rows(run: Run) -> list[tuple[str, str, str]]:
    """What both benchmarks of paces show: the worst of the shops."""
    excess = max(share.arrivals_over - share.at_once for share in run.shares)
    worst = max(run.shares, key=lambda share: share.arrivals_over - share.at_once)
    return [
        ("part of the limit that was used", f"{min(share.used for share in run.shares):.2%}", f"≥ {LEAST_USED:.0%}"),
        ("calls granted over it, in any window", str(max(share.over for share in run.shares)), "0"),
        (
            "arrivals over it, in any window",
            str(max(share.arrivals_over for share in run.shares)),
            f"≤ {worst.at_once} in flight" + ("" if excess <= 0 else " (exceeded)"),
        ),
        ("answers 429", str(run.statuses[429]), "0"),
        ("questions to the store per call", f"{run.asks / run.calls:.2f}", ""),
        ("jobs asked for per call", f"{run.asked / run.calls:.2f}", ""),
    ]


def run(site: Site) -> Report:
    """A minute of one shop."""
    seconds, per_second, burst = site.of(60, 10), 50, 20
    result = measure(site, shops=1, per_second=per_second, burst=burst, processes=PROCESSES, seconds=seconds)
    return Report(
        ("", "measured", "bound"),
        rows(result),
        [
            f"{PROCESSES} processes of {THREADS} threads, {seconds} s; {result.calls:,} calls.",
            f"One shop at {per_second}/s with burst {burst}.",
        ],
    )


READING = """\
The share of the limit is that of a window that begins when every process consumes every queue; the burst is used up by
then, so the limit allows the rate times its length. The store timestamps the grants: Valkey's own record of its writes
to the ledger (`MONITOR`), by its own clock. Grants and arrivals are checked from the first call on, in windows of every
length. One arrival may be late and the next ones not, so arrivals may bunch up by as many calls as were in flight at
once, also counted by the store's timestamps. The receiving side judges by the sandbox's throttle with the same rate and
a burst of a second's worth, and answers 429 at once instead of delaying first."""

BENCHMARK = Benchmark(name="fleet", title="One shop, several processes", reading=READING, run=run)
