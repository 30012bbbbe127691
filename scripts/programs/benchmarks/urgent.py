"""Urgent jobs beside a campaign: how soon they are called, also once the day is spent, and what a flood leaves."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from scripts.programs.benchmarks.fleet import LEAST_USED, PROCESSES
from scripts.programs.benchmarks.inputs import CHANNEL, customer, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Api, Site
from scripts.programs.benchmarks.stamps import Stamps, Watch, most_over, watching
from tests.services import Vhost, wait_until
from worker import publish
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.job import Customer, Job

SHOP = "shop-000"
PER_SECOND, BURST = 25, 5
CAMPAIGN_JOBS = 100_000
LONGEST_SECONDS = 1.0
LEAST_BULK = 0.2
"""What the product promises: for 99 of 100 urgent jobs, and for the campaign beside a flood of them."""

LEFT_OF_DAY = 200
"""Calls that the campaign may have until only what is kept for urgent jobs is left."""

DAY_RESERVE = 200
WEB = 10_000_000
"""The number of the first customer on the web site."""


@dataclass(frozen=True)
class Course:
    """A campaign under way, and who watches."""

    site: Site
    vhost: Vhost
    api: Api
    watch: Watch
    file: Path
    env: dict[str, str]

    def configure(self, **keys: float | str) -> None:
        """Write the shop's keys, which workers follow within a second."""
        usual: dict[str, float | str] = {"per_second": PER_SECOND, "burst": BURST, "urgent": "true"}
        write_shops(self.file, self.api.url, [SHOP], usual | keys)

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Those that have arrived since then."""
        return [call for call in self.api.calls() if call["arrived_at"] >= since]


@contextmanager
def under_way(site: Site, jobs: int, **keys: float | str) -> Iterator[Course]:
    """A campaign of so many jobs whose workers have begun, its burst spent."""
    file, export = site.folder / "shops.toml", site.folder / "export.csv"
    write_export(export, jobs, [SHOP])
    with site.vhost() as vhost, site.upstream("--per-second", str(PER_SECOND), "--customers") as api:
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        with watching(site.valkey.url) as watch:
            course = Course(site, vhost, api, watch, file, env)
            course.configure(**keys)
            site.publish(env, export, campaign="spring")
            command = site.referrals("work", "--processes", str(PROCESSES), "--threads", str(THREADS))
            with site.start("work", command, env):
                site.wait_for_consumers(vhost, 2 * PROCESSES)
                api.wait_for(4 * BURST, 120)
                yield course


def web_job(number: int) -> Job:
    """The job of one customer on the web site."""
    return Job.create(shop=SHOP, campaign="web", customer=Customer(email=customer(WEB + number)), channel=CHANNEL)


def one_a_second(course: Course, seconds: int, first: int = 0) -> list[float]:
    """Publish an urgent job each second; how long each took from before `publish` to the arrival of its call."""
    published: dict[str, int] = {}
    began = time.monotonic()
    for number in range(first, first + seconds):
        time.sleep(max(0.0, began + number - first - time.monotonic()))
        job = web_job(number)
        published[customer(WEB + number)] = SystemClock().now()
        publish(job, urgent=True, amqp_url=course.vhost.url)

    def arrived() -> dict[str, int]:
        return {call["customer"]: call["arrived_at"] for call in course.calls() if call["status"] == 200}

    wait_until(lambda: published.keys() <= arrived().keys(), 60, "every urgent job")
    found = arrived()
    return [(found[address] - at) / SECOND for address, at in published.items()]


def waits(label: str, taken: Sequence[float]) -> list[tuple[str, str, str]]:
    """Three rows about how long urgent jobs took."""
    ordered = sorted(taken)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return [
        (f"{label}: half of them within, s", f"{median(ordered):.2f}", ""),
        (f"{label}: 99 of 100 within, s", f"{late:.2f}", f"< {LONGEST_SECONDS:g}"),
        (f"{label}: the slowest, s", f"{ordered[-1]:.2f}", ""),
    ]


def limits_kept(stamps: Stamps, calls: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """That no call was one too many."""
    rate = Rate.per_second(PER_SECOND, BURST)
    over = most_over([call.start_at for call in stamps.calls[SHOP]], rate.interval, rate.burst)
    return [
        ("calls granted over the shop's limit, in any window", str(over), "0"),
        ("answers 429", str(sum(call["status"] == 429 for call in calls)), "0"),
    ]


def beside(site: Site) -> Report:
    """Beside the campaign, without and with tokens that are kept for urgent jobs."""
    jobs, seconds = site.of(CAMPAIGN_JOBS, 5_000), site.of(80, 10)
    with under_way(site, jobs) as course:
        began = SystemClock().now()
        without = one_a_second(course, seconds)
        used = len(course.calls(began)) / (SystemClock().now() - began) * SECOND / PER_SECOND
        course.configure(reserve_per_second=2)
        time.sleep(3)  # workers follow the shops file within a second
        with_reserve = one_a_second(course, seconds, first=seconds)
        stamps, calls = course.watch.stamps(), course.calls()
    return Report(
        ("", "measured", "bound"),
        [
            *waits("without a reserve", without),
            *waits("`reserve_per_second = 2`", with_reserve),
            ("part of the shop's limit that both used", f"{used:.2%}", f"≥ {LEAST_USED:.0%}"),
            *limits_kept(stamps, calls),
        ],
        [*_lines(jobs), f"One urgent job a second for {seconds} s, twice."],
    )


def spent(site: Site) -> Report:
    """Once the campaign has spent what it may have of the day."""
    seconds = site.of(100, 10)
    per_day = LEFT_OF_DAY + DAY_RESERVE
    # The day begins now: what is kept of it melts by the hours.
    day: dict[str, float | str] = {
        "per_day": per_day,
        "reserve_per_day": DAY_RESERVE,
        "day_resets_at": f'"{datetime.now(UTC):%H:%M}"',
    }
    jobs = site.of(CAMPAIGN_JOBS, 5_000)
    with under_way(site, jobs, **day) as course:
        wait_until(lambda: len(course.calls()) >= LEFT_OF_DAY, 60, "the campaign to spend its part of the day")
        time.sleep(3)  # its queue is left by then
        taken = one_a_second(course, seconds)
        bulk = sum(not _is_urgent(call) for call in course.calls())
        # More of them than the day has.
        for number in range(seconds, seconds + DAY_RESERVE):
            publish(web_job(number), urgent=True, amqp_url=course.vhost.url)
        wait_until(lambda: len(course.calls()) >= per_day, 120, "the day to be spent")
        time.sleep(5)  # for calls beyond it
        stamps, calls = course.watch.stamps(), course.calls()
    return Report(
        ("", "measured", "bound"),
        [
            *waits("after the campaign has spent its part of the day", taken),
            ("the campaign's calls by then", str(bulk), f"≥ {LEFT_OF_DAY}"),
            ("calls of the day over its limit", str(len(calls) - per_day), "0"),
            *limits_kept(stamps, calls),
        ],
        [
            *_lines(jobs),
            f"`per_day = {per_day}`, `reserve_per_day = {DAY_RESERVE}`.",
            f"One urgent job a second for {seconds} s, then {DAY_RESERVE} at once.",
        ],
    )


def flood(site: Site) -> Report:
    """A flood of urgent jobs beside the campaign."""
    jobs, seconds = site.of(CAMPAIGN_JOBS, 5_000), site.of(60, 10)
    urgent = PER_SECOND * (seconds + 30)
    with under_way(site, jobs) as course:
        publish((web_job(number) for number in range(urgent)), urgent=True, amqp_url=course.vhost.url)
        time.sleep(3)  # the burst of urgent jobs is over
        began = SystemClock().now()
        time.sleep(seconds + 1)  # the window itself
        stamps = course.watch.stamps()
        calls = course.calls()
    window = [call for call in calls if began <= call["arrived_at"] < began + seconds * SECOND]
    share = sum(not _is_urgent(call) for call in window) / len(window)
    return Report(
        ("", "measured", "bound"),
        [
            ("the campaign's part of the calls", f"{share:.2%}", f"≥ {LEAST_BULK:.0%}"),
            (
                "part of the shop's limit that both used",
                f"{len(window) / (PER_SECOND * seconds):.2%}",
                f"≥ {LEAST_USED:.0%}",
            ),
            *limits_kept(stamps, calls),
        ],
        [*_lines(jobs), f"{urgent:,} urgent jobs at once; {seconds} s of them."],
    )


def _is_urgent(call: dict[str, Any]) -> bool:
    return int(call["customer"].split("@")[0].rpartition("-")[2]) >= WEB


def _lines(jobs: int) -> list[str]:
    return [
        f"{PROCESSES} processes of {THREADS} threads; a campaign of {jobs:,} jobs.",
        f"One shop at {PER_SECOND}/s with burst {BURST}.",
    ]


BENCHMARKS = (
    Benchmark(
        name="urgent",
        title="An urgent job a second beside a campaign",
        reading="""\
`worker.publish(job, urgent=True)` once a second, while a campaign takes the whole limit of its shop. The time runs from
before the call of `publish`, which waits for RabbitMQ's confirm, to the arrival at the stand-in for Refer2. Grants over
the limit are counted by the store's stamps in windows of every length, as in `fleet`.""",
        run=beside,
    ),
    Benchmark(
        name="urgent-day",
        title="Urgent jobs once the campaign has spent the day",
        reading="""\
As `urgent`, after the campaign has had all calls of the day but those that are kept by `reserve_per_day`. Then more
urgent jobs come than the day has left.""",
        run=spent,
    ),
    Benchmark(
        name="urgent-flood",
        title="A flood of urgent jobs beside a campaign",
        reading="""\
As `urgent`, with more urgent jobs than the shop may be called for. While jobs of the campaign wait, urgent ones get
four of five calls, after a burst.""",
        run=flood,
    ),
)
