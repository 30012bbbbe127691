"""A campaign with a pace of its own in front of another one: both use what they may, and neither goes beyond."""

import time

from scripts.programs.benchmarks.fleet import LEAST_USED, PROCESSES
from scripts.programs.benchmarks.inputs import CHANNEL, customer, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Site
from scripts.programs.benchmarks.stamps import most_over, most_within, watching
from tests.services import wait_until
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.job import Customer, job_id
from worker.store.redis.keys import record_key

SHOP = "shop-000"
PER_SECOND, BURST = 50, 20
PACE = 10
EARLY = 1.5
"""Calls above the pace in any stretch of time, since one may come half an interval early: docs/campaigns.md."""

SPARE_SECONDS = 30


def run(site: Site) -> Report:
    """A minute of both."""
    seconds = site.of(60, 10)
    file, first, second = site.folder / "shops.toml", site.folder / "spring.csv", site.folder / "summer.csv"
    paced = PER_SECOND * (seconds + SPARE_SECONDS)
    write_export(first, paced, [SHOP])
    write_export(second, paced, [SHOP], first=paced)
    its = {_record(customer(number)) for number in range(paced)}
    with site.vhost() as vhost, site.upstream("--per-second", str(PER_SECOND)) as api:
        write_shops(file, api.url, [SHOP], {"per_second": PER_SECOND, "burst": BURST})
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.order(env, "campaigns", "pace", "spring", "--per-second", str(PACE))
        site.publish(env, first, campaign="spring")
        site.publish(env, second, campaign="summer")
        with watching(site.valkey.url) as watch:
            command = site.referrals("work", "--processes", str(PROCESSES), "--threads", str(THREADS))
            with site.start("work", command, env):
                site.wait_for_consumers(vhost, 2 * PROCESSES)
                wait_until(lambda: api.count() >= 2 * PER_SECOND, 120, "the first calls")
                began = SystemClock().now()
                time.sleep(seconds + 1)  # the window itself
            stamps, calls = watch.stamps(), api.calls()
    granted = stamps.calls[SHOP]
    window = [call for call in granted if began <= call.start_at < began + seconds * SECOND]
    own = [call.start_at for call in granted if call.record in its]
    own_used = sum(call.record in its for call in window) / (PACE * seconds)
    rate = Rate.per_second(PER_SECOND, BURST)
    return Report(
        ("", "measured", "bound"),
        [
            ("part of its pace that the campaign used", f"{own_used:.2%}", f"≥ {LEAST_USED:.0%}"),
            (
                f"its calls granted beyond {PACE} a second and {EARLY:g}, in any window",
                str(most_over(own, SECOND // PACE, EARLY)),
                "0",
            ),
            (f"its most calls in {seconds} s", str(most_within(own, seconds * SECOND)), f"≤ {PACE * seconds + 1}"),
            (
                "part of the shop's limit that both used",
                f"{len(window) / (PER_SECOND * seconds):.2%}",
                f"≥ {LEAST_USED:.0%}",
            ),
            (
                "calls granted over the shop's limit, in any window",
                str(most_over([call.start_at for call in granted], rate.interval, rate.burst)),
                "0",
            ),
            ("answers 429", str(sum(call["status"] == 429 for call in calls)), "0"),
            ("questions to the store per call", f"{stamps.asks.total() / len(calls):.2f}", ""),
        ],
        [
            f"{PROCESSES} processes of {THREADS} threads, {seconds} s; {len(calls):,} calls.",
            f"One shop at {PER_SECOND}/s with burst {BURST}; one campaign at {PACE}/s in front of another one.",
        ],
    )


def _record(address: str) -> str:
    # As `Granted` has it.
    return (
        record_key(SHOP, job_id(SHOP, "spring", 0, Customer(email=address), CHANNEL, None)).decode().rpartition(":")[2]
    )


BENCHMARK = Benchmark(
    name="pace",
    title="A campaign with a pace of its own",
    reading="""\
`referrals campaigns pace` bounds a campaign whose jobs lie in front of another one's. As in `fleet`, the grants are
stamped by the store, and counted from the first one on in windows of every length; a call of a paced campaign may come
half an interval early, so that one which its shop has delayed costs nothing of the pace.""",
    run=run,
)
