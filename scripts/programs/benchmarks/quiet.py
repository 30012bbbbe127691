"""Quiet shops beside one with a big campaign."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.programs.benchmarks.fleet import PROCESSES
from scripts.programs.benchmarks.inputs import CHANNEL, credential, customer, slugs, write_export, write_shops
from scripts.programs.benchmarks.report import Benchmark, Report
from scripts.programs.benchmarks.site import THREADS, Site
from worker.clock import SystemClock
from worker.model.job import Customer, Job
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.producer import Producer

BIG = "big"
BIG_PER_SECOND = 1000
QUIET_SHOPS = 50
QUIET_JOBS = 50
PER_SECOND = 2
BURST = 5

IDEAL_SECONDS = (QUIET_JOBS - BURST) / PER_SECOND
LONGEST = 1.2
"""What the product promises: times what the quiet shops' own limits allow."""

DEADLINE_SECONDS = 10 * IDEAL_SECONDS


@dataclass(frozen=True)
class Passage:
    """Seconds from the first quiet job's publication to the last one's call, and the big shop's calls meanwhile."""

    seconds: float
    beside: int


def measure(site: Site, campaign: int) -> Passage:
    """Let the campaign run, if there is one; then publish the quiet shops' jobs and see them through."""
    file, export = site.folder / "shops.toml", site.folder / "big.csv"
    write_export(export, campaign, [BIG])
    with site.vhost() as vhost, site.upstream() as api:
        write_shops(file, api.url, slugs(QUIET_SHOPS), {"per_second": PER_SECOND, "burst": BURST})
        with file.open("a") as more:
            more.write("\n".join(credential(BIG, file)))
            more.write(f"\nper_second = {BIG_PER_SECOND}\nburst = {BIG_PER_SECOND}\n")
        env = site.environment(vhost, file, REFERRALS_REDIS_URL=site.empty_store())
        site.publish(env, export)
        command = site.referrals("work", "--processes", str(PROCESSES), "--threads", str(THREADS))
        with site.start("work", command, env), Producer(parameters(vhost.url, name="bench")) as producer:
            site.wait_for_consumers(vhost, PROCESSES * (QUIET_SHOPS + 1))
            api.wait_for(campaign // 20, 120)
            began = SystemClock().now()
            for job in list(quiet_jobs()):
                producer.send(job)
            producer.flush()
            deadline = time.monotonic() + DEADLINE_SECONDS
            while len(arrived := [call for call in api.calls() if call["shop"] != BIG]) < QUIET_SHOPS * QUIET_JOBS:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(arrived)} of the quiet shops' jobs in {DEADLINE_SECONDS:g} s")
                time.sleep(1)
            last = max(call["arrived_at"] for call in arrived)
            beside = sum(call["shop"] == BIG and began <= call["arrived_at"] <= last for call in api.calls())
    return Passage((last - began) / 1e6, beside)


def quiet_jobs() -> Iterator[Job]:
    """The quiet shops' jobs, by turns."""
    for number in range(QUIET_SHOPS * QUIET_JOBS):
        yield Job.create(
            shop=slugs(QUIET_SHOPS)[number % QUIET_SHOPS],
            campaign="quiet",
            customer=Customer(email=customer(number)),
            channel=CHANNEL,
            line=number,
        )


def run(site: Site) -> Report:
    """The quiet shops alone, then beside the campaign."""
    campaign = site.of(50_000, 10_000)
    alone, beside = measure(site, 0), measure(site, campaign)
    return Report(
        ("", "measured", "bound"),
        [
            (
                "last quiet call, times what its shop's limit allows",
                f"{beside.seconds / IDEAL_SECONDS:.2f}",
                f"≤ {LONGEST}",
            ),
            ("the same without the campaign", f"{alone.seconds / IDEAL_SECONDS:.2f}", ""),
            ("the campaign's calls a second meanwhile", f"{beside.beside / beside.seconds:.0f}", ""),
        ],
        [
            f"{PROCESSES} processes of {THREADS} threads; a campaign of {campaign:,} jobs at up to {BIG_PER_SECOND}/s.",
            f"{QUIET_SHOPS} shops with {QUIET_JOBS} jobs each at {PER_SECOND}/s, burst {BURST}: {IDEAL_SECONDS:g} s.",
            f"It took {beside.seconds:.1f} s, without the campaign {alone.seconds:.1f} s.",
        ],
    )


BENCHMARK = Benchmark(
    name="quiet",
    title="Quiet shops beside a big campaign",
    reading="""\
The campaign's shop may use the whole machine, and has been running for a while when the quiet shops' jobs are
published. The time runs from the publication of their first job to the arrival of their last call.""",
    run=run,
)
